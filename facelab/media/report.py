"""How well a set of photographs conforms to a generator: a table, plots and pictures, as one page of HTML and as CSV.

The page needs nothing but itself: pictures are data in it, plots are drawn in it, no script runs. Names in it may be anybody's.
"""

from __future__ import annotations

import base64
import colorsys
import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from facelab.faces.photo import Pixels
from facelab.media.curve import ticks

Values = npt.NDArray[np.float64]
SIDE = 160  # px of the pictures in the page
_POINTS = 240  # of a curve that are drawn
_WIDTH, _HEIGHT = 860, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 16, 16, 40


@dataclass(frozen=True, eq=False)
class Encoded:
    """One photograph that was encoded, with what is known of it.

    Attributes:
        name: the photograph's.
        settings: how it was encoded, in a few words.
        losses: the total loss of each step from 0 on; NaN where none is known.
        seconds: how long the run had worked after each step; NaN where that is not known, perhaps shorter.
        zero: the zero face's losses with the same settings, or None.
        target: the photograph's crop, uint8 [S, S, 3].
        found: what the generator draws instead, uint8 [S, S, 3], or None.
        identity: distance between the embeddings of the two, or None.
    """

    name: str
    settings: str
    losses: Values
    seconds: Values
    zero: Values | None
    target: Pixels
    found: Pixels | None = None
    identity: float | None = None

    @property
    def best(self) -> float:
        return _least(self.losses)

    def at(self, step: int, relative: bool = False) -> float:
        """The loss of step ``step`` (from 1), or its ratio to the zero face's there; NaN where there is none."""
        own = _item(self.losses, step - 1)
        return own / self._zero_at(step) if relative else own

    def best_relative(self) -> float:
        """The lowest loss as a multiple of the zero face's lowest."""
        return math.nan if self.zero is None else self.best / _least(self.zero)

    def time_to(self, level: float) -> float:
        """How many seconds of work it took until the loss first was at most ``level``; NaN where it never was, or is not known."""
        below = np.flatnonzero(self.losses <= level)
        known = np.flatnonzero(np.isfinite(self.seconds))
        if not len(below) or not len(known) or below[0] > known[-1]:
            return math.nan
        # Times are noted with every answer of the run, not with every step; it begins at none.
        return float(np.interp(below[0] + 1, [0, *(known + 1)], [0.0, *self.seconds[known]]))

    def psnr(self) -> float:
        """Peak signal to noise ratio of the found picture against the crop, in dB; NaN without one."""
        if self.found is None:
            return math.nan
        target = np.asarray(_sized(self.target, len(self.found)), np.float64)
        error = float(np.square(target - self.found).mean())
        return math.inf if error == 0 else 10 * math.log10(255**2 / error)

    def _zero_at(self, step: int) -> float:
        value = math.nan if self.zero is None else _item(self.zero, step - 1)
        return value if value > 0 else math.nan


