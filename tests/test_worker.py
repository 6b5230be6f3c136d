"""The worker: lanes, rounds, cancel, pause, errors split by blame, clean shutdown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from PySide6.QtCore import QThread
from pytestqt.qtbot import QtBot

from facelab import worker
from facelab.errors import BadArgument
from facelab.jobs import Answer, Job, Progress
from facelab.worker import Bug, Client, Inbox, Item, Scheduler, Ticket


@dataclass(frozen=True)
class Said(Answer):
    text: str
    thread: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Work(Job):
    """Yields its stages; each takes ``seconds``."""

    kind = "long"
    doing = "working"
    name: str = "work"
    stages: int = 3
    seconds: float = 0.0
    error: Exception | None = None
    noted: list[str] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Short(Work):
    kind = "short"


@dataclass(frozen=True, kw_only=True, eq=False)
class Side(Work):
    kind = "side"


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw(Work):
    kind = "interactive"
    lane: str = "preview"


class Works:
    """An engine whose jobs say what they do, so that orders and ends can be seen."""

    made_on: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.closed = False
        self.trimmed = 0
        self.freed: list[str] = []

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        assert isinstance(job, Work)
        try:
            for stage in range(job.stages):
                time.sleep(job.seconds)
                if job.error is not None and stage == job.stages - 1:
                    raise job.error
                yield Said(f"{job.name}{stage}", threading.get_ident())
        finally:
            self.freed.append(job.name)

    def close(self) -> None:
        self.closed = True

    def trim(self) -> None:
        self.trimmed += 1


class Bench:
    """A scheduler that is stepped by hand."""

    def __init__(self) -> None:
        self.inbox, self.engine = Inbox(), Works()
        self.heard: list[tuple[int, str, Any]] = []
        self.scheduler = Scheduler(self.inbox, self.engine, lambda *message: self.heard.append(message))
        self._ids = iter(range(1, 1000))

    def put(self, job: Job) -> Item:
        item = Item(next(self._ids), job)
        self.inbox.put(item)
        return item

    def said(self) -> list[str]:
        return [m[2].text for m in self.heard if m[1] == "answer" and isinstance(m[2], Said)]

    def end(self, item: Item) -> str | None:
        return next((m[2] for m in self.heard if m[0] == item.id and m[1] == "closed"), None)

    def drain(self) -> None:
        while self.scheduler.turn():
            pass


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_that_of_the_waiting_jobs_in_a_lane_only_the_newest_is_kept(bench: Bench) -> None:
    first, second = Item(1, Draw(name="a")), Item(2, Draw(name="b"))
    assert bench.inbox.put(first) is None
    assert bench.inbox.put(second) is first
    other = Item(3, Draw(name="c", lane="plane"))
    assert bench.inbox.put(other) is None
    assert set(bench.inbox.waiting_lanes()) == {"preview", "plane"}


def test_that_an_interactive_job_is_served_between_the_stages_of_a_long_one(bench: Bench) -> None:
    bench.put(Work(name="long", stages=4))
    bench.scheduler.turn()
    bench.put(Draw(name="draw", stages=2))
    bench.drain()
    assert bench.said() == ["long0", "draw0", "draw1", "long1", "long2", "long3"]


def test_that_a_steady_drag_does_not_starve_a_long_job(bench: Bench) -> None:
    bench.put(Work(name="long", stages=5))
    for n in range(5):
        bench.put(Draw(name=f"d{n}.", stages=1))
        bench.scheduler.turn()
    assert [s for s in bench.said() if s.startswith("long")] == [f"long{n}" for n in range(5)]
    assert [s for s in bench.said() if s.startswith("d")] == [f"d{n}.0" for n in range(5)]


def test_that_a_slow_interactive_job_yields_to_the_long_one_after_a_round(bench: Bench) -> None:
    bench.put(Work(name="long", stages=2, seconds=0.1))
    bench.put(Draw(name="slow", stages=6, seconds=0.06))
    bench.scheduler.turn()
    assert bench.said()[-1] == "long0"
    assert 2 <= len(bench.said()) <= 4


class Clock:
    """Time that passes only while a job sleeps, so that shares of it are exact."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(worker, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_that_a_drag_without_pause_leaves_a_long_job_its_share_of_the_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setitem(globals(), "time", clock)
    bench.put(Work(name="long", stages=10_000, seconds=0.003))
    drawn: list[float] = []
    while clock.now < 3:
        bench.put(Draw(name="d", stages=5, seconds=0.005))
        bench.scheduler.turn()
        drawn.append(clock.now)
    worked = 0.003 * sum(said.startswith("long") for said in bench.said())
    assert worked / clock.now >= 1 / 3
    assert max(np.diff(drawn)) < 0.1, "the person who drags still sees ten faces a second"


