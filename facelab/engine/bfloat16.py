"""3x3 convolutions of bfloat16 numbers, for pictures that may be rough, on processors that are faster at it.

bfloat16 has eight binary digits, so each number is off by some thousandths; sums are float32. Over a network that comes to a
PSNR of 50 to 65 dB against float32, where a picture of 8 bits has 59 dB itself.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine.winograd import onednn

_LAST = torch.channels_last
_STRIP = 1 << 20  # bytes of float32 that are worked on in the second-level cache
_SHAPES = 2  # of input, for which weights are kept laid out: one picture, and a batch of small ones
GAIN = 1.05  # times faster it has to be


class Weight:
    """The weights of a layer. Of one that doubles the size, the filter behind it is folded in: each of four phases of its
    output is a 3x3 convolution of its input.

    Attributes:
        phases: outputs a place, along each axis.
        outs: channels.
        light: whether scaling the weights for one picture is less work than scaling its map.
    """

    def __init__(self, weight: Tensor, fir: Tensor | None, side: int) -> None:
        """
        Args:
            weight: [O, I, 3, 3].
            fir: the filter [4, 4] behind a transposed convolution with stride 2, its gain included; None of a plain convolution.
            side: of the input.
        """
        self.phases = 1 if fir is None else 2
        self.outs = len(weight)
        self.light = 9 * self.phases**2 * self.outs < side * side
        self._source, self._fir = weight, fir
        self._whole: Tensor | None = None  # of a light one
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def scaled(self, styles: Tensor, gains: Tensor) -> Tensor:
        """For one picture, times [I] and [O]: [row phases x column phases x O, I, 3, 3]."""
        if self._whole is None:
            self._whole = self._phased().contiguous(memory_format=_LAST)
        whole = self._whole * styles[:, None, None] * gains.repeat(self.phases**2)[:, None, None, None]
        return whole.bfloat16()

    def constant(self, shape: tuple[int, ...]) -> Tensor:
        """The same without factors, for any pictures, laid out for inputs of ``shape``."""
        if shape not in self._packed:
            while len(self._packed) >= _SHAPES:
                del self._packed[next(iter(self._packed))]
            weight = self._phased().bfloat16().contiguous(memory_format=_LAST)
            self._packed[shape] = torch.ops.mkldnn._reorder_convolution_weight(
                weight, (1, 1), (1, 1), (1, 1), 1, list(shape)
            )
        return self._packed[shape]

    def _phased(self) -> Tensor:  # [row phases x column phases x O, I, 3, 3]
        if self._fir is None:
            return self._source
        outs, ins = self._source.shape[:2]
        # Both in one, [O, I, 6, 6]: output 2 m + a reads input m + d with tap a + 2 - 2 d, d = -1, 0, 1.
        both = functional.conv2d(self._source.reshape(-1, 1, 3, 3), self._fir.flip(0, 1)[None, None], padding=3)
        both = both.view(outs, ins, 6, 6).flip(2, 3)
        return torch.cat([both[:, :, 1 - a :: 2, 1 - b :: 2] for a in (0, 1) for b in (0, 1)])


def convolve(
    x: Tensor,
    weight: Weight,
    *,
    styles: Tensor,
    gains: Tensor,
    bias: Tensor,
    finish: Callable[[Tensor, int, int, int], None] | None = None,
) -> Tensor:
    """Convolve, and double the size where the weights do that.

    Args:
        x: [N, I, h, w] in channels_last, float32 or bfloat16.
        weight: its weights.
        styles: [N, I], multiplied onto the input.
        gains: [N, O], multiplied onto the output.
        bias: [O], added then.
        finish: called for each strip with (a strip of the output, float32 [N, rows, W', O], 0, first row, last row + 1).

    Returns:
        bfloat16 [N, O, H', W'] in channels_last.
    """
    count, _, high, wide = x.shape
    phases, outs = weight.phases, weight.outs
    light = weight.light and count == 1
    if light:
        x, kernel, added = x.bfloat16(), weight.scaled(styles[0], gains[0]), bias.repeat(phases**2).bfloat16()
    else:
        x, kernel, added = (x * styles[:, :, None, None]).bfloat16(), weight.constant(tuple(x.shape)), None
    x = torch.ops.mkldnn._convolution_pointwise(x, kernel, added, (1, 1), (1, 1), (1, 1), 1, "none", [], "")
    # Column phases lie beside their channels: a line of the output is made of runs of both.
    source = x.permute(0, 2, 3, 1).view(count, high, wide, phases, phases * outs).transpose(2, 3)
    out = source if phases == 1 else torch.empty_like(source, memory_format=torch.contiguous_format)
    rows = max(1, min(high, _STRIP // (4 * count * phases**2 * wide * outs)))  # of the input, to a strip
    for top in range(0, high, rows):
        bottom = min(top + rows, high)
        strip = torch.empty(count, bottom - top, phases, wide, phases * outs).copy_(source[:, top:bottom])
        lines = strip.view(count, -1, phases * wide, outs)
        if not light:
            torch.addcmul(bias, lines, gains[:, None, None], out=lines)
        if finish is not None:
            finish(lines, 0, phases * top, phases * bottom)
        out[:, top:bottom].copy_(strip)
    return out.view(count, phases * high, phases * wide, outs).permute(0, 3, 1, 2)


@functools.cache
def pays() -> bool:
    """Whether the processor is faster in bfloat16: a single small convolution tells. Where it is emulated a picture would take long."""
    if not onednn():
        return False
    with torch.no_grad():
        x = torch.full((1, 128, 32, 32), 0.5).contiguous(memory_format=_LAST)
        kernel, styles, gains, bias = torch.full((128, 128, 3, 3), 0.01), *torch.ones(2, 1, 128), torch.zeros(128)
        weight = Weight(kernel, None, 32)
        times = [math.inf, math.inf]
        for _ in range(4):
            start = time.perf_counter()
            try:
                rough = convolve(x, weight, styles=styles, gains=gains, bias=bias)
            except (RuntimeError, NotImplementedError):  # no such operator for this processor
                return False
            middle = time.perf_counter()
            exact = functional.conv2d(x, kernel, padding=1)
            times = [min(times[0], middle - start), min(times[1], time.perf_counter() - middle)]
    return bool(torch.allclose(rough.float(), exact, rtol=0.02)) and times[0] * GAIN < times[1]
