"""Losses and penalties of a projection, against what they are by definition."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from facelab.engine import losses
from facelab.engine.losses import (
    LOSSES,
    Aids,
    ImageGradients,
    Loss,
    MultiScaleSSIM,
    Perceptual,
    PixelPyramid,
    PortraitFeatures,
)
from facelab.errors import BadArgument, MissingPart
from facelab.nets.encoder import Encoder
from facelab.nets.features import Features

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@pytest.fixture(scope="module")
def vgg() -> Features:
    """A VGG16 of seeded weights: a random one, too, tells pictures apart."""
    generator, inputs, layers = torch.Generator().manual_seed(1), 3, []
    for outputs in CHANNELS:
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
        layers.append((weight, torch.zeros(outputs)))
        inputs = outputs
    return Features(layers)


@functools.cache
def portraits() -> Encoder:
    """An encoder of seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Encoder(("yaw", "smile")).eval().requires_grad_(False)


def smooth(seed: int, count: int = 1, size: int = 64) -> Tensor:
    """Pictures in [-1, 1] with shapes of several sizes in them."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(count, 3, size, size)
    for side in (4, 8, 32):
        coarse = torch.randn(count, 3, side, side, generator=generator)
        picture += torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear") * side**-0.5
    return (picture / picture.abs().amax((1, 2, 3), keepdim=True)).clamp(-1, 1)


def make(kind: type[Loss], target: Tensor, vgg: Features, mask: Tensor | None = None) -> Loss:
    return kind(target, mask, Aids(vgg, portraits()))


@pytest.mark.parametrize("kind", LOSSES)
def test_that_a_loss_is_nothing_for_the_target_and_grows_with_the_difference(kind: type[Loss], vgg: Features) -> None:
    target, other = smooth(0), smooth(1)
    loss = make(kind, target, vgg)
    mixed = torch.cat([target + (other - target) * share for share in (0.0, 0.1, 0.3, 1.0)])
    values = loss(mixed)
    assert values.shape == (4,)
    assert float(values[0]) == pytest.approx(0, abs=1e-5)
    assert bool((values.diff() > 0).all())


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOSSES)
def test_that_a_loss_leads_downhill_by_its_gradient(kind: type[Loss], vgg: Features) -> None:
    loss = kind(smooth(0).double(), None, Aids(copy.deepcopy(vgg).double(), copy.deepcopy(portraits()).double()))
    picture = (0.3 * smooth(0) + 0.7 * smooth(1)).double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(picture).sum(), [picture])
    slope = float(gradient.norm())
    step = gradient * (1e-3 / slope)
    with torch.no_grad():
        rise = loss(picture + step) - loss(picture - step)
    assert float(rise) == pytest.approx(2e-3 * slope, rel=1e-3)


def test_that_structure_has_a_gradient_even_for_a_negative() -> None:
    target = smooth(0)
    picture = (-target).requires_grad_()
    loss = MultiScaleSSIM(target)(picture)
    (gradient,) = torch.autograd.grad(loss.sum(), [picture])
    assert 0.9 < float(loss.detach()) < 1
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize("kind", LOSSES)
def test_that_pictures_in_a_batch_do_not_see_one_another(kind: type[Loss], vgg: Features) -> None:
    loss, pictures = make(kind, smooth(0), vgg), smooth(1, 3)
    together = loss(pictures)
    alone = torch.cat([loss(one[None]) for one in pictures])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [PixelPyramid, ImageGradients, MultiScaleSSIM])
def test_that_what_lies_well_outside_the_mask_does_not_count(kind: type[Loss], vgg: Features) -> None:
    target = smooth(0, size=128)
    picture = 0.5 * target + 0.5 * smooth(1, size=128)
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., :48] = 1
    elsewhere = picture.clone()
    elsewhere[..., 112:] = -picture[..., 112:]
    loss = make(kind, target, vgg, mask)
    assert float(loss(picture)) == pytest.approx(float(loss(elsewhere)), rel=1e-3)
    assert float(loss(picture)) != pytest.approx(float(make(kind, target, vgg)(picture)), rel=1e-2)


@pytest.mark.parametrize("kind", LOSSES)
def test_that_a_mask_of_ones_changes_nothing(kind: type[Loss], vgg: Features) -> None:
    target, picture = smooth(0), smooth(1)
    whole = make(kind, target, vgg, torch.ones(1, 1, 64, 64))(picture)
    assert float(whole) == pytest.approx(float(make(kind, target, vgg)(picture)), rel=1e-4)


def test_that_the_pixel_pyramid_sums_mean_squares_over_halvings() -> None:
    target, picture = smooth(0), smooth(1)
    difference = (picture - target).numpy()[0].astype(np.float64)
    wanted = 0.0
    for _ in range(4):  # 64, 32, 16, 8
        wanted += float((difference**2).mean())
        c, h, w = difference.shape
        difference = difference.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
    assert float(PixelPyramid(target)(picture)) == pytest.approx(wanted, rel=1e-5)


def test_that_image_gradients_do_not_see_a_change_of_brightness() -> None:
    target = smooth(0)
    assert float(ImageGradients(target)(target + 0.3)) == pytest.approx(0, abs=1e-10)
    assert float(PixelPyramid(target)(target + 0.3)) > 0.3


def test_that_a_single_scale_of_ms_ssim_is_ssim() -> None:
    target, picture = smooth(0, size=20), smooth(1, size=20)  # one halving more would be smaller than the window
    mixed = target * 0.8 + picture * 0.2
    wanted = [
        structural_similarity(
            target[0, c].numpy(), mixed[0, c].numpy(), data_range=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, win_size=11, full=True,
        )[1][5:-5, 5:-5].mean()
        for c in range(3)
    ]  # fmt: skip
    assert float(1 - MultiScaleSSIM(target)(mixed)) == pytest.approx(float(np.mean(wanted)), rel=1e-4)


@pytest.mark.slow
def test_that_large_pictures_are_averaged_to_256_before_vgg(vgg: Features) -> None:
    target, picture = smooth(0, size=512), smooth(1, size=512)
    halves = [torch.nn.functional.avg_pool2d(x, 2) for x in (target, picture)]
    large, small = Perceptual(target, None, Aids(vgg))(picture), Perceptual(halves[0], None, Aids(vgg))(halves[1])
    assert float(large) == pytest.approx(float(small), rel=1e-4)


def test_that_a_perceptual_loss_without_weights_says_what_to_do() -> None:
    with pytest.raises(MissingPart, match="VGG16 weights"):
        Perceptual(smooth(0))
    with pytest.raises(MissingPart, match="encoder"):
        PortraitFeatures(smooth(0))


def test_that_a_sum_weighs_its_terms_and_takes_grey_and_transparent_pictures(vgg: Features) -> None:
    target = smooth(0)
    both = losses.Sum({"pixels": 2.0, "gradients": 0.5, "perceptual": 0.0}, target)
    terms = both(smooth(1, 2))
    assert list(terms) == ["pixels", "gradients"]
    assert torch.allclose(both.total(terms), 2 * terms["pixels"] + 0.5 * terms["gradients"])
    grey = smooth(2)[:, :1]
    assert torch.equal(both(grey)["pixels"], both(grey.expand(-1, 3, -1, -1))["pixels"])
    assert torch.equal(both(torch.cat([target, grey], 1))["pixels"], both(target)["pixels"])


@pytest.mark.parametrize("weights", [{"nothing": 1.0}, {"pixels": -1.0}, {"pixels": float("nan")}, {"pixels": 0.0}, {}])
def test_that_weights_that_make_no_sense_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(BadArgument):
        losses.Sum(weights, smooth(0))


def test_that_a_target_or_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(BadArgument, match="target"):
        PixelPyramid(smooth(0)[0])
    with pytest.raises(BadArgument, match="mask"):
        PixelPyramid(smooth(0), torch.ones(1, 1, 32, 32))


def test_that_every_loss_has_a_name_of_its_own_and_the_defaults_are_among_them(vgg: Features) -> None:
    names, without, aids = (
        [loss.name for loss in LOSSES],
        losses.default_weights(Aids()),
        losses.default_weights(Aids(vgg)),
    )
    assert len(set(names)) == len(names)
    assert set(without) < set(aids) <= set(names)
    assert "perceptual" not in without
    assert losses.checked(aids) == aids


# -- penalties ----------------------------------------------------------------------------------------------------------
def test_that_codes_of_equal_rows_lie_in_w() -> None:
    x = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(0))
    assert float(losses.near_w(x.expand(-1, 6, -1))) == pytest.approx(0, abs=1e-12)
    rows = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(losses.near_w(rows), rows.var(dim=1, correction=0).mean(1))
    assert torch.allclose(losses.near_w_avg(rows), rows.abs().mean((1, 2)))


def test_that_noise_regularisation_is_the_papers_sum() -> None:
    maps = [torch.randn(s, s, generator=torch.Generator().manual_seed(s)) for s in (4, 16, 32)]
    wanted = 0.0
    for one in maps:
        level = one.numpy().astype(np.float64)
        while True:
            wanted += (level * np.roll(level, 1, 0)).mean() ** 2 + (level * np.roll(level, 1, 1)).mean() ** 2
            if len(level) <= 8:
                break
            level = level.reshape(len(level) // 2, 2, -1, 2).mean((1, 3)) * 2
    assert float(losses.noise_regularisation(maps)) == pytest.approx(wanted, rel=1e-4)


def test_that_white_noise_is_regular_and_a_picture_in_the_noise_is_not() -> None:
    white = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    drawn = smooth(3)[0, 0]
    drawn = (drawn - drawn.mean()) / drawn.std()
    assert float(losses.noise_regularisation([white])) < 0.2 < 1 < float(losses.noise_regularisation([drawn]))
