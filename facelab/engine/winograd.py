"""3x3 convolutions with fewer multiplications: along the rows, along the columns, or along both, in tiles.

``m`` neighbouring outputs of a line that is convolved with ``k`` taps take m + k - 1 products in place of m k: the inputs
and the taps are taken as polynomials, evaluated at as many points, multiplied there, and taken back. A convolution in two
dimensions nests one in rows and one in columns. A strip of the map goes through four steps, each a matrix product on what
still lies in the cache: rows in, columns in, the products over the channels, columns out and rows out.

A transposed convolution with stride 2 gives two outputs a place: the even ones read two taps, the odd one a single tap
from the same inputs, so both share the points.

Sources: Toom 1963; Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"
(arXiv:1509.09308).
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine import trials

_POINTS = (
    0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    0.5,
    -0.5,
)  # and infinity: small powers of two, so that little is lost to rounding
_ONE = 1  # index of the point one: its products are added to all outputs alike
_TILES = {False: (4, 6), True: (3, 6)}  # places a side of a tile: plain, transposed; more than six lose too many digits
_LEAST_CHANNELS = 48  # below, tiles never gained on any processor
_LEAST_LENGTH = {False: 16, True: 32}  # below, reading the weights takes longer than multiplying
_LIGHT = 128 * 128  # pairs of channels: up to these, weights are scaled rather than maps
_TOGETHER = 16 << 20  # bytes of points of small pictures that are worked on together, so that weights are read once
_LAST = torch.channels_last


class Form(enum.Enum):
    """How a 3x3 convolution is computed; which is fastest depends on its shape and on the processor."""

    DIRECT = "the library's own convolution"
    ROWS = "the points along rows alone; along the columns, the library's own convolution"
    BATCHED = "tiles, multiplied by batched matrix products"
    GROUPED = (
        "tiles, multiplied by grouped 1x1 convolutions of oneDNN, which keeps its pace where MKL does not (on AMD)"
    )


@dataclass(frozen=True, eq=False)
class Line:
    """A convolution of a line with few products.

    Attributes:
        places: m; each has ``phases`` outputs.
        phases: 1, or 2 of a transposed convolution with stride 2.
        inputs: [n, m + k - 1], n = m + k - 1 points.
        weights: [phases, n, 3], from taps to points, float64.
        outputs: [m, n], of every phase.
    """

    places: int
    phases: int
    inputs: Tensor
    weights: Tensor
    outputs: Tensor

    @property
    def points(self) -> int:
        return self.inputs.shape[0]

    def first(self, phase: int) -> int:
        """The first point that this phase reads: its only tap vanishes at zero."""
        return phase


@functools.cache
def _line(places: int, up: bool) -> Line:
    taps = 2 if up else 3
    n = places + taps - 1

    def powers(count: int) -> Tensor:
        rows = [[point**i for i in range(count)] for point in _POINTS[: n - 1]]
        return torch.tensor([*rows, [0.0] * (count - 1) + [1.0]], dtype=torch.float64, device="cpu")

    inputs = torch.linalg.inv(powers(n)).t()
    size = inputs.abs().amax(1, keepdim=True)
    weights = powers(taps) * size
    if up:
        # The even output of place i reads inputs i - 1 and i with taps 2 and 0, the odd one input i with tap 1.
        nothing = torch.zeros(n, dtype=torch.float64, device="cpu")
        even = torch.stack([weights[:, 1], nothing, weights[:, 0]], 1)
        odd = torch.stack([nothing, weights[:, 1], nothing], 1)
        weights = torch.stack([even, odd])
    else:
        weights = weights[None]
    return Line(places, len(weights), (inputs / size).float(), weights, powers(places).t().float().contiguous())


def _places(length: int, up: bool) -> int:
    """The tiles that take the least work on a map of this many places a side; reading a weight costs as much as some tiles."""

    def work(places: int) -> float:
        line = _line(places, up)
        points = sum(line.points - line.first(phase) for phase in range(line.phases))
        return (math.ceil(length / places) ** 2 + 32) * points * line.points * line.phases

    return min(_TILES[up], key=work)


def _across(length: int, places: int) -> int:
    """Tiles in a row of tiles. With one to spare, those of a row and of the next lie at one distance and need no copy."""
    tiles = math.ceil(length / places)
    return tiles + (tiles >= 16)


def _at_a_time(length: int, places: int, channels: int) -> int:
    """Tiles that are multiplied at a time: whole rows of them, enough for the products to keep their pace."""
    across, down = _across(length, places), math.ceil(length / places)
    wanted = min(down, max(1, round(max(128, 12288 // channels) / across)))
    # Of numbers of rows near to it, the one whose last strip is the fullest.
    rows = min(range(wanted, min(down, 2 * wanted) + 1), key=lambda rows: math.ceil(down / rows) * rows)
    return across * rows


@functools.cache
def fastest(ins: int, outs: int, length: int, up: bool, threads: int) -> Form:
    """The form that convolves a map of ``length`` places a side fastest here, by trying some of its rows.

    Tried once for each shape, and kept (see ``trials``); ``threads`` is torch's number of threads, on which the answer depends.
    """
    forms = []
    if length >= _LEAST_LENGTH[up] and min(ins, outs) >= _LEAST_CHANNELS:
        forms.append(_tiled(threads) if _packs(ins, outs) else Form.BATCHED)
    if not up and length >= 256:
        forms.append(Form.ROWS)
    if up or ins * outs < 256 * 256 or length < 32:  # else it has always lost
        forms.insert(0, Form.DIRECT)
    if len(forms) == 1:
        return forms[0]
    places = _places(length, up)
    side = length - up
    together = _at_a_time(length, places, max(ins, outs)) // _across(length, places)
    fewest = 8 if Form.ROWS in forms else 1
    rows = min(side, places * together * math.ceil(fewest / together) - up)  # whole strips: a part of one takes as long

    def runs() -> dict[str, Callable[[], object]]:
        x = torch.full((1, ins, rows, side), 0.5).contiguous(memory_format=_LAST)
        made: dict[str, Callable[[], object]] = {}
        for form in forms:
            if form is not Form.DIRECT:
                weight = Weight.blank(ins, outs, form, up, length)
                made[form.name] = lambda weight=weight: convolve(x, weight)  # type: ignore[misc]
            elif up:
                kernel = torch.full((ins, outs, 3, 3), 0.01).contiguous(memory_format=_LAST)
                made[form.name] = lambda kernel=kernel: functional.conv_transpose2d(x, kernel, stride=2)  # type: ignore[misc]
            else:
                kernel = torch.full((outs, ins, 3, 3), 0.01).contiguous(memory_format=_LAST)
                made[form.name] = lambda kernel=kernel: functional.conv2d(x, kernel, padding=1)  # type: ignore[misc]
        return made

    kind = "transposed 3x3 convolution" if up else "3x3 convolution"
    question = f"{kind}, {ins} to {outs} channels, {length} places, {threads} threads"
    return Form[trials.fastest(question, [form.name for form in forms], runs, threads)]


@functools.cache
def _tiled(threads: int) -> Form:
    """Which of the forms in tiles multiplies faster on this processor."""

    def runs() -> dict[str, Callable[[], object]]:
        channels, points, tiles = 256, 8, 128
        x, weight = torch.full((tiles, points, channels), 0.5), torch.full((points, channels, channels), 0.01)
        packed = _pack(weight.view(-1, channels, 1, 1), points, tiles)
        return {
            Form.BATCHED.name: lambda: torch.bmm(x.transpose(0, 1), weight),
            Form.GROUPED.name: lambda: _grouped(x.view(tiles, -1), packed, points),
        }

    return Form[trials.fastest(f"tiles, {threads} threads", [Form.BATCHED.name, Form.GROUPED.name], runs, threads)]


def _packs(ins: int, outs: int) -> bool:
    """Whether oneDNN's grouped convolution runs at full pace: its kernels take sixteen channels at a time."""
    return ins % 16 == 0 and outs % 16 == 0 and onednn()


