"""The worker: one thread that owns the engine, an inbox, and tickets; the only module that knows Qt and the Engine protocol.

    window's thread                     worker's thread                      side threads
    Client.submit(job) -> Ticket  --->  Inbox -> Scheduler -> engine.run()
                                  --->  Inbox ----------------------------->  desk.run()
    Ticket.answered, .closed      <---  one queued signal of the Client  <---

Only plain data crosses. Every message to the window goes through one signal of the `Client`, which lives on the window's
thread: a lambda connected to a worker's own signal would run on the worker's thread.

The `Scheduler` is cooperative. Every job is a generator; in each round every lane's newest interactive job is served, for at
most `ROUND` seconds in all, then one stage of a short job, then the long one: a stage of it, or as many as give it its
`SHARE` of the time. So a projection of thousands of steps and a person who explores do not starve each other.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeAlias, cast

from PySide6.QtCore import QObject, Qt, QThread, Signal

from facelab.errors import FacelabError
from facelab.jobs import Answer, Engine, Images, Job, Progress

log = logging.getLogger(__name__)

ROUND = 0.1  # seconds for all lanes together before a longer job gets its turn
# Of the time that the lanes and the long job take together, what that has while somebody drags without pause.
SHARE = 0.4
PROGRESS = 0.05  # seconds between two progress messages of one job
IDLE = 20.0  # seconds without work before the engine is asked to give memory back
SIDE_THREADS = 2  # a download and a photograph do not wait for one another

End: TypeAlias = Literal["done", "failed", "cancelled", "replaced"]
Message: TypeAlias = Literal["started", "answer", "failed", "closed", "status"]
Post: TypeAlias = Callable[[int, Message, Any], None]


class Bug(FacelabError):
    """A mistake of facelab's own: shown as one, with its traceback for a report.

    Attributes:
        details: the traceback.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"facelab made a mistake ({type(error).__name__}: {error}); your work is safe")
        self.details = "".join(traceback.format_exception(error))


@dataclass(frozen=True)
class Status:
    """What the worker does, for the status line.

    Attributes:
        text: a few words; empty when idle.
        busy: whether anything is being worked on.
        milliseconds: of the last picture drawn, or None before the first.
    """

    text: str
    busy: bool
    milliseconds: float | None = None


@dataclass(eq=False)
class Item:
    """A job on the worker's side of the house."""

    id: int
    job: Job
    cancel: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    generator: Iterator[Answer | None] | None = None
    delivered: bool = False
    last_progress: float = -1.0

    @property
    def lane(self) -> str:
        return str(getattr(self.job, "lane", ""))


