"""What a projection minimises: losses between pictures, and penalties on the code and the noise.

A loss is made for one target (and mask) at one resolution and is then called on pictures of that resolution.
To add one, write a class and put it into ``LOSSES``.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from facelab.errors import BadArgument, MissingPart
from facelab.jobs import LossInfo
from facelab.nets.encoder import Encoder
from facelab.nets.features import Features, rgb

_SMALLEST = 8  # pyramids stop at this side: below it a picture is little but its mean colour


def weighted_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over all but the first dimension, [N]; weighted by a mask [1, 1, H, W] of the values' size."""
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    return (values * mask).sum(dim=(1, 2, 3)) / (mask.sum() * values.shape[1]).clamp(min=1e-8)


def _halved(picture: Tensor) -> Tensor:
    return functional.avg_pool2d(picture, 2)


@dataclass(frozen=True)
class Aids:
    """Networks in whose features some losses compare; None where there is none.

    Attributes:
        vgg: VGG16, of a file that a person gave.
        portraits: the encoder that comes with facelab.
    """

    vgg: Features | None = None
    portraits: Encoder | None = None


NONE = Aids()


class Loss(abc.ABC):
    """How far pictures are from one target.

    Args:
        target: float32 [1, 3, H, W] in [-1, 1].
        mask: float32 [1, 1, H, W] in [0, 1], how much each pixel counts; None counts all alike.
        aids: networks, for the losses that need one.

    Attributes:
        name: the key in ``ProjectionSettings.losses``.
        title: what a person calls it.
        weight: the weight with which a run that names no weights takes it; 0 leaves it out.
        needs: a network that it compares features of, as ``jobs.LossInfo`` names them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    weight: ClassVar[float] = 0.0
    needs: ClassVar[Literal["", "vgg16", "encoder"]] = ""

    def __init__(self, target: Tensor, mask: Tensor | None = None, aids: Aids = NONE) -> None:
        if target.ndim != 4 or target.shape[:2] != (1, 3):
            raise BadArgument(f"a target is [1, 3, H, W], not {list(target.shape)}")
        if mask is not None and mask.shape != (1, 1, *target.shape[2:]):
            raise BadArgument(f"a mask is [1, 1, H, W] of the target's size, not {list(mask.shape)}")
        self.target, self.mask = target, mask

    @abc.abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] -> [N]; 0 for the target itself; differentiable."""


class PixelPyramid(Loss):
    """Mean squared difference at full size and at each halving, summed.

    The coarse levels let large shapes find their place before the fine ones settle: where two edges do not
    overlap yet, only a coarser level has a gradient that brings them together.
    """

    name, title, weight = "pixels", "Pixels (pyramid)", 1.0
    levels: ClassVar[int] = 5

    def __call__(self, images: Tensor) -> Tensor:
        # The pyramid is linear, so one of the difference serves.
        difference, mask = images - self.target, self.mask
        total = weighted_mean(difference.square(), mask)
        for _ in range(self.levels - 1):
            if min(difference.shape[2:]) < 2 * _SMALLEST:
                break
            difference, mask = _halved(difference), None if mask is None else _halved(mask)
            total = total + weighted_mean(difference.square(), mask)
        return total


class ImageGradients(Loss):
    """Mean squared difference of the differences between neighbouring pixels, at three scales: edges, not colours."""

    name, title, weight = "gradients", "Edges (image gradients)", 0.5
    levels: ClassVar[int] = 3

    def __call__(self, images: Tensor) -> Tensor:
        difference, mask = images - self.target, self.mask
        total = images.new_zeros(len(images))
        for level in range(self.levels):
            if level:
                if min(difference.shape[2:]) < 2 * _SMALLEST:
                    break
                difference, mask = _halved(difference), None if mask is None else _halved(mask)
            across, down = difference.diff(dim=3), difference.diff(dim=2)
            total = total + weighted_mean(across.square(), None if mask is None else mask[..., 1:])
            total = total + weighted_mean(down.square(), None if mask is None else mask[..., 1:, :])
        return total


