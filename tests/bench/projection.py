"""A step of projection: the prepared network against the plain one, same loss; and in the phase that stops at 256 px."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine.renderer import Renderer
from facelab.nets.network import Network
from tests.bench.__main__ import Clock, judged, row
from tests.bench.renderer import load, random_network

Steps = Callable[..., Iterator[tuple[int, torch.Tensor | None]]]


def run(clock: Clock, checkpoint: Path | None) -> None:
    print()
    if checkpoint is not None:
        one(clock, checkpoint.name, load(checkpoint))
        return
    one(clock, "embedded generator", load(resource(EMBEDDED_GENERATOR)))
    one(clock, "1024 f", random_network(1024, 32768))
    if clock.threads == 1:
        memory()


def one(clock: Clock, name: str, network: Network) -> None:
    renderer = Renderer(network, cache_bytes=0)
    target = (
        torch.rand(
            1, network.img_channels, network.resolution, network.resolution, generator=torch.Generator().manual_seed(0)
        )
        * 2
        - 1
    )
    slow, fast = clock.interleaved(
        lambda: step(network, network.steps, target, None), lambda: step(network, renderer.differentiable, target, None)
    )
    row(
        f"{name}: a step at full size",
        f"{1e3 * slow:.0f} ms plain",
        f"{1e3 * fast:.0f} ms",
        f"{slow / fast:.2f}x",
        f"{1 / fast:.2f} steps/s",
        "must 3.2x, aim 4.5 of NVIDIA as shipped" if name == "1024 f" else "",
    )
    if network.resolution > 256 and network.has_previews:
        small = functional.interpolate(target, size=(256, 256), mode="area")
        (coarse,) = clock.interleaved(lambda: step(network, renderer.differentiable, small, 256))
        row(
            f"{name}: a step in the 256 px phase",
            "",
            f"{1e3 * coarse:.0f} ms",
            f"{slow / coarse:.2f}x",
            f"{1 / coarse:.2f} steps/s",
            "must 6x, aim 9 of NVIDIA as shipped" if name == "1024 f" else "",
        )
    renderer.close()


_MEMORY = """
import sys
from facelab.engine.memory import keep_memory
keep_memory()
import torch
torch.set_num_threads(1)
from tests.bench.projection import step
from tests.bench.renderer import random_network
from facelab.engine.renderer import Renderer
network, side = random_network(1024, 32768), int(sys.argv[2])
steps = network.steps if sys.argv[1] == "plain" else Renderer(network, cache_bytes=0).differentiable
for _ in range(2):
    step(network, steps, torch.zeros(1, 3, side, side), side)
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def memory() -> None:
    """Peak resident memory of a process that takes two steps, torch and network included."""
    peaks = [
        subprocess.run(
            [sys.executable, "-c", _MEMORY, what, str(side)], capture_output=True, text=True, check=True
        ).stdout.strip()
        for what, side in (("plain", 1024), ("fast", 1024), ("fast", 256))
    ]
    row(
        "1024 f: peak memory of steps",
        f"{peaks[0]} MB plain",
        f"{peaks[1]} MB",
        f"{peaks[2]} MB",
        "the last: the 256 px phase",
        judged(int(peaks[2]) / 1e3, 2.0, 1.5, " GB"),
    )


def step(network: Network, steps: Steps, target: torch.Tensor, resolution: int | None) -> None:
    """Forward, a pyramid of squared differences, backward; noise maps are optimised along."""
    ws = torch.randn(1, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(1)).requires_grad_()
    options: dict[str, Any] = {"resolution": resolution}
    if network.noise_shapes:
        options["noise"] = [m.detach().clone().requires_grad_() for m in network.noise_consts()]
    *_, (_, picture) = steps(ws, **options)
    assert picture is not None
    difference = picture - target
    loss = difference.square().mean()
    for _ in range(3):
        difference = functional.avg_pool2d(difference, 2)
        loss = loss + difference.square().mean()
    loss.backward()
