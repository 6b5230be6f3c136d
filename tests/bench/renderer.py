"""Drawing: the fast form against the plain network, previews, the prefix cache, tiles, cancelling, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import scipy.special
import torch
from torch.nn import functional

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine.renderer import Renderer
from facelab.nets.network import Network
from facelab.nets.stylegan2 import StyleGAN2
from facelab.nets.stylegan3 import StyleGAN3, StyleGAN3R, StyleGAN3T
from tests.bench.__main__ import Clock, judged, row

# name -> (resolution, channel_base); "f" is NVIDIA's config F
RANDOM = {
    "1024 f": (1024, 32768),
    "512 f": (512, 32768),
    "512 half": (512, 16384),
    "256 f": (256, 32768),
    "256 half": (256, 16384),
}


def random_network(resolution: int, base: int) -> StyleGAN2:
    """A StyleGAN2 of NVIDIA's channel rule with random weights."""
    channels = [min(base // 2**k, 512) for k in range(2, resolution.bit_length())]
    network = StyleGAN2(resolution=resolution, channels=channels, mapping_features=[512] * 8)
    network.initialise(0)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("noise_strength"):
                tensor.fill_(0.1)  # untrained it is nothing, and noise would cost nothing
    return network.eval().requires_grad_(False)


def radial_filter(count: int, cutoff: float, width: float, rate: float) -> np.ndarray:
    """A low-pass filter [n, n] whose response is a disc: a jinc under a Kaiser window, of sum 1."""
    at = (np.arange(count) - (count - 1) / 2) / rate
    radius = np.hypot(*np.meshgrid(at, at))  # never 0: ``count`` is even
    taps = scipy.special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
    window = np.kaiser(count, scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(count, width / (rate / 2))))
    taps *= np.outer(window, window)
    return taps / taps.sum()


def random_stylegan3(resolution: int, base: int, depth: int = 14, *, radial: bool = False) -> StyleGAN3:
    """A StyleGAN3-T, or with ``radial`` a StyleGAN3-R, of the published configuration with random weights.

    Source: Karras et al. 2021 (arXiv:2106.12423), appendix C: cutoffs and stopbands grow geometrically, two layers are
    critically sampled, filters are Kaiser windows.
    """
    grid = np.minimum(np.arange(depth + 1) / (depth - 2), 1.0)
    cutoffs = 2.0 * (resolution / 2 / 2.0) ** grid
    stopbands = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** grid
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, resolution)))).astype(int)
    widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 20
    sizes[-2:] = resolution
    channels = np.rint(np.minimum(base / 2 / cutoffs, 1024 if radial else 512)).astype(int)
    channels[-1] = 3
    layers, filters = [], {}
    for k in range(depth + 1):
        before, torgb = max(k - 1, 0), k == depth
        middle = max(int(rates[before]), int(rates[k])) * (1 if torgb else 2)
        up, down, kernel = middle // int(rates[before]), middle // int(rates[k]), 1 if torgb or radial else 3
        taps = 6 * up if up > 1 and not torgb else 1, 6 * down if down > 1 and not torgb else 1
        total = (int(sizes[k]) - 1) * down + 1 - (int(sizes[before]) + kernel - 1) * up + taps[0] + taps[1] - 2
        low = (total + up) // 2
        disc = radial and cutoffs[k] * 2 < rates[k]  # those that are critically sampled separate
        layers.append({
            "name": f"L{k}_{sizes[k]}_{channels[k]}", "in_channels": int(channels[before]), "out_channels": int(channels[k]),
            "kernel": kernel, "torgb": torgb, "up": up, "down": down, "padding": [low, total - low] * 2, "size": int(sizes[k]),
            "up_filter": [taps[0]] if taps[0] > 1 else [], "down_filter": [] if taps[1] == 1 else [taps[1]] * (2 if disc else 1),
        })  # fmt: skip
        for name, count, at in (("up_filter", taps[0], before), ("down_filter", taps[1], k)):
            if count > 1 and name == "down_filter" and disc:
                filters[f"{layers[-1]['name']}.{name}"] = radial_filter(count, cutoffs[at], widths[at] * 2, middle)
            elif count > 1:
                filters[f"{layers[-1]['name']}.{name}"] = scipy.signal.firwin(
                    count, cutoffs[at], width=widths[at] * 2, fs=middle
                )
    source = {
        "channels": int(channels[0]),
        "size": [int(sizes[0])] * 2,
        "sampling_rate": int(rates[0]),
        "bandwidth": float(cutoffs[0]),
    }
    network = (StyleGAN3R if radial else StyleGAN3T)(
        resolution=resolution,
        layers=layers,
        input=source,
        conv_clamp=256,
        output_scale=0.25,
        mapping_features=[512] * 2,
    )
    network.initialise(0)
    with torch.no_grad():
        for name, values in filters.items():
            network.get_buffer(f"synthesis.{name}").copy_(torch.from_numpy(values))
        for name, tensor in network.named_buffers():
            if name.endswith("magnitude_ema"):
                tensor.fill_(1.0)
        network.get_buffer("synthesis.input.transform").copy_(torch.eye(3))
        generator = torch.Generator().manual_seed(0)
        freqs = torch.randn(source["channels"], 2, generator=generator)
        network.get_buffer("synthesis.input.freqs").copy_(
            freqs / freqs.norm(dim=1, keepdim=True) * source["bandwidth"] / 2
        )
        network.get_buffer("synthesis.input.phases").copy_(torch.rand(source["channels"], generator=generator))
        network.get_parameter("synthesis.input.affine.bias").copy_(torch.tensor([1.0, 0, 0, 0]))
    return network.eval().requires_grad_(False)


