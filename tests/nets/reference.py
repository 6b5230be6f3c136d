"""The papers' formulas written out the slow and obvious way, to hold the networks against.

Weights are modulated for each sample, maps are upsampled by inserting zeros, filters run as two-dimensional
convolutions: nothing is rearranged as the networks rearrange it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lrelu": lambda x: functional.leaky_relu(x, 0.2) * math.sqrt(2),
    "relu": lambda x: x.clamp(min=0) * math.sqrt(2),
    "swish": lambda x: x * torch.sigmoid(x) * math.sqrt(2),
    "tanh": torch.tanh,
}


def dense(state: State, path: str, x: Tensor, lr: float = 1.0, equalized: bool = True) -> Tensor:
    weight = state[f"{path}.weight"]
    scale = lr / math.sqrt(weight.shape[1]) if equalized else lr
    return x @ (weight * scale).t() + state[f"{path}.bias"] * lr


def normalized(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def mapping(state: State, a: dict[str, Any], z: Tensor, c: Tensor | None, root2_in_weights: bool = False) -> Tensor:
    x = z
    if c is not None and a["label"] == "concat":
        x = torch.cat([x, c @ state["mapping.embed_table"]], 1)
    x = normalized(x) if a["normalize_z"] and x.shape[1] else x
    if c is not None and a["label"] == "embed":
        y = dense(state, "mapping.embed", c)
        x = torch.cat([x, normalized(y) if a["normalize_z"] else y], 1)
    for index in range(len(a["mapping_features"])):
        lr = a["mapping_lr_multiplier"]
        if root2_in_weights:
            weight = state[f"mapping.fc{index}.weight"]
            y = x @ (weight * (math.sqrt(2) * lr / math.sqrt(weight.shape[1]) if a["equalized"] else lr)).t()
            x = ACTIVATIONS[a["mapping_activation"]](y + state[f"mapping.fc{index}.bias"] * lr) / math.sqrt(2)
        else:
            x = ACTIVATIONS[a["mapping_activation"]](dense(state, f"mapping.fc{index}", x, lr))
    return x


def upfirdn(x: Tensor, fir: Tensor, up: int, down: int, padding: tuple[int, int, int, int], gain: float) -> Tensor:
    """Zeros after each sample, padding (negative crops), true convolution, every ``down``-th sample."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, up, w, up)
    spread[:, :, :, 0, :, 0] = x
    padded = functional.pad(spread.reshape(n, c, h * up, w * up), padding)
    kernel = fir if fir.ndim == 2 else torch.outer(fir, fir)
    kernel = (kernel * gain).flip(0, 1)[None, None].repeat(c, 1, 1, 1)
    return functional.conv2d(padded, kernel, groups=c)[:, :, ::down, ::down]


