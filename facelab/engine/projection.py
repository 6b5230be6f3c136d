"""Finds the code that draws a photograph, by gradient descent.

The descent runs in the principal coordinates of W: a code is ``w_avg + x B``, where the rows of B are the principal
axes of 10,000 mapped codes, each as long as its standard deviation. A step of Adam then moves every coordinate by the
same share of what is usual there; in plain W it would move along each of 512 axes alike, though a generator uses some
of them twenty times more than others. On the embedded generator this lifts self-inversion in W+ after 300 steps from
30 to 37 dB.

Sources: Karras et al. 2020 (arXiv:1912.04958), appendix D, for projection, its ramps and its noise regularisation;
Abdal et al. 2019 (arXiv:1904.03189) for W+; Nocedal and Wright, "Numerical Optimization", algorithm 7.4, for L-BFGS.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import threading
import time
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import functional

from facelab.assets import EMBEDDED_ENCODER, resource
from facelab.engine import losses
from facelab.engine.model import Model, to_pixels, to_tensor
from facelab.errors import BadArgument, Diverged, MissingPart
from facelab.jobs import (
    Answer,
    Progress,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionState,
    ProjectionStep,
    read_only,
)
from facelab.latent.code import Code, Floats, frozen, seed_to_z
from facelab.nets import features
from facelab.nets.encoder import Encoder

STARTS = ("w_avg", "w0", "seed", "best", "code", "encoder")
CANDIDATES = 64  # faces that the start "best" chooses from
_FLOOR = 0.1  # no axis of W counts as shorter than this share of the mean one: a photograph is not a sample of W
_MEANS_APART = 0.25  # of the usual distance of a code from the mean; two means of one generator differ by a hundredth
_BLOB_VERSION = 2
_WINDOW = 50  # steps over which the slope of the loss is taken
_ANSWER_EVERY, _PICTURE_EVERY, _STATE_EVERY = 0.2, 0.4, 1.0  # seconds
_STATE_TIMES = 20  # and at least so many times as long as giving it takes
_PENDING = 25  # losses that wait at most before they are read (reading one halts a GPU)
_FULL_SHARE = 0.3  # of the steps that a coarse-to-fine run makes at full size
# The second moment forgets faster than NVIDIA's 0.999: gradients shrink a thousandfold on the way, and a step that is
# measured by the first of them stands still at the end (44.9 -> 46.6 dB in 300 steps).
_BETAS = (0.9, 0.99)
# Noise is regularised by a fourth power, flat at the bottom: faster steps there make it leap out again.
_NOISE_BETAS = (0.9, 0.999)
_NOISE_SHARE = 0.2
# Where the loss jumps above its usual value, steps are too long for the slope there, and would go on growing: they are cut until
# it comes down, and then let grow again.
_JUMP, _BRAKE, _RELEASE, _SHORTEST = 1.05, 0.7, 1.05, 0.1
_USUAL = 0.1  # share of each loss in the usual one
_COARSE = 256  # px; below it a step costs too little for a coarse phase to pay


def is_kept(step: int) -> bool:
    """Whether a step (from 0) belongs to the subset that is kept: the first twelve, then ever fewer, 10 % apart."""
    if step < 12:
        return True
    return math.floor(math.log(step + 1) / math.log(1.1)) > math.floor(math.log(step) / math.log(1.1))


def ramp(step: int, steps: int) -> float:
    """The share of the learning rate at a step: up over the first 5 % of the run, down along a cosine over the last 25 %.

    Source: Karras et al. 2020 (arXiv:1912.04958), appendix D; but the first step moves too.
    """
    t = step / steps
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / 0.25))
    return down * min(1.0, (step + 1) / max(1.0, 0.05 * steps))


@dataclass(frozen=True)
class Basis:
    """Principal coordinates of a generator's W.

    Attributes:
        origin: w_avg, [C]: coordinate 0.
        axes: [C, C]; row i is axis i, as long as one standard deviation along it.
        back: [C, C], the inverse of ``axes``.
    """

    origin: Tensor
    axes: Tensor
    back: Tensor

    def to_w(self, x: Tensor) -> Tensor:
        """Coordinates [..., C] -> w [..., C]."""
        return self.origin + x @ self.axes

    def to_x(self, w: Tensor) -> Tensor:
        """w [..., C] -> coordinates [..., C]."""
        return (w - self.origin) @ self.back


# A queue of photographs measures its generator once.
_bases: weakref.WeakKeyDictionary[Model, Basis] = weakref.WeakKeyDictionary()


def measure(model: Model) -> Generator[None, None, Basis]:
    """Find a generator's ``Basis`` from samples of W, once; returns it (``yield from``)."""
    if model in _bases:
        return _bases[model]
    size = model.network.w_dim
    count, total, squares = 0, np.zeros(size), np.zeros((size, size))
    for w in model.sample():
        one = w.astype(np.float64)
        count, total, squares = count + len(one), total + one.sum(0), squares + one.T @ one
        yield None
    mean = total / count
    # In numpy and double precision: the axes then do not depend on the device.
    values, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    # The sign of an eigenvector is arbitrary; fixed here, so that a run does not depend on the linear algebra library.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
    deviations = np.sqrt(np.maximum(values, 0))
    deviations = np.maximum(deviations, max(_FLOOR * math.sqrt(max(values.mean(), 0.0)), 1e-6))
    _bases[model] = Basis(
        origin=model.network.w_avg.detach().float().clone(),
        axes=to_tensor(vectors.T * deviations[:, None]).to(model.device),
        back=to_tensor(vectors / deviations).to(model.device),
    )
    return _bases[model]


