"""3x3 convolutions as matrix products on 4x4 output tiles: F(4x4, 3x3).

A tile of 4x4 outputs takes 36 multiplications per pair of channels in place of 144. The transforms are the usual ones
for the interpolation points 0, 1, -1, 2, -2 and infinity.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308); Winograd 1980.
"""

from __future__ import annotations

import enum
import functools
import math
import time
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
_WEIGHT2 = torch.kron(_WEIGHT, _WEIGHT)
_FEWEST_TILES = 64  # worked on together: below, the products are too thin
_LEAST_CHANNELS = 48  # below, no processor was seen to gain
_LAST = torch.channels_last


class Form(enum.Enum):
    """How a 3x3 convolution is computed; which is fastest depends on its shape and on the processor."""

    DIRECT = "the library's own convolution"
    BATCHED = "tiles, multiplied by one batched matrix product"
    GROUPED = (
        "tiles, multiplied by one grouped 1x1 convolution of oneDNN, which keeps its pace where MKL does not (on AMD)"
    )


# Bytes of transformed tiles worked on at a time, so that they stay in the cache: measured.
_STRIP = {Form.BATCHED: 1_200_000, Form.GROUPED: 2_400_000}


@functools.cache
def fastest(ins: int, outs: int, side: int, threads: int) -> Form:
    """The form that convolves [1, ins, side, side] to ``outs`` channels fastest here, by trying a few of its rows.

    Tried once for each shape in a process; ``threads`` is torch's number of threads, on which the answer depends.
    """
    if side % TILE or side < 4 * TILE or min(ins, outs) < _LEAST_CHANNELS:
        return Form.DIRECT
    rows = min(side, 16)
    x = torch.full((1, ins, rows, side), 0.5).contiguous(memory_format=_LAST)
    kernel = torch.full((outs, ins, 3, 3), 0.01).contiguous(memory_format=_LAST)
    runs: dict[Form, Callable[[], object]] = {}
    if ins * outs < 256 * 256:  # above, it has always lost
        runs[Form.DIRECT] = lambda: functional.conv2d(x, kernel, padding=1)
    for form in (Form.BATCHED, *((Form.GROUPED,) if _packs(ins, outs) else ())):
        weight = Weight(torch.full((36, outs, ins), 0.01), form)
        runs[form] = lambda weight=weight: convolve(x, weight, None, _plain)  # type: ignore[misc]
    now = time.thread_time if threads == 1 else time.perf_counter  # of one thread, what else runs does not count
    times = dict.fromkeys(runs, math.inf)
    for turn in range(4):
        for form, run in runs.items():
            start = now()
            run()
            if turn:
                times[form] = min(times[form], now() - start)
    return min(times, key=lambda form: times[form])


def _packs(ins: int, outs: int) -> bool:
    """Whether oneDNN's grouped convolution runs at full pace: its kernels take sixteen channels at a time."""
    return ins % 16 == 0 and outs % 16 == 0 and _onednn()


