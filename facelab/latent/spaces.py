"""Truncation, blending by layer, the groups of layers, seeded noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from facelab.errors import BadArgument
from facelab.latent.code import Floats


def truncate(ws: Floats, w_avg: Floats, psi: ArrayLike) -> Floats:
    """Pull W+ codes toward the mean face, by one share in all layers or by layer.

    Args:
        ws: codes, shape [..., L, C] (L layers of C channels).
        w_avg: the mean of W for this generator, shape [C].
        psi: share of the distance kept, a number or shape [L]. 1 keeps the code,
            0 gives the mean face, below 0 its anti-face, above 1 a caricature.

    Returns:
        New codes, float32, of the shape of ``ws``.

    Raises:
        BadArgument: ``w_avg`` is not [C], or ``psi`` is neither a number nor [L], or not finite.

    Source: Karras et al. 2019 (arXiv:1812.04948): w' = w_avg + psi (w - w_avg).
    """
    strength = np.asarray(psi, np.float32)
    if w_avg.shape != ws.shape[-1:] or strength.shape not in {(), ws.shape[-2:-1]} or not np.isfinite(strength).all():
        raise BadArgument(f"codes {ws.shape}, mean {w_avg.shape}, psi {strength.shape} do not go together")
    if np.all(strength == 1):  # w_avg + (w - w_avg) is w only up to rounding
        return np.array(ws, np.float32)
    return np.asarray(w_avg + strength[..., None] * (ws - w_avg), np.float32)


def psi_by_layer(psi: Sequence[float], num_ws: int, cutoff: int | None = None) -> Floats:
    """One psi for each layer.

    Args:
        psi: one number for all layers, or one for each.
        num_ws: the number of layers.
        cutoff: with a single psi, the layers from here on keep psi 1.

    Raises:
        BadArgument: a psi per layer together with a cutoff, or another number of them than of layers.
    """
    if len(psi) == 1:
        strength = np.full(num_ws, psi[0], np.float32)
        if cutoff is not None:
            if cutoff < 0:
                raise BadArgument("a truncation cutoff is a layer's number, from 0 on")
            strength[cutoff:] = 1
        return strength
    if cutoff is not None:
        raise BadArgument("give a psi per layer or a cutoff, not both")
    if len(psi) != num_ws:
        raise BadArgument(f"{len(psi)} psi for {num_ws} layers; give one for all, or one for each")
    return np.asarray(psi, np.float32)


def blend(ws: Floats, weights: Floats) -> Floats:
    """Mix W+ codes layer by layer; in each layer the weights are normalised to a sum of 1.

    Args:
        ws: [S, L, C], S sources.
        weights: [S, L]; negative ones extrapolate, but no layer may sum to zero.

    Returns:
        [L, C] float32.
    """
    if ws.ndim != 3 or weights.shape != ws.shape[:2]:
        raise BadArgument(f"weights {weights.shape} do not fit codes {ws.shape}")
    if len(ws) == 1:
        return np.array(ws[0], np.float32)
    total = weights.sum(0)
    if not np.isfinite(total).all() or (np.abs(total) < 1e-6).any():
        raise BadArgument(f"the weights of layer {int(np.abs(total).argmin())} sum to zero; raise one of them")
    share = (weights / total).astype(np.float32)
    # One source alone in a layer has to come through bit for bit.
    mixed = np.einsum("sl,slc->lc", share, ws, dtype=np.float64).astype(np.float32)
    sole = (share != 0).sum(0) == 1
    picked: Floats = np.where(sole[:, None], ws[share.argmax(0), np.arange(ws.shape[1])], mixed)
    return picked


def layer_groups(family: str, num_ws: int) -> dict[str, range]:
    """The rows of W+ that are coarse, middle and fine.

    StyleGAN 1 and 2: rows 0-3, 4-7, the rest (Karras et al. 2019, figure 3). StyleGAN3 has no resolution per layer to go by;
    its rows are split by bandwidth: input to L4, L5 to L9, L10 on.
    """
    a, b = (6, 11) if family.startswith("stylegan3") else (4, 8)
    return {
        "coarse": range(min(a, num_ws)),
        "middle": range(min(a, num_ws), min(b, num_ws)),
        "fine": range(min(b, num_ws), num_ws),
    }


def seeded_noise(seed: int, shapes: Sequence[tuple[int, int]]) -> tuple[Floats, ...]:
    """Noise maps of a seed, one per layer: each layer has its own generator, so that a change of one leaves the others alone."""
    return tuple(
        np.random.RandomState([seed & 0xFFFFFFFF, layer]).randn(*shape).astype(np.float32)
        for layer, shape in enumerate(shapes)
    )
