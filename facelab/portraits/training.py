"""Teaches a StyleGAN2 to draw what the renderer draws, by plain regression on pairs (coordinates, picture).

The network that learns is facelab's own StyleGAN2 whose w has K numbers: the factor coordinates phi themselves. Each
layer's style reads only the factors of the group that owns its row of ws (the other weights are zero and stay zero),
so every pair teaches every pattern of style mixing and truncation, with no extra pictures. ``export`` composes these
styles with the read-out phi = R w + b0 of the constructed mapping network into an ordinary generator with 512 numbers.

A run is resumable: ``state.pt`` in its folder holds weights, average, optimiser and counters, written every few minutes.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import FacelabError
from facelab.files import replacing
from facelab.nets import Network, build
from facelab.nets.ops import Dense
from facelab.portraits.dataset import HELD_OUT, Pictures, read
from facelab.portraits.factors import GROUP, TEACHER_VERSION, K
from facelab.portraits.forward import draw
from facelab.portraits.mapping import Readout, owner_layers
from facelab.portraits.optimiser import Muon

CHANNEL_BASE, CHANNEL_MAX = 4096, 128
SAVE_EVERY = 240.0  # seconds between checkpoints
RESCAN_EVERY = 100  # steps between looks for new pictures
_DRAWN_AT_ONCE = 12  # pictures of the held-out set drawn per evaluation batch


class TrainingError(FacelabError):
    """A training run cannot start or go on."""


@dataclass(frozen=True)
class Plan:
    """The settings of a run; they are stored with it and a resumed run keeps them.

    Attributes:
        resolution: pixels per side of pictures and network.
        channel_base, channel_max: feature maps of a block: min(base / size, max).
        batch: pictures per step.
        rate: base learning rate; see ``_multiplier``.
        seed: of the initial weights and of the order of pictures.
        precision: "float32" or "bfloat16", of the feature maps; see ``forward.fastest_precision``.
        muon: convolutions learn by Muon instead of Adam.
        slope_share: weight of slopes in the loss; see ``picture_loss``.
    """

    resolution: int = 128
    channel_base: int = CHANNEL_BASE
    channel_max: int = CHANNEL_MAX
    batch: int = 8
    rate: float = 0.002
    seed: int = 0
    precision: str = "float32"
    muon: bool = True
    slope_share: float = 0.75

    @property
    def channels(self) -> list[int]:
        return [min(self.channel_base // 2**k, self.channel_max) for k in range(2, self.resolution.bit_length())]


@dataclass
class Progress:
    """What a run has done so far."""

    pictures: int = 0
    steps: int = 0
    cpu_seconds: float = 0.0
    rounds: int = 0
    log: list[dict[str, float]] = field(default_factory=list)


def student(plan: Plan) -> Network:
    """An untrained network over factor coordinates: ws is phi per layer, float32 [N, num_ws, K].

    Only ``synthesis`` is of use; its styles start with owner masks and a bias of one.
    """
    network = build(
        "stylegan2",
        {
            "resolution": plan.resolution,
            "channels": plan.channels,
            "z_dim": 1,
            "w_dim": K,
            "mapping_features": [K],
            "use_noise": False,
        },
        seed=plan.seed,
    )
    torch_rng = torch.Generator().manual_seed(plan.seed)
    masks = owner_masks(network)
    with torch.no_grad():
        for name, mask in masks.items():
            affine = style(network, name)
            # Style = 1 + 0.5 N(0, 1) over random faces, whatever the number of factors that the layer owns.
            scale = 0.5 * math.sqrt(K / float(mask.sum()))
            affine.weight.copy_(torch.randn(affine.weight.shape, generator=torch_rng) * scale * mask)
            affine.bias.fill_(1.0)
    return network


def style(network: Network, name: str) -> Dense:
    """The layer that makes the style of one convolution, by its path below synthesis."""
    return cast(Dense, network.synthesis.get_submodule(name))


def owner_masks(network: Network) -> dict[str, Tensor]:
    """Which factors each style layer reads: module path below synthesis -> float32 [K] of ones and zeros."""
    rows = owner_layers(network.num_ws)
    masks = {}
    for layer in network.layers():
        group = int(np.flatnonzero((rows[:, 0] <= layer.ws_index) & (layer.ws_index < rows[:, 1]))[0])
        masks[f"{layer.name}.affine"] = torch.from_numpy(np.float32(np.equal(GROUP, group)))
    return masks


# One rate for all parameters stalls (14.7 dB): RGB weights and biases move all pixels at once and jitter, while the
# convolutions, which demodulation makes scale-free, need four times as much.
def _multiplier(name: str) -> float:
    if name.endswith("bias") or "torgb.weight" in name:
        return 1.0
    return 3.5 if ".affine." in name else 4.0


def _optimisers(network: Network, muon: bool) -> list[torch.optim.Optimizer]:
    groups: dict[float, list[nn.Parameter]] = {}
    convolutions: list[nn.Parameter] = []
    for name, parameter in network.synthesis.named_parameters():
        if muon and "conv" in name and parameter.ndim == 4:
            convolutions.append(parameter)
        else:
            groups.setdefault(_multiplier(name), []).append(parameter)
    adam = torch.optim.Adam(
        [{"params": group, "multiplier": m} for m, group in sorted(groups.items())], lr=1e-3, betas=(0.9, 0.99)
    )
    return [adam, Muon([{"params": convolutions, "multiplier": 4.0}])] if muon else [adam]


def face_weights(resolution: int) -> Tensor:
    """How much each pixel counts, float32 [1, 1, H, W] of mean one: the face more than corners, eyes and mouth most."""
    axis = torch.linspace(-1, 1, resolution)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    # Not much more: with a face at thrice its surroundings, hair and outlines stayed soft long after the eyes were sharp.
    weight = 1.0 + 0.8 * torch.exp(-(((x / 0.52) ** 2 + ((y - 0.08) / 0.58) ** 2) ** 2))
    soft = torch.sigmoid((0.40 - x.abs()) * 20) * torch.sigmoid((y + 0.20) * 20) * torch.sigmoid((0.60 - y) * 20)
    weight = weight * (1 + 0.5 * soft)
    return (weight / weight.mean())[None, None]


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def picture_loss(drawn: Tensor, wanted: Tensor, weights: Tensor, slope_share: float = 0.75) -> Tensor:
    """Mean absolute error of pixels, of slopes (crispness) and of three coarser copies (colours, places).

    Args:
        drawn, wanted: [N, 3, H, W] on [-1, 1].
        weights: as of ``face_weights``.
        slope_share: weight of the slopes.
    """
    error = drawn - wanted
    loss = (error.abs() * weights).mean()
    across, down = _slopes(error)
    loss = loss + slope_share * ((across.abs() * weights[..., 1:]).mean() + (down.abs() * weights[..., 1:, :]).mean())
    for _ in range(3):
        error = functional.avg_pool2d(error, 2)
        loss = loss + 0.5 * error.abs().mean()
    return loss


def spread(phi: Tensor, num_ws: int, share: float, torch_rng: torch.Generator) -> Tensor:
    """phi [N, K] -> per-layer coordinates [N, num_ws, K], some of them pulled apart with an unchanged mean.

    A ``share`` of faces gets noise of zero mean over the layers that own each factor. Trained against the unchanged
    picture, this says what a W+ code whose layers disagree looks like: its mean.
    """
    rows = owner_layers(num_ws)
    owned = torch.zeros(num_ws, K)
    for group, (first, last) in enumerate(rows):
        owned[first:last] = torch.from_numpy(np.float32(np.equal(GROUP, group)))
    noise = torch.randn(len(phi), num_ws, K, generator=torch_rng)
    noise = noise - (noise * owned).sum(1, keepdim=True) / owned.sum(0)
    size = torch.rand(len(phi), 1, 1, generator=torch_rng) * 0.8
    size = size * (torch.rand(len(phi), 1, 1, generator=torch_rng) < share)
    return phi[:, None] + size * noise * owned


def to_signed(pictures: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] on [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal to noise ratio of each picture [N, 3, H, W] on [-1, 1], in dB, [N]."""
    return 10 * torch.log10(4 / (drawn.clamp(-1, 1) - wanted).square().mean((1, 2, 3)).clamp_min(1e-12))


