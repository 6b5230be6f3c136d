"""Teaches the portrait encoder to read factors from pictures; resumable as ``training.Run`` is."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import facelab
from facelab.files import replacing
from facelab.nets.encoder import Encoder
from facelab.portraits.dataset import Pictures, read
from facelab.portraits.factors import NAMES, TEACHER_VERSION, phi_from_raw
from facelab.portraits.mapping import Readout
from facelab.portraits.optimiser import Muon
from facelab.portraits.training import SAVE_EVERY, TrainingError, to_signed

BATCH = 32
RATE = 0.002
_ENDS = phi_from_raw(np.zeros(len(NAMES))), phi_from_raw(np.ones(len(NAMES)))


def disturb(images: Tensor, rng: torch.Generator) -> Tensor:
    """Make half of the pictures [N, 3, H, W] a little worse: softened, noisy, so that answers hold for generated ones."""
    soft = nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.rand(len(images), 1, 1, 1, generator=rng) * (torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5)
    noise = 0.04 * share * torch.randn(images.shape, generator=rng)
    return images + share * (soft - images) + noise


def r_squared(answer: Tensor, truth: Tensor) -> Tensor:
    """Share of each factor's variance that answers [N, K] explain, [K]; 1 is perfect, 0 no better than the mean."""
    return 1 - (answer - truth).square().mean(0) / truth.var(0, correction=0)


class EncoderRun:
    """A training run of the encoder in a folder; ``encoder.pt`` in it is resumed.

    Args:
        folder: of the run.
        pictures: folder that ``dataset.render`` fills.
        seed: of the initial weights and of the order of pictures.
        precision: of the convolutions, see ``forward.fastest_precision``.
        start: weights that a new run begins with; None for random ones.

    Raises:
        TrainingError: the state is damaged or of another teacher.
    """

    def __init__(
        self, folder: Path, pictures: Path, seed: int = 0, precision: torch.dtype = torch.float32, start: Encoder | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.precision = precision
        self.path, self.pictures, self.seed = folder / "encoder.pt", Pictures(pictures), seed
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.encoder = Encoder(NAMES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            self.encoder.load_state_dict(start.state_dict())
        self.average = copy.deepcopy(self.encoder).requires_grad_(False)
        matrices = [
            p for name, p in self.encoder.named_parameters() if p.ndim > 1 and not name.startswith(("stem", "head"))
        ]
        rest = [p for name, p in self.encoder.named_parameters() if p.ndim == 1 or name.startswith(("stem", "head"))]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW([{"params": rest, "multiplier": 1.0}], lr=RATE, weight_decay=1e-3, betas=(0.9, 0.99)),
            Muon([{"params": matrices, "multiplier": 5.0}]),
        ]
        self.seen, self.cpu_seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        if self.path.exists():
            try:
                state = torch.load(self.path, map_location="cpu", weights_only=True)
                if state["teacher"] != TEACHER_VERSION:
                    raise TrainingError(
                        f"{self.path} belongs to version {state['teacher']} of the portraits: move it away."
                    )
                self.encoder.load_state_dict(state["encoder"])
                self.average.load_state_dict(state["average"])
                for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
                    optimiser.load_state_dict(stored)
                self.seen, self.cpu_seconds, self.log = state["seen"], state["cpu_seconds"], json.loads(state["log"])
            except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
                raise TrainingError(
                    f"{self.path} is not a whole training state: move it away to start anew."
                ) from error
        phi, images = read(pictures / "held-out.npz")
        self.held_phi, self.held_pictures = torch.from_numpy(phi), to_signed(images)

    def save(self) -> None:
        """Write the state whole or not at all."""
        with replacing(self.path) as temporary:
            torch.save(
                {
                    "teacher": TEACHER_VERSION, "encoder": self.encoder.state_dict(), "average": self.average.state_dict(),
                    "optimisers": [optimiser.state_dict() for optimiser in self.optimisers], "seen": self.seen, "cpu_seconds": self.cpu_seconds,
                    "log": json.dumps(self.log),
                },
                temporary,
            )  # fmt: skip

    @torch.no_grad()
    def held_out(self) -> Tensor:
        """R2 of each factor on the held-out pictures, [K]."""
        return r_squared(torch.cat([self.average(part) for part in torch.split(self.held_pictures, 32)]), self.held_phi)

    def train(self, minutes: float) -> None:
        """Train for one round, the rate falling along a cosine."""
        if not math.isfinite(minutes) or minutes <= 0:
            raise TrainingError(f"Minutes must be above 0, got {minutes:g}.")
        began, cpu, before = time.monotonic(), time.process_time(), self.cpu_seconds
        rng = torch.Generator().manual_seed(self.seed + self.seen)
        batches = self.pictures.batches(np.random.default_rng([self.seed, self.seen, 1]), BATCH)
        saved, losses, steps = began, [], 0
        while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
            if steps % 50 == 0:
                self.pictures.rescan()
            rate = RATE * min(1.0, (steps + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
            losses.append(self.step(*next(batches), rate, rng))
            steps += 1
            if time.monotonic() - saved > SAVE_EVERY:
                self.cpu_seconds, saved = before + time.process_time() - cpu, time.monotonic()
                self._record(losses)
                losses = []
        self.cpu_seconds = before + time.process_time() - cpu
        self._record(losses)

    def step(self, phi: np.ndarray, pictures: np.ndarray, rate: float, rng: torch.Generator) -> float:
        """One step on one batch; the mean squared error of phi."""
        # Shares beyond the ends are drawn as the ends: nothing in the picture tells them apart.
        phi = np.clip(phi, *_ENDS)
        images = disturb(to_signed(pictures), rng).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", self.precision, enabled=self.precision != torch.float32):
            answer = self.encoder(images)
        loss = (answer.float() - torch.from_numpy(phi)).square().mean()
        self.encoder.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 2.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["multiplier"]
            optimiser.step()
        self.seen += len(phi)
        keep = min(0.998, (self.seen + 1) / (self.seen + 20 * BATCH))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.encoder.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        return float(loss.detach())

    def _record(self, losses: list[float]) -> None:
        r2 = self.held_out()
        entry = {
            "cpu_minutes": self.cpu_seconds / 60, "pictures": self.seen, "loss": float(np.mean(losses)) if losses else math.nan,
            "r2_median": float(r2.median()), "r2_mean": float(r2.mean()),
        }  # fmt: skip
        self.log.append(entry)
        self.save()
        print(" ".join(f"{key} {value:.4g}" for key, value in entry.items()), flush=True)

    def export(self, path: Path, read: Readout, w_avg: np.ndarray) -> None:
        """Write the averaged encoder with the codes of one generator's factors.

        Args:
            read: of the generator.
            w_avg: [512] of the generator, float32.
        """
        r2 = self.held_out()
        self.average.num_ws = int(read.layers.max())
        self.average.moves = torch.from_numpy(read.directions * read.sigma[:, None])
        self.average.w_avg = torch.from_numpy(
            np.asarray(w_avg - read.phi(w_avg) @ self.average.moves.numpy(), np.float32)
        )
        facts = {
            "name": f"Portrait encoder {TEACHER_VERSION}", "licence": "CC0-1.0", "teacher_version": str(TEACHER_VERSION),
            "pictures_seen": str(self.seen), "r2_median": f"{float(r2.median()):.3f}", "code_version": facelab.__version__,
        }  # fmt: skip
        with replacing(path) as temporary:
            self.average.save(temporary, facts)
