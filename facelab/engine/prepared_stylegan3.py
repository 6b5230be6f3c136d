"""StyleGAN3 made ready to draw fast on a CPU: its resampling filters as depthwise convolutions of phases.

A map that is upsampled by ``u`` is never made. Its ``u`` phases along each axis are kept side by side, each a map of the input's
size: phase p holds the samples p, p + u, p + 2u... The upsampling filter gives phase p by a short filter of its own from the
input; the activation works on each phase alone; the downsampling filter sums short filters of the phases. All of these are
depthwise convolutions in channels_last, which run near the memory's pace, and no multiplication with an inserted zero is made.
The activation and the sums are oneDNN's, made while a value is at hand; the clamp only acts where a value may come near it.

Source of the network: Karras et al. 2021 (arXiv:2106.12423); polyphase decomposition: Vaidyanathan 1990.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine.prefix import Entry, PrefixCache
from facelab.engine.prepared_stylegan2 import Style
from facelab.engine.winograd import Weight, convolve, onednn
from facelab.nets.stylegan3 import FilteredLayer, FourierInput, StyleGAN3, inverse_of

_LAST = torch.channels_last
_SLOPE = 0.2
_ALWAYS_KEPT = 4 << 20  # numbers: larger maps are only kept where the person is at work


def up_kernels(taps: Tensor, up: int, before: int) -> tuple[Tensor, int]:
    """The filter of each phase when a line is upsampled.

    Args:
        taps: [n], convolved; its gain included.
        up: the factor u.
        before: zeros before the upsampled line; negative crops.

    Returns:
        Kernels [u, t] to correlate with the input line, and the offset of their first tap from the phase's position.
    """
    flipped = taps.flip(0)
    n = len(flipped)
    firsts = [(before - p) % up for p in range(up)]
    offsets = [(p + first - before) // up for p, first in enumerate(firsts)]
    lengths = [-(-(n - first) // up) for first in firsts]
    start = min(offsets)
    kernels = taps.new_zeros(up, max(o + count for o, count in zip(offsets, lengths, strict=True)) - start)
    for p in range(up):
        kernels[p, offsets[p] - start : offsets[p] - start + lengths[p]] = flipped[firsts[p] :: up]
    return kernels, start


def down_positions(n: int, up: int, down: int, phase_out: int) -> list[tuple[int, int]]:
    """For each tap of a downsampling filter: which phase it reads, and how far from the output's place, for one output phase."""
    return [divmod(phase_out * down + k, up)[::-1] for k in range(n)]


def down_kernels(taps: Tensor, up: int, down: int) -> Tensor:
    """The filters of phases when a line of ``up`` phases is downsampled: [up / down, up, t], to be correlated and summed."""
    flipped = taps.flip(0)
    n, outs = len(flipped), up // down
    length = ((outs - 1) * down + n - 1) // up + 1
    kernels = taps.new_zeros(outs, up, length)
    for e in range(outs):
        for k, (phase, place) in enumerate(down_positions(n, up, down, e)):
            kernels[e, phase, place] = flipped[k]
    return kernels


def radial_kernels(taps: Tensor, up: int, down: int) -> Tensor:
    """The same for a filter [n, n] that does not separate: [up / down, up / down, up, up, t, t]."""
    flipped = taps.flip(0, 1)
    n, outs = len(flipped), up // down
    length = ((outs - 1) * down + n - 1) // up + 1
    kernels = taps.new_zeros(outs, outs, up, up, length, length)
    for ey in range(outs):
        rows = down_positions(n, up, down, ey)
        for ex in range(outs):
            columns = down_positions(n, up, down, ex)
            for i, (py, y) in enumerate(rows):
                for j, (px, x) in enumerate(columns):
                    kernels[ey, ex, py, px, y, x] = flipped[i, j]
    return kernels


def _depthwise(kernel: Tensor, channels: int) -> Tensor:
    """A kernel [h, w] for every channel, laid out for oneDNN."""
    return kernel.expand(channels, 1, *kernel.shape).contiguous(memory_format=_LAST)


def _filtered(
    x: Tensor, kernel: Tensor, *, stride: int = 1, total: Tensor | None = None, activate: bool = False
) -> Tensor:
    """x [N, C, H, W] filtered by a kernel of ``_depthwise``, added to ``total`` (in place), or with the activation behind it.

    oneDNN does both while a value is at hand; of the library's operations each would go through the map once more.
    """
    channels, steps = x.shape[1], (stride, stride)
    if not onednn():
        y = functional.conv2d(x, kernel, stride=stride, groups=channels)
        y = functional.leaky_relu_(y, _SLOPE) if activate else y
        return y if total is None else total.add_(y)
    place: tuple[Any, ...] = ((0, 0), steps, (1, 1), channels)
    if total is not None:
        add = torch.ops.mkldnn._convolution_pointwise_.binary
        return cast(Tensor, add(total, x, kernel, None, *place, "add", 1.0, None, [], None))
    kind, scalars = ("leaky_relu", [_SLOPE]) if activate else ("none", [])
    return cast(Tensor, torch.ops.mkldnn._convolution_pointwise(x, kernel, None, *place, kind, scalars, ""))


