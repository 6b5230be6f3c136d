"""StyleGAN3, translation and rotation equivariant: Fourier input, alias-free non-linearities.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423). The sizes, factors and
filters of all layers are given (a checkpoint has them); nothing is designed anew, so unusual networks draw exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import BadArgument
from facelab.nets.network import LayerInfo, Network, check_architecture
from facelab.nets.ops import Dense
from facelab.nets.stylegan2 import MAPPING_DEFAULTS, LabelledMapping

DEFAULTS: dict[str, Any] = {
    "resolution": ...,
    "img_channels": 3,
    **MAPPING_DEFAULTS,
    # {"channels": n, "size": [width, height], "sampling_rate": samples per picture, "bandwidth": cycles per picture}
    "input": ...,
    # One table per layer: name, size (of its output), in_channels, out_channels,
    # kernel, torgb, up, down, padding [left, right, top, bottom]
    # of the upsampled map, and the shapes of up_filter and down_filter ([] for none, [n] separable, [n, n] radial).
    "layers": ...,
    "conv_clamp": 256,
    "output_scale": 0.25,
}

_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


def fir_axis(x: Tensor, taps: Tensor, axis: int, *, up: int = 1, down: int = 1, padding: tuple[int, int]) -> Tensor:
    """Filter along one axis: ``up - 1`` zeros behind each sample, padding, convolution, every ``down``-th sample.

    Depthwise convolutions do it without touching an inserted zero; they are well served on every device.

    Args:
        x: [N, C, H, W].
        taps: [n]; convolved, not correlated.
        axis: 2 or 3.
        up, down: factors; one of them is 1.
        padding: zeros (before, after) on the upsampled axis; negative crops.
    """
    channels, length, n = x.shape[1], x.shape[axis], taps.numel()
    before, after = padding
    shape, stride = [channels, 1, 1, 1], [1, 1]
    shape[axis], stride[axis - 2] = n, up * down
    if up > 1:
        # The transposed convolution gives every sum in which a sample takes part; cut out what was asked for.
        first, last = n - 1 - before, (length - 1) * up + n - (length * up + after)
        crop = [0, 0]
        crop[axis - 2] = max(min(first, last), 0)
        kernel = taps.view([n if i == axis else 1 for i in range(4)]).expand(shape)
        x = functional.conv_transpose2d(x, kernel, stride=stride, padding=crop, groups=channels)
        return _padded(x, axis, crop[axis - 2] - first, crop[axis - 2] - last)
    kernel = taps.flip(0).view([n if i == axis else 1 for i in range(4)]).expand(shape)
    return functional.conv2d(_padded(x, axis, before, after), kernel, stride=stride, groups=channels)


def _padded(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    if before == after == 0:
        return x
    return functional.pad(x, (before, after) if axis == 3 else (0, 0, before, after))


def fir_plane(x: Tensor, taps: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int, int, int]) -> Tensor:
    """``fir_axis`` along both axes of [N, C, H, W], or one radial filter [n, n] (which only goes down)."""
    left, right, top, bottom = padding
    if taps.ndim == 2:
        kernel = taps.flip(0, 1)[None, None].expand(x.shape[1], 1, -1, -1)
        return functional.conv2d(functional.pad(x, padding), kernel, stride=down, groups=x.shape[1])
    x = fir_axis(x, taps, 3, up=up, down=down, padding=(left, right))
    return fir_axis(x, taps, 2, up=up, down=down, padding=(top, bottom))


class FourierInput(nn.Module):
    """A map of sinusoids of learned frequencies and phases, moved by a matrix and by the first style."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w_dim: int, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.channels = int(a["channels"])
        self.size = (int(a["size"][0]), int(a["size"][1]))  # width, height
        self.sampling_rate, self.bandwidth = float(a["sampling_rate"]), float(a["bandwidth"])
        if self.channels < 1 or not all(0 < n <= 8192 for n in self.size) or not self.sampling_rate > 0:
            raise BadArgument(f"the input layer has impossible sizes: {dict(a)}")
        self.affine = Dense(w_dim, 4)
        self.weight = nn.Parameter(torch.empty(self.channels, self.channels))
        self.register_buffer("transform", torch.empty(3, 3))
        self.register_buffer("freqs", torch.empty(self.channels, 2))
        self.register_buffer("phases", torch.empty(self.channels))

    def forward(self, w: Tensor, transform: Tensor) -> Tensor:  # [N, C], [3, 3] -> [N, channels, H, W]
        learned = self.affine(w)  # cosine, sine, shift along x, shift along y
        learned = learned / learned[:, :2].norm(dim=1, keepdim=True)
        cosine, sine, right, down = learned.unbind(1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], 1).view(-1, 3, 3)
        matrix = rotation @ shift @ transform  # [N, 3, 3]
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)  # [N, channels]
        freqs = self.freqs @ matrix[:, :2, :2]  # [N, channels, 2]
        # What the matrix pushes beyond the band would alias: fade it out.
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)  # [N, channels]
        width, height = self.size
        x = self._positions(width, w)
        y = self._positions(height, w)
        across = x[None, None, :, None] * freqs[:, None, None, :, 0]
        angle = across + y[None, :, None, None] * freqs[:, None, None, :, 1]  # [N, H, W, channels]
        waves = torch.sin((angle + phases[:, None, None]) * (2 * math.pi)) * amplitudes[:, None, None]
        features: Tensor = waves @ (self.weight.t() / math.sqrt(self.channels))
        return features.permute(0, 3, 1, 2)

    def _positions(self, count: int, like: Tensor) -> Tensor:
        """Centres of ``count`` samples, in picture widths, the picture's centre being 0."""
        steps = torch.arange(count, device=like.device, dtype=like.dtype)
        return (steps + 0.5 - count / 2) / self.sampling_rate