class Inbox:
    """What waits, under one lock. In each lane only the newest interactive job waits; all else is served in order."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stopping = False
        self.lanes: dict[str, Item] = {}
        self.queues: dict[str, deque[Item]] = {"short": deque(), "long": deque(), "side": deque()}

    def put(self, item: Item) -> Item | None:
        """Adds a job; gives back the one that it replaces."""
        with self.changed:
            old = None
            if item.job.kind == "interactive":
                old = self.lanes.pop(item.lane, None)
                self.lanes[item.lane] = item
            else:
                self.queues[item.job.kind].append(item)
            self.changed.notify_all()
            return old

    def take(self, kind: str) -> Item | None:
        """The next job of a queue that is not of a lane, or None."""
        with self.changed:
            queue = self.queues[kind]
            return queue.popleft() if queue else None

    def take_lane(self, lane: str) -> Item | None:
        """The job that waits in a lane, or None."""
        with self.changed:
            return self.lanes.pop(lane, None)

    def waits_in(self, lane: str) -> bool:
        return lane in self.lanes

    def waiting_lanes(self) -> list[str]:
        """The lanes in which a job waits."""
        with self.changed:
            return list(self.lanes)

    def wants_engine(self) -> bool:
        """Whether a job waits that the side threads cannot do."""
        return bool(self.lanes or self.queues["short"] or self.queues["long"])

    def withdraw(self, item: Item) -> bool:
        """Takes back a job that has not begun; False when it has."""
        with self.changed:
            if self.lanes.get(item.lane) is item:
                del self.lanes[item.lane]
                return True
            queue = self.queues.get(item.job.kind)
            if queue is not None and item in queue:
                queue.remove(item)
                return True
            return False

    def order(self, items: Sequence[Item]) -> None:
        """Serve these jobs, as far as they wait, in this order; others of their queue keep their places."""
        with self.changed:
            for queue in self.queues.values():
                waiting = iter([item for item in items if item in queue])
                for place, item in enumerate(queue):
                    if item in items:
                        queue[place] = next(waiting)

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def stop(self) -> list[Item]:
        """Closes the inbox and gives back all that still waited."""
        with self.changed:
            self.stopping = True
            left = [*self.lanes.values(), *(item for queue in self.queues.values() for item in queue)]
            self.lanes.clear()
            for queue in self.queues.values():
                queue.clear()
            self.changed.notify_all()
            return left


def advance(item: Item, engine: Engine, post: Post) -> bool:
    """Works one stage of a job off; True when the job has ended, however it did."""
    end: End | None = None
    try:
        if item.generator is None:
            post(item.id, "started", None)
            item.generator = engine.run(item.job, item.cancel)
        if item.cancel.is_set():
            end = "cancelled"
        else:
            answer = next(item.generator)
            if isinstance(answer, Progress):
                now = time.monotonic()
                if now - item.last_progress >= PROGRESS or answer.done >= answer.total > 0:
                    item.last_progress = now
                    post(item.id, "answer", answer)
            elif answer is not None:
                item.delivered = True
                post(item.id, "answer", answer)
            if item.cancel.is_set():
                end = "cancelled"
    except StopIteration:
        # A job that ran to its end has done its work, even if a cancel came on the last stage.
        end = "done"
    except FacelabError as error:
        end = "cancelled" if item.cancel.is_set() else "failed"
        if end == "failed":
            post(item.id, "failed", error)
    except Exception as error:
        end = "failed"
        log.exception("job %s", type(item.job).__name__)
        post(item.id, "failed", Bug(error))
    if end is not None:
        finish(item, end, post)
    return end is not None


def finish(item: Item, end: End, post: Post) -> None:
    """Closes a job's generator, which frees what it holds, and says how it ended."""
    try:
        if item.generator is not None:
            cast(Any, item.generator).close()
    except Exception as error:
        log.exception("closing %s", type(item.job).__name__)
        post(item.id, "failed", Bug(error))
        end = "failed"
    post(item.id, "closed", end)


def held(item: Item) -> bool:
    """Whether a person has paused it; a cancel ends a pause."""
    return item.paused.is_set() and not item.cancel.is_set()


class Scheduler:
    """Serves the inbox with one engine, stage by stage; knows no Qt."""

    def __init__(self, inbox: Inbox, engine: Engine, post: Post) -> None:
        self.inbox = inbox
        self.engine = engine
        self.post = post
        self.running: dict[str, Item] = {}  # by lane
        self.short: Item | None = None
        self.long: Item | None = None
        self.aside: list[Item] = []  # long jobs that a person has paused

    def turn(self) -> bool:
        """One round; False when there was nothing to do."""
        begun = time.monotonic()
        worked = self._serve_lanes()
        drawn = time.monotonic() - begun
        if self.short is None:
            self.short = self.inbox.take("short")
        if self.short is not None:
            worked = True
            if self._stage(self.short):
                self.short = None
        self._choose_long()
        if self.long is not None:
            worked = True
            self._work(self.long, drawn * SHARE / (1 - SHARE))
        return worked

    def _work(self, item: Item, seconds: float) -> None:
        """A stage of the long job, and more of them until so many seconds have gone: a stage may be short beside a picture."""
        end = time.monotonic() + seconds
        while not self._stage(item):
            if time.monotonic() >= end or held(item):
                return
        self.long = None

    def _choose_long(self) -> None:
        """A paused job steps aside for the next one, and goes on before any that has not begun."""
        if self.long is not None and held(self.long):
            self.aside.append(self.long)
            self.long = None
        if self.long is None:
            self.long = next((item for item in self.aside if not held(item)), None)
            if self.long is not None:
                self.aside.remove(self.long)
            else:
                self.long = self.inbox.take("long")
                if self.long is not None and held(self.long):
                    self._choose_long()

    def _stage(self, item: Item) -> bool:
        return advance(item, self.engine, self.post)

    def _serve_lanes(self) -> bool:
        """Each lane's newest job, at most one begun per lane and `ROUND` seconds in all; what is not ready goes on next round.

        The current face comes first: tiles, of which there may be many, take what is left.
        """
        start = time.monotonic()
        worked = False
        for lane in sorted({*self.running, *self.inbox.waiting_lanes()}, key=lambda lane: (lane != "preview", lane)):
            while time.monotonic() - start < ROUND:
                item = self._current(lane)
                if item is None:
                    break
                worked = True
                if self._stage(item):
                    self.running.pop(lane, None)
                    break
        return worked

    def _current(self, lane: str) -> Item | None:
        """The job to serve in a lane. A newer one stops a running one, but only once that has shown its first picture: else a
        slow network under a steady drag would never draw."""
        item = self.running.get(lane)
        if item is not None and not (item.delivered and self.inbox.waits_in(lane)):
            return item
        newer = self.inbox.take_lane(lane)
        if newer is None:
            return item
        if item is not None:
            finish(item, "replaced", self.post)
        self.running[lane] = newer
        return newer

    def describe(self) -> str:
        """What is being done, in a few words."""
        item = self.long or self.short or next(iter(self.running.values()), None)
        return "" if item is None else item.job.doing

    def close(self) -> None:
        """Ends all that runs."""
        for item in (*self.running.values(), self.short, self.long, *self.aside):
            if item is not None:
                finish(item, "cancelled", self.post)
        self.running.clear()
        self.aside.clear()
        self.short = self.long = None