def load(path: Path) -> Network:
    from facelab import checkpoints

    return checkpoints.load(path).network.eval().requires_grad_(False)


def gflop(network: Network) -> float:
    """Of one picture, the 3x3 convolutions of a StyleGAN2 alone: two operations a product, a transposed one at its input's size."""
    if not isinstance(network, StyleGAN2):
        return 0.0
    total = 0
    for layer in network.layers():
        if not layer.name.endswith("torgb"):
            side = layer.resolution // (2 if layer.name.endswith("conv0") else 1)
            total += 2 * 9 * layer.in_channels * layer.out_channels * side * side
    return total / 1e9


def conv_limit(clock: Clock) -> tuple[float, str]:
    """The best rate of a 3x3 float32 convolution here, GFLOP/s, and of which shape."""
    best = (0.0, "")
    for channels, side in ((512, 64), (256, 128), (128, 256)):
        x = torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
        w = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            (seconds,) = clock.interleaved(lambda x=x, w=w: functional.conv2d(x, w, padding=1))  # type: ignore[misc]
        best = max(best, (2 * 9 * channels**2 * side**2 / seconds / 1e9, f"{channels} channels at {side} px"))
    return best


def matrix_limit(clock: Clock) -> float:
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    with torch.inference_mode():
        (seconds,) = clock.interleaved(lambda: a @ b)
    return 2 * 2048**3 / seconds / 1e9


def run(clock: Clock, checkpoint: Path | None) -> None:
    limit, shape = conv_limit(clock)
    print(
        f"\nThe limit here, {clock.threads} thread(s): 3x3 convolution {limit:.0f} GFLOP/s ({shape}), matrix product {matrix_limit(clock):.0f} GFLOP/s\n"
    )
    if checkpoint is not None:
        one(clock, str(checkpoint.name), load(checkpoint), limit)
        return
    one(clock, "embedded generator", load(resource(EMBEDDED_GENERATOR)), limit)
    for name, (resolution, base) in RANDOM.items():
        one(clock, name, random_network(resolution, base), limit, whole=name == "1024 f")
    one(clock, "StyleGAN3-T 256", random_stylegan3(256, 16384), limit, whole=False)
    one(clock, "StyleGAN3-R 256", random_stylegan3(256, 32768, radial=True), limit, whole=False)
    if clock.threads == 1:
        memory()
        if (os.cpu_count() or 1) > 1:
            two_threads(3 * clock.repeat)  # more often: by the wall clock, what else the machine does counts too