class _Features(Loss):
    """A squared distance of a network's feature maps, averaged over positions, summed over maps.

    Pictures above 256 px are area-averaged to 256 first, and those below 32 px are enlarged.
    """

    smallest: ClassVar[int] = 32
    largest: ClassVar[int] = 256

    def __init__(self, target: Tensor, mask: Tensor | None = None, aids: Aids = NONE) -> None:
        super().__init__(target, mask, aids)
        self._maps_of = self.network(aids)
        with torch.no_grad():
            self._wanted = [found.detach() for found in self._maps_of(self._sized(target))]
        self._masks = [
            None if mask is None else functional.interpolate(mask, size=wanted.shape[2:], mode="area")
            for wanted in self._wanted
        ]

    @abc.abstractmethod
    def network(self, aids: Aids) -> Callable[[Tensor], list[Tensor]]:
        """Pictures [N, 3, H, W] in [-1, 1] -> maps [N, C, h, w]; MissingPart where there is no such network."""

    def _sized(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        if side > self.largest:
            return functional.interpolate(images, size=(self.largest, self.largest), mode="area")
        if side < self.smallest:
            size = (self.smallest, self.smallest)
            return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return images

    def __call__(self, images: Tensor) -> Tensor:
        total = images.new_zeros(len(images))
        for found, wanted, mask in zip(self._maps_of(self._sized(images)), self._wanted, self._masks, strict=True):
            total = total + weighted_mean((found - wanted).square().sum(1, keepdim=True), mask)
        return total


class Perceptual(_Features):
    """Distance of VGG16 features, as LPIPS measures it. Source: Zhang et al. 2018 (arXiv:1801.03924)."""

    name, title, weight, needs = "perceptual", "Perceptual (VGG16)", 1.0, "vgg16"

    def network(self, aids: Aids) -> Callable[[Tensor], list[Tensor]]:
        if aids.vgg is None:
            raise MissingPart("the perceptual loss needs VGG16 weights; choose a weight file or set its weight to 0")
        return aids.vgg


class PortraitFeatures(_Features):
    """Distance of the features of facelab's own encoder, which knows drawn portraits and little else; about 0 to 2."""

    name, title, needs = "portraits", "Portrait features", "encoder"

    def network(self, aids: Aids) -> Callable[[Tensor], list[Tensor]]:
        encoder = aids.portraits
        if encoder is None:
            raise MissingPart("the loss of portrait features needs facelab's encoder; install facelab again to get it")

        def maps(images: Tensor) -> list[Tensor]:
            found = encoder.features(images)
            return [one / (one.shape[1] * len(found)) ** 0.5 for one in found]

        return maps


def _positive(likeness: Tensor, bend: float = 0.05) -> Tensor:
    """The same above ``bend``; below, it falls toward 0 without reaching it.

    A negative likeness has no real power, and cut off at 0 it would have no gradient to come back by.
    """
    return torch.where(likeness > bend, likeness, bend * torch.exp((likeness.clamp(max=bend) - bend) / bend))


class MultiScaleSSIM(Loss):
    """1 - MS-SSIM: structure compared in Gaussian windows, at up to five scales.

    The window has 11 taps of sigma 1.5; the scales have the paper's weights, normalised over those that fit.
    Source: Wang, Simoncelli, Bovik 2003, "Multiscale structural similarity for image quality assessment".
    """

    name, title = "ms-ssim", "Structure (MS-SSIM)"
    weights: ClassVar[tuple[float, ...]] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    # K1 = 0.01 and K2 = 0.03 of the range, which is 2 for pictures in [-1, 1].
    _c1: ClassVar[float] = (0.01 * 2) ** 2
    _c2: ClassVar[float] = (0.03 * 2) ** 2

    def __init__(self, target: Tensor, mask: Tensor | None = None, aids: Aids = NONE) -> None:
        super().__init__(target, mask, aids)
        places = torch.arange(-5, 6, device=target.device, dtype=target.dtype)
        taps = torch.exp(-places.square() / (2 * 1.5**2))
        self._taps = taps / taps.sum()
        # The window needs 11 pixels at the coarsest scale.
        side = min(target.shape[2:])
        self._levels = max(1, min(len(self.weights), int(math.log2(max(side / 11, 1))) + 1))
        self._targets, self._mask_levels = [target], [mask]
        for _ in range(self._levels - 1):
            self._targets.append(_halved(self._targets[-1]))
            self._mask_levels.append(None if self._mask_levels[-1] is None else _halved(self._mask_levels[-1]))

    def _blur(self, x: Tensor) -> Tensor:
        half = min(5, (min(x.shape[2:]) - 1) // 2)
        taps = self._taps[5 - half : 6 + half]
        taps = taps / taps.sum()
        kernel = taps.expand(x.shape[1], 1, 1, -1)
        x = functional.conv2d(x, kernel, groups=x.shape[1])
        return functional.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])

    def __call__(self, images: Tensor) -> Tensor:
        weights = images.new_tensor(self.weights[: self._levels])
        weights = weights / weights.sum()
        result = images.new_ones(len(images))
        for level, (wanted, mask) in enumerate(zip(self._targets, self._mask_levels, strict=True)):
            if level:
                images = _halved(images)
            mean_a, mean_b = self._blur(images), self._blur(wanted)
            var_a = self._blur(images.square()) - mean_a.square()
            var_b = self._blur(wanted.square()) - mean_b.square()
            covariance = self._blur(images * wanted) - mean_a * mean_b
            likeness = (2 * covariance + self._c2) / (var_a + var_b + self._c2)
            if level == self._levels - 1:
                likeness = likeness * (2 * mean_a * mean_b + self._c1) / (mean_a.square() + mean_b.square() + self._c1)
            if mask is not None:
                edge = [(m - n) // 2 for m, n in zip(mask.shape[2:], likeness.shape[2:], strict=True)]
                mask = mask[..., edge[0] : edge[0] + likeness.shape[2], edge[1] : edge[1] + likeness.shape[3]]
            result = result * _positive(weighted_mean(likeness, mask)) ** weights[level]
        return 1 - result


LOSSES: tuple[type[Loss], ...] = (PixelPyramid, ImageGradients, Perceptual, PortraitFeatures, MultiScaleSSIM)


def described() -> tuple[LossInfo, ...]:
    """All losses, for a person to choose from."""
    return tuple(LossInfo(loss.name, loss.title, loss.weight, loss.needs) for loss in LOSSES)


def default_weights(aids: Aids) -> dict[str, float]:
    """The weights of a run that names none; without a VGG16 it is "pixels only"."""
    return {loss.name: loss.weight for loss in LOSSES if loss.weight and (aids.vgg or loss is not Perceptual)}


class Sum:
    """The weighted sum of losses for one target at one resolution.

    Args:
        weights: weight by name; those that are 0 are left out.
        target, mask, aids: as ``Loss`` takes them.

    Raises:
        BadArgument: a name is not in ``LOSSES``, or a weight is negative or not finite, or all are 0.
        MissingPart: a loss needs a network that was not given.
    """

    def __init__(
        self, weights: Mapping[str, float], target: Tensor, mask: Tensor | None = None, aids: Aids = NONE
    ) -> None:
        self.weights = checked(weights)
        self.losses = [loss(target, mask, aids) for loss in LOSSES if loss.name in self.weights]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Pictures [N, 1 or 3 or 4, H, W] -> every term [N], unweighted, by name."""
        images = rgb(images)
        return {loss.name: loss(images) for loss in self.losses}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum [N] of this loss's terms."""
        return torch.stack([terms[name] * weight for name, weight in self.weights.items()]).sum(0)


def checked(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights that are not 0, in the order of ``LOSSES``; refuses what ``Sum`` refuses."""
    known = {loss.name for loss in LOSSES}
    for name, weight in weights.items():
        if name not in known:
            raise BadArgument(f"unknown loss {name!r}; known are {', '.join(loss.name for loss in LOSSES)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise BadArgument(f"the weight of the loss {name!r} is a number from 0 on, not {weight}")
    used = {loss.name: float(weights[loss.name]) for loss in LOSSES if weights.get(loss.name)}
    if not used:
        raise BadArgument("every loss has weight 0; give at least one a weight")
    return used


# -- penalties ----------------------------------------------------------------------------------------------------------
def near_w(coordinates: Tensor) -> Tensor:
    """How far W+ codes lie from W: mean square distance of the rows from their mean.

    Args:
        coordinates: [N, L, C], in standard deviations of W.

    Returns:
        [N].
    """
    return (coordinates - coordinates.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))


def near_w_avg(coordinates: Tensor) -> Tensor:
    """Mean absolute distance [N] of codes from the mean face; coordinates [N, L, C], in standard deviations of W."""
    return coordinates.abs().mean(dim=(1, 2))


def noise_regularisation(maps: Sequence[Tensor]) -> Tensor:
    """How far noise maps [r, r] are from white: squared correlation with the neighbours, at every scale down to 8 px.

    Without it an optimised noise takes over the drawing. Source: Karras et al. 2020 (arXiv:1912.04958), appendix D.
    """
    total = maps[0].new_zeros(())
    for one in maps:
        level = one[None, None]
        while True:
            for dim in (2, 3):
                total = total + (level * level.roll(1, dim)).mean().square()
            if level.shape[-1] <= _SMALLEST:
                break
            # The paper's pyramid keeps unit variance: an average of four has half the deviation.
            level = _halved(level) * 2
    return total
