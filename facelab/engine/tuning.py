"""Pivotal tuning: bends a generator's weights until a fixed code draws a photograph, and keeps what was bent as a delta.

A photograph is encoded into W first, where codes can still be edited well; then the weights of synthesis learn the rest,
while random faces near the pivot are held where they were. Source: Roich et al. 2021 (arXiv:2106.05744).

The delta is one safetensors document of float16 differences, in ``docs/formats.md``; it names the generator that it
belongs to, and its own SHA-256 names the tuning in recipes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from facelab.engine import losses
from facelab.engine.model import Model, to_pixels, to_tensor
from facelab.engine.projection import gather, ramp, random_stream, resample
from facelab.errors import BadArgument, Diverged, WrongGenerator
from facelab.jobs import Answer, Progress, Tune, TuningDone, TuningSettings, TuningStep
from facelab.nets.features import rgb
from facelab.nets.network import Network

FORMAT, VERSION = "facelab.tuning", "1"
_ANSWER_EVERY, _PICTURE_EVERY = 0.2, 0.4  # seconds


def weights_of(network: Network) -> dict[str, Tensor]:
    """The weights that are tuned, by name: all of synthesis but the strengths of its noise."""
    return {
        f"synthesis.{name}": tensor
        for name, tensor in network.synthesis.named_parameters()
        if not name.endswith("noise_strength")
    }


def cost(network: Network) -> tuple[int, int]:
    """(bytes of the delta, bytes of memory while it is tuned, pictures aside)."""
    count = sum(tensor.numel() for tensor in weights_of(network).values())
    # A copy of the weights, their gradients and Adam's two moments, all float32.
    return 2 * count, 16 * count


def check(settings: TuningSettings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        BadArgument: a value out of range, or an unknown loss.
    """
    s = settings
    if type(s.steps) is not int or not 1 <= s.steps <= 100_000:
        raise BadArgument(f"the number of steps is 1 to 100,000, not {s.steps}")
    if not (math.isfinite(s.learning_rate) and 0 < s.learning_rate <= 1):
        raise BadArgument(f"the learning rate is above 0 and at most 1, not {s.learning_rate}")
    if not 0 <= s.seed < 2**32:
        raise BadArgument(f"a seed lies between 0 and {2**32 - 1}, not {s.seed}")
    for name in ("locality", "locality_distance", "stop_loss"):
        value = getattr(s, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise BadArgument(f"{name} is a number from 0 on, not {value}")
    if s.losses:
        losses.checked(s.losses)


def tune(model: Model, job: Tune, cancel: threading.Event) -> Iterator[Answer | None]:
    """Work a tuning off; the model itself is not touched.

    Args:
        model: the open generator, not tuned.
        job: the photograph and the code that is to draw it.
        cancel: ends the run after the step at hand, with what was learnt so far.

    Yields:
        ``Progress`` with what it will cost, None between the stages of a step, ``TuningStep``, at last ``TuningDone``.

    Raises:
        BadArgument, MissingPart, WrongGenerator: the job cannot be run.
        Diverged: the loss is no longer a finite number.
    """
    s = job.settings
    check(s)
    model.check_generator(job.generator)
    if job.target.dtype != np.uint8 or job.target.ndim != 3 or job.target.shape[2] != 3 \
            or job.target.shape[0] != job.target.shape[1] or not job.target.size:  # fmt: skip
        raise BadArgument(f"a target is uint8 [S, S, 3], not {job.target.dtype} {list(job.target.shape)}")
    kept, memory = cost(model.network)
    yield Progress(0, s.steps, f"{kept / 1e6:.0f} MB are kept; tuning takes about {memory / 1e6:.0f} MB of memory")
    network, device = model.network, model.device
    pivot = to_tensor(np.broadcast_to(model.mapped([job.code])[0], (network.num_ws, network.w_dim)))[None].to(device)
    maps = [to_tensor(one).to(device) for one in job.code.noise or ()]
    if maps and [tuple(one.shape) for one in maps] != list(network.noise_shapes):
        raise BadArgument("the noise of this code does not fit the generator")
    aids = gather(s.losses, s.features, device)
    yield None
    weights = dict(s.losses) or losses.default_weights(aids)
    wanted = resample(to_tensor(job.target).permute(2, 0, 1)[None].to(device) / 127.5 - 1, network.resolution)
    compare = losses.Sum(weights, wanted, None, aids)

    bent = copy.deepcopy(network).requires_grad_(False)
    before = weights_of(network)
    leaves = {name: tensor.requires_grad_() for name, tensor in weights_of(bent).items()}
    # Adam moves every number by about its rate, so the rate is a share of what is usual in each tensor.
    groups = [
        {"params": [leaf], "share": max(float(leaf.detach().square().mean().sqrt()), 1e-3)} for leaf in leaves.values()
    ]
    optimiser = torch.optim.Adam(groups, lr=s.learning_rate, betas=(0.9, 0.999))
    pending: list[tuple[int, dict[str, Tensor]]] = []
    answered = drawn = time.monotonic()
    stopped = ""
    step = 0
    while step < s.steps and not stopped:
        if cancel.is_set():
            stopped = "cancelled"
            break
        picture: Tensor | None = None
        for _, so_far in bent.steps(pivot, noise=maps or "const"):
            picture = so_far
            yield None
        assert picture is not None, "the last block of a network always gives its picture"
        terms = {name: value[0] for name, value in compare(picture).items()}
        total = compare.total(terms)
        yield None
        if s.locality:
            ws = _neighbour(model, pivot, s.locality_distance, random_stream(s.seed, step))
            with torch.no_grad():
                held = network.synthesize(ws)
            yield None
            moved = bent.synthesize(ws)
            near = losses.Sum(weights, rgb(held), None, aids)
            terms["locality"] = near.total({name: value[0] for name, value in near(moved).items()})
            total = total + s.locality * terms["locality"]
            yield None
        gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        yield None
        for group, leaf, gradient in zip(optimiser.param_groups, leaves.values(), gradients, strict=True):
            group["lr"] = s.learning_rate * group["share"] * ramp(step, s.steps)
            leaf.grad = gradient
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        pending.append((step, {name: value.detach() for name, value in (terms | {"total": total}).items()}))
        step += 1
        now = time.monotonic()
        if now - answered < _ANSWER_EVERY and len(pending) < 25 and step < s.steps:
            yield None
            continue
        pixels = None
        table = {name: tuple(torch.stack([t[name] for _, t in pending]).tolist()) for name in pending[0][1]}
        if not all(map(math.isfinite, table["total"])):
            raise Diverged(f"the loss stopped being a finite number at step {step}; lower the learning rate")
        if now - drawn >= _PICTURE_EVERY or step == s.steps:
            pixels, drawn = to_pixels(picture.detach())[0], now
        answered = now
        yield TuningStep(run=job.run, steps=tuple(n for n, _ in pending), losses=table, pixels=pixels)
        own = [sum(weights[name] * table[name][i] for name in weights if name in table) for i in range(len(pending))]
        if s.stop_loss is not None and min(own) <= s.stop_loss:
            stopped = "loss"
        pending.clear()
    deltas = {name: (leaf.detach() - before[name]).half().cpu() for name, leaf in leaves.items()}
    if not all(bool(delta.isfinite().all()) for delta in deltas.values()):
        raise Diverged("the weights moved too far to be kept; lower the learning rate")
    sha256, blob = pack(deltas, job.generator)
    # Drawn from what is kept, so that the picture is the one that comes back.
    _bend(bent, network, deltas)
    tuned = Model(replace(model.checkpoint, network=bent.requires_grad_(False)), model.path, device)
    last: Tensor | None = None
    for _, so_far in tuned.renderer.steps(pivot, noise=maps or "const"):
        last = so_far
        yield None
    assert last is not None, "the last block of a network always gives its picture"
    with torch.inference_mode():
        loss = float(compare.total(compare(last))[0])
    tuned.close()
    yield None
    yield TuningDone(
        run=job.run, tuning=sha256, blob=blob, pixels=to_pixels(last)[0], loss=loss, step=step, stopped=stopped
    )


def _neighbour(model: Model, pivot: Tensor, distance: float, random: torch.Generator) -> Tensor:
    """A code on the way from the pivot to a random face, ``distance`` away; or that face, where it lies nearer."""
    network = model.network
    z = torch.randn(1, network.z_dim, generator=random)
    c = None
    if network.c_dim:
        c = torch.nn.functional.one_hot(torch.randint(network.c_dim, (1,), generator=random), network.c_dim).float()
    with torch.no_grad():
        w = network.map(z.to(pivot.device), None if c is None else c.to(pivot.device))[:, None]
        away = w - pivot
        length = away.square().sum(-1).mean().sqrt()
        return pivot + away * (distance / length.clamp(min=1e-8)).clamp(max=1)


# -- the delta ----------------------------------------------------------------------------------------------------------
def pack(deltas: Mapping[str, Tensor], generator: str) -> tuple[str, bytes]:
    """(SHA-256, document) of float16 differences by name; the SHA-256 is over the generator, names, shapes and numbers."""
    digest = hashlib.sha256(generator.encode())
    for name in sorted(deltas):
        array = deltas[name].contiguous().numpy()
        digest.update(json.dumps([name, list(array.shape)]).encode())
        digest.update(array.astype("<f2").tobytes())
    sha256 = digest.hexdigest()
    about = {"format": FORMAT, "version": VERSION, "generator": generator, "sha256": sha256}
    return sha256, save_tensors({name: deltas[name].contiguous() for name in sorted(deltas)}, about)


def read(path: str | os.PathLike[str], model: Model) -> bytes:
    """The document of a tuning's file, not yet looked into.

    Raises:
        BadArgument: it cannot be read, or is too large for this generator.
    """
    name = Path(path).name
    try:
        if Path(path).stat().st_size > _largest(model):
            raise BadArgument(f"{name!r} is too large for a tuning of this generator")
        return Path(path).read_bytes()
    except OSError as error:
        raise BadArgument(f"cannot read the tuning {name!r}: {error.strerror or error}") from error


def _largest(model: Model) -> int:
    return 2 * cost(model.network)[0] + (1 << 20)


def apply(model: Model, blob: bytes) -> tuple[str, Model]:
    """(SHA-256 of the tuning, a copy of the generator with its weights bent by a delta).

    Args:
        model: the generator that the delta belongs to; it is not touched.
        blob: a document of ``pack``, perhaps from a file that somebody else made.

    Raises:
        BadArgument: it is broken.
        WrongGenerator: it belongs to another generator.
    """
    broken = BadArgument("this tuning cannot be read; tune the generator to the photograph again")
    if len(blob) > _largest(model):
        raise broken
    try:
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        about = header["__metadata__"]
        deltas = load_tensors(blob)
        if about["format"] != FORMAT or about["version"] != VERSION:
            raise BadArgument("this tuning was written by another version of facelab")
        generator = about["generator"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise error if isinstance(error, BadArgument) else broken from error
    if generator != model.sha256:
        raise WrongGenerator("this tuning belongs to another generator than the one that is open; open that one first")
    weights = weights_of(model.network)
    if (
        deltas.keys() != weights.keys()
        or any(d.dtype != torch.float16 or d.shape != weights[name].shape for name, d in deltas.items())
        or not all(bool(delta.isfinite().all()) for delta in deltas.values())
    ):
        raise broken
    sha256, _ = pack(deltas, generator)
    if about.get("sha256") != sha256:
        raise broken
    bent = copy.deepcopy(model.network).requires_grad_(False)
    _bend(bent, model.network, deltas)
    return sha256, Model(replace(model.checkpoint, network=bent), model.path, model.device)


@torch.no_grad()
def _bend(bent: Network, base: Network, deltas: Mapping[str, Tensor]) -> None:
    """Give ``bent`` the weights of ``base`` plus the differences."""
    start = weights_of(base)
    for name, tensor in weights_of(bent).items():
        tensor.copy_(start[name] + deltas[name].to(tensor.device, torch.float32))
