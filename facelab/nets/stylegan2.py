"""StyleGAN2: weight (de)modulation, skip, residual and plain synthesis, optional labels.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958), and
Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv:2006.06676) for labels and
clamping. Demodulation is applied to activations: scaling the inputs by the style, convolving with constant
weights and scaling the outputs is the same sum as modulating the weights, and cheaper in a batch and backward.
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
from facelab.nets.ops import (
    Dense,
    activate,
    activation_gain,
    filter2d,
    fir_filter,
    normalize_2nd_moment,
    upsample2d,
    upsample_padding,
)

MAPPING_DEFAULTS: dict[str, Any] = {
    "z_dim": 512,
    "w_dim": 512,
    "c_dim": 0,
    "mapping_features": [512] * 8,  # outputs of each mapping layer; the last one is w_dim
    "mapping_lr_multiplier": 0.01,
    "mapping_activation": "lrelu",
    "normalize_z": True,
    "label": "embed",  # "embed": a layer of its own, normalised alone | "concat": normalised together with z
    "embed_features": 0,
}

MAX_CLASSES = 30_000  # the largest label sets that pictures come with have some 22,000

DEFAULTS: dict[str, Any] = {
    "resolution": ...,  # a power of two, at least 4
    "channels": ...,  # feature maps of each block, 4x4 first
    "img_channels": 3,
    **MAPPING_DEFAULTS,
    "architecture": "skip",  # "skip" | "resnet" | "orig"
    "activation": "lrelu",
    "conv_clamp": None,
    "use_noise": True,
    "kernel_size": 3,
    "resample_filter": [1, 3, 3, 1],
}


class LabelledMapping(nn.Module):
    """z and label -> w: both normalised, side by side through a stack of dense layers."""

    def __init__(self, a: Mapping[str, Any], *, gain_in_weights: bool = False, equalized: bool = True) -> None:
        super().__init__()
        self.z_dim, self.c_dim = int(a["z_dim"]), int(a["c_dim"])
        self.normalize_z, self.label = bool(a["normalize_z"]), str(a["label"])
        if not 0 <= self.c_dim <= MAX_CLASSES:
            raise BadArgument(f"a generator of {self.c_dim} classes cannot be")
        features = [self.z_dim, *(int(n) for n in a["mapping_features"])]
        if not 1 <= len(features) <= 129 or min(features[1:], default=1) < 1:
            raise BadArgument(f"a mapping network of {len(features) - 1} layers cannot be")
        if self.c_dim:
            if self.label not in {"embed", "concat"}:
                raise BadArgument(f'label must be "embed" or "concat", got {self.label!r}')
            embed = int(a["embed_features"])
            features[0] += embed
            if self.label == "embed":
                self.embed = Dense(self.c_dim, embed)
            else:
                self.embed_table = nn.Parameter(torch.empty(self.c_dim, embed))
        if features[-1] != int(a["w_dim"]):
            raise BadArgument(f"the last mapping layer gives {features[-1]} numbers, w_dim is {a['w_dim']}")
        self.depth = len(features) - 1
        for index in range(self.depth):
            layer = Dense(
                features[index],
                features[index + 1],
                activation=str(a["mapping_activation"]),
                lr_multiplier=float(a["mapping_lr_multiplier"]),
                gain_in_weights=gain_in_weights,
                equalized=equalized,
            )
            self.add_module(f"fc{index}", layer)
        self.register_buffer("w_avg", torch.empty(int(a["w_dim"])))

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:  # [N, Z], [N, K] -> [N, C]
        if c is not None and self.label == "concat":
            z = torch.cat([z, c @ self.embed_table], dim=1)
        x = normalize_2nd_moment(z) if self.normalize_z and z.shape[1] else z
        if c is not None and self.label == "embed":
            y = self.embed(c)
            x = torch.cat([x, normalize_2nd_moment(y) if self.normalize_z else y], dim=1)
        for index in range(self.depth):
            x = getattr(self, f"fc{index}")(x)
        return x


def _clamp(a: Mapping[str, Any]) -> float | None:
    return None if a["conv_clamp"] is None else float(a["conv_clamp"])


class StyledConv(nn.Module):
    """Modulated convolution, optionally doubling the size, with noise, bias, activation and clamp."""

    def __init__(self, in_channels: int, out_channels: int, size: int, up: bool, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.size, self.up = in_channels, out_channels, size, up
        self.activation, self.conv_clamp = str(a["activation"]), _clamp(a)
        self.kernel_size = int(a["kernel_size"])
        activation_gain(self.activation)
        if self.kernel_size not in range(1, 16, 2):
            raise BadArgument(f"kernel_size must be odd and at most 15, got {self.kernel_size}")
        self.affine = Dense(int(a["w_dim"]), in_channels)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, self.kernel_size, self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels))
        if a["use_noise"]:
            self.register_buffer("noise_const", torch.empty(size, size))
            self.noise_strength = nn.Parameter(torch.empty([]))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, fir: Tensor, gain: float = 1.0) -> Tensor:
        styles = self.affine(w)  # [N, I]
        # Only their ratio matters once demodulated; a common scale keeps the squares far from overflow.
        demodulation = (styles.square() @ self.weight.square().sum([2, 3]).t() + 1e-8).rsqrt()  # [N, O]
        x = x * styles[:, :, None, None]
        if self.up:
            x = functional.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = filter2d(x, fir * 4, upsample_padding(fir.shape[0], self.kernel_size))
        else:
            x = functional.conv2d(x, self.weight, padding=self.kernel_size // 2)
        x = x * demodulation[:, :, None, None]
        if noise is not None:
            x = x + noise * self.noise_strength
        x = x + self.bias[:, None, None]
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return activate(x, self.activation, gain, clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to a picture: no demodulation, no activation."""

    def __init__(self, in_channels: int, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.conv_clamp = in_channels, int(a["img_channels"]), _clamp(a)
        self.affine = Dense(int(a["w_dim"]), in_channels)
        self.weight = nn.Parameter(torch.empty(self.out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.weight_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        y = functional.conv2d(x * styles[:, :, None, None], self.weight, self.bias)
        return y if self.conv_clamp is None else y.clamp(-self.conv_clamp, self.conv_clamp)


class Skip(nn.Module):
    """The residual branch: 1x1 convolution without bias, then doubled in size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1))
        self.weight_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, fir: Tensor) -> Tensor:
        return upsample2d(functional.conv2d(x, self.weight * self.weight_gain), fir)


class Block(nn.Module):
    """One resolution: a constant (4x4) or conv0 that doubles the size, conv1, and toRGB where there is one."""

    def __init__(self, in_channels: int, channels: int, size: int, rgb: bool, a: Mapping[str, Any]) -> None:
        super().__init__()
        if size == 4:
            self.const = nn.Parameter(torch.empty(channels, 4, 4))
        else:
            self.conv0 = StyledConv(in_channels, channels, size, up=True, a=a)
        self.conv1 = StyledConv(channels, channels, size, up=False, a=a)
        if rgb:
            self.torgb = ToRGB(channels, a)
        if a["architecture"] == "resnet" and size > 4:
            self.skip = Skip(in_channels, channels)


class StyleGAN2(Network):
    """The generator of StyleGAN2; see ``DEFAULTS`` for its architecture options.

    Row 0 of ws styles ``b4.conv1``; the row of a block's toRGB is also the row of the next block's conv0.
    """

    family = "stylegan2"
    defaults = DEFAULTS

    def __init__(self, **architecture: Any) -> None:
        super().__init__()
        a = self.architecture = check_architecture(architecture, DEFAULTS)
        self.resolution, self.img_channels = int(a["resolution"]), int(a["img_channels"])
        self.z_dim, self.w_dim, self.c_dim = int(a["z_dim"]), int(a["w_dim"]), int(a["c_dim"])
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            raise BadArgument(f"resolution must be a power of two of at least 4, got {self.resolution}")
        if a["architecture"] not in {"skip", "resnet", "orig"}:
            raise BadArgument(f'architecture must be "skip", "resnet" or "orig", got {a["architecture"]!r}')
        sizes = [2**k for k in range(2, self.resolution.bit_length())]
        channels = [int(n) for n in a["channels"]]
        if len(channels) != len(sizes) or min(channels) < 1:
            raise BadArgument(f"channels must be {len(sizes)} positive numbers, one per block, got {channels}")
        self.block_resolutions = tuple(sizes)
        self.num_ws = 2 * len(sizes)
        self.has_previews = a["architecture"] == "skip"
        self.mapping = LabelledMapping(a)
        self.synthesis = nn.Module()
        for index, size in enumerate(sizes):
            rgb = self.has_previews or size == self.resolution
            self.synthesis.add_module(f"b{size}", Block(channels[max(index - 1, 0)], channels[index], size, rgb, a))
        self.register_buffer("fir", fir_filter(a["resample_filter"]), persistent=False)
        self.noise_shapes = tuple((conv.size, conv.size) for conv in self._convs()) if a["use_noise"] else ()

    def block(self, size: int) -> Block:
        """The block of one resolution."""
        block: Block = getattr(self.synthesis, f"b{size}")
        return block

    def _convs(self) -> Iterator[StyledConv]:
        for size in self.block_resolutions:
            block = self.block(size)
            if size > 4:
                yield block.conv0
            yield block.conv1

    def noise_consts(self) -> tuple[Tensor, ...]:
        return tuple(conv.noise_const for conv in self._convs()) if self.noise_shapes else ()  # type: ignore[misc]

    def layers(self) -> tuple[LayerInfo, ...]:
        found, row = [], 0
        for size in self.block_resolutions:
            block = self.block(size)
            parts: list[tuple[str, StyledConv | ToRGB]] = []
            if size > 4:
                parts.append(("conv0", block.conv0))
            parts.append(("conv1", block.conv1))
            if hasattr(block, "torgb"):
                parts.append(("torgb", block.torgb))
            for offset, (name, part) in enumerate(parts):
                found.append(
                    LayerInfo(f"b{size}.{name}", size, part.in_channels, part.out_channels, row + offset,
                              part.in_channels)
                )  # fmt: skip
            row += 1 if size == 4 else 2
        return tuple(found)

    def _steps(
        self, ws: Tensor, noise: list[Tensor | None], transform: Tensor | None, resolution: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        if transform is not None:
            raise BadArgument("only StyleGAN3 has an input transform; this generator is StyleGAN2")
        fir = self.get_buffer("fir")
        maps = iter(noise or [None] * len(list(self._convs())))
        row = 0
        x = self.block(4).const[None].expand(len(ws), -1, -1, -1)
        picture: Tensor | None = None
        for size in self.block_resolutions:
            block = self.block(size)
            if size == 4:
                x = block.conv1(x, ws[:, row], next(maps), fir)
                row += 1
            else:
                residual = block.skip(x, fir) if hasattr(block, "skip") else None
                gain = 1.0 if residual is None else math.sqrt(0.5)
                x = block.conv0(x, ws[:, row], next(maps), fir)
                x = block.conv1(x, ws[:, row + 1], next(maps), fir, gain)
                if residual is not None:
                    x = x + residual * gain
                row += 2
            if hasattr(block, "torgb"):
                y = block.torgb(x, ws[:, row])
                picture = y if picture is None else upsample2d(picture, fir) + y
            yield size, picture
            if size == resolution:
                return
