"""What was tried on this machine is kept for the next start, and for no other machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facelab.engine import trials, winograd
from facelab.engine.winograd import Form


@pytest.fixture(autouse=True)
def nothing_found_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


SHAPE = (64, 64, 32, False, 1)


@pytest.mark.slow
def test_that_an_answer_is_there_at_the_next_start() -> None:
    trials.keep("a question", "an answer")
    trials.keep("another", "one")
    asked = "from facelab.engine import trials; print(trials.recall('a question'), trials.recall('another'), trials.recall('none'))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "an answer one None\n"


def test_that_answers_of_another_machine_or_version_count_for_nothing() -> None:
    trials.keep("a question", "an answer")
    document = json.loads(trials._path().read_text("utf-8"))
    trials._path().write_text(json.dumps({**document, "machine": "another"}), "utf-8")
    assert trials.recall("a question") is None


@pytest.mark.parametrize("text", ["", "[]", '{"machine": 1}', '{"found": {}}', "\udcff", "[" * 100_000])
def test_that_a_damaged_file_is_as_none_and_is_replaced(text: str) -> None:
    trials._path().parent.mkdir(parents=True, exist_ok=True)
    trials._path().write_bytes(text.encode("utf-8", "surrogateescape"))
    assert trials.recall("a question") is None
    trials.keep("a question", "an answer")
    assert trials.recall("a question") == "an answer"


def test_that_where_nothing_can_be_kept_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    trials.keep("a question", "an answer")
    assert trials.recall("a question") is None


def test_that_a_form_that_was_found_before_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    winograd.fastest.cache_clear()
    found = winograd.fastest(*SHAPE)
    other = next(form for form in (Form.DIRECT, winograd._tiled(1)) if form is not found)
    (question,) = [q for q in json.loads(trials._path().read_text("utf-8"))["found"] if q.startswith("3x3")]
    trials.keep(question, other.name)
    winograd.fastest.cache_clear()
    assert winograd.fastest(*SHAPE) is other
    for unfit in ("ROWS", "nonsense"):  # not for maps this small; of no version
        trials.keep(question, unfit)
        winograd.fastest.cache_clear()
        assert winograd.fastest(*SHAPE) in (Form.DIRECT, Form.BATCHED, Form.GROUPED)
    winograd.fastest.cache_clear()


def waits(seconds: float, runs: list[str], name: str) -> Callable[[], None]:
    def run() -> None:
        runs.append(name)
        time.sleep(seconds)

    return run


def asked(ways: dict[str, float], threads: int = 2) -> tuple[str, list[str]]:
    """The answer, and what was run for it."""
    runs: list[str] = []
    made = {name: waits(seconds, runs, name) for name, seconds in ways.items()}
    return trials.fastest("a question", list(ways), lambda: made, threads), runs


def test_that_the_faster_way_is_found_and_the_slower_soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "busy", lambda threads: False)
    assert asked({"slow": 0.08, "quick": 0.01}) == ("quick", ["slow", "quick"])
    assert asked({"slow": 0.01, "quick": 0.08}) == ("quick", [])


def test_that_of_two_ways_that_are_as_fast_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "busy", lambda threads: False)
    monkeypatch.setattr(trials, "_CLEARLY", 2.0)
    assert asked({"first": 0.02, "second": 0.018})[0] == "first"


def test_that_an_answer_of_a_busy_processor_holds_until_one_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "busy", lambda threads: True)
    assert asked({"one": 0.08, "other": 0.01})[0] == "other"
    assert asked({"one": 0.01, "other": 0.08}) == ("other", [])  # as busy as then: no better answer is to be had
    monkeypatch.setattr(trials, "busy", lambda threads: False)
    assert asked({"one": 0.01, "other": 0.08})[0] == "one"
    assert asked({"one": 0.08, "other": 0.01}) == ("one", [])


def test_that_a_single_thread_is_timed_by_its_own_work_and_never_counts_as_disturbed() -> None:
    assert not trials.busy(1)
    assert isinstance(trials.busy(2), bool)
