"""StyleGAN2 made ready to draw fast on a CPU: constants folded once, channels_last, work in strips that stay in the cache.

What makes it fast, each measured against the plain network:

- The demodulation is a product of the squared styles with the summed squares of the weights; those are constants.
- Styles scale the weights where these are smaller than the feature map, else the feature map.
- 3x3 layers go through tiles (see ``winograd``) where that was tried and found faster on this processor.
- Noise, bias, activation, clamp and the 1x1 convolution to RGB run on one strip of rows while it is in the cache.
- The gain of the activation is folded into bias, noise and demodulation: a leaky ReLU is positively homogeneous. The
  clamp stays where it was.
- A rough picture's convolutions multiply bfloat16 numbers where that was tried and found to pay; all else stays float32.

Source of the network: Karras et al. 2020 (arXiv:1912.04958).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine import bfloat16, trials
from facelab.engine.prefix import Entry, PrefixCache
from facelab.engine.winograd import Convolution, Weight, convolve
from facelab.nets.ops import Dense, fir_filter, upsample2d
from facelab.nets.stylegan2 import StyledConv, StyleGAN2, ToRGB

_LAST = torch.channels_last
_STRIP = 1 << 20  # bytes: half to one megabyte is best for the second-level cache, four lose half of the gain
_ALWAYS_KEPT = 256  # px: larger maps are only kept where the person is at work
_SLOPE = 0.2
ROUGH_PSNR = 45.0  # dB: what rough pictures have to reach


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
        side = self.size // 2 if self.up else self.size
        self.tiles = Weight.where_it_pays(weight, side + self.up, up=self.up)
        self._back: Callable[[Tensor], Tensor] | None = None
        self.rough: bfloat16.Weight | None = None  # once a rough picture is asked for
        self._source = weight
        # A layer that goes through tiles keeps no second copy of its weights.
        self.weight = None if self.tiles is not None else self._layout(weight)
        self.scale_weight = 9 * self.outs < side * side
        self._fir = fir
        self.fir = (fir.flip(0, 1) * 4)[None, None].repeat(self.outs, 1, 1, 1).contiguous(memory_format=_LAST)

    def _layout(self, weight: Tensor) -> Tensor:
        return (weight.transpose(0, 1) if self.up else weight).contiguous(memory_format=_LAST)

    def demodulation(self, styles: Tensor) -> Tensor:  # [N, I] -> [N, O], the activation's gain included
        return torch.mm(styles.square(), self.squares).add_(1e-8).rsqrt_().mul_(self.gain)

    def __call__(
        self, x: Tensor, w: Tensor, noise: Tensor | None, rgb: Tensor | None, *, rough: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Run it on x [N, I, h, w] with w [N, C] and noise [1 or N, 1, r, r] (gains included); x is left as it is.

        With ``rgb`` [N, 3, O] the 1x1 convolution to RGB is done strip by strip along; it comes as [N, 3, r, r]. The
        map of a ``rough`` layer comes in bfloat16, RGB never does.
        """
        styles = self.style(w)
        gains = self.demodulation(styles)
        picture = None if rgb is None else w.new_empty(len(x), rgb.shape[1], self.size * self.size)

        def finish(strip: Tensor, first: int, y: int, end: int) -> None:  # [n, rows, r, O]
            if noise is not None:
                mine = noise if len(noise) == 1 else noise[first : first + len(strip)]
                strip.add_(mine[:, 0, y:end, :, None])
            functional.leaky_relu_(strip, _SLOPE)
            if self.clamp is not None:
                strip.clamp_(-self.clamp, self.clamp)
            if picture is not None and rgb is not None:
                for sample, values in enumerate(strip, first):
                    into = picture[sample, :, y * self.size : end * self.size]
                    torch.mm(rgb[sample], values.view(-1, self.outs).t(), out=into)

        if rough:
            if self.rough is None:
                side = self.size // 2 if self.up else self.size
                self.rough = bfloat16.Weight(self._source, self._fir * 4 if self.up else None, side)
            x = bfloat16.convolve(x, self.rough, styles=styles, gains=gains, bias=self.bias, finish=finish)
        elif self.tiles is not None and not self.up:
            x = convolve(x.float(), self.tiles, styles=styles, gains=gains, bias=self.bias, finish=finish)
        else:
            x = self._whole(x.float(), styles, gains)
            lines = x.permute(0, 2, 3, 1)
            rows = self._rows(len(x))
            for y in range(0, self.size, rows):
                finish(lines[:, y : y + rows], 0, y, min(y + rows, self.size))
        return x, None if picture is None else picture.view(len(x), -1, self.size, self.size)

    def _rows(self, count: int) -> int:
        """Rows of ``count`` outputs that make a strip."""
        return max(1, _STRIP // (self.outs * self.size * 4 * count))

    def _whole(self, x: Tensor, styles: Tensor, gains: Tensor) -> Tensor:
        """The convolution of the whole map, with the resampling filter behind it, gains and bias."""
        one = len(x) == 1
        if self.tiles is not None:
            x = convolve(x, self.tiles, styles=styles)
        elif one and self.scale_weight:
            assert self.weight is not None
            weight = self.weight * styles.view((-1, 1, 1, 1) if self.up else (1, -1, 1, 1))
            if not self.up:
                return functional.conv2d(x, weight * gains.view(-1, 1, 1, 1), self.bias, padding=1)
            x = functional.conv_transpose2d(x, weight, stride=2)
        else:
            assert self.weight is not None
            x = x * styles[:, :, None, None]
            if self.up:
                x = functional.conv_transpose2d(x, self.weight, stride=2)
            else:
                x = functional.conv2d(x, self.weight, padding=1)
        if self.up:
            if one:
                return functional.conv2d(x, self.fir * gains.view(-1, 1, 1, 1), self.bias, padding=1, groups=self.outs)
            x = functional.conv2d(x, self.fir, padding=1, groups=self.outs)
        return x.mul_(gains[:, :, None, None]).add_(self.bias[:, None, None])

    def differentiable(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """The same with gradients for x, w and noise; the weights are constants, so none is spent on them."""
        styles = self.style(w)
        demodulation = (torch.mm(styles.square(), self.squares) + 1e-8).rsqrt() * self.gain
        x = x * styles[:, :, None, None]
        if self.tiles is not None:
            if self._back is None:
                with torch.no_grad():
                    self._back = self._gradient(self.tiles)
            x = Convolution.apply(x, self.tiles, self._back)  # type: ignore[no-untyped-call]
        elif self.up:
            assert self.weight is not None
            x = functional.conv_transpose2d(x, self.weight, stride=2)
        else:
            assert self.weight is not None
            x = functional.conv2d(x, self.weight, padding=1)
        if self.up:
            x = functional.conv2d(x, self.fir, padding=1, groups=self.outs)
        # In place where no gradient needs what is overwritten: maps are the memory that a step takes.
        x = (x * demodulation[:, :, None, None]).add_(self.bias[:, None, None])
        if noise is not None:
            x = x.add_(noise)
        x = functional.leaky_relu_(x, _SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _gradient(self, tiles: Weight) -> Callable[[Tensor], Tensor]:
        """From the gradient of the convolution's output to that of its input."""
        if self.up:
            weight = self._layout(self._source)
            return lambda gradient: functional.conv2d(gradient, weight, stride=2)
        turned = tiles.turned(self._source)
        return lambda gradient: convolve(gradient, turned)


class RGB:
    """toRGB: its style, weight and gain as one small matrix per picture."""

    def __init__(self, torgb: ToRGB) -> None:
        self.style = Style.of(torgb.affine, torgb.weight_gain)
        self.weight = torgb.weight.detach()[:, :, 0, 0].contiguous()  # [3, I]
        self.bias = torgb.bias.detach()[:, None, None]
        self.clamp = None if torgb.conv_clamp is None else float(torgb.conv_clamp)

    def matrix(self, w: Tensor) -> Tensor:  # [N, C] -> [N, 3, I]
        return self.weight * self.style(w)[:, None]

    def __call__(self, x: Tensor, w: Tensor, below: Tensor | None, done: Tensor | None = None) -> Tensor:
        """The picture so far: x [N, I, r, r] in RGB (``done``, overwritten, when that is computed) over the doubled picture below."""
        y = self._product(x, w) if done is None else done
        y.add_(self.bias)
        if self.clamp is not None:
            y.clamp_(-self.clamp, self.clamp)
        return y if below is None else y.add_(double(below))

    def differentiable(self, x: Tensor, w: Tensor, below: Tensor | None, fir: Tensor) -> Tensor:
        """The same with gradients."""
        y = self._product(x, w) + self.bias
        if self.clamp is not None:
            y = y.clamp(-self.clamp, self.clamp)
        return y if below is None else y + upsample2d(below, fir)

    def _product(self, x: Tensor, w: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        flat = x.float().permute(0, 2, 3, 1).reshape(count, height * width, channels).transpose(1, 2)
        return torch.bmm(self.matrix(w), flat).view(count, -1, height, width)


def double(picture: Tensor) -> Tensor:
    """Twice the size with the filter [1, 3, 3, 1] and zeros beyond the border: a line at a quarter and at three quarters."""
    for axis in (2, 3):
        side = picture.shape[axis]
        shape = [*picture.shape]
        shape.insert(axis + 1, 2)
        lines = picture.new_empty(shape)
        for half, (here, there) in enumerate(((1, 0), (0, 1))):
            line = torch.mul(picture, 0.75, out=lines.select(axis + 1, half))
            line.narrow(axis, here, side - 1).add_(picture.narrow(axis, there, side - 1), alpha=0.25)
        picture = lines.flatten(axis, axis + 1)
    return picture


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
        self.rough_rows: frozenset[int] | None = None  # of the convs that a rough picture draws in bfloat16, once known
        self._search: Iterator[None] | None = None
        self._last: list[bytes] = []

    @staticmethod
    def fits(network: StyleGAN2) -> bool:
        """Whether this form draws the network: the options that all published checkpoints use."""
        a = network.architecture
        ordinary = torch.equal(network.get_buffer("fir").cpu(), fir_filter([1, 3, 3, 1]))
        return ordinary and a["activation"] == "lrelu" and int(a["kernel_size"]) == 3 and network.resolution >= 8

    def trim(self) -> None:
        """Let go of the weights of rough pictures; the next one lays them out again."""
        for block in self.blocks:
            for _, conv in block.convs:
                conv.rough = None

    def noise_gains(self) -> list[float]:
        """What a standard normal map is multiplied by in each layer: the layer's strength and the activation's gain."""
        return [conv.noise_gain for block in self.blocks for _, conv in block.convs]

    def steps(
        self, ws: Tensor, noise: Sequence[Tensor | None], signature: Sequence[bytes], size: int, *, rough: bool = False
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw; like ``Network.steps`` of a checked call. A yield stands after each layer of the larger blocks too.

        Args:
            ws: [N, num_ws, C].
            noise: for each conv, [1 or N, 1, r, r] with all gains in, or None.
            signature: for each conv, bytes that tell its noise from another.
            size: where to stop.
            rough: whether layers may be drawn in bfloat16, where that pays. The first time, that is found out.
        """
        if rough and self.rough_rows is None:
            if self._search is None:
                self._search = self._find_rough(ws[:1], [None if m is None else m[:1] for m in noise])
            for _ in self._search:  # where a newer request stopped it, that goes on with it
                yield 4, None
        rows = self.rough_rows if rough and self.rough_rows is not None else frozenset()
        signature = [mine + b"rough" * (row in rows) for row, mine in enumerate(signature)]
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
                yield block.size, block.rgb(x, ws[:, start], picture)
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
                    picture = self.blocks[index - 1].rgb(x, ws[:, row], picture)  # type: ignore[misc]
                if block.skip is not None and number == 0:
                    skip = upsample2d(functional.conv2d(x, block.skip), self.fir)
                if keys and row > start and (x.shape[2] <= _ALWAYS_KEPT or row == pivot) and block.skip is None:
                    self.cache.put(keys[row], Entry(x, below if first_of_block else picture))
                last = number == len(block.convs) - 1
                # The strip's RGB can be done along only where nothing is added to the map afterwards.
                along = last and block.rgb is not None and block.skip is None
                rgb = block.rgb.matrix(ws[:, block.rgb_row]) if along and block.rgb is not None else None
                x, done = conv(x, ws[:, row], noise[row], rgb, rough=row in rows)
                if not last and block.size >= 256:
                    yield block.size, None
            if skip is not None:
                x = x + skip
            if block.size == size and keys and (block.size <= _ALWAYS_KEPT or top == pivot) and block.skip is None:
                self.cache.put(keys[top], Entry(x, picture))
            if block.rgb is not None:
                below = picture
                picture = block.rgb(x, ws[:, block.rgb_row], picture, done)
            yield block.size, picture
            if block.size == size:
                return

    def _find_rough(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Iterator[None]:
        """Draw a face both ways, layer by layer, and choose the layers that are faster in bfloat16: none where it shows."""
        if any(block.skip is not None for block in self.blocks) or not bfloat16.pays():
            self.rough_rows = frozenset()
            return
        digest = hashlib.blake2b(digest_size=8)
        for block in self.blocks:
            for _, conv in block.convs:
                digest.update(conv.squares.cpu().numpy().tobytes())
        threads = torch.get_num_threads()
        question = f"layers in bfloat16, generator {digest.hexdigest()}, {threads} threads"
        known = trials.standing(question, threads)
        rows = {row for block in self.blocks for row, _ in block.convs}
        if known is not None and all(part.isdecimal() and int(part) in rows for part in known.split()):
            self.rough_rows = frozenset(map(int, known.split()))
            return
        doubtful = trials.busy(threads)
        now = time.thread_time if threads == 1 else time.perf_counter
        maps = {True: self.const, False: self.const}  # rough, exact
        pictures: dict[bool, Tensor | None] = dict.fromkeys(maps)
        chosen = []
        for block in self.blocks:
            for row, conv in block.convs:
                last = block.rgb if row == block.rgb_row - 1 else None
                matrix = None if last is None else last.matrix(ws[:, block.rgb_row])
                times = dict.fromkeys(maps, math.inf)
                drawn: dict[bool, tuple[Tensor, Tensor | None]] = {}
                for rough in (True, False, True, False):  # the first two touch new memory, and lay out weights
                    start = now()
                    drawn[rough] = conv(maps[rough], ws[:, row], noise[row], matrix, rough=rough)
                    times[rough] = min(times[rough], now() - start)
                    yield
                for rough, (x, rgb) in drawn.items():
                    maps[rough] = x
                    if last is not None:
                        pictures[rough] = last(x, ws[:, block.rgb_row], pictures[rough], rgb)
                if times[True] * bfloat16.GAIN < times[False]:
                    chosen.append(row)
        one, other = (picture.clamp(-1, 1) for picture in pictures.values() if picture is not None)
        near = float((one - other).square().mean()) <= 4 / 10 ** (ROUGH_PSNR / 10)
        self.rough_rows = frozenset(chosen if near else ())
        answer = " ".join(map(str, sorted(self.rough_rows)))
        trials.keep(question, answer, doubtful=doubtful or trials.busy(threads))

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
                picture = block.rgb.differentiable(x, ws[:, block.rgb_row], picture, self.fir)
            yield block.size, picture
            if block.size == size:
                return