def two_threads(repeat: int) -> None:
    """What a second thread gains, by the wall clock, over what it gains for a single convolution."""
    wall = Clock(2, repeat)
    x, w = torch.randn(1, 256, 128, 128), torch.randn(256, 256, 3, 3)
    x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    large, small = random_network(1024, 32768), load(resource(EMBEDDED_GENERATOR))
    runs: list[Callable[[], object]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)  # a renderer chooses its forms by the number of threads
        drawn = [(Renderer(net, cache_bytes=0), torch.randn(1, net.num_ws, net.w_dim)) for net in (large, small)]

        def convolution(threads: int = threads) -> None:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                functional.conv2d(x, w, padding=1)

        def picture(which: int, threads: int = threads, drawn: Any = drawn) -> None:
            torch.set_num_threads(threads)
            drawn[which][0].render(drawn[which][1])

        runs += [convolution, partial(picture, 0), partial(picture, 1)]
    conv1, large1, small1, conv2, large2, small2 = wall.interleaved(*runs)
    row("two threads over one: a 3x3 convolution", f"{conv1 / conv2:.2f}x", "", "", "256 channels at 128 px")
    gain = large1 / large2
    share = 100 * gain / (conv1 / conv2)
    row(
        "two threads over one: 1024 f",
        f"{gain:.2f}x",
        f"{share:.0f} %",
        "",
        "of the convolution's gain",
        judged(share, 90, 100, " %", most=False),
    )
    limit = 2 * 9 * 256**2 * 128**2 / conv2
    share = 100 * gflop(small) * 1e9 / small2 / limit
    row(
        "embedded generator, two threads",
        f"{1e3 * small2:.1f} ms",
        f"{small1 / small2:.2f}x",
        f"{share:.0f} %",
        "of the convolution limit",
        judged(share, 25, 40, " %", most=False),
    )
    torch.set_num_threads(1)