def check(settings: ProjectionSettings, num_ws: int) -> None:
    """Refuse settings that cannot be run.

    Raises:
        BadArgument: a value out of range, or an unknown name.
    """
    s = settings
    if s.space not in ("w", "w+"):
        raise BadArgument(f"a photograph is encoded into w or w+, not {s.space!r}")
    if type(s.steps) is not int or not 1 <= s.steps <= 1_000_000:
        raise BadArgument(f"the number of steps is 1 to 1,000,000, not {s.steps}")
    if s.start not in STARTS:
        raise BadArgument(f"unknown start {s.start!r}; known are {', '.join(STARTS)}")
    if s.optimiser not in ("adam", "lbfgs"):
        raise BadArgument(f"unknown optimiser {s.optimiser!r}; known are adam, lbfgs")
    if not 0 <= s.seed < 2**32:
        raise BadArgument(f"a seed lies between 0 and {2**32 - 1}, not {s.seed}")
    if not (math.isfinite(s.learning_rate) and 0 < s.learning_rate <= 10):
        raise BadArgument(f"the learning rate is above 0 and at most 10, not {s.learning_rate}")
    for name in ("noise_weight", "initial_noise", "near_w", "near_w_avg", "stop_loss", "stop_seconds", "stop_slope"):
        value = getattr(s, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise BadArgument(f"{name} is a number from 0 on, not {value}")
    if s.learn_layers is not None and (
        not s.learn_layers or any(type(n) is not int or not 0 <= n < num_ws for n in s.learn_layers)
    ):
        raise BadArgument(f"the layers to learn are some of 0 to {num_ws - 1}, not {s.learn_layers}")
    if s.losses:
        losses.checked(s.losses)


def project(model: Model, job: Project, cancel: threading.Event) -> Iterator[Answer | None]:
    """Work a projection off.

    Args:
        model: the open generator.
        job: what to find; see ``jobs.ProjectionSettings``.
        cancel: ends the run after the step at hand; the best code so far is its result.

    Yields:
        None between the stages of a step, ``ProjectionStep``, ``ProjectionState`` at most once a second, at last
        ``ProjectionDone`` with the best code.

    Raises:
        BadArgument, MissingPart, WrongGenerator: the job cannot be run.
        Diverged: the loss is no longer a finite number; where there was a good code, ``ProjectionDone`` came before.
    """
    run = _Run(model, job)
    yield from run.prepare()
    yield from run.descend(cancel)


def gather(weights: Mapping[str, float], features: str | None, device: torch.device) -> losses.Aids:
    """The networks that losses need.

    Args:
        weights: of the losses by name; empty for their own.
        features: path of a VGG16 weight file, or None.

    Raises:
        MissingPart: a file is missing, or is not what it should be.
    """
    vgg, portraits = None, None
    if features is not None and (not weights or weights.get(losses.Perceptual.name)):
        try:
            stat = Path(features).stat()
        except OSError as error:
            reason = error.strerror or error
            raise MissingPart(f"cannot read the VGG16 weights {Path(features).name}: {reason}") from error
        vgg = _features(features, stat.st_size, stat.st_mtime_ns, str(device))
    if weights.get(losses.PortraitFeatures.name):
        portraits = embedded_encoder().to(device)
    return losses.Aids(vgg, portraits)


@functools.lru_cache(maxsize=1)
def embedded_encoder() -> Encoder:
    """The encoder that comes with facelab."""
    return Encoder.load(resource(EMBEDDED_ENCODER))


def knows(model: Model) -> bool:
    """Whether the encoder that comes with facelab gives codes of this generator.

    Raises:
        MissingPart: the encoder is missing or damaged.
    """
    encoder, network = embedded_encoder(), model.network
    fits = (encoder.num_ws, *encoder.w_avg.shape) == (network.num_ws, network.w_dim)
    # Of the generator that it was made for, it knows the mean.
    usual = model.w_std * math.sqrt(network.w_dim)
    return fits and float((encoder.w_avg.cpu() - network.w_avg.detach().float().cpu()).norm()) <= _MEANS_APART * usual


@functools.lru_cache(maxsize=1)
def _features(path: str, size: int, changed: int, device: str) -> features.Features:
    """Kept for the next photograph; read anew when the file changes."""
    return features.load(path).to(device)


@dataclass
class _State:
    """All that changes from step to step.

    Attributes:
        x: the code in principal coordinates, [1, 1, C] for W or [1, L, C] for W+.
        maps: noise maps [r, r]; empty where they are not optimised.
        step: steps done.
        seconds: time taken so far.
        best: the lowest loss so far in this phase, 0-dimensional.
        best_x, best_maps: what it was reached with.
        best_step: number of that step, 0-dimensional.
        recent: the last losses, for the slope.
    """

    x: Tensor
    maps: list[Tensor]
    best: Tensor
    best_x: Tensor
    best_maps: list[Tensor]
    best_step: Tensor
    step: int = 0
    seconds: float = 0.0
    recent: list[float] = field(default_factory=list)

    @classmethod
    def fresh(cls, x: Tensor, maps: list[Tensor]) -> _State:
        infinite = torch.full((), math.inf, device=x.device)
        at = torch.zeros((), dtype=torch.int64, device=x.device)
        return cls(x, maps, infinite, x.clone(), [m.clone() for m in maps], at)

    @property
    def leaves(self) -> list[Tensor]:
        return [self.x, *self.maps]

    def note(self, loss: Tensor, x: Tensor, maps: Sequence[Tensor]) -> None:
        """Keep a code when it is the best so far; without reading a number back from the device."""
        better = loss < self.best  # never for what is not a number
        self.best = torch.where(better, loss, self.best)
        self.best_step = torch.where(better, self.step, self.best_step)
        self.best_x = torch.where(better, x, self.best_x)
        self.best_maps = [torch.where(better, m, b) for m, b in zip(maps, self.best_maps, strict=True)]


class _Run:
    """One projection; see ``project``."""

    def __init__(self, model: Model, job: Project) -> None:
        self.model, self.job = model, job
        self.network, self.device, self.settings = model.network, model.device, job.settings
        model.check_generator(job.generator)
        check(self.settings, self.network.num_ws)
        target = job.target
        if target.dtype != np.uint8 or target.ndim != 3 or target.shape[2] != 3 or min(target.shape) < 1:
            raise BadArgument(f"a target is uint8 [S, S, 3], not {target.dtype} {list(target.shape)}")
        if target.shape[0] != target.shape[1]:
            raise BadArgument(f"a target is square, not {target.shape[1]} x {target.shape[0]}; crop it first")
        self.phases = self._plan()
        self.notes: list[str] = []

    # -- before the first step ----------------------------------------------------------------------------------------
    def prepare(self) -> Iterator[Answer | None]:
        s, network = self.settings, self.network
        self.basis: Basis = yield from measure(self.model)
        self.aids = gather(s.losses, s.features, self.device)
        yield None
        self.weights = dict(s.losses) or losses.default_weights(self.aids)
        self.target = to_tensor(self.job.target).permute(2, 0, 1)[None].to(self.device) / 127.5 - 1
        self.mask = None
        if s.mask is not None:
            square = s.mask.ndim == 2 and s.mask.shape[0] == s.mask.shape[1]
            if s.mask.dtype != np.uint8 or not square or not s.mask.any():
                raise BadArgument("a mask is uint8 [S, S], with at least one pixel that counts")
            self.mask = to_tensor(s.mask)[None, None].to(self.device) / 255
        self.learnt: Tensor | None = None
        if s.learn_layers is not None:
            self.learnt = torch.zeros(1, network.num_ws, 1, dtype=torch.bool, device=self.device)
            self.learnt[:, list(s.learn_layers)] = True
        noisy = s.optimise_noise and s.optimiser == "adam" and bool(network.noise_shapes)
        if noisy and not noise_works(self.model):
            noisy = False
            self.notes.append("this generator's noise does nothing, so only the code is optimised")
        self.start = yield from self._start()
        rows = 1 if s.space == "w" else network.num_ws
        x = self.basis.to_x(self.start)
        x = x.mean(1, keepdim=True) if rows == 1 else x
        # From the generator's own maps rather than new ones: its own faces can then be found again whole.
        maps = [m.detach().float().clone() for m in network.noise_consts()] if noisy else []
        self.state = _State.fresh(x.contiguous(), maps)
        self.optimiser: _Adam | _LBFGS = _Adam(s.learning_rate, self.device) if s.optimiser == "adam" else _LBFGS()
        if self.job.resume is not None:
            self._read(self.job.resume)
        for note in self.notes:
            yield Progress(self.state.step, s.steps, note)

    def _plan(self) -> list[tuple[int, int]]:
        """(first step, resolution) of each phase: half of the run or more at a size that shows shapes, the end at full size."""
        full = self.network.resolution
        if not (self.settings.coarse_to_fine and self.network.has_previews and full > _COARSE):
            return [(0, full)]
        first = round(self.settings.steps * (1 - _FULL_SHARE))
        return [(0, _COARSE), (first, full)] if 0 < first < self.settings.steps else [(0, full)]

    def _start(self) -> Generator[None, None, Tensor]:
        """The code that the run starts from; returns ws [1, L, C]."""
        s, network = self.settings, self.network
        shape = (1, network.num_ws, network.w_dim)
        if s.start == "w_avg":
            w = self.basis.origin
        elif s.start == "w0":
            w = torch.zeros_like(self.basis.origin)
        elif s.start == "seed":
            z = seed_to_z(s.seed, network.z_dim)[None]
            label = np.eye(network.c_dim, dtype=np.float32)[:1] if network.c_dim else None
            w = to_tensor(self.model.map(z, label))[0].to(self.device)
        elif s.start == "best":
            w = yield from self._best_of()
        elif s.start == "encoder":
            w = to_tensor(self._guess()).to(self.device)
        else:
            if s.start_code is None:
                raise BadArgument('the start "code" needs a code to start from')
            w = to_tensor(self.model.mapped([s.start_code])[0]).to(self.device)
        yield None
        if w.shape not in (shape[1:], shape[2:]):
            raise BadArgument(f"a start of shape {list(w.shape)} does not fit this generator's {list(shape[1:])}")
        return w.expand(shape).clone()

    def _guess(self) -> Floats:
        """The code [L, C] that the encoder reads from the target."""
        if not knows(self.model):
            raise MissingPart("facelab's encoder knows only the generator that comes with it; start from w_avg")
        return embedded_encoder().guess(self.job.target)

    def _best_of(self) -> Generator[None, None, Tensor]:
        """Of some random faces and the mean one, that with the lowest loss at small size; returns w [C]."""
        size = min(64, self.network.resolution)
        compare = self._losses(size)
        random = np.random.RandomState(self.settings.seed)
        codes, values = [self.basis.origin[None]], []
        while sum(map(len, codes)) <= CANDIDATES:
            z = random.randn(8, self.network.z_dim).astype(np.float32)
            label = None
            if self.network.c_dim:
                label = np.eye(self.network.c_dim, dtype=np.float32)[random.randint(self.network.c_dim, size=8)]
            codes.append(to_tensor(self.model.map(z, label)).to(self.device))
        for batch in codes:
            with torch.no_grad():
                ws = batch[:, None].expand(-1, self.network.num_ws, -1)
                values.append(compare.total(compare(self.network.synthesize(ws, resolution=size))))
            yield None
        return torch.cat(codes)[int(torch.cat(values).argmin())]

    def _losses(self, resolution: int) -> losses.Sum:
        return losses.Sum(
            self.weights, resample(self.target, resolution),
            None if self.mask is None else resample(self.mask, resolution), self.aids,
        )  # fmt: skip

    # -- the descent --------------------------------------------------------------------------------------------------
    def descend(self, cancel: threading.Event) -> Iterator[Answer | None]:
        s, state = self.settings, self.state
        report = _Report(self)
        clock = time.monotonic()
        stopped = ""
        resolution = 0
        while state.step < s.steps and not stopped:
            if cancel.is_set():
                stopped = "cancelled"
                break
            phase = max(first for first, _ in self.phases if first <= state.step)
            if dict(self.phases)[phase] != resolution:
                resolution = dict(self.phases)[phase]
                self.compare = self._losses(resolution)
                if phase == state.step:  # losses at another size are another measure
                    state.best = torch.full_like(state.best, math.inf)
                    self.optimiser.forget()
            evaluation = _Evaluation(self, resolution)
            yield from self.optimiser.step(state, evaluation, s)
            report.add(evaluation)
            state.step += 1
            if self.optimiser.settled and phase == self.phases[-1][0]:
                stopped = "slope"
            now = time.monotonic()
            state.seconds, clock = state.seconds + now - clock, now
            if report.due():
                answer = report.read()
                stopped = self._stop(answer) or stopped
                if stopped == "diverged":
                    break
                yield answer
                blob = report.blob_if_due()
                if blob is not None:
                    yield blob
                clock = time.monotonic()  # what others did meanwhile is not this run's time
            else:
                yield None
        if report.pending:
            answer = report.read()
            stopped = self._stop(answer) or stopped
            if stopped != "diverged":
                yield answer
        if stopped == "cancelled" and state.step:
            yield ProjectionState(run=self.job.run, step=state.step, blob=self.blob())
        if math.isfinite(float(state.best)):
            yield (yield from self._finish(stopped))
        if stopped == "diverged":
            raise Diverged(
                f"the loss stopped being a finite number at step {state.step}; lower the learning rate and start again"
            )
        if not math.isfinite(float(state.best)):
            raise Diverged("no step gave a finite loss, so there is no code to keep; lower the learning rate")

    def _stop(self, answer: ProjectionStep) -> str:
        """Why the run should end here, or nothing."""
        s, recent = self.settings, self.state.recent
        totals = answer.losses["total"]
        if not all(math.isfinite(value) for value in totals):
            return "diverged"
        recent += totals
        del recent[: -2 * _WINDOW]
        at_full_size = self.state.step > self.phases[-1][0]
        if s.stop_loss is not None and at_full_size and min(totals) <= s.stop_loss:
            return "loss"
        if s.stop_seconds is not None and self.state.seconds >= s.stop_seconds:
            return "time"
        if s.stop_slope is not None and at_full_size and len(recent) == 2 * _WINDOW:
            before, after = sum(recent[:_WINDOW]), sum(recent[_WINDOW:])
            if before - after < s.stop_slope * before:
                return "slope"
        return ""

    def ws(self, x: Tensor) -> Tensor:
        """Coordinates [1, 1 or L, C] -> ws [1, L, C], the layers that are not learnt as at the start."""
        ws = self.basis.to_w(x).expand(-1, self.network.num_ws, -1)
        return ws if self.learnt is None else torch.where(self.learnt, ws, self.start)

    def _finish(self, stopped: str) -> Generator[None, None, ProjectionDone]:
        """The best code and its picture, drawn from what is saved; returns ``ProjectionDone``."""
        state = self.state
        ws = self.ws(state.best_x)
        # float16 is what files keep; the picture is drawn from the same numbers.
        maps = [m.half().float() for m in state.best_maps]
        picture: Tensor | None = None
        for _, so_far in self.model.renderer.steps(ws, noise=maps or "const"):
            picture = so_far
            yield None
        assert picture is not None, "the last block of a network always gives its picture"
        in_w = self.settings.space == "w" and self.learnt is None
        code = Code(
            array=frozen((ws[0, 0] if in_w else ws[0]).cpu().numpy()),
            space="w" if in_w else "w+",
            generator=self.job.generator,
            origin={
                "photo": self.job.name,
                "run": self.job.run,
                "step": int(state.best_step),
                "loss": float(state.best),
            },
            noise=tuple(frozen(m.cpu().numpy()) for m in maps) or None,
        )
        return ProjectionDone(
            run=self.job.run, code=code, loss=float(state.best), step=int(state.best_step),
            pixels=to_pixels(picture)[0], stopped=stopped,
        )  # fmt: skip

    # -- to stop and go on ----------------------------------------------------------------------------------------------
    def identity(self) -> str:
        """What a saved state belongs to: everything but how long the run lasts."""
        s = self.settings
        about: dict[str, Any] = {
            name: getattr(s, name)
            for name in ("space", "learning_rate", "start", "seed", "optimise_noise", "noise_weight", "initial_noise",
                         "near_w", "near_w_avg", "optimiser", "learn_layers", "coarse_to_fine")
        }  # fmt: skip
        about |= {
            "losses": sorted(self.weights.items()),
            "generator": self.job.generator,
            "target": hashlib.sha256(np.ascontiguousarray(self.job.target).tobytes()).hexdigest(),
            "mask": None if s.mask is None else hashlib.sha256(np.ascontiguousarray(s.mask).tobytes()).hexdigest(),
            "start_code": None if s.start_code is None else s.start_code.digest,
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def blob(self) -> bytes:
        """All of the state as one safetensors document; see ``_read``."""
        state = self.state
        about = {
            "version": _BLOB_VERSION, "identity": self.identity(), "step": state.step, "seconds": state.seconds,
            "recent": state.recent, "best_step": int(state.best_step), "best": _number(float(state.best)),
            "optimiser": self.optimiser.about(),
        }  # fmt: skip
        tensors = {"x": state.x, "best_x": state.best_x}
        tensors |= {f"noise.{i}": m for i, m in enumerate(state.maps)}
        tensors |= {f"best_noise.{i}": m for i, m in enumerate(state.best_maps)}
        tensors |= self.optimiser.tensors(state)
        text = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
        plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        return save_tensors({"about": text, **plain})

    def _read(self, blob: bytes) -> None:
        """Go on from a saved state, which may come from a file that somebody else made.

        Raises:
            BadArgument: it is broken, or belongs to another run.
        """
        state = self.state
        expected = {"x": state.x, "best_x": state.x}
        expected |= {f"noise.{i}": m for i, m in enumerate(state.maps)}
        expected |= {f"best_noise.{i}": m for i, m in enumerate(state.maps)}
        broken = BadArgument("the saved state of this run cannot be read; start the run again")
        try:
            found = load_tensors(blob)
            about = json.loads(bytes(found.pop("about").numpy().tobytes()))
            if about["version"] != _BLOB_VERSION:
                raise BadArgument("the saved state was written by another version of facelab; start the run again")
            if about["identity"] != self.identity():
                raise BadArgument("the saved state belongs to another run (photograph, settings or generator differ)")
            step, best_step = about["step"], about["best_step"]
            seconds, recent, best = float(about["seconds"]), [float(v) for v in about["recent"]], about["best"]
            expected |= self.optimiser.expected(about["optimiser"], state)
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise error if isinstance(error, BadArgument) else broken from error
        if (
            found.keys() != expected.keys()
            or any(found[n].shape != t.shape or found[n].dtype != t.dtype for n, t in expected.items())
            or not all(bool(t.isfinite().all()) for t in found.values())
            or not all(type(n) is int and 0 <= n <= 1_000_000 for n in (step, best_step))
            or not (math.isfinite(seconds) and seconds >= 0 and all(map(math.isfinite, recent)))
            or len(recent) > 2 * _WINDOW
            or not (best is None or (type(best) is float and math.isfinite(best)))
        ):
            raise broken
        found = {name: t.to(self.device) for name, t in found.items()}
        state.x, state.best_x = found["x"], found["best_x"]
        state.maps = [found[f"noise.{i}"] for i in range(len(state.maps))]
        state.best_maps = [found[f"best_noise.{i}"] for i in range(len(state.maps))]
        state.step, state.seconds, state.recent = step, seconds, recent
        state.best = torch.full_like(state.best, math.inf if best is None else best)
        state.best_step = torch.full_like(state.best_step, best_step)
        self.optimiser.restore(about["optimiser"], found, state)


class _Evaluation:
    """The loss and its gradient at a code, found in stages.

    Attributes (after ``run``):
        terms: every term by name and "total", 0-dimensional.
        gradients: one per leaf of the state; None where a leaf has no part (the noise of blocks not drawn).
        picture: what was drawn, [1, c, r, r].
        x, maps: what it was drawn from.
    """

    def __init__(self, run: _Run, resolution: int) -> None:
        self._run, self._resolution = run, resolution

    def run(self, x: Tensor, maps: Sequence[Tensor]) -> Iterator[None]:
        """Forward, losses, backward; a yield after each block and each stage.

        Args:
            x: coordinates [1, 1 or L, C].
            maps: noise maps [r, r].
        """
        run, settings = self._run, self._run.settings
        leaves = [t.detach().requires_grad_() for t in (x, *maps)]
        drawn: Tensor | None = None
        blocks = run.model.renderer.differentiable(
            run.ws(leaves[0]), noise=leaves[1:] or "const", resolution=self._resolution
        )
        for _, so_far in blocks:
            drawn = so_far
            yield None
        assert drawn is not None, "the last block of a network always gives its picture"
        terms = {name: value[0] for name, value in run.compare(drawn).items()}
        total = run.compare.total(terms)
        if settings.near_w and settings.space == "w+":
            terms["near_w"] = losses.near_w(leaves[0])[0]
            total = total + settings.near_w * terms["near_w"]
        if settings.near_w_avg:
            terms["near_w_avg"] = losses.near_w_avg(leaves[0])[0]
            total = total + settings.near_w_avg * terms["near_w_avg"]
        if maps and settings.noise_weight:
            terms["noise"] = losses.noise_regularisation(leaves[1:])
            total = total + settings.noise_weight * terms["noise"]
        yield None
        self.gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        self.terms = {name: value.detach() for name, value in terms.items()} | {"total": total.detach()}
        # The optimiser moves what the leaves share their memory with.
        self.picture, self.x, self.maps = drawn.detach(), x.detach().clone(), [m.detach() for m in leaves[1:]]
        yield None


class _Adam:
    """Adam on the code and the noise maps, with ramps, a fading noise on the code, and a brake for when the loss jumps."""

    settled = False  # it never knows

    def __init__(self, learning_rate: float, device: torch.device) -> None:
        self._rate = learning_rate
        self._optimiser: torch.optim.Adam | None = None
        # 0-dimensional and on the device: to read a number back would halt a GPU at every step.
        self._usual = torch.zeros((), device=device)  # loss; 0 before the first
        self._brake = torch.ones((), device=device)  # share of the step that is made

    def _ready(self, state: _State) -> torch.optim.Adam:
        if self._optimiser is None:
            groups = [{"params": [state.x], "betas": _BETAS}]
            if state.maps:
                groups.append({"params": state.maps, "betas": _NOISE_BETAS})
            self._optimiser = torch.optim.Adam(groups, lr=self._rate, eps=1e-12)
        return self._optimiser

    def step(self, state: _State, evaluation: _Evaluation, settings: ProjectionSettings) -> Iterator[None]:
        """One evaluation, one step."""
        x = state.x
        fading = max(0.0, 1 - state.step / settings.steps / 0.75) ** 2
        if settings.initial_noise and fading:
            # A random stream of its own for every step: a run that goes on needs no generator's state.
            noise = torch.randn((1, 1, x.shape[2]), generator=random_stream(settings.seed, 1 + state.step))
            x = x + noise.to(x.device) * (settings.initial_noise * fading)
        yield from evaluation.run(x, state.maps)
        state.note(evaluation.terms["total"], evaluation.x, evaluation.maps)
        optimiser = self._ready(state)
        for group, share in zip(optimiser.param_groups, (1.0, _NOISE_SHARE), strict=False):
            group["lr"] = self._rate * share * ramp(state.step, settings.steps)
        for leaf, gradient in zip(state.leaves, evaluation.gradients, strict=True):
            leaf.grad = gradient
        before = [leaf.clone() for leaf in state.leaves]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        left_out = 1 - self._share(evaluation.terms["total"], noisy=bool(settings.initial_noise and fading))
        for leaf, old in zip(state.leaves, before, strict=True):
            leaf.lerp_(old, left_out)
        for one in state.maps:
            one.sub_(one.mean()).mul_((one.square().mean() + 1e-12).rsqrt())

    def _share(self, loss: Tensor, noisy: bool) -> Tensor:
        """How much of a step is made, 0-dimensional; all of it while noise makes the loss jump."""
        jumped = (self._usual > 0) & (loss > _JUMP * self._usual) & (not noisy)
        self._brake = torch.where(jumped, self._brake * _BRAKE, self._brake * _RELEASE).clamp(_SHORTEST, 1.0)
        self._usual = torch.where(self._usual > 0, torch.lerp(self._usual, loss, _USUAL), loss)
        return self._brake

    def forget(self) -> None:
        """Another loss is usual at another size; the moments serve there too."""
        self._usual = torch.zeros_like(self._usual)

    def about(self) -> dict[str, Any]:
        return {"kind": "adam"}

    def tensors(self, state: _State) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {"adam.usual": self._usual, "adam.brake": self._brake}
        for index, leaf in enumerate(state.leaves):
            moments = self._ready(state).state.get(leaf) or {
                "step": torch.zeros(()), "exp_avg": torch.zeros_like(leaf), "exp_avg_sq": torch.zeros_like(leaf),
            }  # fmt: skip
            found |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return found

    def expected(self, about: Mapping[str, Any], state: _State) -> dict[str, Tensor]:
        if about != self.about():
            raise ValueError("another optimiser")
        return self.tensors(state)

    def restore(self, about: Mapping[str, Any], found: Mapping[str, Tensor], state: _State) -> None:
        self._optimiser = None
        optimiser = self._ready(state)
        self._usual, self._brake = found["adam.usual"], found["adam.brake"].clamp(_SHORTEST, 1.0)
        for index, leaf in enumerate(state.leaves):
            count = found[f"adam.{index}.step"].cpu()
            if count > 0:
                optimiser.state[leaf] = {
                    "step": count, "exp_avg": found[f"adam.{index}.exp_avg"],
                    "exp_avg_sq": found[f"adam.{index}.exp_avg_sq"].clamp(min=0),
                }  # fmt: skip


class _LBFGS:
    """L-BFGS on the code with a backtracking line search; ``torch.optim``'s cannot be left between two evaluations."""

    memory = 20
    tries = 8

    def __init__(self) -> None:
        self._steps: list[Tensor] = []  # differences of x
        self._turns: list[Tensor] = []  # differences of the gradient
        self._last: tuple[Tensor, Tensor] | None = None  # gradient and loss at x
        self.settled = False

    def step(self, state: _State, evaluation: _Evaluation, settings: ProjectionSettings) -> Iterator[None]:
        """One direction; usually one evaluation, more where the first length does not lower the loss enough."""
        if self._last is None:
            yield from evaluation.run(state.x, [])
            state.note(evaluation.terms["total"], evaluation.x, [])
            self._last = evaluation.gradients[0], evaluation.terms["total"]
            return
        gradient, loss = self._last
        direction = -self._scaled(gradient)
        slope = float((direction * gradient).sum())
        if not slope < 0:  # the memory misleads
            self.forget_turns()
            direction, slope = -gradient, -float(gradient.square().sum())
            if not slope < 0:  # nowhere leads down
                yield from evaluation.run(state.x, [])
                self.settled = True
                return
        # The first step has no memory to scale it: as long as Adam's would be.
        length = 1.0 if self._steps else settings.learning_rate / max(float(gradient.abs().mean()), 1e-30)
        for _ in range(self.tries):
            x = state.x + length * direction
            yield from evaluation.run(x, [])
            if float(evaluation.terms["total"]) <= float(loss) + 1e-4 * length * slope:
                break
            length *= 0.35
        else:
            # Where no length down the bare gradient helps either, this is the bottom, as far as float32 can see it.
            self.settled = not self._steps
            self.forget_turns()
            return
        turn, moved = evaluation.gradients[0] - gradient, x - state.x
        # Pairs without positive curvature would break the next direction.
        if float((turn * moved).sum()) > 1e-10 * float(turn.square().sum()):
            self._steps = [*self._steps, moved][-self.memory :]
            self._turns = [*self._turns, turn][-self.memory :]
        state.x = x
        self._last = evaluation.gradients[0], evaluation.terms["total"]
        state.note(evaluation.terms["total"], evaluation.x, [])

    def _scaled(self, gradient: Tensor) -> Tensor:
        """The inverse Hessian's guess times the gradient: the two loops."""
        q, shares = gradient, []
        for moved, turn in zip(reversed(self._steps), reversed(self._turns), strict=True):
            share = (moved * q).sum() / (moved * turn).sum()
            q = q - share * turn
            shares.append(share)
        if self._steps:
            q = q * ((self._steps[-1] * self._turns[-1]).sum() / self._turns[-1].square().sum())
        for moved, turn, share in zip(self._steps, self._turns, reversed(shares), strict=True):
            q = q + (share - (turn * q).sum() / (moved * turn).sum()) * moved
        return q

    def forget_turns(self) -> None:
        self._steps, self._turns = [], []

    def forget(self) -> None:
        """At another size the loss is another function."""
        self.forget_turns()
        self._last, self.settled = None, False

    def about(self) -> dict[str, Any]:
        return {"kind": "lbfgs", "memory": len(self._steps), "ready": self._last is not None}

    def tensors(self, state: _State) -> dict[str, Tensor]:
        found = {f"moved.{i}": t for i, t in enumerate(self._steps)}
        found |= {f"turn.{i}": t for i, t in enumerate(self._turns)}
        if self._last is not None:
            found |= {"gradient": self._last[0], "loss": self._last[1]}
        return found

    def expected(self, about: Mapping[str, Any], state: _State) -> dict[str, Tensor]:
        count = about["memory"]
        if about["kind"] != "lbfgs" or type(count) is not int or not 0 <= count <= self.memory:
            raise ValueError("another optimiser")
        found = {f"{name}.{i}": state.x for name in ("moved", "turn") for i in range(count)}
        return found | ({"gradient": state.x, "loss": state.best} if about["ready"] else {})

    def restore(self, about: Mapping[str, Any], found: Mapping[str, Tensor], state: _State) -> None:
        self._steps = [found[f"moved.{i}"] for i in range(about["memory"])]
        self._turns = [found[f"turn.{i}"] for i in range(about["memory"])]
        self._last = (found["gradient"], found["loss"]) if about["ready"] else None


class _Report:
    """Gathers what a run tells: losses in batches, kept codes, a picture now and then, its state."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.pending: list[tuple[int, dict[str, Tensor]]] = []
        self._last: _Evaluation | None = None
        self._answered = self._drawn = self._saved = time.monotonic()
        self._interval = _STATE_EVERY

    def add(self, evaluation: _Evaluation) -> None:
        """Take the step that has just been made; the state's step is still its number."""
        self.pending.append((self._run.state.step, evaluation.terms))
        self._last = evaluation

    def due(self) -> bool:
        """Whether it is time to answer; a kept step is always answered for itself."""
        step = self.pending[-1][0]
        return (
            self._run.job.every_step
            or is_kept(step)
            or step + 1 == self._run.settings.steps
            or len(self.pending) >= _PENDING
            or time.monotonic() - self._answered >= _ANSWER_EVERY
        )

    def read(self) -> ProjectionStep:
        """What has come since the last answer; the one place where losses are read from the device."""
        assert self._last is not None
        run, now = self._run, time.monotonic()
        names = list(self.pending[0][1])
        table = torch.stack([torch.stack([terms[name] for name in names]) for _, terms in self.pending])
        columns = table.T.tolist()
        steps = tuple(step for step, _ in self.pending)
        kept = is_kept(steps[-1]) or steps[-1] + 1 == run.settings.steps
        pixels = None
        wanted = run.job.every_step or now - self._drawn >= _PICTURE_EVERY or steps[-1] == 0
        if wanted and bool(self._last.picture.isfinite().all()):
            pixels = to_pixels(self._last.picture)[0]
            self._drawn = now
        ws = read_only(run.ws(self._last.x)[0].cpu().numpy()) if kept or run.job.every_step else None
        self.pending.clear()
        self._answered = now
        return ProjectionStep(
            run=run.job.run, steps=steps, losses={n: tuple(c) for n, c in zip(names, columns, strict=True)},
            ws=ws, pixels=pixels, kept=kept, best=float(run.state.best), seconds=run.state.seconds,
        )  # fmt: skip

    def blob_if_due(self) -> ProjectionState | None:
        """The state, when a second or twenty times its own writing time has passed since it was last given."""
        now = time.monotonic()
        if now - self._saved < self._interval:
            return None
        blob = self._run.blob()
        self._saved = time.monotonic()
        self._interval = max(_STATE_EVERY, _STATE_TIMES * (self._saved - now))
        return ProjectionState(run=self._run.job.run, step=self._run.state.step, blob=blob)


def noise_works(model: Model) -> bool:
    """Whether any of the generator's noise strengths differs from zero."""
    strengths = [t for name, t in model.network.state_dict().items() if name.endswith("noise_strength")]
    return any(bool(t.any()) for t in strengths)


def random_stream(seed: int, stream: int) -> torch.Generator:
    """A random stream of a run's own."""
    return torch.Generator().manual_seed((seed << 24) + stream)


def resample(picture: Tensor, size: int) -> Tensor:
    """A picture [1, c, S, S] at another size: averaged over areas when smaller, bilinear when larger."""
    if picture.shape[-1] >= size:
        return functional.interpolate(picture, size=(size, size), mode="area")
    return functional.interpolate(picture, size=(size, size), mode="bilinear", align_corners=False)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
