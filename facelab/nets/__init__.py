"""Generators as torch modules, one file per paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from facelab.errors import BadArgument
from facelab.nets.network import LayerInfo, Network, Noise, estimate_w_avg
from facelab.nets.stylegan1 import StyleGAN1
from facelab.nets.stylegan2 import StyleGAN2
from facelab.nets.stylegan3 import StyleGAN3R, StyleGAN3T

FAMILIES: dict[str, type[Network]] = {
    "stylegan1": StyleGAN1,
    "stylegan2": StyleGAN2,
    "stylegan3-t": StyleGAN3T,
    "stylegan3-r": StyleGAN3R,
}


def build(family: str, architecture: Mapping[str, Any], *, seed: int | None = 0) -> Network:
    """Make an untrained network.

    Args:
        family: a key of ``FAMILIES``.
        architecture: the keyword arguments of that family, as ``Network.architecture`` gives them.
        seed: of its initial weights; None leaves them without memory (torch's meta device), to be loaded
            with ``load_state_dict(..., assign=True)``.

    Raises:
        BadArgument: the family or an option is not known, or the options contradict one another.
    """
    if family not in FAMILIES:
        raise BadArgument(f"unknown generator family {family!r}; known are {', '.join(FAMILIES)}")
    with torch.device("meta" if seed is None else "cpu"):
        network = FAMILIES[family](**architecture)
    if seed is not None:
        network.initialise(seed)
    return network.eval()


__all__ = ["FAMILIES", "LayerInfo", "Network", "Noise", "build", "estimate_w_avg"]