class FilteredLayer(nn.Module):
    """Modulated convolution, then upsampling, leaky ReLU and downsampling in one."""

    magnitude_ema: Tensor

    def __init__(self, w_dim: int, conv_clamp: float | None, a: Mapping[str, Any]) -> None:
        super().__init__()
        self.in_channels, self.out_channels = int(a["in_channels"]), int(a["out_channels"])
        self.kernel, self.torgb = int(a["kernel"]), bool(a["torgb"])
        self.up, self.down = int(a["up"]), int(a["down"])
        left, right, top, bottom = (int(n) for n in a["padding"])
        self.padding = (left, right, top, bottom)
        self.conv_clamp = conv_clamp
        if not (1 <= self.kernel <= 15 and 1 <= self.up <= 64 and 1 <= self.down <= 64):
            raise BadArgument(f"a layer has an impossible kernel or factor: {self.kernel}, {self.up}, {self.down}")
        if max(abs(n) for n in self.padding) > 4096:
            raise BadArgument(f"a layer has impossible padding: {self.padding}")
        self.affine = Dense(w_dim, self.in_channels)
        self.weight = nn.Parameter(torch.empty(self.out_channels, self.in_channels, self.kernel, self.kernel))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.register_buffer("magnitude_ema", torch.empty([]))
        for name, dimensions in (("up_filter", (0, 1)), ("down_filter", (0, 1, 2))):
            shape = [int(n) for n in a[name]]
            if len(shape) not in dimensions or any(not 1 <= n <= 1024 for n in shape):
                raise BadArgument(f"a layer has an impossible {name}: {shape}")
            self.register_buffer(name, torch.empty(shape) if shape else None)

    def size_after(self, size: int, before: int, after: int) -> int:
        """The length of one axis that this layer gives for one of ``size``, padded by (before, after) when upsampled."""

        def taps(name: str) -> int:
            found = self.filter_of(name)
            return 1 if found is None else found.shape[0]

        upsampled = (size + self.kernel - 1) * self.up + before + after - taps("up_filter") + 1
        return (upsampled - taps("down_filter")) // self.down + 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w)  # [N, I]
        weight: Tensor = self.weight
        scale = self.magnitude_ema.rsqrt()
        if self.torgb:
            styles = styles * (1 / math.sqrt(self.in_channels * self.kernel**2))
            x = functional.conv2d(x * (styles * scale)[:, :, None, None], weight, padding=self.kernel - 1)
        else:
            weight = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
            styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
            demodulation = (styles.square() @ weight.square().sum([2, 3]).t() + 1e-8).rsqrt()
            x = functional.conv2d(x * (styles * scale)[:, :, None, None], weight, padding=self.kernel - 1)
            x = x * demodulation[:, :, None, None]
        x = x + self.bias[:, None, None]
        up_filter, down_filter = self.filter_of("up_filter"), self.filter_of("down_filter")
        if up_filter is None and self.up == 1:
            x = functional.pad(x, self.padding)
        else:
            # A toRGB that doubles the size (only networks of few layers have one) does so without a filter.
            taps = x.new_ones(1) if up_filter is None else up_filter
            x = fir_plane(x, taps * self.up, up=self.up, padding=self.padding)
        if not self.torgb:
            x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
        if self.conv_clamp is not None:
            x = x.clamp(-self.conv_clamp, self.conv_clamp)
        if down_filter is not None:
            return fir_plane(x, down_filter, down=self.down, padding=(0, 0, 0, 0))
        return x[:, :, :: self.down, :: self.down]

    def filter_of(self, name: str) -> Tensor | None:
        """``"up_filter"`` or ``"down_filter"``, [n] separable or [n, n] radial; None where the layer has none."""
        found: Tensor | None = getattr(self, name)
        return found


