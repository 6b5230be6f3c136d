"""StyleGAN2 made ready to draw fast on a CPU: constants folded once, channels_last, work in strips that stay in the cache.

What makes it fast, each measured against the plain network:

- The demodulation is a product of the squared styles with the summed squares of the weights; those are constants.
- Styles scale the weights where these are smaller than the feature map, else the feature map.
- Non-upsampling 3x3 layers go through Winograd's transform where that was tried and found faster on this processor.
- Noise, bias, activation, clamp and the 1x1 convolution to RGB run on one strip of rows while it is in the cache.
- The gain of the activation is folded into bias, noise and demodulation: a leaky ReLU is positively homogeneous. The
  clamp stays where it was.

Source of the network: Karras et al. 2020 (arXiv:1912.04958).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine.prefix import Entry, PrefixCache
from facelab.engine.winograd import Weight, Winograd, as_tiles, convolve
from facelab.nets.ops import Dense, fir_filter, upsample2d
from facelab.nets.stylegan2 import StyledConv, StyleGAN2, ToRGB

_LAST = torch.channels_last
_STRIP = 1 << 20  # bytes: half to one megabyte is best for the second-level cache, four lose half of the gain
_ALWAYS_KEPT = 256  # px: larger maps are only kept where the person is at work
_SLOPE = 0.2


@dataclass
class Style:
    """The affine layer of a style with its gains folded in."""

    weight: Tensor  # [C, I]
    bias: Tensor  # [I]

    @classmethod
    def of(cls, dense: Dense, gain: float = 1.0) -> Style:
        assert dense.bias is not None
        weight = dense.weight.detach() * (dense.weight_gain * gain)
        return cls(weight.t().contiguous(), dense.bias.detach() * (dense.bias_gain * gain))

    def __call__(self, w: Tensor) -> Tensor:  # [N, C] -> [N, I]
        return torch.addmm(self.bias, w, self.weight)


class Conv:
    """A styled convolution with its constants folded."""

    def __init__(self, conv: StyledConv, fir: Tensor, gain: float) -> None:
        """``gain`` is what the network multiplies onto the activation's output (residual blocks), 1 otherwise."""
        self.ins, self.outs, self.size, self.up = conv.in_channels, conv.out_channels, conv.size, conv.up
        self.gain = math.sqrt(2) * gain
        self.clamp = None if conv.conv_clamp is None else float(conv.conv_clamp) * gain
        self.style = Style.of(conv.affine)
        weight = conv.weight.detach()
        self.squares = weight.square().sum([2, 3]).t().contiguous()  # [I, O]
        self.bias = conv.bias.detach() * self.gain
        self.noise_gain = float(conv.noise_strength) * self.gain if hasattr(conv, "noise_strength") else 0.0
        self.winograd = None if self.up else Weight.where_it_pays(weight, self.size)
        self.backward_winograd: Weight | None = None
        self._source = weight
        # A layer that goes through Winograd keeps no second copy of its weights.
        self.weight = None if self.winograd is not None else self._layout(weight)
        side = self.size // 2 if self.up else self.size
        self.scale_weight = 9 * self.outs < side * side
        self.fir = (fir.flip(0, 1) * 4)[None, None].repeat(self.outs, 1, 1, 1).contiguous(memory_format=_LAST)

    def _layout(self, weight: Tensor) -> Tensor:
        return (weight.transpose(0, 1) if self.up else weight).contiguous(memory_format=_LAST)

    def demodulation(self, styles: Tensor) -> Tensor:  # [N, I] -> [N, O], the activation's gain included
        return torch.mm(styles.square(), self.squares).add_(1e-8).rsqrt_().mul_(self.gain)

    def __call__(self, x: Tensor, w: Tensor, noise: Tensor | None, rgb: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run it on x [N, I, h, w] with w [N, C] and noise [1 or N, 1, r, r] (gains included); x is left as it is.

        With ``rgb`` [3, O] (batch 1) the 1x1 convolution to RGB is done strip by strip along; it comes as [1, 3, r, r].
        """
        styles = self.style(w)
        demodulation = self.demodulation(styles)
        if self.winograd is not None:
            return self._by_winograd(x, styles, demodulation, noise, rgb)
        assert self.weight is not None
        if len(x) == 1 and self.scale_weight:
            ins, outs = ((-1, 1, 1, 1), (1, -1, 1, 1)) if self.up else ((1, -1, 1, 1), (-1, 1, 1, 1))
            weight = self.weight * styles.view(ins) * demodulation.view(outs)
            if self.up:
                x = functional.conv_transpose2d(x, weight, stride=2)
                x = functional.conv2d(x, self.fir, self.bias, padding=1, groups=self.outs)
            else:
                x = functional.conv2d(x, weight, self.bias, padding=1)
        else:
            x = x * styles[:, :, None, None]
            if self.up:
                x = functional.conv_transpose2d(x, self.weight, stride=2)
                x = functional.conv2d(x, self.fir, padding=1, groups=self.outs)
            else:
                x = functional.conv2d(x, self.weight, padding=1)
            x.mul_(demodulation[:, :, None, None]).add_(self.bias[:, None, None])
        return self._finish(x, noise, rgb)

    def _finish(self, x: Tensor, noise: Tensor | None, rgb: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Noise, activation, clamp and RGB, in place, a strip of rows at a time."""
        count, channels, height, width = x.shape
        rows = max(1, min(height, _STRIP // (channels * width * 4 * count)))
        picture = None if rgb is None else x.new_empty(len(rgb), height * width)
        for y in range(0, height, rows):
            strip = x[:, :, y : y + rows]
            if noise is not None:
                strip.add_(noise[:, :, y : y + rows])
            functional.leaky_relu_(strip, _SLOPE)
            if self.clamp is not None:
                strip.clamp_(-self.clamp, self.clamp)
            if picture is not None and rgb is not None:
                flat = strip[0].permute(1, 2, 0).reshape(-1, channels).t()
                torch.mm(rgb, flat, out=picture[:, y * width : y * width + flat.shape[1]])
        return x, None if picture is None else picture.view(1, -1, height, width)

    def _by_winograd(
        self, x: Tensor, styles: Tensor, demodulation: Tensor, noise: Tensor | None, rgb: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert self.winograd is not None
        bias = self.bias.view(1, 1, 1, 1, 1, -1)
        picture = None if rgb is None else x.new_empty(len(rgb), self.size * self.size)

        def finish(raw: Tensor, strip: Tensor, first: int, y: int, end: int) -> None:
            n = len(strip)
            scale = demodulation[first : first + n].view(n, 1, 1, 1, 1, -1)
            torch.addcmul(bias, raw, scale, out=as_tiles(strip))
            if noise is not None:
                mine = noise if len(noise) == 1 else noise[first : first + n]
                strip.add_(mine[:, 0, y:end, :, None])
            functional.leaky_relu_(strip, _SLOPE)
            if self.clamp is not None:
                strip.clamp_(-self.clamp, self.clamp)
            if picture is not None and rgb is not None:
                torch.mm(rgb, strip.view(-1, self.outs).t(), out=picture[:, y * self.size : end * self.size])

        x = convolve(x, self.winograd, styles, finish)
        return x, None if picture is None else picture.view(1, -1, self.size, self.size)

    def differentiable(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """The same with gradients for x, w and noise; the weights are constants, so none is spent on them."""
        styles = self.style(w)
        demodulation = (torch.mm(styles.square(), self.squares) + 1e-8).rsqrt() * self.gain
        x = x * styles[:, :, None, None]
        if self.winograd is not None:
            if self.backward_winograd is None:
                with torch.no_grad():
                    self.backward_winograd = Weight.of_gradient(self._source)
            x = Winograd.apply(x, self.winograd, self.backward_winograd)  # type: ignore[no-untyped-call]
        elif self.up:
            assert self.weight is not None
            x = functional.conv_transpose2d(x, self.weight, stride=2)
            x = functional.conv2d(x, self.fir, padding=1, groups=self.outs)
        else:
            assert self.weight is not None
            x = functional.conv2d(x, self.weight, padding=1)
        x = x * demodulation[:, :, None, None] + self.bias[:, None, None]
        if noise is not None:
            x = x + noise
        x = functional.leaky_relu(x, _SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class RGB:
    """toRGB: its style, weight and gain as one small matrix per picture."""

    def __init__(self, torgb: ToRGB) -> None:
        self.style = Style.of(torgb.affine, torgb.weight_gain)
        self.weight = torgb.weight.detach()[:, :, 0, 0].contiguous()  # [3, I]
        self.bias = torgb.bias.detach()[:, None, None]
        self.clamp = None if torgb.conv_clamp is None else float(torgb.conv_clamp)

    def matrix(self, w: Tensor) -> Tensor:  # [N, C] -> [N, 3, I]
        return self.weight * self.style(w)[:, None]

    def __call__(self, x: Tensor, w: Tensor, below: Tensor | None, fir: Tensor, done: Tensor | None = None) -> Tensor:
        """The picture so far: x [N, I, r, r] in RGB (``done`` when that is computed) over the doubled picture below."""
        count, channels, height, width = x.shape
        if done is None:
            flat = x.permute(0, 2, 3, 1).reshape(count, height * width, channels).transpose(1, 2)
            done = torch.bmm(self.matrix(w), flat).view(count, -1, height, width)
        y = done + self.bias
        if self.clamp is not None:
            y = y.clamp(-self.clamp, self.clamp)
        return y if below is None else y + double(below)


def double(picture: Tensor) -> Tensor:
    """Twice the size with the filter [1, 3, 3, 1] and zeros beyond the border: bilinear on the padded picture, exactly."""
    padded = functional.pad(picture, (1, 1, 1, 1))
    return functional.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


@dataclass
class Block:
    """One resolution."""

    size: int
    convs: list[tuple[int, Conv]]  # (row of ws, conv)
    rgb_row: int
    rgb: RGB | None
    skip: Tensor | None  # [O, I, 1, 1] of a residual block, its gains folded in


class PreparedStyleGAN2:
    """A StyleGAN2 on a device, ready to draw."""

    def __init__(self, network: StyleGAN2, cache: PrefixCache) -> None:
        self.num_ws = network.num_ws
        self.cache = cache
        self.noise_shapes = network.noise_shapes
        fir = network.get_buffer("fir")
        self.fir = fir
        self.blocks: list[Block] = []
        row = 0
        for size in network.block_resolutions:
            source = network.block(size)
            residual = hasattr(source, "skip")
            names = ["conv1"] if size == 4 else ["conv0", "conv1"]
            convs = []
            for name in names:
                convs.append(
                    (row, Conv(getattr(source, name), fir, math.sqrt(0.5) if residual and name == "conv1" else 1.0))
                )
                row += 1
            rgb = RGB(source.torgb) if hasattr(source, "torgb") else None
            skip = source.skip.weight.detach() * (source.skip.weight_gain * math.sqrt(0.5)) if residual else None
            self.blocks.append(Block(size, convs, row, rgb, skip))
        self.const = network.block(4).const.detach()[None].contiguous(memory_format=_LAST)
        self._last: list[bytes] = []

    @staticmethod
    def fits(network: StyleGAN2) -> bool:
        """Whether this form draws the network: the options that all published checkpoints use."""
        a = network.architecture
        ordinary = torch.equal(network.get_buffer("fir").cpu(), fir_filter([1, 3, 3, 1]))
        return ordinary and a["activation"] == "lrelu" and int(a["kernel_size"]) == 3 and network.resolution >= 8

    def noise_gains(self) -> list[float]:
        """What a standard normal map is multiplied by in each layer: the layer's strength and the activation's gain."""
        return [conv.noise_gain for block in self.blocks for _, conv in block.convs]

    def steps(
        self, ws: Tensor, noise: Sequence[Tensor | None], signature: Sequence[bytes], size: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw; like ``Network.steps`` of a checked call. A yield stands after each layer of the larger blocks too.

        Args:
            ws: [N, num_ws, C].
            noise: for each conv, [1 or N, 1, r, r] with all gains in, or None.
            signature: for each conv, bytes that tell its noise from another.
            size: where to stop.
        """
        top = next(b.rgb_row for b in self.blocks if b.size == size)
        start, x, picture = 0, None, None
        keys: list[bytes] = []
        pivot = -1
        if len(ws) == 1:
            keys = self.cache.keys(ws[0], signature)
            pivot = sum(a == b for a, b in zip(keys[1:], self._last[1:], strict=False))
            self._last = keys
            start, entry = self.cache.longest(keys, top)
            if entry is not None:
                x, picture = entry.x, entry.picture
        if x is None:
            start, x = 0, self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=_LAST)
        below: Tensor | None = None  # the picture before this block's toRGB was added
        for index, block in enumerate(self.blocks):
            if block.rgb_row < start or (block.rgb_row == start and block.size != size):
                continue
            if block.rgb_row == start:  # only the last toRGB is new
                assert block.rgb is not None
                yield block.size, block.rgb(x, ws[:, start], picture, self.fir)
                return
            skip = None
            done = None
            for number, (row, conv) in enumerate(block.convs):
                if row < start:
                    continue
                first_of_block = number == 0 and index > 0
                if row == start and first_of_block and self.blocks[index - 1].rgb is not None:
                    # This row styles the toRGB of the block before, too: do that again from what is cached.
                    below = picture
                    picture = self.blocks[index - 1].rgb(x, ws[:, row], picture, self.fir)  # type: ignore[misc]
                if block.skip is not None and number == 0:
                    skip = upsample2d(functional.conv2d(x, block.skip), self.fir)
                if keys and row > start and (x.shape[2] <= _ALWAYS_KEPT or row == pivot) and block.skip is None:
                    self.cache.put(keys[row], Entry(x, below if first_of_block else picture))
                last = number == len(block.convs) - 1
                # The strip's RGB can be done along only where nothing is added to the map afterwards.
                along = last and block.rgb is not None and block.skip is None and len(ws) == 1
                rgb = block.rgb.matrix(ws[:, block.rgb_row])[0] if along and block.rgb is not None else None
                x, done = conv(x, ws[:, row], noise[row], rgb)
                if not last and block.size >= 256:
                    yield block.size, None
            if skip is not None:
                x = x + skip
            if block.size == size and keys and (block.size <= _ALWAYS_KEPT or top == pivot) and block.skip is None:
                self.cache.put(keys[top], Entry(x, picture))
            if block.rgb is not None:
                below = picture
                picture = block.rgb(x, ws[:, block.rgb_row], picture, self.fir, done)
            yield block.size, picture
            if block.size == size:
                return

    def differentiable(
        self, ws: Tensor, noise: Sequence[Tensor | None], size: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw with gradients for ws and noise maps (gains included), block by block, to ``size``."""
        x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=_LAST)
        picture: Tensor | None = None
        for block in self.blocks:
            skip = None if block.skip is None else upsample2d(functional.conv2d(x, block.skip), self.fir)
            for row, conv in block.convs:
                x = conv.differentiable(x, ws[:, row], noise[row])
            if skip is not None:
                x = x + skip
            if block.rgb is not None:
                picture = block.rgb(x, ws[:, block.rgb_row], picture, self.fir)
            yield block.size, picture
            if block.size == size:
                return