@functools.cache
def onednn() -> bool:
    """Whether torch offers oneDNN's convolution with weights that were laid out beforehand, and it computes what it should."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with torch.no_grad():
            x = torch.arange(2 * 32.0).view(2, 32)
            weight = torch.eye(16).repeat(2, 1) * torch.tensor([[1.0]] * 16 + [[2.0]] * 16)
            packed = _pack(weight.view(32, 16, 1, 1), 2, 2)
            want = x * torch.tensor([1.0] * 16 + [2.0] * 16)
            return bool(torch.equal(_grouped(x, packed, 2), want))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def _pack(weight: Tensor, groups: int, count: int) -> Tensor:
    """Weights [groups O, I, 1, 1] as oneDNN wants them for ``count`` rows; with any other number it is many times slower."""
    like = [1, groups * weight.shape[1], 1, count]
    weight = weight.contiguous(memory_format=_LAST)
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, (0, 0), (1, 1), (1, 1), groups, like)
    return packed


def _grouped(x: Tensor, packed: Tensor, groups: int) -> Tensor:
    """x [n, groups I] to [n, groups O], group by group."""
    image = x.view(1, 1, *x.shape).permute(0, 3, 1, 2)  # [1, groups I, 1, n] in channels_last
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        image, packed, None, (0, 0), (1, 1), (1, 1), groups, "none", [], ""
    )
    return y.permute(0, 2, 3, 1).reshape(len(x), -1)


class Weight:
    """The weights of a layer at the points.

    Attributes:
        ins, outs: channels.
        form: how they are multiplied; not DIRECT.
        up: whether the convolution is transposed, with stride 2.
        line: along both axes; of ROWS, along the rows.
        at_a_time: tiles that are multiplied at a time.
    """

    def __init__(self, points: list[Tensor], form: Form, up: bool, length: int, places: int) -> None:
        """``points``: for each point along the rows [q, row phases x column phases x O, I] over the points along the
        columns, or of ROWS [O, I, 3]; see ``of``."""
        assert form is not Form.DIRECT
        self.form, self.up, self.line, self.length = form, up, _line(places, up), length
        if form is Form.ROWS:
            self.outs, self.ins = points[0].shape[:2]
            self._points = [p[:, :, None].contiguous(memory_format=_LAST) for p in points]
            return
        self.outs, self.ins = points[-1].shape[1] // self.line.phases**2, points[0].shape[2]
        self.at_a_time = _at_a_time(length, places, max(self.ins, self.outs))
        if form is Form.GROUPED:
            self._points = [_pack(p.reshape(-1, self.ins, 1, 1), len(p), self.at_a_time) for p in points]
        else:
            self._points = [p.transpose(1, 2).contiguous() for p in points]

    @classmethod
    def of(cls, weight: Tensor, form: Form, length: int, *, up: bool = False, places: int | None = None) -> Weight:
        """Of a layer's weights [O, I, 3, 3], for maps of ``length`` places a side (others take longer)."""
        places = _places(length, up) if places is None else places
        line = _line(places, up)
        # Formed in float64: its rounding would be seen in every picture.
        rows = torch.einsum("apk,oikl->paoil", line.weights, weight.detach().to(torch.float64))
        if form is Form.ROWS:
            return cls([p[0].float() for p in rows], form, up, length, places)
        points = []
        for index, row in enumerate(rows):
            phases = [a for a in range(line.phases) if line.first(a) <= index]
            both = torch.einsum("aoil,bql->qaboi", row[phases], line.weights)
            points.append(both.float().reshape(line.points, -1, weight.shape[1]))
        return cls(points, form, up, length, places)

    @classmethod
    def blank(cls, ins: int, outs: int, form: Form, up: bool, length: int) -> Weight:
        """Made-up ones, to try a form with."""
        places = _places(length, up)
        line = _line(places, up)
        if form is Form.ROWS:
            return cls([torch.full((outs, ins, 3), 0.01)] * line.points, form, up, length, places)
        phases = [sum(line.first(a) <= p for a in range(line.phases)) * line.phases for p in range(line.points)]
        return cls([torch.full((line.points, n * outs, ins), 0.01) for n in phases], form, up, length, places)

    @classmethod
    def where_it_pays(cls, weight: Tensor, length: int, *, up: bool = False) -> Weight | None:
        """Of a layer on maps of ``length`` places a side, or None where the library's own convolution is faster (or not on a CPU).

        The places are those of the output, or of a transposed convolution one more than those of the input.
        """
        if weight.device.type != "cpu":
            return None
        outs, ins = weight.shape[:2]
        form = fastest(ins, outs, length, up, torch.get_num_threads())
        return None if form is Form.DIRECT else cls.of(weight, form, length, up=up)

    def turned(self, weight: Tensor) -> Weight:
        """Of the convolution that takes the gradient of the output of this one, of ``weight``, to that of its input."""
        assert not self.up
        return self.of(weight.flip(2, 3).transpose(0, 1), self.form, self.length)

    @property
    def light(self) -> bool:
        """Whether scaling the weights for one picture is less work than scaling its maps."""
        return self.form is Form.ROWS or (self.form is Form.BATCHED and self.ins * self.outs <= _LIGHT)

    def points(self, styles: Tensor | None = None, gains: Tensor | None = None) -> list[Tensor]:
        """For each point along the rows the weights as they are multiplied; of a light one, times [I] and [O]."""
        if styles is None and gains is None:
            return self._points
        scale = torch.ones(self.ins) if styles is None else styles
        outs = torch.ones(self.outs) if gains is None else gains
        if self.form is Form.ROWS:
            both = scale[:, None, None] * outs[:, None, None, None]
            return [(p * both).contiguous(memory_format=_LAST) for p in self._points]
        both = scale[:, None] * outs
        return [(p.view(*p.shape[:2], -1, self.outs) * both[:, None]).view(p.shape) for p in self._points]

    def products(self, points: Tensor, tiles: Tensor) -> Tensor:
        """``at_a_time`` tiles [N, q, I] at one point along the rows to [N, q, row phases, column phases x O]."""
        count, q = tiles.shape[:2]
        if self.form is Form.GROUPED:
            product = _grouped(tiles.view(count, -1), points, q).view(count, q, -1)
        else:
            product = torch.bmm(tiles.transpose(0, 1), points).transpose(0, 1)
        return product.view(count, q, -1, self.line.phases * self.outs)