class StyleGAN3(Network):
    """The generator of StyleGAN3; see ``DEFAULTS`` for its architecture options. Row 0 of ws styles the input."""

    defaults = DEFAULTS

    def __init__(self, **architecture: Any) -> None:
        super().__init__()
        a = self.architecture = check_architecture(architecture, DEFAULTS)
        self.resolution, self.img_channels = int(a["resolution"]), int(a["img_channels"])
        self.z_dim, self.w_dim, self.c_dim = int(a["z_dim"]), int(a["w_dim"]), int(a["c_dim"])
        tables = list(a["layers"])
        if not 1 <= len(tables) <= 64 or not 1 <= self.resolution <= 8192:
            raise BadArgument(f"impossible: {len(tables)} layers, {self.resolution} pixels")
        self.mapping = LabelledMapping(a)
        self.synthesis = nn.Module()
        self.synthesis.add_module("input", FourierInput(self.w_dim, a["input"]))
        clamp = None if a["conv_clamp"] is None else float(a["conv_clamp"])
        self._names: tuple[str, ...] = tuple(str(table["name"]) for table in tables)
        if len(set(self._names)) != len(tables) or not all(_NAME.fullmatch(one) for one in self._names):
            raise BadArgument("the layers' names are not fit or not distinct")
        for name, table in zip(self._names, tables, strict=True):
            self.synthesis.add_module(name, FilteredLayer(self.w_dim, clamp, table))
        self._check_sizes(a["input"], tables)
        self.num_ws = len(tables) + 1
        self.noise_shapes = ()
        self.block_resolutions = tuple(int(table["size"]) for table in tables)
        self.output_scale = float(a["output_scale"])

    def _check_sizes(self, source: Mapping[str, Any], tables: list[Mapping[str, Any]]) -> None:
        """That each layer takes what the one before gives, and the last gives the picture."""
        width, height, channels = int(source["size"][0]), int(source["size"][1]), int(source["channels"])
        for table in tables:
            layer: FilteredLayer = getattr(self.synthesis, str(table["name"]))
            left, right, top, bottom = layer.padding
            width, height = layer.size_after(width, left, right), layer.size_after(height, top, bottom)
            if layer.in_channels != channels or not width == height == int(table["size"]) or not 0 < width <= 8192:
                raise BadArgument(f"the layer {table['name']} does not fit the one before it, or its size")
            channels = layer.out_channels
        if (width, channels) != (self.resolution, self.img_channels):
            raise BadArgument("the last layer does not give the picture")

    def layers(self) -> tuple[LayerInfo, ...]:
        source: FourierInput = self.synthesis.input  # type: ignore[assignment]
        found = [LayerInfo("input", source.size[0], source.channels, source.channels, 0, 4)]
        for index, name in enumerate(self._names):
            layer: FilteredLayer = getattr(self.synthesis, name)
            size = self.block_resolutions[index]
            found.append(LayerInfo(name, size, layer.in_channels, layer.out_channels, index + 1, layer.in_channels))
        return tuple(found)

    def _steps(
        self, ws: Tensor, noise: list[Tensor | None], transform: Tensor | None, resolution: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        source: FourierInput = self.synthesis.input  # type: ignore[assignment]
        matrix = source.transform if transform is None else inverse_of(transform.to(source.transform))
        x = source(ws[:, 0], matrix)
        for index, name in enumerate(self._names):
            x = getattr(self.synthesis, name)(x, ws[:, index + 1])
            if index + 1 < len(self._names):
                yield self.block_resolutions[index], None
        yield self.resolution, x * self.output_scale if self.output_scale != 1 else x


class StyleGAN3T(StyleGAN3):
    """StyleGAN3 with 3x3 convolutions, equivariant to translation."""

    family = "stylegan3-t"


class StyleGAN3R(StyleGAN3):
    """StyleGAN3 with 1x1 convolutions and radial filters, equivariant to translation and rotation."""

    family = "stylegan3-r"


def inverse_of(matrix: Tensor) -> Tensor:
    """The inverse of a 3x3 matrix, in double precision on the way.

    Raises:
        BadArgument: it has none.
    """
    inverse, singular = torch.linalg.inv_ex(matrix.to("cpu", torch.float64))  # some devices have no doubles
    if bool(singular) or not bool(torch.isfinite(inverse).all()):
        raise BadArgument("the transform cannot be inverted: it makes the picture vanish")
    result: Tensor = inverse.to(matrix)
    return result
