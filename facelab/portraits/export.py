"""A trained run -> an ordinary StyleGAN2 generator with 512-number z and w, its directions, and its facts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

import facelab
from facelab.checkpoints import save
from facelab.nets import Network, build
from facelab.portraits.factors import TEACHER_VERSION
from facelab.portraits.mapping import DIM, LAYERS, Mapping, Readout, construct, fit_readout
from facelab.portraits.training import Run, owner_masks, style


def mapping_and_readout(num_ws: int) -> tuple[Mapping, Readout]:
    """The mapping network of this version of the portraits and the read-out of its factors."""
    mapping = construct()
    return mapping, fit_readout(mapping, num_ws)


@torch.no_grad()
def compose(network: Network, mapping: Mapping, read: Readout, *, half: bool = True) -> Network:
    """Student over factor coordinates + constructed mapping -> generator with z and w of 512.

    A style s = A phi + b with phi = R w + b0 is s = (A R) w + (b + A b0): exact, up to rounding.

    Args:
        network: as of ``training.student``.
        half: round the synthesis weights to float16, as the file will hold them.
    """
    plain = network.architecture
    generator = build(
        "stylegan2",
        {"resolution": network.resolution, "channels": plain["channels"], "mapping_features": [DIM] * LAYERS},
        seed=None,
    )
    tensors = {name: torch.from_numpy(value) for name, value in mapping.state().items()}
    R, b0 = torch.from_numpy(read.R), torch.from_numpy(read.b0)
    trained = network.synthesis.state_dict()
    for name in owner_masks(network):
        affine = style(network, name)
        styles = affine.weight * affine.weight_gain  # [C, K]
        trained[f"{name}.weight"] = styles @ R * math.sqrt(DIM)
        trained[f"{name}.bias"] = affine.bias + styles @ b0
    rng = torch.Generator().manual_seed(0)
    for name, empty in generator.synthesis.state_dict().items():
        if name.endswith("noise_const"):
            trained[name] = torch.randn(empty.shape, generator=rng)
        elif name.endswith("noise_strength"):
            trained[name] = torch.zeros(empty.shape)
    for name, weight in trained.items():
        value = weight.detach().to(torch.float32).contiguous()
        tensors[f"synthesis.{name}"] = value.half().float() if half and value.ndim >= 2 else value
    z = np.random.default_rng(2).standard_normal((20000, DIM))
    tensors["mapping.w_avg"] = torch.from_numpy(mapping.w(z).mean(0).astype(np.float32))
    generator.load_state_dict(tensors, assign=True)
    return generator.eval().requires_grad_(False)


def export(run: Run, path: Path, directions: Path) -> Network:
    """Write the averaged network of a run as facelab's own .safetensors, and its directions beside it.

    The facts of its training go into the file's metadata.
    """
    mapping, read = mapping_and_readout(run.network.num_ws)
    generator = compose(run.average, mapping, read)
    facts = {
        "name": f"Portraits {TEACHER_VERSION}",
        "licence": "CC0-1.0",
        "origin": "procedural portraits, drawn and distilled by the facelab project",
        "teacher_version": str(TEACHER_VERSION),
        "pictures_seen": str(run.progress.pictures),
        "pictures_rendered": str(len(run.pictures)),
        "cpu_minutes": f"{run.progress.cpu_seconds / 60:.0f}",
        "psnr_heldout": f"{run.held_out(len(run.held_phi)):.2f}",
        "seed": str(run.plan.seed),
        "code_version": facelab.__version__,
        "noise": "none",  # strengths are zero: noise controls change nothing in this generator
    }
    save(generator, path, facts, half=True)
    read.save(directions)
    return generator