@torch.no_grad()
def draw_phi(network: Network, phi: Tensor) -> Tensor:
    """Draw coordinates [N, K] with a student -> [N, 3, H, W]."""
    parts = [
        network.synthesize(p[:, None].expand(-1, network.num_ws, -1), noise="none")
        for p in torch.split(phi, _DRAWN_AT_ONCE)
    ]
    return torch.cat(parts)


class Run:
    """A training run in a folder.

    Args:
        folder: of the run; a ``state.pt`` in it is resumed.
        pictures: folder that ``dataset.render`` fills, maybe still at it.
        plan: settings of a new run; a resumed one keeps its own.
        start: generator and read-out whose weights a new run begins with; see ``adopt``.

    Raises:
        TrainingError: the state is damaged or of another teacher, or there are no held-out pictures yet.
    """

    def __init__(
        self, folder: Path, pictures: Path, plan: Plan | None = None, start: tuple[Network, Readout] | None = None
    ) -> None:
        self.folder, self.pictures = folder, Pictures(pictures)
        self.plan, self.progress = plan or Plan(), Progress()
        folder.mkdir(parents=True, exist_ok=True)
        state = self._stored()
        if state is not None:
            self.plan = Plan(**state["plan"])
        if self.plan.resolution < 64:
            raise TrainingError("Below 64 px a network has no fine layers of its own: choose 64 px or more.")
        self.network = student(self.plan)
        if state is None and start is not None:
            adopt(self.network, *start)
        self.network.synthesis.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimisers = _optimisers(self.network, self.plan.muon)
        self._precision = getattr(torch, self.plan.precision)
        if state is not None:
            self.network.synthesis.load_state_dict(state["synthesis"])
            self.average.synthesis.load_state_dict(state["average"])
            for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(stored)
            self.progress = Progress(**json.loads(state["progress"]))
        for name, mask in owner_masks(self.network).items():
            weight: Any = style(self.network, name).weight
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)
        held = pictures / "held-out.npz"
        phi, images = read(held)
        if len(phi) != HELD_OUT or images.shape[1] != self.plan.resolution:
            raise TrainingError(f"{held} holds {images.shape}, not {HELD_OUT} pictures of {self.plan.resolution} px.")
        self.held_phi, self.held_pictures = torch.from_numpy(phi), to_signed(images)

    def _stored(self) -> dict[str, Any] | None:
        path = self.folder / "state.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            teacher = state["teacher"]
        except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{path} is not a whole training state: move it away to start anew.") from error
        if teacher != TEACHER_VERSION:
            raise TrainingError(f"{path} was trained on version {teacher} of the portraits, this is {TEACHER_VERSION}.")
        return state

    def save(self) -> None:
        """Write the state, the log and the settings; a stop at any moment leaves the last whole state."""
        with replacing(self.folder / "state.pt") as temporary:
            torch.save(
                {
                    "teacher": TEACHER_VERSION, "plan": asdict(self.plan), "progress": json.dumps(asdict(self.progress)),
                    "synthesis": self.network.synthesis.state_dict(), "average": self.average.synthesis.state_dict(),
                    "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                },
                temporary,
            )  # fmt: skip
        with replacing(self.folder / "log.json") as temporary:
            temporary.write_text(json.dumps({"plan": asdict(self.plan), "log": self.progress.log}, indent=1))

    def step(self, phi: np.ndarray, pictures: np.ndarray, rate: float, apart: float, rng: torch.Generator) -> float:
        """One step of Adam on one batch; the loss."""
        ws = spread(torch.from_numpy(phi), self.network.num_ws, apart, rng)
        drawn = draw(self.network, ws, self._precision)
        loss = picture_loss(drawn, to_signed(pictures), self._weights, self.plan.slope_share)
        self.network.synthesis.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.synthesis.parameters(), 2.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["multiplier"]
            optimiser.step()
        keep = min(0.999, (self.progress.steps + 1) / (self.progress.steps + 20))
        with torch.no_grad():
            for mean, now in zip(self.average.synthesis.parameters(), self.network.synthesis.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        self.progress.steps += 1
        self.progress.pictures += len(phi)
        return loss.item()

    def held_out(self, count: int = 128) -> float:
        """Median PSNR of the averaged network on the first ``count`` held-out faces, dB."""
        return float(psnr(draw_phi(self.average, self.held_phi[:count]), self.held_pictures[:count]).median())

    def train(self, minutes: float) -> None:
        """Train for one round: warm up, hold the rate for 45 % of the time, then let it fall to 2 % along a cosine."""
        if not math.isfinite(minutes) or minutes <= 0:
            raise TrainingError(f"Minutes must be above 0, got {minutes:g}.")
        began, cpu = time.monotonic(), time.process_time()
        before = self.progress.cpu_seconds
        self.progress.rounds += 1
        seed = [self.plan.seed, self.progress.pictures]
        torch_rng = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        batches = self.pictures.batches(np.random.default_rng(seed), self.plan.batch)
        losses: list[float] = []
        saved, first = began, self.progress.steps
        while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
            done = self.progress.steps - first
            if done % RESCAN_EVERY == 0:
                self.pictures.rescan()
            fall = 1.0 if share < 0.45 else 0.02 + 0.49 * (1 + math.cos(math.pi * (share - 0.45) / 0.55))
            rate = self.plan.rate * min(1.0, (done + 1) / 100) * fall
            losses.append(self.step(*next(batches), rate, 0.12 if self.progress.pictures > 30000 else 0.0, torch_rng))
            if time.monotonic() - saved > SAVE_EVERY or done == 200:
                self._record(losses, rate, began, before + time.process_time() - cpu)
                losses, saved = [], time.monotonic()
        self._record(losses, self.plan.rate * 0.02, began, before + time.process_time() - cpu)

    @property
    def _weights(self) -> Tensor:
        if not hasattr(self, "_face_weights"):
            self._face_weights = face_weights(self.plan.resolution)
        return self._face_weights

    def _record(self, losses: list[float], rate: float, began: float, cpu_seconds: float) -> None:
        self.progress.cpu_seconds = cpu_seconds
        if losses and not math.isfinite(losses[-1]):
            raise TrainingError("The loss is no longer a number: resume from the last state with a lower rate.")
        entry = {
            "minutes": (time.monotonic() - began) / 60, "cpu_minutes": cpu_seconds / 60, "pictures": self.progress.pictures,
            "rendered": len(self.pictures), "loss": float(np.mean(losses)) if losses else math.nan,
            "held_out_psnr": self.held_out(), "rate": rate,
        }  # fmt: skip
        self.progress.log.append(entry)
        self.save()
        self._sheet()
        print(" ".join(f"{key} {value:.4g}" for key, value in entry.items()), flush=True)

    def _sheet(self) -> None:
        """held-out.png: rows of the teacher's pictures, each above what the network draws."""
        from PIL import Image

        count, columns = 24, 8
        drawn = draw_phi(self.average, self.held_phi[:count])
        pairs = torch.stack([self.held_pictures[:count], drawn]).clamp(-1, 1)
        size = self.plan.resolution
        pixels = ((pairs + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2)  # [2, N, H, W, 3]
        page = pixels.reshape(2, count // columns, columns, size, size, 3).permute(1, 0, 3, 2, 4, 5)
        with replacing(self.folder / "held-out.png") as temporary:
            Image.fromarray(page.reshape(-1, columns * size, 3).numpy()).save(temporary, format="PNG")


@torch.no_grad()
def adopt(network: Network, source: Network, read: Readout) -> None:
    """Begin with the weights of another portrait generator, perhaps narrower or of other factors.

    Styles are taken back from W to factor coordinates through the pseudo-inverse of the read-out; factors are matched
    by name, those that the source lacks begin at zero. Where a block of ``network`` has more channels, the source's
    come first and the added ones feed nothing into them at first; blocks of sizes that the source does not have add
    nothing to the picture at first. So the picture begins as the source's, enlarged.

    Raises:
        TrainingError: the source is larger in some layer, or in its pictures.
    """
    from facelab.portraits.factors import INDEX

    if source.resolution > network.resolution:
        raise TrainingError(f"Cannot begin a {network.resolution} px network from one of {source.resolution} px.")
    inverse = torch.linalg.pinv(torch.from_numpy(read.R))  # [512, K']
    offset = torch.from_numpy(read.b0)
    blocks = {layer.name.split(".")[0] for layer in source.layers()}
    masks = {name: mask for name, mask in owner_masks(network).items() if name.split(".")[0] in blocks}
    for name, mask in masks.items():
        ours, theirs = style(network, name), style(source, name)
        styles = theirs.weight * theirs.weight_gain @ inverse  # [C, K']
        bias = theirs.bias - styles @ offset
        wide = len(bias)
        if wide > len(ours.bias):
            raise TrainingError(f"The generator to begin from is wider than the plan in {name}.")
        ours.weight[:wide] = 0.0
        for column, factor in enumerate(read.names):
            if factor in INDEX:
                ours.weight[:wide, INDEX[factor]] = styles[:, column] / ours.weight_gain * mask[INDEX[factor]]
        ours.bias[:wide] = bias
    for name, target in network.synthesis.named_parameters():
        if name.split(".")[0] not in blocks:
            if name.endswith("torgb.weight"):
                target.zero_()
            continue
        if ".affine." in name:
            continue
        value: Tensor = source.synthesis.get_parameter(name)
        corner = tuple(slice(0, n) for n in value.shape)
        if target.ndim == 4 and target.shape[1] > value.shape[1]:  # inputs that the source does not have
            target[: value.shape[0], value.shape[1] :] = 0.0
        if name.endswith("torgb.weight"):  # its runtime gain is 1 / sqrt(inputs)
            value = value * math.sqrt(target.shape[1] / value.shape[1])
        target.data[corner] = value