@dataclass(frozen=True, eq=False)
class Report:
    """A set of encoded photographs.

    Attributes:
        generator: what it is called.
        rows: the photographs, in the order in which they are listed.
        steps: at which losses are told, from 1.
        level: the loss to which the time is told.
        same: the identity distance below which two pictures are taken for one person.
        notes: sentences that a reader should know.
    """

    generator: str
    rows: Sequence[Encoded]
    level: float
    steps: Sequence[int] = (10, 100, 1000)
    same: float = 0.6
    notes: Sequence[str] = field(default=())

    def columns(self) -> list[tuple[str, str, Callable[[Encoded], float]]]:
        """Heading, format and value of each column of numbers."""

        def at(step: int, relative: bool = False) -> Callable[[Encoded], float]:
            return lambda row: row.at(step, relative)

        return [
            *((f"loss at {n:,}", ".4g", at(n)) for n in self.steps),
            ("best loss", ".4g", lambda row: row.best),
            *((f"at {n:,} / zero face", ".3g", at(n, relative=True)) for n in self.steps),
            ("best / zero face", ".3g", Encoded.best_relative),
            (f"seconds to loss {self.level:.3g}", ".1f", lambda row: row.time_to(self.level)),
            ("identity distance", ".2f", lambda row: math.nan if row.identity is None else row.identity),
            ("PSNR, dB", ".1f", Encoded.psnr),
        ]

    def csv(self) -> str:
        """The table, as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = self.columns()
        writer.writerow(["photo", "settings", "steps", *(heading for heading, *_ in columns)])
        for row in self.rows:
            numbers = [value(row) for *_, value in columns]
            writer.writerow([
                _harmless(row.name), row.settings, _steps(row), *(f"{n:.7g}" if math.isfinite(n) else "" for n in numbers)
            ])  # fmt: skip
        return text.getvalue()

    def html(self) -> str:
        """The page."""
        columns = self.columns()
        zeros = {id(row.zero): row.zero for row in self.rows if row.zero is not None}
        colours = [_colour(i / len(self.rows)) for i in range(len(self.rows))]
        own = [_Line(row.name, row.losses, colour) for row, colour in zip(self.rows, colours, strict=True)]
        own += [_Line("zero face", zero, "currentColor", dashed=True) for zero in zeros.values()]
        ratios = [
            _Line(row.name, _ratio(row.losses, row.zero), colour)
            for row, colour in zip(self.rows, colours, strict=True) if row.zero is not None
        ]  # fmt: skip
        plots = f"<h2>Loss by step{', the zero face dashed' if zeros else ''}</h2>{_plot(own, 'loss')}"
        if ratios:
            plots += f"<h2>Loss as a multiple of the zero face's</h2>{_plot(ratios, 'times the zero face')}"
        head = "".join(f"<th>{escape(heading)}</th>" for heading, *_ in columns)
        body = "".join(
            f'<tr><th><span style="background:{colour}"></span>{escape(row.name)}</th>'
            + "".join(f"<td>{_number(value(row), form)}</td>" for _, form, value in columns)
            + f"<td>{_steps(row):,}</td><td>{escape(row.settings)}</td></tr>"
            for row, colour in zip(self.rows, colours, strict=True)
        )
        link = base64.b64encode(self.csv().encode()).decode("ascii")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return _PAGE.format(
            title=escape(f"Conformity of {len(self.rows)} photograph{'s' * (len(self.rows) > 1)} to {self.generator}"), notes=notes, head=head, body=body,
            means="".join(f"<td>{_number(_median(self.rows, value), form)}</td>" for _, form, value in columns),
            link=link, plots=plots, pairs="".join(self._pair(row) for row in self.rows), width=_WIDTH,
        )  # fmt: skip

    def _pair(self, row: Encoded) -> str:
        found = "" if row.found is None else f'<img alt="found" src="{_data(row.found)}">'
        said = [f"loss {row.best:.3g}"]
        if row.zero is not None:
            said.append(f"{row.best_relative():.3g} times the zero face")
        if row.identity is not None:
            said.append(
                f"identity {row.identity:.2f}, " + ("one person" if row.identity < self.same else "two persons")
            )
        return (
            f'<figure><img alt="photograph" src="{_data(row.target)}">{found}'
            f"<figcaption><b>{escape(row.name)}</b><br>{escape(', '.join(said))}</figcaption></figure>"
        )


@dataclass(frozen=True, eq=False)
class _Line:
    name: str
    values: Values
    colour: str
    dashed: bool = False


def _plot(lines: Sequence[_Line], title: str) -> str:
    """Curves by step on log-log axes, as SVG; each names itself under the pointer."""
    shown = []
    for line in lines:
        places = np.flatnonzero(np.isfinite(line.values) & (line.values > 0))
        if len(places) > _POINTS:
            wanted = np.geomspace(places[0] + 1, places[-1] + 1, _POINTS) - 1
            places = np.unique(places[np.searchsorted(places, wanted).clip(0, len(places) - 1)])
        if len(places):
            shown.append((line, np.log10(places + 1.0), np.log10(line.values[places])))
    if not shown:
        return "<p>There is nothing to draw.</p>"
    last = max(max(float(x[-1]) for _, x, _ in shown), 1e-9)
    low, high = min(float(y.min()) for *_, y in shown), max(float(y.max()) for *_, y in shown)
    low, high = (low - 0.05, high + 0.05) if high - low < 0.1 else (low, high)

    def across(x: float) -> float:
        return _LEFT + x / last * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for place in ticks(0, last, 8):
        x = across(place)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{10**place:,.0f}</text>')
    for place in ticks(low, high, 8):
        y = down(place)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**place:.3g}</text>')
    for line, xs, ys in shown:
        points = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in zip(xs.tolist(), ys.tolist(), strict=True))
        style = ' stroke-dasharray="6 4" stroke-width="2.5"' if line.dashed else ""
        parts.append(
            f'<polyline points="{points}" stroke="{line.colour}"{style}><title>{escape(line.name)}</title></polyline>'
        )
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">step</text>')
    parts.append(f'<text x="{_LEFT + 6}" y="{_TOP + 12}">{escape(title)}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)} by step">{"".join(parts)}</svg>'
    )


def _colour(share: float) -> str:
    """A colour that is seen on white and on dark, by its share of the way around the circle."""
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hls_to_rgb(share, 0.5, 0.65))


def _ratio(losses: Values, zero: Values | None) -> Values:
    if zero is None:
        return np.empty(0)
    count = min(len(losses), len(zero))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(losses[:count] / np.where(zero[:count] > 0, zero[:count], np.nan))


def _item(values: Values, place: int) -> float:
    return float(values[place]) if place < len(values) else math.nan


def _least(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) if len(known) else math.nan


def _steps(row: Encoded) -> int:
    known = np.flatnonzero(np.isfinite(row.losses))
    return int(known[-1]) + 1 if len(known) else 0


def _median(rows: Sequence[Encoded], value: Callable[[Encoded], float]) -> float:
    known = [number for row in rows if math.isfinite(number := value(row))]
    return float(np.median(known)) if known else math.nan


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "–"


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _sized(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels)
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.LANCZOS)


def _data(pixels: Pixels) -> str:
    file = io.BytesIO()
    _sized(pixels, SIDE).save(file, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem;
  background: light-dark(#fff, #1b1b1b); color: light-dark(#1a1a1a, #dedede); }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.05rem; margin-top: 2rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }}
th, td {{ padding: 4px 10px; text-align: right; border-bottom: 1px solid light-dark(#ddd, #3a3a3a); white-space: nowrap; }}
thead th {{ vertical-align: bottom; white-space: normal; }}
tbody th, td:last-child {{ text-align: left; font-weight: normal; }}
th span {{ display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 6px; }}
tfoot td, tfoot th {{ font-weight: bold; text-align: right; }} tfoot th {{ text-align: left; }}
svg {{ width: 100%; max-width: {width}px; height: auto; font-size: 12px; }}
svg text {{ fill: currentColor; opacity: 0.75; }} svg .grid {{ stroke: currentColor; opacity: 0.14; }}
polyline {{ fill: none; stroke-width: 1.6; stroke-linejoin: round; }} polyline:hover {{ stroke-width: 4; }}
.pairs {{ display: flex; flex-wrap: wrap; gap: 16px; }}
figure {{ margin: 0; width: 324px; }} figure img {{ width: 160px; height: 160px; margin-right: 2px; }}
figcaption {{ font-size: 12px; }}
</style></head><body>
<h1>{title}</h1>
{notes}
<div class="wide"><table><thead><tr><th></th>{head}<th>steps</th><th>settings</th></tr></thead><tbody>{body}</tbody>
<tfoot><tr><th>median</th>{means}<td></td><td></td></tr></tfoot></table></div>
<p><a download="conformity.csv" href="data:text/csv;base64,{link}">The table as CSV</a></p>
{plots}
<h2>Photographs, and what the generator found</h2>
<div class="pairs">{pairs}</div>
</body></html>
"""
