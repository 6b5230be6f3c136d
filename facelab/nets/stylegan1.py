"""StyleGAN: adaptive instance normalisation over a grown pyramid of blocks.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948); growing and the level of detail: Karras et al. 2018 (arXiv:1710.10196).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import BadArgument
from facelab.nets.network import LayerInfo, Network, check_architecture
from facelab.nets.ops import ACTIVATIONS, Dense, activation_gain, filter2d, fir_filter, normalize_2nd_moment
from facelab.nets.stylegan2 import MAPPING_DEFAULTS, LabelledMapping

DEFAULTS: dict[str, Any] = {
    "resolution": ...,  # a power of two, at least 4
    "channels": ...,  # feature maps of each block, 4x4 first
    "img_channels": 3,
    **MAPPING_DEFAULTS,
    "label": "concat",
    "activation": "lrelu",
    "use_noise": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "equalized": True,  # weights are scaled at run time
    "blur_filter": [1, 2, 1],  # after each doubling, correlated rather than convolved; [] for none
    "fused_from": 128,  # blocks of at least this size double by a transposed convolution; None: no block does
    "kernel_size": 3,
    # The level of detail that training had reached: 0 is finished, 1 has only grown to half the resolution, and
    # between two whole numbers their pictures are blended.
    "lod": 0.0,
}


class Epilogue(nn.Module):
    """What follows each convolution: noise, bias, activation, normalisation, style."""

    noise_const: Tensor

    def __init__(self, channels: int, size: int, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.size, self.activation = size, str(a["activation"])
        self.pixel_norm, self.instance_norm = bool(a["use_pixel_norm"]), bool(a["use_instance_norm"])
        self.affine = Dense(int(a["w_dim"]), 2 * channels, equalized=bool(a["equalized"]))
        self.bias = nn.Parameter(torch.empty(channels))
        self.use_noise = bool(a["use_noise"])
        if self.use_noise:
            self.register_buffer("noise_const", torch.empty(size, size))
            self.noise_strength = nn.Parameter(torch.empty(channels))

    def finish(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, channels, size, size], w [N, C], noise [1 or N, 1, size, size] -> like x."""
        if noise is not None:
            x = x + noise * self.noise_strength[:, None, None]
        # The variance-keeping gain is in the weights here, not behind the activation.
        x = ACTIVATIONS[self.activation][0](x + self.bias[:, None, None])
        if self.pixel_norm:
            x = normalize_2nd_moment(x)
        if self.instance_norm:
            x = x - x.mean([2, 3], keepdim=True)
            x = x * (x.square().mean([2, 3], keepdim=True) + 1e-8).rsqrt()
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        styled: Tensor = x * (scale + 1) + shift
        return styled


class ConstLayer(Epilogue):
    """The learned constant and its epilogue."""

    def __init__(self, channels: int, a: Mapping[str, Any]) -> None:
        super().__init__(channels, 4, a)
        self.in_channels = self.out_channels = channels
        self.const = nn.Parameter(torch.empty(channels, 4, 4))

    def forward(self, w: Tensor, noise: Tensor | None) -> Tensor:
        return self.finish(self.const[None].expand(len(w), -1, -1, -1), w, noise)


