"""3x3 convolutions as matrix products on 4x4 output tiles: F(4x4, 3x3).

A tile of 4x4 outputs takes 36 multiplications per pair of channels in place of 144. The transforms are the usual ones
for the interpolation points 0, 1, -1, 2, -2 and infinity.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308); Winograd 1980.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TILE = 4
_INPUT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float32, device="cpu",
)  # fmt: skip
_WEIGHT = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64, device="cpu",
)  # fmt: skip
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float32, device="cpu",
)  # fmt: skip
_STRIP = 8 << 20  # bytes of transformed input: measured, flat from 4 to 16 MB
_WEIGHT2 = torch.kron(_WEIGHT, _WEIGHT)


@functools.cache
def _onednn() -> bool:
    """Whether torch offers oneDNN's matrix product, which keeps its pace on every x86 (MKL does not on AMD's: measured
    264 against 110 GFLOP/s on one core)."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with torch.no_grad():
            a, b = torch.eye(16), torch.arange(256.0).view(16, 16)
            packed = torch.ops.mkldnn._reorder_linear_weight(b, 16)
            product = torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")
            return bool(torch.equal(product, b.t()))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


class Weight:
    """The weights [O, I, 3, 3] of a layer in the transformed domain: 36 matrices.

    Attributes:
        outs: O.
    """

    def __init__(self, weight: Tensor) -> None:
        self.outs, ins = weight.shape[:2]
        # Formed in float64: its rounding would be seen in every picture.
        flat = weight.detach().to(torch.float64).reshape(self.outs * ins, 9).t()
        points = (_WEIGHT2 @ flat).reshape(36, self.outs, ins).to(torch.float32)  # [36, O, I]
        self._packed: list[Tensor] | None = None
        self._plain: Tensor | None = None
        if _onednn():
            self._packed = [torch.ops.mkldnn._reorder_linear_weight(p.contiguous(), 128) for p in points]
        else:
            self._plain = points.transpose(1, 2).contiguous()

    def product(self, gathered: Tensor) -> Tensor:  # [36, n, I] -> [36, n, O]
        if self._plain is not None:
            return torch.bmm(gathered, self._plain)
        assert self._packed is not None
        out = gathered.new_empty(36, gathered.shape[1], self.outs)
        for point, (a, b) in enumerate(zip(gathered, self._packed, strict=True)):
            out[point] = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        return out


def _both_axes(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a transform [m, 6] to the two leading axes of x [6, 6, ...], giving [m, m, rest]."""
    m = len(matrix)
    x = torch.mm(matrix, x.reshape(6, -1)).view(m, 6, -1)
    return torch.matmul(matrix, x)


def tile_rows(side: int, channels: int) -> int:
    """Rows of tiles that are worked on together, so that the products are large and a strip stays in the cache."""
    wanted = max(1, (_STRIP // (144 * channels)) // (side // TILE))  # 36 float32 a tile and channel
    return min(side // TILE, wanted)


def convolve(
    x: Tensor,
    weight: Weight,
    scale: Tensor | None,
    finish: Callable[[Tensor, Tensor, int, int, int], None],
) -> Tensor:
    """Convolve with zero padding of 1, strip by strip.

    Args:
        x: [N, I, H, W] in channels_last, H and W divisible by 4.
        weight: the transformed weights.
        scale: [N, I], multiplied onto the input in the pass that gathers it, or None.
        finish: called for each strip with (raw [n, rows, 4, W / 4, 4, O] as a permuted view, the same strip of the
            output [n, 4 rows, W, O] to be written, first sample, first row, last row + 1).

    Returns:
        [N, O, H, W] in channels_last.
    """
    count, ins, height, width = x.shape
    outs, across = weight.outs, width // TILE
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # [N, H + 2, W + 2, I]
    out = x.new_empty(count, height, width, outs)
    by_sample, by_row, by_column = padded.stride()[:3]
    rows = tile_rows(height, max(ins, outs))
    # Small pictures are taken several at a time, so that the products are large enough.
    together = max(1, min(count, 256 // (rows * across))) if rows * TILE >= height else 1
    for first in range(0, count, together):
        n = min(together, count - first)
        for y in range(0, height, TILE * rows):
            r = min(rows, (height - y) // TILE)
            size, stride = (6, 6, n, r, across, ins), (by_row, by_column, by_sample, 4 * by_row, 4 * by_column, 1)
            windows = padded.as_strided(size, stride, padded.storage_offset() + first * by_sample + y * by_row)
            gathered = x.new_empty(size)
            if scale is None:
                gathered.copy_(windows)
            else:
                torch.mul(windows, scale[first : first + n].view(1, 1, n, 1, 1, ins), out=gathered)
            transformed = _both_axes(_INPUT, gathered).view(36, n * r * across, ins)
            product = weight.product(transformed).view(6, 6, -1)
            tiles = _both_axes(_OUTPUT, product).view(4, 4, n, r, across, outs)
            strip = out[first : first + n, y : y + TILE * r]
            finish(tiles.permute(2, 3, 0, 4, 1, 5), strip, first, y, y + TILE * r)
    return out.permute(0, 3, 1, 2)


def as_tiles(strip: Tensor) -> Tensor:
    """A strip of the output [n, 4 r, W, O] seen as its tiles [n, r, 4, W / 4, 4, O]."""
    n, height, width, outs = strip.shape
    return strip.view(n, height // TILE, TILE, width // TILE, TILE, outs)


class Winograd(torch.autograd.Function):
    """The same convolution with a gradient for its input; the weights are constants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Weight, backward_weight: Weight) -> Tensor:
        ctx.backward_weight = backward_weight
        return convolve(x, weight, None, _plain)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return convolve(gradient, ctx.backward_weight, None, _plain), None, None


def _plain(raw: Tensor, strip: Tensor, *_: int) -> None:
    as_tiles(strip).copy_(raw)
