"""Pictures to train on: rendered in chunks that can be stopped and resumed, and drawn on demand for comparisons.

A folder of data holds ``held-out.npz`` (random faces that training never sees) and ``chunk-NNNNN.npz``, each with
``phi`` float32 [n, K], ``pictures`` uint8 [n, H, W, 3] and ``teacher``, the version of table and shader they were drawn
with. A chunk is written under a temporary name and renamed when whole, so a reader never meets a part of one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from facelab.errors import FacelabError
from facelab.files import replacing
from facelab.portraits.factors import TEACHER_VERSION, Floats, K, phi_from_y, sample_phi, values_from_phi

CHUNK = 500
HELD_OUT = 512
_HELD_OUT_STREAM = 1 << 20  # beyond every chunk number: its random stream is shared with none


class DatasetError(FacelabError):
    """Training pictures are missing, damaged, or drawn by another version of the teacher."""


def held_out_phi(seed: int) -> Floats:
    """Coordinates of the held-out faces: random faces as a person meets them, float32 [512, K]."""
    return phi_from_y(np.random.default_rng([seed, _HELD_OUT_STREAM]).standard_normal((HELD_OUT, K)))


def write(path: Path, phi: Floats, pictures: np.ndarray) -> None:
    """Write one file of data, whole or not at all: phi [n, K], pictures uint8 [n, H, W, 3]."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, phi=phi, pictures=pictures, teacher=np.int64(TEACHER_VERSION))


def read(path: Path) -> tuple[Floats, np.ndarray]:
    """One file of data -> phi float32 [n, K], pictures uint8 [n, H, W, 3].

    Raises:
        DatasetError: the file is missing, damaged, or from another version of the teacher.
    """
    if not path.exists():
        raise DatasetError(f"{path} is missing: run `python -m facelab.portraits render` on that folder first.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            phi, pictures, teacher = data["phi"], data["pictures"], int(data["teacher"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is not a whole file of portraits: delete it and render again.") from error
    if teacher != TEACHER_VERSION:
        raise DatasetError(
            f"{path} was drawn by version {teacher} of the portraits, this is {TEACHER_VERSION}: render again."
        )
    if phi.ndim != 2 or phi.shape[1] != K or pictures.shape[:1] + pictures.shape[3:] != (len(phi), 3):
        raise DatasetError(f"{path} holds arrays {phi.shape} and {pictures.shape}: delete it and render again.")
    return phi, pictures


def render(
    folder: Path, count: int, *, seed: int = 0, resolution: int = 128, part: tuple[int, int] = (0, 1), chunk: int = CHUNK,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Render the held-out faces and at least ``count`` pictures to train on; files that exist are kept.

    Args:
        folder: made if it is missing.
        seed: of all coordinates; the same seed gives the same pictures in every run.
        chunk: pictures per file.
        part: (i, n) renders only every n-th chunk, from the i-th on, for n processes side by side.
    """
    import time

    from facelab.portraits.renderer import Renderer

    folder.mkdir(parents=True, exist_ok=True)
    chunks = range(part[0], -(-count // chunk), part[1])
    jobs: list[tuple[Path, Callable[[], Floats]]] = []
    if part[0] == 0:
        jobs.append((folder / "held-out.npz", lambda: held_out_phi(seed)))
    for i in chunks:
        jobs.append((folder / f"chunk-{i:05d}.npz", lambda i=i: sample_phi(np.random.default_rng([seed, i]), chunk)))  # type: ignore[misc]
    renderer: Renderer | None = None
    for path, coordinates in jobs:
        if path.exists():
            continue
        renderer = renderer or Renderer(resolution)
        phi = coordinates()
        pictures = np.empty((len(phi), resolution, resolution, 3), np.uint8)
        began = time.process_time()
        for i, picture in renderer.draw_all(values_from_phi(phi)):
            pictures[i] = picture
        write(path, phi, pictures)
        say(f"{path.name}: {1e3 * (time.process_time() - began) / len(phi):.0f} ms of processor time per picture")


def draw(phi: Floats, resolution: int = 128) -> np.ndarray:
    """Draw coordinates [N, K] in a process of their own -> pictures uint8 [N, resolution, resolution, 3].

    Raises:
        DatasetError: the renderer does not work here; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "phi.npy"), Path(folder, "pictures.npy")
        np.save(source, np.asarray(phi, np.float32))
        command = [
            sys.executable,
            "-m",
            "facelab.portraits",
            "draw",
            str(source),
            str(target),
            "--resolution",
            str(resolution),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not target.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DatasetError(f"Portraits cannot be drawn here: {last}")
        pictures: np.ndarray = np.load(target, allow_pickle=False)
        return pictures


class Pictures:
    """All chunks of a folder in memory, and batches of them; ``rescan`` takes in what was rendered meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._phi: list[Floats] = []
        self._pictures: list[np.ndarray] = []
        self._known: set[str] = set()
        self.rescan()

    def __len__(self) -> int:
        return sum(map(len, self._phi))

    def rescan(self) -> None:
        """Read chunks that have appeared since."""
        for path in sorted(self.folder.glob("chunk-*.npz")):
            if path.name not in self._known:
                phi, pictures = read(path)
                self._phi.append(phi)
                self._pictures.append(pictures)
                self._known.add(path.name)

    def batches(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Floats, np.ndarray]]:
        """Endless random batches (phi [size, K], pictures [size, H, W, 3]), drawn from whatever is there by then.

        Raises:
            DatasetError: there is nothing yet.
        """
        while True:
            if not self._phi:
                raise DatasetError(f"{self.folder} holds no portraits: run `python -m facelab.portraits render` first.")
            ends = np.cumsum([len(p) for p in self._phi])
            rows = rng.integers(ends[-1], size=size)
            chunk = np.searchsorted(ends, rows, side="right")
            inside = rows - (ends - [len(p) for p in self._phi])[chunk]
            pairs = list(zip(chunk.tolist(), inside.tolist(), strict=True))
            yield np.stack([self._phi[c][i] for c, i in pairs]), np.stack([self._pictures[c][i] for c, i in pairs])
