"""Tiny generators of every family and option, with weights of one seed that let every option show."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from facelab.nets import Network, build

SG2: dict[str, dict[str, Any]] = {
    "skip": {},
    "resnet, clamped": {"architecture": "resnet", "conv_clamp": 0.5},
    "orig": {"architecture": "orig"},
    "labels": {"c_dim": 5, "embed_features": 7},
    "labels beside z": {"c_dim": 5, "embed_features": 16, "label": "concat"},
    "without noise": {"use_noise": False},
    "grey": {"img_channels": 1},
    "RGBA, three taps": {"img_channels": 4, "resample_filter": [1, 2, 1]},
    "many taps": {"resample_filter": [1, 4, 6, 4, 1]},
    "deep mapping": {"mapping_features": [9, 11, 13, 12], "mapping_lr_multiplier": 0.1},
    "w is z": {"z_dim": 12, "mapping_features": []},
    "labels alone": {"z_dim": 0, "c_dim": 5, "embed_features": 7},
    "pointwise, a box": {"kernel_size": 1, "resample_filter": [1, 1]},
    "wide kernels, one tap": {"kernel_size": 5, "resample_filter": [1]},
    "eight taps, resnet": {"resample_filter": [1, 2, 3, 4, 4, 3, 2, 1], "architecture": "resnet"},
    "swish, tanh": {"activation": "swish", "mapping_activation": "tanh"},
}
SG1: dict[str, dict[str, Any]] = {
    "plain": {},
    "fused": {"fused_from": 8},
    "never fused, no blur": {"fused_from": None, "blur_filter": []},
    "labels": {"c_dim": 4, "embed_features": 16},
    "half grown": {"lod": 1.0},
    "growing": {"lod": 0.25},
    "nearly grown": {"lod": 1.375, "fused_from": 8},
    "barely begun": {"lod": 2.0},
    "pixel norm, without noise": {"use_pixel_norm": True, "use_instance_norm": False, "use_noise": False},
    "a slanted blur, not scaled": {"blur_filter": [1, 3, 2, 2], "equalized": False, "normalize_z": False},
    "a blur of one, ReLU": {"blur_filter": [1], "activation": "relu", "mapping_activation": "relu"},
}
SG3: dict[str, dict[str, Any]] = {
    "t": {},
    "r": {"kernel": 1, "radial": True},
    "pointwise, not clamped": {"kernel": 1, "conv_clamp": None, "output_scale": 1},
    "labels": {"c_dim": 3, "embed_features": 12},
    "few layers": {"coarse_end": True},
}


# Whole StyleGAN3 designs from the options of its training: odd sizes, few layers, other filters, none critical.
DESIGNS: dict[str, dict[str, Any]] = {
    "t": {"resolution": 64, "num_layers": 14},
    "r": {"kernel": 1, "radial": True},
    "r, none critical": {"kernel": 1, "radial": True, "num_critical": 0},
    "radial, wide": {"kernel": 3, "radial": True, "filter_size": 9},
    "48 pixels": {"resolution": 48},
    "17 pixels": {"resolution": 17},
    "one layer": {"num_layers": 1, "num_critical": 0},
    "two layers": {"resolution": 128, "num_layers": 2, "num_critical": 1, "lrelu_upsampling": 4},
    "all but two critical": {"num_critical": 4},
    "not upsampled for the activation": {"lrelu_upsampling": 1},
    "four taps, no margin": {"filter_size": 4, "margin": 0},
    "even kernel, grey, clamped": {"kernel": 2, "img_channels": 1, "conv_clamp": 1},
    "first cutoff, RGBA, labels": {"first": (3.3, 6.1), "img_channels": 4, "c_dim": 5},
}


def _shake(network: Network, seed: int) -> Network:
    """Fill what an untrained network leaves at zero, so that each tensor counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
            elif name.endswith("magnitude_ema"):
                tensor.fill_(0.8)
            elif name.endswith("_filter"):
                line = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(line / line.sum())
            elif name.endswith(("freqs", "phases")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            elif name.endswith("transform"):
                tensor.copy_(torch.tensor([[0.9, 0.1, 0.05], [-0.1, 0.9, -0.02], [0, 0, 1]]))
    return network


def stylegan2(option: str = "skip", *, resolution: int = 16) -> Network:
    channels = [8, 6, 5, 4, 3, 3, 3, 3, 3][: resolution.bit_length() - 2]
    architecture = {"z_dim": 16, "w_dim": 12, "mapping_features": [14, 12], "resolution": resolution}
    return _shake(build("stylegan2", architecture | {"channels": channels} | SG2[option], seed=1), 2)


def stylegan1(option: str = "plain", *, resolution: int = 16) -> Network:
    channels = [8, 6, 5, 4, 3, 3, 3][: resolution.bit_length() - 2]
    architecture = {"z_dim": 16, "w_dim": 12, "mapping_features": [14, 12], "resolution": resolution}
    return _shake(build("stylegan1", architecture | {"channels": channels} | SG1[option], seed=1), 2)


def designed_stylegan3(design: str) -> Network:
    """A StyleGAN3 whose layers follow from a few numbers, as the paper's section 3 and appendix B give them."""
    o = {
        "resolution": 32, "num_layers": 6, "num_critical": 2, "kernel": 3, "radial": False, "lrelu_upsampling": 2,
        "filter_size": 6, "margin": 10, "first": (2.0, 2**2.1), "img_channels": 3, "conv_clamp": 256, "c_dim": 0,
        **DESIGNS[design],
    }  # fmt: skip
    count, last = o["num_layers"], o["resolution"] / 2
    share = np.minimum(np.arange(count + 1) / (count - o["num_critical"]), 1)
    cutoff, stop = (
        start * (end / start) ** share for start, end in zip(o["first"], (last, last * 2**0.3), strict=True)
    )
    rate = np.exp2(np.ceil(np.log2(np.minimum(2 * stop, o["resolution"]))))
    size = [int(n) for n in rate + 2 * o["margin"]][:-2] + [o["resolution"]] * 2
    channels = [*(int(n) for n in np.rint(np.minimum(64 / cutoff, 8))[:-1]), o["img_channels"]]
    layers = []
    for i in range(count + 1):
        before, torgb, critical = max(i - 1, 0), i == count, i >= count - o["num_critical"]
        kernel = 1 if torgb else o["kernel"]
        inner = max(rate[before], rate[i]) * (1 if torgb else o["lrelu_upsampling"])
        up, down = round(inner / rate[before]), round(inner / rate[i])
        up_taps, down_taps = (1 if torgb or n == 1 else o["filter_size"] * n for n in (up, down))
        total = (size[i] - 1) * down + 1 - (size[before] + kernel - 1) * up + up_taps + down_taps - 2
        low = (total + up) // 2
        layers.append(
            {
                "name": f"L{i}_{size[i]}_{channels[i]}",
                "size": size[i],
                "in_channels": channels[before],
                "out_channels": channels[i],
                "kernel": kernel,
                "torgb": torgb,
                "up": up,
                "down": down,
                "padding": [low, total - low, low, total - low],
                "up_filter": [] if up_taps == 1 else [up_taps],
                "down_filter": [] if down_taps == 1 else [down_taps] * (2 if o["radial"] and not critical else 1),
            }
        )
    architecture = {
        "z_dim": 16, "w_dim": 12, "c_dim": o["c_dim"], "embed_features": 12 if o["c_dim"] else 0,
        "mapping_features": [12, 12], "resolution": o["resolution"], "img_channels": o["img_channels"],
        "input": {"channels": channels[0], "size": [size[0]] * 2, "sampling_rate": float(rate[0]), "bandwidth": float(cutoff[0])},
        "layers": layers, "conv_clamp": o["conv_clamp"],
    }  # fmt: skip
    return _shake(build("stylegan3-r" if o["radial"] else "stylegan3-t", architecture, seed=1), 2)


def stylegan3(option: str = "t") -> Network:
    options = {"kernel": 3, "radial": False, "conv_clamp": 256, "output_scale": 0.25, "c_dim": 0, **SG3[option]}
    kernel, radial, coarse_end = options.pop("kernel"), options.pop("radial"), options.pop("coarse_end", False)
    last = [(2, 2, 20, 8), (2, 1, 8, 16)] if coarse_end else [(2, 2, 20, 16), (1, 1, 16, 16)]
    layers = []
    # (up, down, size before, size after): doubled, kept, critically sampled with a separable filter, picture.
    for index, (up, down, before, after) in enumerate([(4, 2, 12, 20), (2, 2, 20, 20), *last]):
        torgb = index == 3
        k = 1 if torgb else kernel
        up_taps, down_taps = (0, 0) if torgb else (6 * up, 6 * down)
        total = (after - 1) * down + 1 - (before + k - 1) * up + max(up_taps, 1) + max(down_taps, 1) - 2
        low = (total + up - 1) // 2
        layers.append(
            {
                "name": f"L{index}_{after}_{3 if torgb else 6}",
                "size": after,
                "in_channels": 6,
                "out_channels": 3 if torgb else 6,
                "kernel": k,
                "torgb": torgb,
                "up": up,
                "down": down,
                "padding": [low, total - low, low, total - low],
                "up_filter": [] if torgb else [up_taps],
                "down_filter": [] if torgb else [down_taps] * (2 if radial and index < 2 else 1),
            }
        )
    architecture = {
        "z_dim": 16, "w_dim": 12, "mapping_features": [12, 12], "resolution": 16,
        "input": {"channels": 6, "size": [12, 12], "sampling_rate": 8, "bandwidth": 2.5}, "layers": layers,
    }  # fmt: skip
    family = "stylegan3-r" if kernel == 1 else "stylegan3-t"
    return _shake(build(family, architecture | options, seed=1), 2)