@functools.cache
def _onednn() -> bool:
    """Whether torch offers oneDNN's convolution with weights that were laid out beforehand, and it computes what it should."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with torch.no_grad():
            x = torch.arange(2 * 32.0).view(2, 32)
            weight = torch.eye(16).repeat(2, 1) * torch.tensor([[1.0]] * 16 + [[2.0]] * 16)
            packed = _pack(weight.view(32, 16, 1, 1), 2)
            want = x * torch.tensor([1.0] * 16 + [2.0] * 16)
            return bool(torch.equal(_grouped(x, packed, 2), want))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def _pack(weight: Tensor, groups: int) -> Tensor:
    """Weights [groups O, I, 1, 1] as oneDNN wants them."""
    like = [1, groups * weight.shape[1], 1, _FEWEST_TILES]
    weight = weight.contiguous(memory_format=_LAST)
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, (0, 0), (1, 1), (1, 1), groups, like)
    return packed


def _grouped(x: Tensor, packed: Tensor, groups: int) -> Tensor:
    """x [n, groups I] to [n, groups O], group by group."""
    image = x.view(1, 1, *x.shape).permute(0, 3, 1, 2)  # [1, groups I, 1, n] in channels_last
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        image, packed, None, (0, 0), (1, 1), (1, 1), groups, "none", [], ""
    )
    return y.permute(0, 2, 3, 1).reshape(len(x), -1)


class Weight:
    """The weights [O, I, 3, 3] of a layer in the transformed domain: 36 matrices.

    Attributes:
        outs: O.
        form: how the tiles are multiplied by them; not DIRECT.
    """

    def __init__(self, points: Tensor, form: Form) -> None:
        """``points`` [36, O, I], transformed already; see ``of``."""
        assert form is not Form.DIRECT
        _, self.outs, ins = points.shape
        self.form = form
        if form is Form.GROUPED:
            self._points = _pack(points.reshape(36 * self.outs, ins, 1, 1), 36)
        else:
            self._points = points.transpose(1, 2).contiguous()

    @classmethod
    def of(cls, weight: Tensor, form: Form) -> Weight:
        """Of a layer's weights [O, I, 3, 3]."""
        outs, ins = weight.shape[:2]
        # Formed in float64: its rounding would be seen in every picture.
        flat = weight.detach().to(torch.float64).reshape(outs * ins, 9).t()
        return cls((_WEIGHT2 @ flat).reshape(36, outs, ins).to(torch.float32), form)

    @classmethod
    def where_it_pays(cls, weight: Tensor, side: int) -> Weight | None:
        """Of a layer on [., I, side, side], or None where the library's own convolution is faster (or not on a CPU)."""
        if weight.device.type != "cpu":
            return None
        outs, ins = weight.shape[:2]
        form = fastest(ins, outs, side, torch.get_num_threads())
        return None if form is Form.DIRECT else cls.of(weight, form)

    @classmethod
    def of_gradient(cls, weight: Tensor) -> Weight:
        """Of the convolution that takes the gradient of the output of one with ``weight`` to that of its input."""
        turned = weight.flip(2, 3).transpose(0, 1)
        return cls.of(turned, Form.GROUPED if _packs(*weight.shape[:2]) else Form.BATCHED)

    def apply(self, gathered: Tensor, spare: Tensor) -> Tensor:
        """Multiply tiles of the input, giving tiles of the output.

        Args:
            gathered: [6, 6, n, I], contiguous; it is overwritten.
            spare: at least 36 n max(I, O) numbers to work in, as ``gathered`` has behind it: no new memory is touched.

        Returns:
            [n, 4, 4, O], perhaps permuted, in one of the two.
        """
        n, ins = gathered.shape[2:]
        outs = self.outs

        def room(flat: Tensor, *shape: int) -> Tensor:
            return flat.as_strided((math.prod(shape),), (1,)).view(shape)

        here, there = gathered, spare
        rows = torch.mm(_INPUT, here.view(6, -1), out=room(there, 6, 6 * n * ins))
        tiles = torch.bmm(_INPUT.expand(6, 6, 6), rows.view(6, 6, n * ins), out=room(here, 6, 6, n * ins))
        tiles = tiles.view(36, n, ins)
        if self.form is Form.GROUPED:
            # oneDNN lays the weights out in one of two ways by the number of tiles; of the other, it is many times slower.
            image = room(there, max(n, _FEWEST_TILES), 36 * ins)
            image[:n].view(n, 36, ins).copy_(tiles.transpose(0, 1))
            product = _grouped(image, self._points, 36)[:n].view(n, 6, 6 * outs)
            rows = torch.bmm(_OUTPUT.expand(n, 4, 6), product, out=room(here, n, 4, 6 * outs))
            rows = rows.view(4 * n, 6, outs)
            return torch.bmm(_OUTPUT.expand(4 * n, 4, 6), rows, out=room(there, 4 * n, 4, outs)).view(n, 4, 4, outs)
        product = torch.bmm(tiles, self._points, out=room(there, 36, n, outs))
        rows = torch.mm(_OUTPUT, product.view(6, -1), out=room(here, 4, 6 * n * outs)).view(4, 6, n * outs)
        columns = torch.bmm(_OUTPUT.expand(4, 4, 6), rows, out=room(there, 4, 4, n * outs))
        return columns.view(4, 4, n, outs).permute(2, 0, 1, 3)


def tile_rows(side: int, channels: int, form: Form) -> int:
    """Rows of tiles that are worked on together, so that the products are large and a strip stays in the cache."""
    across = side // TILE
    tiles = max(_FEWEST_TILES, _STRIP[form] // (144 * channels))  # 36 float32 a tile and channel
    return min(side // TILE, max(1, round(tiles / across)))


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
        scale: [N, I], multiplied onto the input, or None.
        finish: called for each strip with (raw [n, rows, 4, W / 4, 4, O] as a permuted view, the same strip of the
            output [n, 4 rows, W, O] to be written, first sample, first row, last row + 1).

    Returns:
        [N, O, H, W] in channels_last.
    """
    count, ins, height, width = x.shape
    outs, across = weight.outs, width // TILE
    source = x.permute(0, 2, 3, 1)
    out = x.new_empty(count, height, width, outs)
    rows = min(height // TILE, tile_rows(width, max(ins, outs), weight.form))
    # Small pictures are taken several at a time, so that the products are large enough.
    together = max(1, min(count, 256 // (rows * across))) if rows * TILE >= height else 1
    # A strip with a border; only its left and right edges stay zero throughout.
    padded = x.new_zeros(together, TILE * rows + 2, width + 2, ins)
    by_sample, by_row, by_column = padded.stride()[:3]
    spare = x.new_zeros(2, 36 * max(together * rows * across, _FEWEST_TILES) * max(ins, outs))
    for first in range(0, count, together):
        n = min(together, count - first)
        for y in range(0, height, TILE * rows):
            r = min(rows, (height - y) // TILE)
            end = y + TILE * r
            above, below = int(y > 0), int(end < height)
            given = source[first : first + n, y - above : end + below]
            inside = padded[:n, 1 - above : 1 + TILE * r + below, 1:-1]
            if scale is None:
                inside.copy_(given)
            else:
                torch.mul(given, scale[first : first + n].view(n, 1, 1, ins), out=inside)
            if not above:
                padded[:n, 0].zero_()
            if not below:
                padded[:n, TILE * r + 1].zero_()
            size, stride = (6, 6, n, r, across, ins), (by_row, by_column, by_sample, 4 * by_row, 4 * by_column, 1)
            gathered = spare[0, : math.prod(size)].view(size).copy_(padded.as_strided(size, stride))
            tiles = weight.apply(gathered.view(6, 6, n * r * across, ins), spare[1])  # [n r across, 4, 4, O]
            by_tile, *inner = tiles.stride()
            raw = tiles.as_strided(
                (n, r, TILE, across, TILE, outs),
                (r * across * by_tile, across * by_tile, inner[0], by_tile, *inner[1:]),
            )
            finish(raw, out[first : first + n, y:end], first, y, end)
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
