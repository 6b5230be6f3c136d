"""The embedded generator against the renderer it learned from: figures, mixing, truncation, detection, the encoder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

from facelab.assets import EMBEDDED_ENCODER, EMBEDDED_GENERATOR, resource
from facelab.engine.model import Model
from facelab.latent.code import seed_to_z
from facelab.media.sheet import sheet
from facelab.portraits.dataset import draw as render
from facelab.portraits.evaluation import draw_ws, evaluate
from facelab.portraits.factors import GATES, INDEX, NAMES, values_from_phi
from facelab.portraits.mapping import Readout
from tests.evidence.claims import Claim, draw, encode

COUNT, SEED = 512, 77
DETECTED = 1200
FROM = range(2000, 2008)  # seeds of the faces that are looked for from the encoder's guess and from w_avg
STEPS = 400


def _detection(model: Model, read: Readout, out: Path) -> list[Claim]:
    w = model.map(np.random.RandomState(SEED + 2).randn(DETECTED, model.network.z_dim))
    phi = read.phi(w)
    dark = np.argsort(values_from_phi(phi)[:, INDEX["skin"]])[-DETECTED // 3 :]
    detector = dlib.get_frontal_face_detector()
    claims = []
    for what, pictures, least in (("renders", render(phi), 0.90), ("generated faces", draw_ws(model.network, w), 0.80)):
        found = np.array([bool(detector(picture, 0)) for picture in pictures])
        Image.fromarray(sheet(list(pictures[~found][:40]), 8)).save(out / f"missed_{what.split()[0]}.png")
        claims.append(
            Claim(f"dlib's HOG detector finds the face in {DETECTED} {what}", f">= {least:.0%}", f"{found.mean():.1%}",
                  bool(found.mean() >= least))
        )  # fmt: skip
        claims.append(
            Claim(f"the same in the darkest third of skin, {what}", ">= 85 %", f"{found[dark].mean():.1%}",
                  bool(found[dark].mean() >= 0.85) if what == "renders" else None)
        )  # fmt: skip
    return claims


def _from_the_encoder(model: Model) -> Claim:
    """Steps that a projection from the encoder's guess needs for the loss that one from w_avg ends with."""
    shares = []
    for seed in FROM:
        target = draw(model, model.map(seed_to_z(seed, model.network.z_dim)[None])[0])
        slow = encode(model, target, space="w+", steps=STEPS, start="w_avg").losses
        quick = encode(model, target, space="w+", steps=STEPS // 2, start="encoder").losses
        reached = np.flatnonzero(np.minimum.accumulate(quick) <= min(slow))
        shares.append((int(reached[0]) + 1) / (int(np.argmin(slow)) + 1) if len(reached) else np.inf)
    median = float(np.median(shares))
    return Claim(
        f"steps from the encoder's guess to the loss that {STEPS} steps from w_avg end with, as a share, median of {len(FROM)}",
        "<= 50 %", f"{median:.0%}", median <= 0.5,
    )  # fmt: skip


def prove(out: Path) -> list[Claim]:
    path, directions, encoder = (
        resource(name) for name in (EMBEDDED_GENERATOR, "portraits_directions.npz", EMBEDDED_ENCODER)
    )
    model, read = Model.open(path, "cpu"), Readout.load(directions)
    f = evaluate(path, directions, COUNT, SEED, out / "figures.json", encoder)
    z = np.random.RandomState(SEED + 3).randn(100, model.network.z_dim)
    w = model.map(z)
    Image.fromarray(sheet(list(draw_ws(model.network, w)), 10)).save(out / "hundred.png")
    mean = model.network.w_avg.numpy()
    psi = [draw_ws(model.network, mean + p * (w[:8] - mean)) for p in (1.0, 0.5, 0.0, -0.5)]
    Image.fromarray(sheet([picture for row in psi for picture in row], 8)).save(out / "psi.png")
    gates = {name: float(values_from_phi(read.phi(mean))[i]) for i, name in enumerate(NAMES) if GATES[i]}
    worst = max(gates, key=lambda name: gates[name])
    size = path.stat().st_size / 1e6
    mixed = min(f["psnr_mixed_at_4"], f["psnr_mixed_at_8"])
    claims = [
        Claim(f"median PSNR of {COUNT} faces never trained on", ">= 28 dB, aim 30", f"{f['psnr_median']:.2f} dB", f["psnr_median"] >= 28),
        Claim("median SSIM", ">= 0.88, aim 0.92", f"{f['ssim_median']:.3f}", f["ssim_median"] >= 0.88),
        Claim("median sharpness, as a share of the renderer's", ">= 0.65, aim 0.75", f"{f['sharpness_median']:.3f}", f["sharpness_median"] >= 0.65),
        Claim("size as shipped", "<= 12 MB", f"{size:.1f} MB", size <= 12),
        Claim("linear probe from w to the factors, R2", ">= 0.99", f"{f['probe_r2_w']:.4f}", f["probe_r2_w"] >= 0.99),
        Claim("linear probe from z, R2", "<= 0.5", f"{f['probe_r2_z']:.3f}", f["probe_r2_z"] <= 0.5),
        Claim("length of lines of Z in factor space, over straight ones", "reported", f"{f['path_length_ratio_z']:.2f}"),
        Claim("style mixing at both borders, PSNR below the unmixed", "<= 1 dB", f"{f['psnr_median'] - mixed:.2f} dB", f["psnr_median"] - mixed <= 1),
        Claim("psi 0.5 and -0.5 against the renderer", "reported", f"{f['psnr_psi_0.5']:.1f} and {f['psnr_psi_-0.5']:.1f} dB"),
        Claim("what the mean face wears most", "nothing", f"{worst}: {gates[worst]:.3f}", gates[worst] < 0.02),
        Claim("encoder, median R2 of the coordinates", ">= 0.85", f"{f['encoder_r2_median']:.3f}", f["encoder_r2_median"] >= 0.85),
        Claim("encoder's code drawn again", ">= 22 dB", f"{f['encoder_psnr_median']:.1f} dB", f["encoder_psnr_median"] >= 22),
        _from_the_encoder(model),
        *_detection(model, read, out),
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "facelab.portraits", "sheet", str(out / "renders.png"), "--count", "100", "--columns", "10"], check=True)  # fmt: skip
    return claims