def modulated(x: Tensor, weight: Tensor, styles: Tensor, padding: int, demodulate: bool) -> Tensor:
    n, i, h, w = x.shape
    weights = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        weights = weights / (weights.square().sum([2, 3, 4], keepdim=True) + 1e-8).sqrt()
    y = functional.conv2d(x.reshape(1, n * i, h, w), weights.flatten(0, 1), padding=padding, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


def double(x: Tensor, fir: Tensor) -> Tensor:
    taps = fir.shape[0]
    before, after = (taps + 1) // 2, (taps - 2) // 2
    return upfirdn(x, fir, 2, 1, (before, after, before, after), 4)


def stylegan2(state: State, a: dict[str, Any], fir: Tensor, ws: Tensor, noise: bool) -> Tensor:
    sizes = [2**k for k in range(2, a["resolution"].bit_length())]
    taps = fir.shape[0]

    def conv(path: str, x: Tensor, w: Tensor, up: bool, gain: float) -> Tensor:
        weight, styles = state[f"{path}.weight"], dense(state, f"{path}.affine", w)
        half = weight.shape[2] // 2
        if up:
            before, after = half + (taps + 1) // 2, half + (taps - 2) // 2
            x = upfirdn(x, fir, 2, 1, (before, after, before, after), 4)
            y = modulated(x, weight.flip(2, 3), styles, 0, True)
        else:
            y = modulated(x, weight, styles, half, True)
        if noise and a["use_noise"]:
            y = y + state[f"{path}.noise_const"] * state[f"{path}.noise_strength"]
        y = ACTIVATIONS[a["activation"]](y + state[f"{path}.bias"][:, None, None]) * gain
        return y if a["conv_clamp"] is None else y.clamp(-a["conv_clamp"] * gain, a["conv_clamp"] * gain)

    x = state["synthesis.b4.const"][None].repeat(len(ws), 1, 1, 1)
    picture, row = None, 0
    for size in sizes:
        path = f"synthesis.b{size}"
        if size == 4:
            x = conv(f"{path}.conv1", x, ws[:, 0], False, 1)
            row = 1
        else:
            branch = None
            if a["architecture"] == "resnet":
                weight = state[f"{path}.skip.weight"]
                branch = functional.conv2d(double(x, fir), weight / math.sqrt(weight.shape[1])) * math.sqrt(0.5)
            x = conv(f"{path}.conv0", x, ws[:, row], True, 1)
            x = conv(f"{path}.conv1", x, ws[:, row + 1], False, math.sqrt(0.5) if branch is not None else 1)
            x = x if branch is None else x + branch
            row += 2
        if a["architecture"] == "skip" or size == sizes[-1]:
            weight = state[f"{path}.torgb.weight"]
            styles = dense(state, f"{path}.torgb.affine", ws[:, row]) / math.sqrt(weight.shape[1])
            y = modulated(x, weight, styles, 0, False) + state[f"{path}.torgb.bias"][:, None, None]
            y = y if a["conv_clamp"] is None else y.clamp(-a["conv_clamp"], a["conv_clamp"])
            picture = y if picture is None else double(picture, fir) + y
    assert picture is not None
    return picture


def stylegan3(state: State, a: dict[str, Any], ws: Tensor, inverse: Tensor) -> Tensor:
    source = a["input"]
    learned = dense(state, "synthesis.input.affine", ws[:, 0])
    pictures = []
    for row, t in zip(ws, learned, strict=True):
        cosine, sine, right, down = (float(one) for one in t / t[:2].norm())
        rotation = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        shift = torch.tensor([[1, 0, -right], [0, 1, -down], [0, 0, 1]])
        matrix = rotation @ shift @ inverse
        freqs = state["synthesis.input.freqs"] @ matrix[:2, :2]
        phases = state["synthesis.input.phases"] + state["synthesis.input.freqs"] @ matrix[:2, 2]
        band, nyquist = source["bandwidth"], source["sampling_rate"] / 2
        amplitudes = (1 - (freqs.norm(dim=1) - band) / (nyquist - band)).clamp(0, 1)
        width, height = source["size"]
        theta = torch.tensor([[0.5 * width / (2 * nyquist), 0, 0], [0, 0.5 * height / (2 * nyquist), 0]])
        grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
        waves = torch.sin(2 * math.pi * (grid @ freqs.t() + phases)) * amplitudes
        x = (waves @ (state["synthesis.input.weight"] / math.sqrt(source["channels"])).t()).permute(0, 3, 1, 2)
        for index, table in enumerate(a["layers"]):
            path = f"synthesis.{table['name']}"
            weight, w = state[f"{path}.weight"], row[None, index + 1]
            styles = dense(state, f"{path}.affine", w)
            if table["torgb"]:
                styles = styles / math.sqrt(weight[0].numel())
            else:
                weight = weight / weight.square().mean([1, 2, 3], keepdim=True).sqrt()
                styles = styles / styles.square().mean().sqrt()
            x = modulated(x, weight, styles, weight.shape[2] - 1, not table["torgb"])
            x = x / state[f"{path}.magnitude_ema"].sqrt() + state[f"{path}.bias"][:, None, None]
            up, down = table["up"], table["down"]
            one = torch.ones(1, 1)
            x = upfirdn(x, state.get(f"{path}.up_filter", one), up, 1, tuple(table["padding"]), up**2)
            if not table["torgb"]:
                x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
            x = x if a["conv_clamp"] is None else x.clamp(-a["conv_clamp"], a["conv_clamp"])
            x = upfirdn(x, state.get(f"{path}.down_filter", one), 1, down, (0, 0, 0, 0), 1)
        pictures.append(x * a["output_scale"])
    return torch.cat(pictures)


def stylegan1(state: State, a: dict[str, Any], ws: Tensor, noise: bool) -> Tensor:
    sizes = [2**k for k in range(2, a["resolution"].bit_length())]
    pictures, row, x = [], 0, ws
    for index, size in enumerate(sizes):
        for name in ("conv0", "conv1"):
            path = f"synthesis.b{size}.{name}"
            if f"{path}.const" in state:
                x = state[f"{path}.const"][None].repeat(len(ws), 1, 1, 1)
            else:
                weight = state[f"{path}.weight"]
                weight = weight * (math.sqrt(2) / math.sqrt(weight[0].numel()) if a["equalized"] else 1)
                if name == "conv0":
                    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                    if a["fused_from"] is not None and size >= a["fused_from"]:
                        weight = weight.flip(2, 3)
                x = functional.conv2d(x, weight, padding=1)
                if name == "conv0" and a["blur_filter"]:
                    # TensorFlow's depthwise convolution correlates, and pads an odd number more behind than before.
                    taps = torch.tensor(a["blur_filter"], dtype=torch.float32)
                    kernel = torch.outer(taps, taps) / taps.sum() ** 2
                    before, after = (len(taps) - 1) // 2, len(taps) // 2
                    padded = functional.pad(x, (before, after, before, after))
                    x = functional.conv2d(padded, kernel[None, None].repeat(x.shape[1], 1, 1, 1), groups=x.shape[1])
            if noise and a["use_noise"]:
                x = x + state[f"{path}.noise_const"] * state[f"{path}.noise_strength"][:, None, None]
            x = ACTIVATIONS[a["activation"]](x + state[f"{path}.bias"][:, None, None]) / math.sqrt(2)
            x = normalized(x) if a["use_pixel_norm"] else x
            if a["use_instance_norm"]:
                x = x - x.mean([2, 3], keepdim=True)
                x = x / (x.square().mean([2, 3], keepdim=True) + 1e-8).sqrt()
            styles = dense(state, f"{path}.affine", ws[:, row], equalized=a["equalized"]).reshape(len(ws), 2, -1, 1, 1)
            x = x * (styles[:, 0] + 1) + styles[:, 1]
            row += 1
        if f"synthesis.b{size}.torgb.weight" in state:
            weight = state[f"synthesis.b{size}.torgb.weight"]
            weight = weight / math.sqrt(weight.shape[1]) if a["equalized"] else weight
            y = functional.conv2d(x, weight, state[f"synthesis.b{size}.torgb.bias"])
            factor = 2 ** (len(sizes) - 1 - index)
            pictures.append(y.repeat_interleave(factor, 2).repeat_interleave(factor, 3))
    if len(pictures) == 1:
        return pictures[0]
    share = a["lod"] - math.floor(a["lod"])
    return pictures[1] * (1 - share) + pictures[0] * share