def test_that_the_current_face_is_served_before_the_tiles_of_the_plane(bench: Bench) -> None:
    bench.put(Draw(name="tiles", lane="plane", stages=20, seconds=0.03))
    bench.put(Draw(name="face", stages=1))
    bench.scheduler.turn()
    assert bench.said()[0] == "face0"


def test_that_short_jobs_are_served_in_order_while_a_long_one_runs(bench: Bench) -> None:
    bench.put(Work(name="long", stages=6))
    bench.put(Short(name="a", stages=2))
    bench.put(Short(name="b", stages=1))
    bench.drain()
    assert [s for s in bench.said() if s[0] in "ab"] == ["a0", "a1", "b0"]
    assert bench.said().index("b0") < bench.said().index("long5")


def test_that_jobs_that_wait_are_served_in_the_order_in_which_they_are_put(bench: Bench) -> None:
    first, second, third, other = (bench.put(Work(name=n, stages=1)) for n in ("a", "b", "c", "x"))
    bench.scheduler._choose_long()
    bench.inbox.order([third, first, second])
    bench.drain()
    assert bench.said() == ["a0", "c0", "b0", "x0"]
    assert bench.end(other) == "done"


def test_that_a_newer_request_does_not_stop_a_running_one_before_its_first_picture(bench: Bench) -> None:
    class Coarse(Works):
        def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
            yield None
            yield None
            yield Said(f"{job.name} coarse")  # type: ignore[attr-defined]
            yield Said(f"{job.name} fine")  # type: ignore[attr-defined]

    bench.scheduler.engine = Coarse()
    a = bench.put(Draw(name="a"))
    item = bench.scheduler._current("preview")
    assert item is a
    bench.scheduler._stage(a)
    b = bench.put(Draw(name="b"))
    assert bench.scheduler._current("preview") is a, "it has drawn nothing yet"
    bench.scheduler._stage(a)
    bench.scheduler._stage(a)
    assert bench.scheduler._current("preview") is b
    assert bench.end(a) == "replaced"
    bench.drain()
    assert bench.said() == ["a coarse", "b coarse", "b fine"]


def test_that_a_cancelled_job_frees_what_it_holds_and_says_so(bench: Bench) -> None:
    item = bench.put(Work(name="long", stages=100))
    bench.scheduler.turn()
    item.cancel.set()
    bench.drain()
    assert bench.engine.freed == ["long"]
    assert bench.end(item) == "cancelled"
    assert len(bench.said()) == 1


def test_that_an_error_of_the_world_is_told_and_the_next_job_runs(bench: Bench) -> None:
    bad = bench.put(Work(name="bad", error=BadArgument("psi is not a number"), stages=1))
    good = bench.put(Work(name="good", stages=1))
    bench.drain()
    (error,) = [m[2] for m in bench.heard if m[0] == bad.id and m[1] == "failed"]
    assert str(error) == "psi is not a number"
    assert not isinstance(error, Bug)
    assert (bench.end(bad), bench.end(good)) == ("failed", "done")


def test_that_a_mistake_of_ours_is_told_as_a_bug_with_its_traceback(bench: Bench) -> None:
    bad = bench.put(Work(error=ZeroDivisionError("oh"), stages=1))
    bench.drain()
    (error,) = [m[2] for m in bench.heard if m[1] == "failed"]
    assert isinstance(error, Bug)
    assert "ZeroDivisionError: oh" in error.details
    assert bench.end(bad) == "failed"


