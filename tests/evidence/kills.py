"""kill -9 at a random moment, twenty times, of `facelab encode --project`: no run is lost, each goes on from where it was last kept."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.project import Project
from tests.evidence.claims import Claim

KILLS = 20
STEPS = 150
PHOTOS = 4
LATEST = 1.2  # times what one photograph takes undisturbed, after the first step was begun
SEED = 9
_BEGUN = re.compile(r"\] \S+: (goes on|begins again|\d+ steps)")
_RESUMED = re.compile(r"\] (\S+): (?:goes on after step (\d+) of|begins again)")


@dataclass(eq=False)
class Batch:
    """One process of the command, its words read as they come."""

    command: list[str]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def begun(self) -> bool:
        """Wait until a descent is under way; False when the process ended before."""
        while self.process.poll() is None:
            if any(_BEGUN.search(line) for line in self.said):
                return True
            time.sleep(0.02)
        return False

    def end(self, seconds: float | None) -> bool:
        """Kill it after a time, or let it end; whether it was killed."""
        try:
            self.process.wait(seconds)
            killed = False
        except subprocess.TimeoutExpired:
            self.process.kill()  # SIGKILL: nothing of the process runs after it
            self.process.wait()
            killed = True
        self._reader.join()
        return killed


@dataclass(frozen=True)
class Found:
    """A project after a kill: for each run by name its status, steps and last kept step; and what SQLite finds wrong."""

    runs: dict[str, tuple[str, int, int]]
    faces: int
    wrong: list[str]


def look(path: Path) -> Found:
    with Project.open(path) as project:
        kept = {row.id: project.last_checkpoint(row.id) for row in project.runs()}
        rows = {row.name: (row.status, row.steps_done, (kept[row.id] or (0,))[0]) for row in project.runs()}
        return Found(rows, len(project.faces()), project.check())


def prove(out: Path) -> list[Claim]:
    chance = random.Random(SEED)
    photos = _photographs(out)
    for old in out.glob("*.facelab*"):
        old.unlink()
    command = [sys.executable, "-m", "facelab", "encode", *map(str, photos), "--steps", str(STEPS), "--project"]
    lines = ["kill  after s  under way       steps  kept  said at restart    lost  integrity"]
    projects, whole = [out / "killed1.facelab"], out / "whole.facelab"
    undisturbed = Batch([*command, str(whole)])
    undisturbed.begun()
    started = time.monotonic()
    undisturbed.end(None)
    latest = LATEST * (time.monotonic() - started) / PHOTOS
    before, expected = Found({}, 0, []), dict[str, int]()
    kills = lost = damaged = astray = 0
    while kills < KILLS:
        batch = Batch([*command, str(projects[-1])])
        moment = chance.uniform(0, latest)
        killed = batch.end(moment if batch.begun() else None)
        said = {name: int(step or 0) for name, step in _RESUMED.findall("\n".join(batch.said))}
        astray += said != expected
        if not killed:
            if batch.process.returncode:
                raise RuntimeError("\n".join(batch.said))
            # Everything is done before the last kill: once more, from the beginning.
            projects.append(out / f"killed{len(projects) + 1}.facelab")
            before, expected = Found({}, 0, []), {}
            continue
        kills += 1
        now = look(projects[-1])
        gone = [
            name for name, (_, steps, kept) in before.runs.items()
            if name not in now.runs or now.runs[name][1] < steps or (now.runs[name][0] != "done" and now.runs[name][2] < kept)
        ]  # fmt: skip
        lost, damaged = lost + len(gone), damaged + bool(now.wrong)
        open_runs = {name: row for name, row in now.runs.items() if row[0] != "done"}
        name, (_, steps, kept) = next(iter(open_runs.items()), ("between two", ("", 0, 0)))
        restart = ", ".join(f"after step {step}" if step else "begins again" for step in said.values()) or "-"
        lines.append(f"{kills:4}  {moment:7.2f}  {name:14}  {steps:5}  {kept:4}  {restart:17}  {len(gone):4}  "
                     f"{'; '.join(now.wrong) or 'ok'}")  # fmt: skip
        print(f"  {lines[-1]}", flush=True)
        before, expected = now, {name: row[2] for name, row in open_runs.items()}
    Batch([*command, str(projects[-1])]).end(None)
    after = [look(path) for path in projects]
    compared = [_compared(path, whole) for path in projects]
    done = [sum(status == "done" for status, *_ in found.runs.values()) for found in after]
    worst, same = max(apart for apart, _ in compared), sum(count for _, count in compared)
    every = PHOTOS * len(projects)
    (out / "kills.txt").write_text("\n".join(lines) + "\n")
    return [
        Claim("kills of the process with SIGKILL, at random moments of the descents", str(KILLS), str(kills), kills == KILLS),
        Claim("runs that were lost or fell back behind what was kept", "0", str(lost), lost == 0),
        Claim("restarts that did not go on from the last kept step, or did not say so", "0", str(astray), astray == 0),
        Claim("PRAGMA integrity_check after each kill, and in the end", "ok", f"{damaged} damaged",
              damaged == 0 and not any(found.wrong for found in after)),
        Claim("runs done in the end, each with one face", f"{every} and {every}",
              f"{sum(done)} and {sum(found.faces for found in after)}",
              all(n == found.faces == PHOTOS for n, found in zip(done, after, strict=True))),
        Claim("loss curves equal to those of a batch that was never killed", "all, step by step",
              f"{same} of {every}; largest difference {worst:.2g} of a loss", same == every),
    ]  # fmt: skip


def _compared(killed: Path, whole: Path) -> tuple[float, int]:
    """The largest relative difference between the loss curves of two projects, and how many of the curves are the same."""
    with Project.open(killed) as a, Project.open(whole) as b:
        one, two = ({row.name: p.losses(row.id)["total"] for row in p.runs()} for p in (a, b))
    apart = [float(np.max(np.abs(one[name] - two[name]) / two[name])) for name in two]
    return max(apart), sum(v == 0 for v in apart)


def _photographs(out: Path) -> list[Path]:
    """The sample photograph as it is, mirrored, darker and in grey."""
    with Image.open(resource(SAMPLE_PHOTO)) as image:
        own = image.convert("RGB")
    kinds = (own, ImageOps.mirror(own), own.point(lambda v: v * 0.7), ImageOps.grayscale(own).convert("RGB"))
    paths = []
    for name, kind in zip(("asis", "mirrored", "darker", "grey"), kinds[:PHOTOS], strict=True):
        paths.append(out / f"{name}.png")
        kind.save(paths[-1])
    return paths