def convolve(
    x: Tensor,
    weight: Weight,
    *,
    styles: Tensor | None = None,
    gains: Tensor | None = None,
    bias: Tensor | None = None,
    padding: int = 1,
    finish: Callable[[Tensor, int, int, int], None] | None = None,
) -> Tensor:
    """Convolve, strip by strip.

    Args:
        x: [N, I, H, W] in channels_last.
        weight: the weights at the points.
        styles: [N, I], multiplied onto the input, or None.
        gains: [N, O], multiplied onto the output, or None.
        bias: [O], added then, or None.
        padding: of zeros, 1 or 2; of a transposed convolution, 1.
        finish: called for each strip with (a strip of the output [n, rows, W', O], first sample, first row, last row + 1).

    Returns:
        [N, O, H', W'] in channels_last, of the size of the input plus 2 (padding - 1); of a transposed convolution 2 H + 1.
    """
    count, _, height, width = x.shape
    line, phases = weight.line, weight.line.phases
    high, wide = (2 * side + 1 if weight.up else side + 2 * padding - 2 for side in (height, width))
    source = x.permute(0, 2, 3, 1)
    out = x.new_empty(count, high, wide, weight.outs)
    length = math.ceil(wide / phases)
    down = math.ceil(math.ceil(high / phases) / line.places)
    strip = _Strip(weight, x, down, length, wide, padding)
    for first in range(0, count, strip.together):
        last = min(first + strip.together, count)
        # Of one picture, small weights take styles and gains; else they scale the strips.
        light = weight.light and last - first == 1
        inner, outer = (None if t is None else t[first:last] for t in (styles, gains))
        if light:
            strip.use(weight.points(*(None if t is None else t[0] for t in (inner, outer))), bias)
        else:
            strip.use(weight.points(), None)
        for top in range(0, down, strip.rows):
            bottom = min(top + strip.rows, down)
            start, end = phases * line.places * top, min(phases * line.places * bottom, high)
            begin = max(line.places * top - padding, 0)
            given = source[first:last, begin : line.places * (bottom - 1) - padding + line.points]
            strip.take(given if light or inner is None else given * inner[:, None, None], top, bottom, height)
            part = out[first:last, start:end]
            strip.give(part, top, bottom, high)
            if not light:
                _scale(part, outer, bias)
            if finish is not None:
                finish(part, first, start, end)
    return out.permute(0, 3, 1, 2)