class ConvLayer(Epilogue):
    """A convolution, doubling the size or not, and its epilogue."""

    def __init__(self, in_channels: int, out_channels: int, size: int, up: bool, a: Mapping[str, Any]) -> None:
        super().__init__(out_channels, size, a)
        self.in_channels, self.out_channels, self.up = in_channels, out_channels, up
        kernel = int(a["kernel_size"])
        if kernel not in range(1, 16, 2):
            raise BadArgument(f"kernel_size must be odd and at most 15, got {kernel}")
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        gain = activation_gain(self.activation)
        self.weight_gain = gain / math.sqrt(in_channels * kernel**2) if a["equalized"] else 1.0
        self.fused = up and a["fused_from"] is not None and size >= int(a["fused_from"])
        if self.fused and kernel != 3:
            raise BadArgument(f"a fused layer has a kernel of 3, not {kernel}")

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, blur: Tensor | None) -> Tensor:
        weight = self.weight * self.weight_gain
        if self.fused:
            # A 3x3 kernel over doubled pixels, as one 4x4 kernel of a transposed convolution. It lies mirrored
            # against the same kernel of an unfused layer; the trained weights are those of this form.
            weight = functional.pad(weight, (1, 1, 1, 1))
            weight = weight[..., 1:, 1:] + weight[..., :-1, 1:] + weight[..., 1:, :-1] + weight[..., :-1, :-1]
            x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2, padding=1)
        else:
            if self.up:
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.conv2d(x, weight, padding=weight.shape[2] // 2)
        if self.up and blur is not None:
            taps = blur.shape[0]
            x = filter2d(x, blur, ((taps - 1) // 2, taps // 2))
        return self.finish(x, w, noise)


class ToRGB(nn.Module):
    """A plain 1x1 convolution to a picture."""

    def __init__(self, in_channels: int, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(int(a["img_channels"]), in_channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(int(a["img_channels"])))
        self.weight_gain = 1 / math.sqrt(in_channels) if a["equalized"] else 1.0

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.weight_gain, self.bias)


class StyleGAN1(Network):
    """The generator of StyleGAN; see ``DEFAULTS`` for its architecture options. One row of ws per layer."""

    family = "stylegan1"
    defaults = DEFAULTS

    def __init__(self, **architecture: Any) -> None:
        super().__init__()
        a = self.architecture = check_architecture(architecture, DEFAULTS)
        self.resolution, self.img_channels = int(a["resolution"]), int(a["img_channels"])
        self.z_dim, self.w_dim, self.c_dim = int(a["z_dim"]), int(a["w_dim"]), int(a["c_dim"])
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            raise BadArgument(f"resolution must be a power of two of at least 4, got {self.resolution}")
        sizes = [2**k for k in range(2, self.resolution.bit_length())]
        channels = [int(n) for n in a["channels"]]
        if len(channels) != len(sizes) or min(channels) < 1:
            raise BadArgument(f"channels must be {len(sizes)} positive numbers, one per block, got {channels}")
        self.lod = min(max(float(a["lod"]), 0.0), float(len(sizes) - 1))
        self.block_resolutions = tuple(sizes)
        self.num_ws = 2 * len(sizes)
        self.mapping = LabelledMapping(a, gain_in_weights=True, equalized=bool(a["equalized"]))
        self.synthesis = nn.Module()
        used = set(self.picture_sizes())
        for index, size in enumerate(sizes):
            block, count = nn.Module(), channels[index]
            if size == 4:
                block.add_module("conv0", ConstLayer(count, a))
            else:
                block.add_module("conv0", ConvLayer(channels[index - 1], count, size, up=True, a=a))
            block.add_module("conv1", ConvLayer(count, count, size, up=False, a=a))
            if size in used:
                block.add_module("torgb", ToRGB(count, a))
            self.synthesis.add_module(f"b{size}", block)
        blur = fir_filter(a["blur_filter"][::-1]) if a["blur_filter"] else None
        self.register_buffer("blur", blur, persistent=False)
        self.noise_shapes = tuple((size, size) for size in sizes for _ in range(2)) if a["use_noise"] else ()

    def picture_sizes(self) -> tuple[int, ...]:
        """The blocks whose toRGB makes the picture: one, or the two that are blended at a broken level of detail."""
        whole = math.floor(self.lod)
        finest = self.resolution >> whole
        return (finest,) if self.lod == whole else (finest // 2, finest)

    def _layers(self) -> Iterator[tuple[str, ConstLayer | ConvLayer]]:
        for size in self.block_resolutions:
            block = getattr(self.synthesis, f"b{size}")
            yield f"b{size}.conv0", block.conv0
            yield f"b{size}.conv1", block.conv1

    def noise_consts(self) -> tuple[Tensor, ...]:
        return tuple(layer.noise_const for _, layer in self._layers()) if self.noise_shapes else ()

    def layers(self) -> tuple[LayerInfo, ...]:
        return tuple(
            LayerInfo(name, layer.size, layer.in_channels, layer.out_channels, row, 2 * layer.out_channels)
            for row, (name, layer) in enumerate(self._layers())
        )

    def _steps(
        self, ws: Tensor, noise: list[Tensor | None], transform: Tensor | None, resolution: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        if transform is not None:
            raise BadArgument("only StyleGAN3 has an input transform; this generator is StyleGAN1")
        maps = noise or [None] * self.num_ws
        blur: Tensor | None = self.blur  # type: ignore[assignment]
        pictures = self.picture_sizes()
        picture: Tensor | None = None
        x = ws
        for index, size in enumerate(self.block_resolutions):
            block = getattr(self.synthesis, f"b{size}")
            row = 2 * index
            if size == 4:
                x = block.conv0(ws[:, row], maps[row])
            else:
                x = block.conv0(x, ws[:, row], maps[row], blur)
            x = block.conv1(x, ws[:, row + 1], maps[row + 1], blur)
            if size in pictures:
                fine = block.torgb(x)
                if picture is not None:
                    coarse = functional.interpolate(picture, scale_factor=2, mode="nearest")
                    fine = fine + (coarse - fine) * (self.lod - math.floor(self.lod))
                picture = fine
            if size == pictures[-1]:
                break
            yield size, None
        assert picture is not None, "the loop ends at a block that gives a picture"
        if picture.shape[-1] < self.resolution:
            picture = functional.interpolate(picture, size=(self.resolution, self.resolution), mode="nearest")
        yield self.resolution, picture
