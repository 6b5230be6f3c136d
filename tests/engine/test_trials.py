"""What was tried on this machine is kept for the next start, and for no other machine."""

from __future__ import annotations

import json
import subprocess
import sys
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
    other = next(form for form in (Form.DIRECT, Form.BATCHED) if form is not found)
    (question,) = json.loads(trials._path().read_text("utf-8"))["found"]
    trials.keep(question, other.name)
    winograd.fastest.cache_clear()
    assert winograd.fastest(*SHAPE) is other
    for unfit in ("ROWS", "nonsense"):  # not for maps this small; of no version
        trials.keep(question, unfit)
        winograd.fastest.cache_clear()
        assert winograd.fastest(*SHAPE) in (Form.DIRECT, Form.BATCHED, Form.GROUPED)
    winograd.fastest.cache_clear()