def _scale(part: Tensor, gains: Tensor | None, bias: Tensor | None) -> None:
    """A part [n, h, W, O] of the output times [n, O], plus [O], in place."""
    if gains is not None and bias is not None:
        torch.addcmul(bias, part, gains[:, None, None], out=part)
    elif gains is not None:
        part.mul_(gains[:, None, None])
    elif bias is not None:
        part.add_(bias)


class _Strip:
    """What a strip of tile rows of some samples is worked on in."""

    def __init__(self, weight: Weight, x: Tensor, down: int, length: int, wide: int, padding: int) -> None:
        count, ins, _, width = x.shape
        line = self.line = weight.line
        self.weight, self.padding, self.width, self.wide = weight, padding, width, wide
        m = line.places
        if weight.form is Form.ROWS:
            self.reach, self.together = width, 1
            self.rows = min(down, max(1, 4096 // width))
            outputs = wide * weight.outs
        else:
            self.across = _across(length, m)
            self.reach = m * self.across + (line.points - m if self.across * m - length < m else 0)
            self.rows = min(down, max(1, weight.at_a_time // self.across))
            size = 4 * line.points * down * self.reach * ins
            self.together = max(1, min(count, _TOGETHER // size)) if self.rows == down else 1
            outputs = line.phases * m * self.across * weight.outs
        lines = self.together * self.rows
        numbers = line.points * lines * self.reach * ins
        self._in = x.new_zeros(numbers + line.points * ins)[:numbers].view(line.points, lines, self.reach, ins)
        self._out = [x.new_empty(line.points - line.first(a), lines, outputs) for a in range(line.phases)]
        if weight.form is not Form.ROWS:
            turns = math.ceil(lines * self.across / weight.at_a_time)
            self._tiles = x.new_zeros(turns * weight.at_a_time, line.points, ins)

    def use(self, points: list[Tensor], bias: Tensor | None) -> None:
        """Multiply by these weights, and add [O]: to the products at one, which go into all outputs alike."""
        self.points, self.bias = points, bias

    def take(self, given: Tensor, top: int, bottom: int, height: int) -> None:
        """Rows in: of the strip's part of the input [n, h, W, I] to the points along the rows."""
        m, n = self.line.places, self.line.points
        begin = max(m * top - self.padding, 0)
        into = self._in if self.weight.form is Form.ROWS else self._in[:, :, self.padding : self.padding + self.width]
        for sample in range(len(given)):
            for index in range(top, bottom):
                start = m * index - self.padding
                low, high = max(start, 0), min(start + n, height)
                rows = given[sample, low - begin : high - begin].reshape(high - low, -1)
                place = into[:, sample * (bottom - top) + index - top].view(n, -1)
                torch.mm(self.line.inputs[:, low - start : high - start], rows, out=place)

    def give(self, part: Tensor, top: int, bottom: int, high: int) -> None:
        """Columns in, products, columns out, and rows out to a part [n, h, W', O] of the output."""
        line, m = self.line, self.line.places
        lines = len(part) * (bottom - top)
        for row in range(line.points):
            if self.weight.form is Form.ROWS:
                self._along_columns(row, lines)
            else:
                self._by_tiles(row, lines)
        used = self.wide * part.shape[3]
        for sample in range(len(part)):
            for index in range(top, bottom):
                for phase, values in enumerate(self._out):
                    at = line.phases * m * (index - top) + phase
                    rows = part[sample, at : at + line.phases * m : line.phases]
                    matrix = line.outputs[: len(rows), line.first(phase) :]
                    torch.mm(
                        matrix, values[:, sample * (bottom - top) + index - top, :used], out=rows.view(len(rows), used)
                    )

    def _along_columns(self, row: int, lines: int) -> None:
        image = self._in[row, :lines].permute(2, 0, 1)[None]
        bias = self.bias if row == _ONE else None
        result = functional.conv2d(image, self.points[row], bias, padding=(0, self.padding))
        self._out[0][row, :lines].view(lines, self.wide, -1).copy_(result[0].permute(1, 2, 0))

    def _by_tiles(self, row: int, lines: int) -> None:
        line, m, n = self.line, self.line.places, self.line.points
        ins = self.weight.ins
        count = lines * self.across
        size, stride = (lines, self.across, n, ins), (self.reach * ins, m * ins, ins, 1)
        gathered = self._in[row].as_strided(size, stride).reshape(count, n, ins)
        torch.bmm(line.inputs.expand(count, n, n), gathered, out=self._tiles[:count])
        phases = [a for a in range(line.phases) if line.first(a) <= row]
        for start in range(0, count, self.weight.at_a_time):
            end = min(start + self.weight.at_a_time, count)
            tiles = self._tiles[start : start + self.weight.at_a_time]  # always as many
            products = self.weight.products(self.points[row], tiles)[: end - start]
            for index, phase in enumerate(phases):
                values = self._out[phase][row - line.first(phase), :lines].view(count, m, -1)[start:end]
                torch.bmm(line.outputs.expand(end - start, m, n), products[:, :, index], out=values)
                if self.bias is not None and row == _ONE:
                    values.view(end - start, m, line.phases, -1).add_(self.bias)


class Convolution(torch.autograd.Function):
    """The same convolution with a gradient for its input; the weights are constants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Weight, back: Callable[[Tensor], Tensor]) -> Tensor:
        """``back`` takes the gradient of the output, in channels_last, to that of the input."""
        ctx.back = back
        return convolve(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return ctx.back(gradient.contiguous(memory_format=_LAST)), None, None