def one(clock: Clock, name: str, network: Network, limit: float, *, whole: bool = True) -> None:
    """All rows of one network, or only those of a full picture."""
    ws = torch.randn(1, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(1))
    renderer = Renderer(network, cache_bytes=0)
    bound = name == "1024 f"  # what is asked is asked of this one

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return network.synthesize(ws)

    wanted = plain()
    difference = (wanted - renderer.render(ws)).abs().double()
    likeness = 20 * np.log10(2) - 10 * np.log10(float(difference.square().mean()) + 1e-30)
    rough = wanted if not network.has_previews else renderer.render(ws, rough=True)
    layers = len(renderer.rough_layers)
    slow, fast, *more = clock.interleaved(
        plain, lambda: renderer.render(ws), *([lambda: renderer.render(ws, rough=True)] if layers else [])
    )
    work = gflop(network)
    share = 100 * work / fast / limit
    rate = f"{work / slow:.0f} -> {work / fast:.0f} GFLOP/s" if work else ""
    row(
        f"{name}: a picture",
        f"{1e3 * slow:.1f} ms plain",
        f"{1e3 * fast:.1f} ms",
        f"{slow / fast:.2f}x",
        rate,
        judged(slow / fast, 1.8, 2.5, "x", most=False) if bound else "",
    )
    if work:
        row(
            f"{name}: share of the convolution limit",
            f"{share:.0f} %",
            "",
            "",
            f"{work:.1f} GFLOP",
            judged(share, 85, 110, " %", most=False) if bound else "",
        )
    most = float(difference.max())
    row(
        f"{name}: max difference",
        f"{most:.1e}",
        f"{likeness:.0f} dB",
        "",
        f"of pictures of {float(wanted.std()):.2g} standard deviation",
        judged(most, 1e-3, 1e-4, "") if work else judged(likeness, 90, 110, " dB", most=False),
    )
    if layers:
        error = float((wanted.clamp(-1, 1) - rough.clamp(-1, 1)).double().square().mean())
        likeness = 10 * float(np.log10(4 / error))
        row(
            f"{name}: a rough picture",
            f"{1e3 * more[0]:.1f} ms",
            f"{fast / more[0]:.2f}x",
            f"{likeness:.0f} dB",
            f"{layers} layers in bfloat16: while dragging, tiles",
            judged(likeness, 45, 55, " dB", most=False),
        )
    if whole and renderer._prepared is not None and network.resolution >= 64:
        cached = Renderer(network)
        shares = {}
        for first in sorted({2, network.num_ws // 2, network.num_ws - 4, network.num_ws - 2, network.num_ws - 1}):
            (seconds,) = clock.interleaved(lambda first=first: change(cached, ws, first), warm=3)  # type: ignore[misc]
            shares[first] = 100 * seconds / fast
        cached.close()
        row(
            f"{name}: redrawn from layer k",
            "  ".join(f"{first}: {share:.0f} %" for first, share in shares.items()),
            widths=(52, 98),
        )
        if bound:
            last = shares[network.num_ws - 2]
            row(f"{name}: only the last two ws change", f"{last:.0f} %", "", "", "", judged(last, 20, 18, " %"))
        stages = stage_times(clock, renderer, ws)
        late = 100 * max(stages) / fast
        row(
            f"{name}: a cancel is noticed within",
            f"{1e3 * max(stages):.1f} ms",
            f"{late:.0f} %",
            "",
            "of a picture",
            judged(late, 35, 18, " %") if bound else "",
        )
    if whole and network.has_previews and network.resolution >= 128:
        (seconds,) = clock.interleaved(lambda: renderer.render(ws, resolution=64))
        early = 100 * seconds / fast
        row(
            f"{name}: first 64 px preview",
            f"{1e3 * seconds:.1f} ms",
            f"{early:.1f} %",
            "",
            "of a picture",
            judged(early, 16, 12, " %") if bound else "",
        )
        for size, must, aim in ((32, 3.8, 3.0), (64, 14, 11)):
            for precision in ("float32", "bfloat16") if layers else ("float32",):
                plane(
                    clock,
                    f"{name}: 10 x 10 plane at {size} px",
                    renderer,
                    size,
                    precision,
                    fast,
                    (must, aim) if bound else None,
                )
    renderer.close()


def plane(
    clock: Clock,
    title: str,
    renderer: Renderer,
    size: int,
    precision: str,
    fast: float,
    wanted: tuple[float, float] | None,
) -> None:
    """A hundred tiles in batches, as the window draws them: in bfloat16 where that pays."""
    network = renderer.network
    codes = torch.randn(100, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(2))
    rough = precision != "float32"
    renderer.render(codes[:8], resolution=size, rough=rough)
    renderer.render(codes[:4], resolution=size, rough=rough)
    start = clock.now()
    for batch in codes.split(8):
        renderer.render(batch, resolution=size, rough=rough)
    seconds = clock.now() - start
    shown = rough or not renderer.rough_layers
    row(
        title,
        f"{seconds:.2f} s",
        f"{seconds / fast:.1f} pictures",
        f"{100 / seconds:.0f} tiles/s",
        precision if shown else f"{precision}, without bfloat16",
        judged(seconds / fast, *wanted, " pictures") if wanted is not None else "",
    )


def change(renderer: Renderer, ws: torch.Tensor, first: int) -> None:
    ws[:, first:] += 0.01
    renderer.render(ws)


def stage_times(clock: Clock, renderer: Renderer, ws: torch.Tensor) -> list[float]:
    times = []
    start = clock.now()
    for _ in renderer.steps(ws):
        now = clock.now()
        times.append(now - start)
        start = now
    return times


_MEMORY = """
import sys
from facelab.engine.memory import keep_memory
keep_memory()
import torch
torch.set_num_threads(1)
from tests.bench.renderer import random_network
from facelab.engine.renderer import Renderer
network = random_network(1024, 32768)
ws = torch.randn(1, 18, 512)
with torch.inference_mode():
    if sys.argv[1] == "plain":
        network.synthesize(ws)
    elif sys.argv[1] == "fast":
        Renderer(network, cache_bytes=0).render(ws)
# Not ru_maxrss: that of a child begins with its parent's.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def memory() -> None:
    """Peak resident memory of a process that draws one 1024 px picture, torch and network included."""
    peaks = {
        what: int(
            subprocess.run([sys.executable, "-c", _MEMORY, what], capture_output=True, text=True, check=True).stdout
        )
        for what in ("loaded", "plain", "fast")
    }
    row(
        "1024 f: peak memory",
        f"{peaks['plain']} MB plain",
        f"{peaks['fast']} MB",
        f"{peaks['fast'] / peaks['plain']:.2f}x",
        f"{peaks['loaded']} MB with the network loaded",
        judged(peaks["fast"] / peaks["plain"], 1.15, 0.8, "x"),
    )
