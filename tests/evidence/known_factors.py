"""Directions from 200 faces with and 200 without glasses, or a smile: what they move, before and after others are held fixed.

Held fixed are once the ready-made directions of the other factors, as the window offers them with this generator, and once
directions that were found as the one itself was. The latter have the same sampling error as the direction that they are to mend,
a tenth of a standard deviation for means of 200, so what they leave is only reported.

The faces are the embedded generator's, of which every factor is known exactly (phi = R w + b0), so the groups are right and what a
direction does to each factor can be told without judging pictures. The portraits' encoder, where it is there, reads the same from
the pictures alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facelab.assets import EMBEDDED_DIRECTIONS, EMBEDDED_GENERATOR, resource
from facelab.engine.directions import factors
from facelab.engine.model import Model
from facelab.engine.projection import embedded_encoder
from facelab.errors import MissingPart
from facelab.latent.code import Direction, Floats
from facelab.latent.direction import Material, find, orthogonalise
from facelab.nets.encoder import Encoder
from facelab.portraits.evaluation import draw_ws
from tests.evidence.claims import Claim

FACTORS = ("glasses", "smile")
MARGIN = 0.15  # of a factor's range, to both sides of its middle: who is in between belongs to neither group
GROUP = 200
FACES = 40_000  # looked through for the groups
DRAWN = (
    400  # faces that are moved and drawn for the encoder; with few, its scatter from face to face hides what is asked
)
STEP = 3.0  # sigmas of the move, as the read-out tells it
MOVE = 2.2  # standard deviations of the factor by which pictures are moved: from without to with, and no further


def prove(out: Path) -> list[Claim]:
    model = Model.open(resource(EMBEDDED_GENERATOR), "cpu")
    with np.load(resource(EMBEDDED_DIRECTIONS)) as file:
        R, b0, names = file["R"], file["b0"], [str(name) for name in file["names"]]
    z = np.random.RandomState(0).randn(FACES, model.network.z_dim).astype(np.float32)
    w = np.concatenate([model.map(part) for part in np.array_split(z, FACES // 1000)])
    phi = w @ R.T + b0
    every = {name: _between(model, w, phi[:, i], name) for i, name in enumerate(names)}
    known = factors(resource(EMBEDDED_DIRECTIONS), model.sha256, model.network.num_ws, w[:10_000])
    ready = {name: replace(d, layers=None) for name, d in zip(names, known, strict=True)}
    try:
        encoder: Encoder | None = embedded_encoder()
    except MissingPart:
        encoder = None
    claims: list[Claim] = []
    figures: dict[str, object] = {"generator": model.sha256, "encoder": encoder is not None}
    rows = []
    for wanted in FACTORS:
        own = names.index(wanted)
        plain = every[wanted]
        ways = {"as found": plain}
        for what, set_ in (("ready-made held", ready), ("found held", every)):
            ways[what] = orthogonalise(plain, [d for name, d in set_.items() if name != wanted], w[:10_000])
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for what, direction in ways.items():
            found[what] = {"read-out": _told(STEP * direction.sigma * R @ direction.vector, own)}
            if encoder is not None:
                # As a person does it: faces that have not got it are given it.
                without = w[phi[:, own] < np.quantile(phi[:, own], 0.3)][-DRAWN:]
                step = MOVE / float(R[own] @ direction.vector)  # all directions move the factor itself equally far
                found[what]["encoder"] = _told(_seen(model, encoder, names, without, step * direction.vector), own)
        figures[wanted] = found
        for by in found["as found"]:
            (moved, others), (moved_held, others_held) = found["as found"][by], found["ready-made held"][by]
            _, others_found = found["found held"][by]
            rows.append((wanted, by, moved, others, moved_held, others_held, others_found))
            claims.append(
                Claim(f"{wanted}: its move is there ({by})", ">= 1 standard deviation", f"{moved:.2f}", moved >= 1)
            )
            measure = "others move, root mean square per unit of its own move"
            claims.append(
                Claim(
                    f"{wanted}: {measure}, ready-made directions held fixed ({by})", "less than as found",
                    f"{others:.3f} -> {others_held:.3f}", others_held < others and moved_held > 0,
                )
            )  # fmt: skip
            claims.append(
                Claim(f"{wanted}: {measure}, found directions held fixed ({by})", "reported", f"{others:.3f} -> {others_found:.3f}")
            )  # fmt: skip
    if encoder is None:
        claims.append(
            Claim("the same, read from pictures by the portraits' encoder", "-", "not measured: it is not there")
        )
    lines = ["| factor | read by | own move | others, per unit | own move, ready-made held | others, ready-made held | others, found held |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    lines += [f"| {f} | {by} | {a:.2f} | {b:.3f} | {c:.2f} | {d:.3f} | {e:.3f} |" for f, by, a, b, c, d, e in rows]
    (out / "table.md").write_text("\n".join(lines) + "\n")
    (out / "figures.json").write_text(json.dumps(figures, indent=1))
    return claims


def _between(model: Model, w: Floats, coordinate: Floats, name: str) -> Direction:
    """From the mean of the first `GROUP` faces that clearly have not got something to the mean of the first that have."""
    low, high = np.quantile(coordinate, [0.01, 0.99])
    middle, margin = (low + high) / 2, MARGIN * (high - low)
    without, having = w[coordinate < middle - margin][:GROUP], w[coordinate > middle + margin][:GROUP]
    assert len(without) == len(having) == GROUP, f"too few faces for {name}"
    material = Material(samples=w[:10_000], groups=(without, having))
    return find("groups", material, generator=model.sha256, count=1, name=name)[0][0]


def _told(change: Floats, own: int) -> tuple[float, float]:
    """(change of the factor itself, root mean square change of the others per unit of it), in standard deviations."""
    others = np.delete(change, own)
    return float(change[own]), float(np.sqrt((others**2).mean()) / abs(change[own]))


def _seen(model: Model, encoder: Encoder, names: Sequence[str], faces: Floats, move: Floats) -> Floats:
    """What a move changes in the pictures, as the encoder reads them: mean over faces, [K]."""
    import torch

    ends = []
    for moved in (faces, faces + move):
        images = torch.from_numpy(draw_ws(model.network, moved).astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            ends.append(encoder(images).numpy().mean(0))
    change = ends[1] - ends[0]
    return np.array([change[encoder.names.index(name)] for name in names], np.float32)