class Layer:
    """A convolution, then upsampling, activation and downsampling in phases."""

    def __init__(self, layer: FilteredLayer, side: int) -> None:
        """``side`` is that of its input."""
        self.kernel, self.torgb = layer.kernel, layer.torgb
        self.ins, self.outs = layer.in_channels, layer.out_channels
        self.up, self.down = layer.up, layer.down
        self.clamp = layer.conv_clamp
        self.padding = layer.padding
        gain = 1.0 if self.torgb else math.sqrt(2)
        scale = float(layer.magnitude_ema.rsqrt())
        weight = layer.weight.detach()
        if self.torgb:
            self.style = Style.of(layer.affine, scale / math.sqrt(self.ins * self.kernel**2))
        else:
            weight = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
            self.style = Style.of(layer.affine)
        self.gain, self.scale = gain, scale
        self.squares = weight.square().sum([2, 3]).t().contiguous()
        self.bias = layer.bias.detach() * gain
        self.tiles = Weight.where_it_pays(weight, side + 2) if self.kernel == 3 and not self.torgb else None
        self.weight = None if self.tiles is not None else weight.contiguous(memory_format=_LAST)
        up_filter, down_filter = layer.filter_of("up_filter"), layer.filter_of("down_filter")
        self.filtered = up_filter is not None
        if up_filter is not None:
            taps = up_filter * self.up
            left, _, top, _ = self.padding
            rows, self.row_start = up_kernels(taps, self.up, top)
            columns, self.column_start = up_kernels(taps, self.up, left)
            self.up_taps = up_filter.numel()
            self.reach = rows.shape[1], columns.shape[1]
            # How many times larger than the largest input an upsampled value can be.
            self.most = float(rows.abs().sum(1).max() * columns.abs().sum(1).max())
            self.up_rows = [_depthwise(k[:, None], self.outs) for k in rows]
            self.up_columns = [_depthwise(k[None], self.outs) for k in columns]
            self._prepare_down(down_filter)

    def _prepare_down(self, taps: Tensor | None) -> None:
        self.down_taps = 1 if taps is None else len(taps)
        taps = torch.ones(1, device=self.bias.device) if taps is None else taps
        self.radial = taps.ndim == 2
        if self.radial and self.up > self.down:
            self.disc = _depthwise(taps.flip(0, 1), self.outs)
        elif self.radial:
            kernels = radial_kernels(taps, self.up, self.down)
            self.down_planes = [
                [[[_depthwise(kernels[ey, ex, py, px], self.outs) for px in range(self.up)] for py in range(self.up)]
                 for ex in range(len(kernels))] for ey in range(len(kernels))
            ]  # fmt: skip
        else:
            lines = down_kernels(taps, self.up, self.down)
            self.down_rows = [[_depthwise(k[:, None], self.outs) for k in phases] for phases in lines]
            self.down_columns = [[_depthwise(k[None], self.outs) for k in phases] for phases in lines]
        self.down_reach = ((self.up // self.down - 1) * self.down + self.down_taps - 1) // self.up + 1

    @staticmethod
    def fits(layer: FilteredLayer) -> bool:
        """Whether the phases of this layer come out even; else the network's own form draws it."""
        if layer.filter_of("up_filter") is None:
            return layer.up == layer.down == 1 and layer.filter_of("down_filter") is None
        return layer.up % layer.down == 0 and layer.up > 1

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        x = self._convolve(x, w)
        if not self.filtered:
            left, right, top, bottom = self.padding
            x = functional.pad(x, (left, right, top, bottom))
            return self._activate(x if x.is_contiguous(memory_format=_LAST) else x.contiguous(memory_format=_LAST))
        return self._filter(x)

    def _convolve(self, x: Tensor, w: Tensor) -> Tensor:
        """The modulated convolution with bias and gains."""
        styles = self.style(w)
        grown = self.kernel - 1
        if self.torgb:
            demodulation = None
        else:
            styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
            demodulation = (torch.mm(styles.square(), self.squares) + 1e-8).rsqrt_().mul_(self.gain)
            styles = styles * self.scale
        if self.tiles is not None:
            return convolve(x, self.tiles, styles=styles, gains=demodulation, bias=self.bias, padding=2)
        assert self.weight is not None
        if len(x) == 1:
            weight = self.weight * styles.view(1, -1, 1, 1)
            if demodulation is not None:
                weight = weight * demodulation.view(-1, 1, 1, 1)
            return functional.conv2d(x, weight, self.bias, padding=grown)
        x = functional.conv2d(x * styles[:, :, None, None], self.weight, padding=grown)
        if demodulation is not None:
            x.mul_(demodulation[:, :, None, None])
        return x.add_(self.bias[:, None, None])

    def _filter(self, x: Tensor) -> Tensor:
        up, down = self.up, self.down
        height, width = x.shape[2:]
        left, right, top, bottom = self.padding
        sizes = [n * up + a + b - self.up_taps + 1 for n, a, b in ((height, top, bottom), (width, left, right))]
        ends = [(n - self.down_taps) // down + 1 for n in sizes]  # of the outputs
        places = [-(-n // (up // down)) for n in ends]  # outputs of each output phase
        wanted = [n + self.down_reach - 1 for n in places]  # samples of each phase that they read
        pads = []
        for start, reach, count, given in (
            (self.column_start, self.reach[1], wanted[1], width),
            (self.row_start, self.reach[0], wanted[0], height),
        ):
            pads += [-start, count + reach - 1 + start - given]
        bounded = self.clamp is None or float(torch.linalg.vector_norm(x, math.inf)) * self.most <= self.clamp
        x = functional.pad(x, pads)
        phases = []
        for rows in self.up_rows:
            row = _filtered(x, rows)
            phases.append([_filtered(row, columns, activate=not self.torgb) for columns in self.up_columns])
        if self.clamp is not None and not bounded:
            for phase in (phase for row in phases for phase in row):
                phase.clamp_(-self.clamp, self.clamp)
        y, x_ = ends
        if self.radial and up > down:
            # A disc of phases of phases is many small convolutions: one of all phases is faster.
            whole = _filtered(_interleave(phases), self.disc, stride=down)
            return whole[:, :, :y, :x_].contiguous(memory_format=_LAST)
        outputs = self._down(phases)
        if len(outputs) == 1:
            return outputs[0][0]
        return _interleave(outputs)[:, :, :y, :x_].contiguous(memory_format=_LAST)

    def _activate(self, x: Tensor) -> Tensor:
        if not self.torgb:
            functional.leaky_relu_(x, _SLOPE)
        if self.clamp is not None:
            x.clamp_(-self.clamp, self.clamp)
        return x

    def _down(self, phases: list[list[Tensor]]) -> list[list[Tensor]]:
        """Outputs by output phase, rows then columns."""
        reach = range(self.up)
        if self.radial:
            return [
                [_total((phases[py][px], plane[py][px]) for py in reach for px in reach) for plane in row]
                for row in self.down_planes
            ]
        lines = [
            [_total((phases[py][px], kernels[px]) for px in reach) for kernels in self.down_columns] for py in reach
        ]
        return [
            [_total((lines[py][ex], kernels[py]) for py in reach) for ex in range(len(self.down_columns))]
            for kernels in self.down_rows
        ]


def _total(parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of maps, each filtered by its kernel."""
    total = None
    for x, kernel in parts:
        total = _filtered(x, kernel, total=total)
    assert total is not None
    return total


def _interleave(phases: list[list[Tensor]]) -> Tensor:
    """Phases by row and column as one map."""
    first = phases[0][0]
    count, channels, height, width = first.shape
    r = len(phases)
    out = first.new_empty(count, height, r, width, r, channels)
    for ey, row in enumerate(phases):
        for ex, phase in enumerate(row):
            out[:, :, ey, :, ex].copy_(phase.permute(0, 2, 3, 1))
    return out.view(count, height * r, width * r, channels).permute(0, 3, 1, 2)


class PreparedStyleGAN3:
    """A StyleGAN3 on a device, ready to draw."""

    def __init__(self, network: StyleGAN3, cache: PrefixCache) -> None:
        self.network = network
        self.cache = cache
        source: FourierInput = network.synthesis.input  # type: ignore[assignment]
        sides = (source.size[0], *network.block_resolutions)
        self._layers = [Layer(layer, side) for layer, side in zip(_layers(network), sides, strict=False)]
        self._last: list[bytes] = []

    @staticmethod
    def fits(network: StyleGAN3) -> bool:
        """Whether this form draws the network: the factors of all published configurations."""
        return all(Layer.fits(layer) for layer in _layers(network))

    def steps(self, ws: Tensor, transform: Tensor | None) -> Iterator[tuple[int, Tensor | None]]:
        """Draw; a yield after each layer, the picture with the last.

        Args:
            ws: [N, num_ws, C].
            transform: [3, 3], by which the picture moves, or None for the file's own.
        """
        source: FourierInput = self.network.synthesis.input  # type: ignore[assignment]
        matrix = source.transform if transform is None else inverse_of(transform.to(source.transform))
        first, x, keys, pivot = 0, None, [], -1
        if len(ws) == 1:
            signature = [matrix.cpu().numpy().tobytes()]
            keys = self.cache.keys(ws[0], signature)
            pivot = sum(a == b for a, b in zip(keys[1:], self._last[1:], strict=False))
            self._last = keys
            first, entry = self.cache.longest(keys, len(self._layers))
            x = None if entry is None else entry.x
        if x is None:
            first, x = 1, source(ws[:, 0], matrix).contiguous(memory_format=_LAST)
        for row in range(first, len(self._layers) + 1):
            if keys and (x.numel() <= _ALWAYS_KEPT or row == pivot):
                self.cache.put(keys[row], Entry(x, None))
            x = self._layers[row - 1](x, ws[:, row])
            if row < len(self._layers):
                yield self.network.block_resolutions[row - 1], None
        yield self.network.resolution, (x * self.network.output_scale).contiguous()


def _layers(network: StyleGAN3) -> list[FilteredLayer]:
    return [getattr(network.synthesis, name) for name in network._names]
