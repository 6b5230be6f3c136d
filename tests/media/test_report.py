"""The conformity report: its numbers, its page, its table."""

from __future__ import annotations

import csv
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from facelab.media.report import Encoded, Report

STEPS = np.arange(1, 201)
ZERO = 1.0 / STEPS
PICTURE = np.full((32, 32, 3), 100, np.uint8)


def encoded(name: str = "me", factor: float = 2.0, **more: object) -> Encoded:
    seconds = np.full(200, np.nan)
    seconds[[9, 99, 199]] = (1, 10, 20)
    values = {
        "losses": factor / STEPS, "seconds": seconds, "zero": ZERO, "target": PICTURE, "found": PICTURE + np.uint8(10),
        "identity": 0.4, "settings": "W+",
    } | more  # fmt: skip
    return Encoded(name, **values)  # type: ignore[arg-type]


def test_that_losses_are_told_at_steps_and_as_multiples_of_the_zero_faces() -> None:
    row = encoded()
    assert row.at(10) == pytest.approx(0.2)
    assert row.at(100, relative=True) == pytest.approx(2)
    assert row.best == pytest.approx(0.01)
    assert row.best_relative() == pytest.approx(2)
    assert math.isnan(row.at(1000))
    assert math.isnan(encoded(zero=None).best_relative())
    assert math.isnan(encoded(zero=ZERO[:50]).at(100, relative=True))
    assert row.psnr() == pytest.approx(20 * math.log10(25.5))


def test_that_the_time_to_a_loss_lies_between_the_times_that_were_noted() -> None:
    row = encoded()
    assert row.time_to(0.2) == pytest.approx(1)  # at step 10
    assert row.time_to(0.02) == pytest.approx(10)
    assert row.time_to(2 / 55) == pytest.approx(5.5)
    assert row.time_to(2 / 5) == pytest.approx(0.5)
    assert math.isnan(row.time_to(0.001))
    assert math.isnan(encoded(seconds=np.empty(0)).time_to(0.2))
    assert math.isnan(encoded(seconds=np.array([1.0, 2.0])).time_to(0.02))


def test_that_the_table_has_a_row_for_each_and_no_formula() -> None:
    report = Report("portraits", [encoded("=1+1", 3.0), encoded("you", zero=None, found=None, identity=None)], 0.05)
    first, one, two = list(csv.reader(io.StringIO(report.csv())))
    assert len(first) == len(one) == len(two)
    table = {heading: (a, b) for heading, a, b in zip(first, one, two, strict=True)}
    assert table["photo"] == ("'=1+1", "you")
    assert table["steps"] == ("200", "200")
    assert float(table["best / zero face"][0]) == pytest.approx(3)
    assert table["best / zero face"][1] == table["identity distance"][1] == table["loss at 1,000"][0] == ""
    assert float(table["seconds to loss 0.05"][1]) == pytest.approx(4)


class Page(HTMLParser):
    """Counts tags, and notes everything that a page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br", "line"):
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_that_the_page_is_whole_and_needs_nothing_else() -> None:
    text = Report("portraits", [encoded("a"), encoded("b", zero=None), encoded("c", losses=np.empty(0))], 0.05).html()
    page = Page(text)
    assert not page.open
    assert page.tags.count("figure") == 3
    assert page.tags.count("svg") == 2
    assert page.tags.count("polyline") == (2 + 1) + 1  # with losses, the zero face; with a baseline
    assert all(load.startswith("data:") for load in page.loads)
    assert len(page.loads) == 1 + 6
    assert "–" in text


def test_that_names_are_text_and_never_markup() -> None:
    text = Report("<b>x</b>", [encoded('</title><script>alert("1")</script>&amp;')], 0.05, notes=["<i>"]).html()
    page = Page(text)
    assert not {"script", "b", "i"} & (set(page.tags) - {"b"})
    assert "&lt;script&gt;" in text
    assert page.tags.count("b") == 1  # the caption's own
    assert re.search(r"<title>Conformity of 1 photograph to &lt;b&gt;x", text)


def test_that_nothing_known_gives_a_page_all_the_same() -> None:
    nothing = encoded(losses=np.full(3, np.nan), seconds=np.empty(0), zero=None, found=None, identity=None)
    assert "There is nothing to draw" in Report("g", [nothing], math.nan).html()
