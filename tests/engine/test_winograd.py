"""Convolutions by tiles give what the library's own convolution gives, in every form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from facelab.engine import winograd
from facelab.engine.winograd import Convolution, Form, Weight, convolve

# The form is made of oneDNN's convolution; torch itself is asked whether it has that, so that a mistake in facelab's own
# question is not skipped but seen.
_ONEDNN = torch.backends.mkldnn.is_available()
_GROUPED = pytest.param(
    Form.GROUPED, marks=pytest.mark.skipif(not _ONEDNN, reason="this torch was built without oneDNN")
)
FORMS = [Form.ROWS, Form.BATCHED, _GROUPED]
TILED = [Form.BATCHED, _GROUPED]
SHAPES = [(1, 16, 16), (7, 16, 16), (2, 20, 36), (1, 128, 64), (3, 4, 4), (1, 33, 130), (1, 100, 100)]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) < 5e-5 * float(b.abs().max())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("places", winograd._TILES[False])
@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize(("count", "height", "width"), SHAPES)
def test_that_tiles_give_the_convolution(
    form: Form, places: int, padding: int, count: int, height: int, width: int
) -> None:
    x, kernel = numbers(count, 48, height, width), numbers(32, 48, 3, 3, seed=1) / 20
    styles, gains, bias = numbers(count, 48, seed=2), numbers(count, 32, seed=3).exp(), numbers(32, seed=4)
    seen = []

    def finish(strip: torch.Tensor, first: int, y: int, end: int) -> None:
        assert strip.shape[1] == end - y
        seen.extend((first + sample, row) for sample in range(len(strip)) for row in range(y, end))
        strip.mul_(2)

    drawn = convolve(
        x.contiguous(memory_format=torch.channels_last),
        Weight.of(kernel, form, width + 2 * padding - 2, places=places),
        styles=styles, gains=gains, bias=bias, padding=padding, finish=finish,
    )  # fmt: skip
    want = functional.conv2d(x * styles[:, :, None, None], kernel, padding=padding)
    want = 2 * (want * gains[:, :, None, None] + bias[:, None, None])
    assert drawn.is_contiguous(memory_format=torch.channels_last)
    assert near(drawn, want)
    assert sorted(seen) == [(sample, row) for sample in range(count) for row in range(want.shape[2])]


@pytest.mark.parametrize("form", TILED)
@pytest.mark.parametrize("places", winograd._TILES[True])
@pytest.mark.parametrize(("count", "height", "width"), SHAPES)
def test_that_tiles_give_the_transposed_convolution(
    form: Form, places: int, count: int, height: int, width: int
) -> None:
    x, kernel = numbers(count, 48, height, width), numbers(32, 48, 3, 3, seed=1) / 20
    styles, bias = numbers(count, 48, seed=2), numbers(32, seed=4)
    weight = Weight.of(kernel, form, width + 1, up=True, places=places)
    drawn = convolve(x.contiguous(memory_format=torch.channels_last), weight, styles=styles, bias=bias)
    want = functional.conv_transpose2d(x * styles[:, :, None, None], kernel.transpose(0, 1), bias, stride=2)
    assert near(drawn, want)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", ["nothing", "styles", "gains", "bias"])
def test_that_each_factor_may_be_left_out(form: Form, given: str) -> None:
    x, kernel = numbers(1, 48, 24, 24).contiguous(memory_format=torch.channels_last), numbers(32, 48, 3, 3, seed=1) / 20
    values = {"styles": numbers(1, 48, seed=2), "gains": numbers(1, 32, seed=3), "bias": numbers(32, seed=4)}
    drawn = convolve(x, Weight.of(kernel, form, 24), **{k: v for k, v in values.items() if k == given})
    want = functional.conv2d(x * values["styles"][..., None, None] if given == "styles" else x, kernel, padding=1)
    if given == "gains":
        want = want * values["gains"][..., None, None]
    elif given == "bias":
        want = want + values["bias"][:, None, None]
    assert near(drawn, want)


@pytest.mark.parametrize("form", FORMS)
def test_that_the_gradient_is_that_of_the_convolution(form: Form) -> None:
    kernel, push = numbers(64, 48, 3, 3, seed=1) / 20, numbers(2, 64, 16, 16, seed=2)
    weight = Weight.of(kernel, form, 16)
    turned = weight.turned(kernel)
    runs: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda x: Convolution.apply(x, weight, lambda gradient: convolve(gradient, turned)),  # type: ignore[no-untyped-call]
        lambda x: functional.conv2d(x, kernel, padding=1),
    ]
    gradients = []
    for run in runs:
        x = numbers(2, 48, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
        (run(x) * push).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad)
    assert near(*gradients)


def test_that_onednn_is_used_where_torch_has_it_and_not_elsewhere() -> None:
    assert winograd.onednn() is _ONEDNN


def test_that_odd_and_few_channels_are_never_given_to_a_form_that_cannot_take_them() -> None:
    assert winograd.fastest(130, 64, 32, False, 1) is not Form.GROUPED
    assert winograd.fastest(16, 256, 64, False, 1) is Form.DIRECT
    assert winograd.fastest(512, 512, 8, False, 1) is Form.DIRECT
    assert winograd.fastest(32, 32, 257, True, 1) is Form.DIRECT


def test_that_the_form_of_a_shape_is_tried_once() -> None:
    winograd.fastest(64, 64, 32, False, 1)
    before = winograd.fastest.cache_info()
    winograd.fastest(64, 64, 32, False, 1)
    after = winograd.fastest.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