def test_that_a_paused_long_job_steps_aside_and_goes_on_where_it_was(bench: Bench) -> None:
    a = bench.put(Work(name="a", stages=3))
    bench.scheduler.turn()
    a.paused.set()
    b = bench.put(Work(name="b", stages=2))
    bench.drain()
    assert (bench.end(a), bench.end(b)) == (None, "done")
    a.paused.clear()
    bench.drain()
    assert bench.said() == ["a0", "b0", "b1", "a1", "a2"]
    assert bench.end(a) == "done"


def test_that_a_paused_job_can_be_cancelled(bench: Bench) -> None:
    a = bench.put(Work(stages=3))
    bench.scheduler.turn()
    a.paused.set()
    bench.drain()
    a.cancel.set()
    bench.drain()
    assert bench.end(a) == "cancelled"
    assert bench.engine.freed == ["work"]


def test_that_closing_ends_everything_that_runs(bench: Bench) -> None:
    items = [bench.put(Work(stages=9)), bench.put(Short(stages=9))]
    bench.scheduler.turn()
    bench.scheduler.close()
    assert [bench.end(i) for i in items] == ["cancelled", "cancelled"]


# -- with the window's thread ---------------------------------------------------------------------------------------
@pytest.fixture
def client(qtbot: QtBot) -> Iterator[Client]:
    made = Client(Works, Works)
    yield made
    made.close()


def closed(qtbot: QtBot, ticket: Ticket, act: Callable[[], None] = lambda: None, timeout: int = 5000) -> str:
    with qtbot.waitSignal(ticket.closed, timeout=timeout) as wait:
        act()
    return str(wait.args[0])


def test_that_answers_come_on_the_windows_thread_and_work_is_done_elsewhere(qtbot: QtBot, client: Client) -> None:
    here = threading.get_ident()
    heard: list[tuple[str, int, int]] = []
    for job in (Work(stages=2), Short(stages=2), Draw(stages=2), Side(stages=2)):
        ticket = client.submit(job)
        ticket.answered.connect(lambda a: heard.append((a.text, a.thread, threading.get_ident())))
        assert closed(qtbot, ticket) == "done"
    assert len(heard) == 8
    assert all(there != here and told == here for _, there, told in heard)
    assert len({there for _, there, _ in heard}) == 2


def test_that_no_answer_comes_before_submit_has_returned(qtbot: QtBot, client: Client) -> None:
    ticket = client.submit(Draw(stages=1))
    time.sleep(0.05)
    heard: list[Answer] = []
    ticket.answered.connect(heard.append)
    assert closed(qtbot, ticket) == "done"
    assert len(heard) == 1


@pytest.mark.slow
def test_that_a_replaced_ticket_closes_at_once(qtbot: QtBot, client: Client) -> None:
    busy = client.submit(Draw(stages=1, seconds=0.3))
    qtbot.waitUntil(lambda: busy.state == "running")
    a, b = client.submit(Draw(name="a")), client.submit(Draw(name="b"))
    assert closed(qtbot, a, timeout=200) == "replaced"
    assert closed(qtbot, b) == "done"
    assert not busy.open


def test_that_a_cancel_is_heard_whether_the_job_waits_or_runs(qtbot: QtBot, client: Client) -> None:
    running, waiting = client.submit(Work(stages=1000, seconds=0.005)), client.submit(Work(stages=5))
    qtbot.waitUntil(lambda: running.state == "running")
    assert closed(qtbot, waiting, waiting.cancel, 200) == "cancelled"
    assert closed(qtbot, running, running.cancel, 500) == "cancelled"


@pytest.mark.slow
def test_that_a_long_job_can_be_paused_and_resumed(qtbot: QtBot, client: Client) -> None:
    heard: list[Answer] = []
    ticket = client.submit(Work(stages=40, seconds=0.005))
    ticket.answered.connect(heard.append)
    qtbot.waitUntil(lambda: len(heard) > 2)
    ticket.pause()
    qtbot.wait(60)
    count = len(heard)
    qtbot.wait(60)
    assert len(heard) == count < 40
    assert closed(qtbot, ticket, ticket.resume) == "done"
    assert len(heard) == 40


