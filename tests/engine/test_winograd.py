"""Convolutions by tiles give what the library's own convolution gives, in every form."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facelab.engine import winograd
from facelab.engine.winograd import Form, Weight, Winograd, convolve

FORMS = [Form.BATCHED, pytest.param(Form.GROUPED, marks=pytest.mark.skipif(not winograd._onednn(), reason="no oneDNN"))]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "height", "width"), [(1, 16, 16), (7, 16, 16), (2, 20, 36), (1, 128, 64), (3, 4, 4)])
def test_that_tiles_give_the_convolution(form: Form, count: int, height: int, width: int) -> None:
    x, kernel = numbers(count, 48, height, width), numbers(32, 48, 3, 3, seed=1) / 20
    scale = numbers(count, 48, seed=2)
    x = x.contiguous(memory_format=torch.channels_last)

    def finish(raw: torch.Tensor, strip: torch.Tensor, *_: int) -> None:
        winograd.as_tiles(strip).copy_(raw)

    drawn = convolve(x, Weight.of(kernel, form), scale, finish)
    want = functional.conv2d(x * scale[:, :, None, None], kernel, padding=1)
    assert drawn.is_contiguous(memory_format=torch.channels_last)
    assert float((drawn - want).abs().max()) < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_that_the_gradient_is_that_of_the_convolution(form: Form) -> None:
    kernel, push = numbers(64, 48, 3, 3, seed=1) / 20, numbers(2, 64, 16, 16, seed=2)
    gradients = []
    for run in (
        lambda x: Winograd.apply(x, Weight.of(kernel, form), Weight.of_gradient(kernel)),  # type: ignore[no-untyped-call]
        lambda x: functional.conv2d(x, kernel, padding=1),
    ):
        x = numbers(2, 48, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
        (run(x) * push).sum().backward()
        gradients.append(x.grad)
    assert float((gradients[0] - gradients[1]).abs().max()) < 1e-4


def test_that_odd_and_few_channels_are_never_given_to_a_form_that_cannot_take_them() -> None:
    assert winograd.fastest(130, 64, 32, 1) is not Form.GROUPED
    assert winograd.fastest(16, 256, 64, 1) is Form.DIRECT
    assert winograd.fastest(512, 512, 8, 1) is Form.DIRECT
    assert winograd.fastest(512, 512, 30, 1) is Form.DIRECT


def test_that_the_form_of_a_shape_is_tried_once() -> None:
    winograd.fastest(64, 64, 32, 1)
    before = winograd.fastest.cache_info()
    winograd.fastest(64, 64, 32, 1)
    after = winograd.fastest.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