class _Broken:
    """Stands in for an engine that could not be made: every job says why."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        raise self.error

    def close(self) -> None: ...

    def trim(self) -> None: ...


def make(factory: Callable[[], Engine]) -> Engine:
    """The engine of a factory, or one that says of every job why there is none."""
    try:
        return factory()
    except Exception as error:
        log.exception("the engine could not be made")
        return _Broken(error)


class _Worker(QThread):
    """The thread that owns the engine and its device."""

    def __init__(self, make_engine: Callable[[], Engine], inbox: Inbox, post: Post) -> None:
        super().__init__()
        self.setObjectName("facelab-worker")
        self._make_engine, self._inbox, self._post = make_engine, inbox, post

    def run(self) -> None:
        with self._inbox.changed:
            self._inbox.changed.wait_for(lambda: self._inbox.stopping or self._inbox.wants_engine())
        if self._inbox.stopping:
            return  # without a job the engine is never made
        engine = make(self._make_engine)
        scheduler = Scheduler(self._inbox, engine, self._post)
        last = ""
        trim_at: float | None = None
        while not self._inbox.stopping:
            text = ""
            if scheduler.turn():
                trim_at = time.monotonic() + IDLE
                text = scheduler.describe()
            if text != last:
                last = text
                self._post(0, "status", text)
            if text:
                continue
            with self._inbox.changed:
                if not self._waiting(scheduler):
                    self._inbox.changed.wait(None if trim_at is None else max(0.0, trim_at - time.monotonic()))
            if trim_at is not None and time.monotonic() >= trim_at:
                trim_at = None
                self._trim(engine)
        scheduler.close()
        engine.close()

    def _waiting(self, scheduler: Scheduler) -> bool:
        resumed = any(not held(item) for item in scheduler.aside)
        return self._inbox.stopping or self._inbox.wants_engine() or resumed

    @staticmethod
    def _trim(engine: Engine) -> None:
        try:
            engine.trim()
        except Exception:
            log.exception("trim")


class _Side(threading.Thread):
    """A plain thread for jobs that need no network: photographs, files, downloads."""

    def __init__(self, number: int, make_desk: Callable[[], Engine], inbox: Inbox, post: Post) -> None:
        super().__init__(name=f"facelab-side-{number}", daemon=False)
        self._make_desk, self._inbox, self._post = make_desk, inbox, post

    def run(self) -> None:
        desk: Engine | None = None
        while True:
            with self._inbox.changed:
                self._inbox.changed.wait_for(lambda: self._inbox.stopping or self._inbox.queues["side"])
                if self._inbox.stopping:
                    break
                item = self._inbox.queues["side"].popleft()
            if desk is None:
                desk = make(self._make_desk)
            while not advance(item, desk, self._post):
                if self._inbox.stopping:
                    item.cancel.set()
        if desk is not None:
            desk.close()


class Ticket(QObject):
    """A submitted job, on the window's thread.

    Signals:
        started: the worker has begun.
        answered: each `Answer` other than progress.
        progressed: `Progress`, at most 20 a second.
        failed: a `FacelabError`; a `Bug` when the mistake is facelab's.
        closed: once, last: "done", "failed", "cancelled" or "replaced".
    """

    started = Signal()
    answered = Signal(object)
    progressed = Signal(object)
    failed = Signal(object)
    closed = Signal(str)

    def __init__(self, item: Item, client: Client) -> None:
        super().__init__()
        self._item, self._client = item, client
        self.job = item.job
        self.state = "waiting"

    @property
    def open(self) -> bool:
        """Whether the job may still give answers."""
        return self.state in ("waiting", "running", "paused")

    def cancel(self) -> None:
        """Ends the job at its next stage; at once when it has not begun."""
        if self.open:
            self._client._cancel(self._item)

    def pause(self) -> None:
        """Holds a long job between two stages; other jobs of the long kind wait behind it."""
        if self.open and self.job.kind == "long":
            self._item.paused.set()
            self.state = "paused"

    def resume(self) -> None:
        """Lets a paused job go on."""
        if self.state == "paused":
            self._item.paused.clear()
            self.state = "running" if self._item.generator is not None else "waiting"
            self._client._inbox.wake()


class Client(QObject):
    """The window's end of the worker.

    The factories are called on the threads that use what they make, when the first job comes: torch loads after the window
    is on screen.

    Signals:
        submitted: every `Ticket`, for the jobs panel and the status line.
        status: a `Status`, when it changes.
    """

    submitted = Signal(object)
    status = Signal(object)
    _posted = Signal(int, str, object)

    def __init__(
        self, make_engine: Callable[[], Engine], make_desk: Callable[[], Engine], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._inbox = Inbox()
        self._ids = count(1)
        self._tickets: dict[int, Ticket] = {}
        self._closed = False
        self._milliseconds: float | None = None
        self._doing = ""
        self._posted.connect(self._receive, Qt.ConnectionType.QueuedConnection)
        self._worker = _Worker(make_engine, self._inbox, self._posted.emit)
        self._sides = [_Side(n, make_desk, self._inbox, self._posted.emit) for n in range(SIDE_THREADS)]
        self._worker.start()
        for side in self._sides:
            side.start()

    def submit(self, job: Job) -> Ticket:
        """Hands a job over; its answers come by the ticket's signals, never before this returns."""
        item = Item(next(self._ids), job)
        ticket = self._tickets[item.id] = Ticket(item, self)
        if self._closed:
            self._posted.emit(item.id, "closed", "cancelled")
            return ticket
        replaced = self._inbox.put(item)
        if replaced is not None:
            self._posted.emit(replaced.id, "closed", "replaced")
        self.submitted.emit(ticket)
        return ticket

    def order(self, tickets: Sequence[Ticket]) -> None:
        """Serves jobs that have not begun in the order of their tickets; what runs goes on, and other jobs keep their turns."""
        self._inbox.order([ticket._item for ticket in tickets if ticket.open])

    def close(self) -> None:
        """Cancels everything and waits until all threads have ended."""
        if self._closed:
            return
        self._closed = True
        for ticket in self._tickets.values():
            ticket._item.cancel.set()
        for item in self._inbox.stop():
            self._posted.emit(item.id, "closed", "cancelled")
        self._worker.wait()
        for side in self._sides:
            side.join()

    def _cancel(self, item: Item) -> None:
        item.cancel.set()
        if self._inbox.withdraw(item):
            self._posted.emit(item.id, "closed", "cancelled")
        self._inbox.wake()

    def _receive(self, number: int, message: Message, payload: Any) -> None:
        if message == "status":
            self._doing = payload
            self.status.emit(Status(payload, bool(payload), self._milliseconds))
        elif (ticket := self._tickets.get(number)) is not None:
            if message == "started" and ticket.state == "waiting":
                ticket.state = "running"
                ticket.started.emit()
            elif message == "answer":
                if isinstance(payload, Images) and payload.seconds:
                    self._milliseconds = 1000 * payload.seconds / max(1, len(payload.pixels))
                    self.status.emit(Status(self._doing, bool(self._doing), self._milliseconds))
                (ticket.progressed if isinstance(payload, Progress) else ticket.answered).emit(payload)
            elif message == "failed":
                ticket.failed.emit(payload)
            elif message == "closed":
                del self._tickets[number]
                ticket.state = payload
                ticket.closed.emit(payload)