def test_that_progress_is_thinned_but_its_end_is_told(qtbot: QtBot) -> None:
    class Counting(Works):
        def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
            yield from (Progress(n, 2000) for n in range(1, 2001))

    client = Client(Counting, Works)
    heard: list[Progress] = []
    ticket = client.submit(Work())
    ticket.progressed.connect(heard.append)
    assert closed(qtbot, ticket) == "done"
    client.close()
    assert heard[-1].done == 2000
    assert len(heard) < 200


def test_that_the_window_is_there_before_the_engine(qtbot: QtBot) -> None:
    gate = threading.Event()

    def slowly() -> Works:
        gate.wait(5)
        return Works()

    client = Client(slowly, Works)
    ticket = client.submit(Short(stages=1))
    qtbot.wait(30)
    assert ticket.state == "waiting"
    gate.set()
    qtbot.waitUntil(lambda: ticket.state == "done")
    client.close()


def test_that_the_engine_is_made_for_the_first_job_and_not_before(qtbot: QtBot) -> None:
    made: list[str] = []

    def engine() -> Works:
        made.append(threading.current_thread().name)
        return Works()

    idle = Client(engine, Works)
    assert closed(qtbot, idle.submit(Side(stages=1))) == "done"
    idle.close()
    assert not made
    client = Client(engine, Works)
    assert closed(qtbot, client.submit(Short(stages=1))) == "done"
    client.close()
    assert len(made) == 1


def test_that_an_engine_that_cannot_be_made_fails_each_job_with_the_reason(
    qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Works:
        raise BadArgument("no torch here")

    client = Client(broken, Works)
    for _ in range(2):
        ticket = client.submit(Short())
        with qtbot.waitSignal(ticket.failed, timeout=2000) as wait:
            pass
        assert str(wait.args[0]) == "no torch here"
    client.close()


def test_that_closing_waits_for_every_thread_and_cancels_what_waits(qtbot: QtBot) -> None:
    engines: list[Works] = []

    def engine() -> Works:
        engines.append(Works())
        return engines[-1]

    client = Client(engine, engine)
    tickets = [
        client.submit(Work(stages=1000, seconds=0.002)),
        client.submit(Work()),
        client.submit(Side(stages=500, seconds=0.002)),
    ]
    qtbot.waitUntil(lambda: tickets[0].state == "running" and tickets[2].state == "running")
    client.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("facelab-side")]
    assert all(e.closed for e in engines)
    qtbot.waitUntil(lambda: all(t.state == "cancelled" for t in tickets), timeout=1000)
    late = client.submit(Work())
    assert closed(qtbot, late) == "cancelled"


def test_that_memory_is_given_back_when_idle(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE", 0.05)
    engines: list[Works] = []

    def engine() -> Works:
        engines.append(Works())
        return engines[-1]

    client = Client(engine, Works)
    assert closed(qtbot, client.submit(Short())) == "done"
    qtbot.waitUntil(lambda: engines[0].trimmed == 1, timeout=1000)
    qtbot.wait(120)
    assert engines[0].trimmed == 1, "once, not again and again"
    client.close()


def test_that_a_hundred_slider_moves_settle_with_the_last_one(qtbot: QtBot, client: Client) -> None:
    tickets, drawn = [], []
    for n in range(100):
        tickets.append(client.submit(Draw(name=f"m{n}.", stages=1, seconds=0.02)))
        tickets[-1].answered.connect(drawn.append)
        qtbot.wait(2)
    last = time.monotonic()
    qtbot.waitUntil(lambda: not any(t.open for t in tickets), timeout=2000)
    assert time.monotonic() - last < 1.0
    assert tickets[-1].state == "done"
    assert drawn[-1].text == "m99.0"
    assert 5 < len(drawn) < 60


def test_that_the_side_threads_do_not_wait_for_one_another(qtbot: QtBot, client: Client) -> None:
    slow, quick = client.submit(Side(stages=400, seconds=0.005)), client.submit(Side(stages=1))
    assert closed(qtbot, quick, timeout=1000) == "done"
    assert slow.open
    slow.cancel()
    qtbot.waitUntil(lambda: not slow.open)


def test_that_the_worker_is_a_qthread_of_its_own(client: Client) -> None:
    assert isinstance(client._worker, QThread)
    assert client._worker is not QThread.currentThread()
