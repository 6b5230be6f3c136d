"""Convolutions in bfloat16 give the convolution to within its digits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facelab.engine import bfloat16
from facelab.engine.bfloat16 import Weight, convolve
from facelab.nets.ops import filter2d, fir_filter
from tests.engine.test_winograd import numbers

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="oneDNN has no bfloat16 on this processor",
)


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((a - b).square().mean().sqrt()) < 6e-3 * float(b.std())


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(
    ("count", "height", "width", "side"), [(1, 16, 16, 16), (1, 36, 20, 200), (3, 8, 8, 8), (2, 130, 33, 200)]
)
def test_that_it_gives_the_convolution(double: bool, count: int, height: int, width: int, side: int) -> None:
    x, kernel = numbers(count, 48, height, width), numbers(32, 48, 3, 3, seed=1) / 20
    styles, gains, bias = numbers(count, 48, seed=2), numbers(count, 32, seed=3).exp(), numbers(32, seed=4)
    fir = fir_filter([1, 3, 4, 2]) * 4  # not symmetric
    rows = []

    def finish(strip: torch.Tensor, first: int, y: int, end: int) -> None:
        assert strip.dtype == torch.float32
        assert strip.shape == (count, end - y, want.shape[3], 32)
        assert first == 0
        rows.extend(range(y, end))
        strip.mul_(2)

    want = x * styles[:, :, None, None]
    if double:
        want = filter2d(functional.conv_transpose2d(want, kernel.transpose(0, 1), stride=2), fir, (1, 1))
    else:
        want = functional.conv2d(want, kernel, padding=1)
    want = 2 * (want * gains[:, :, None, None] + bias[:, None, None])
    weight = Weight(kernel, fir if double else None, side)
    for dtype in (torch.float32, torch.bfloat16):
        rows.clear()
        given = x.to(dtype, memory_format=torch.channels_last)
        drawn = convolve(given, weight, styles=styles, gains=gains, bias=bias, finish=finish)
        assert drawn.dtype == torch.bfloat16
        assert drawn.is_contiguous(memory_format=torch.channels_last)
        assert near(drawn.float(), want)
        assert rows == list(range(want.shape[2]))


def test_that_weights_are_kept_laid_out_for_a_few_shapes_only() -> None:
    weight = Weight(numbers(32, 48, 3, 3), None, 8)
    laid_out = [weight.constant((count, 48, 8, 8)) for count in (1, 8, 16)]
    assert weight.constant((16, 48, 8, 8)) is laid_out[2]
    assert len(weight._packed) == bfloat16._SHAPES
