"""3x3 convolutions as matrix products on 4x4 output tiles: F(4x4, 3x3).

A tile of 4x4 outputs takes 36 multiplications per pair of channels in place of 144. The transforms are the usual ones
for the interpolation points 0, 1, -1, 2, -2 and infinity.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308); Winograd 1980.
"""

from __future__ import annotations

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
# Both axes at once: one product with a Kronecker square reads the strip once.
_INPUT2, _WEIGHT2, _OUTPUT2 = (torch.kron(m, m).contiguous() for m in (_INPUT, _WEIGHT, _OUTPUT))


def transform_weight(weight: Tensor) -> Tensor:
    """The weights [O, I, 3, 3] in the transformed domain, float32 [36, I, O].

    The product is formed in float64: its rounding would be seen in every picture.
    """
    outs, ins = weight.shape[:2]
    flat = weight.detach().to(torch.float64).reshape(outs * ins, 9).t()
    return (_WEIGHT2 @ flat).reshape(36, outs, ins).transpose(1, 2).to(torch.float32).contiguous()


def tile_rows(side: int) -> int:
    """Rows of tiles that are worked on together at a picture side, so that a strip stays in the cache (measured)."""
    return {16: 4, 32: 8, 64: 8, 128: 2}.get(side, 1)


def convolve(
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    finish: Callable[[Tensor, Tensor, int, int, int], None],
) -> Tensor:
    """Convolve with zero padding of 1, strip by strip.

    Args:
        x: [N, I, H, W] in channels_last, H and W divisible by 4.
        weight: of ``transform_weight``, [36, I, O].
        scale: [N, I], multiplied onto the input in the pass that gathers it, or None.
        finish: called for each strip with (raw [n, rows, 4, W / 4, 4, O] as a permuted view, the same strip of the
            output [n, 4 rows, W, O] to be written, first sample, first row, last row + 1).

    Returns:
        [N, O, H, W] in channels_last.
    """
    count, ins, height, width = x.shape
    outs, across = weight.shape[2], width // TILE
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # [N, H + 2, W + 2, I]
    out = x.new_empty(count, height, width, outs)
    by_sample, by_row, by_column = padded.stride()[:3]
    rows = tile_rows(height)
    # Small pictures are taken several at a time, so that the products are large enough.
    together = max(1, min(count, 128 // (rows * across))) if rows * TILE >= height else 1
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
            transformed = torch.mm(_INPUT2, gathered.view(36, -1)).view(36, n * r * across, ins)
            product = torch.bmm(transformed, weight).view(36, -1)
            tiles = torch.mm(_OUTPUT2, product).view(4, 4, n, r, across, outs)
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
    def forward(ctx: Any, x: Tensor, weight: Tensor, backward_weight: Tensor) -> Tensor:
        ctx.backward_weight = backward_weight
        return convolve(x, weight, None, _plain)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return convolve(gradient, ctx.backward_weight, None, _plain), None, None


def _plain(raw: Tensor, strip: Tensor, *_: int) -> None:
    as_tiles(strip).copy_(raw)
