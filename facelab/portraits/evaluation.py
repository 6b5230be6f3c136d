"""How well a portrait generator draws what the renderer would: figures and a sheet, for z of any seed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facelab.checkpoints import load
from facelab.errors import FacelabError, MissingPart
from facelab.files import replacing
from facelab.nets import Network
from facelab.nets.encoder import Encoder
from facelab.portraits.dataset import draw
from facelab.portraits.factors import NAMES, Floats, phi_from_y
from facelab.portraits.mapping import Readout, construct


class EvaluationError(FacelabError):
    """A generator cannot be compared with the renderer."""


@torch.no_grad()
def draw_ws(network: Network, ws: Floats) -> np.ndarray:
    """W codes [N, 512] or W+ codes [N, num_ws, 512] -> pictures uint8 [N, H, W, 3]."""
    codes = torch.from_numpy(np.ascontiguousarray(ws, np.float32))
    if codes.ndim == 2:
        codes = codes[:, None].expand(-1, network.num_ws, -1)
    parts = [network.synthesize(part) for part in torch.split(codes, 16)]
    pixels: np.ndarray = ((torch.cat(parts) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return pixels


def psnr(drawn: np.ndarray, wanted: np.ndarray) -> Floats:
    """Peak signal to noise ratio of uint8 pictures [N, H, W, 3] in dB, [N]."""
    error = (drawn.astype(np.float64) - wanted) ** 2
    decibels: Floats = 10 * np.log10(255**2 / np.maximum(error.mean((1, 2, 3)), 1e-9))
    return decibels


def ssim(drawn: np.ndarray, wanted: np.ndarray) -> Floats:
    """Structural similarity (Wang et al. 2004: Gaussian window of 1.5 px) of uint8 pictures, [N]."""
    if importlib.util.find_spec("skimage") is None:
        raise MissingPart("Evaluating portraits needs scikit-image: install facelab[test].")
    from skimage.metrics import structural_similarity

    pairs = zip(drawn, wanted, strict=True)
    options = {
        "channel_axis": 2,
        "data_range": 255,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    return np.array([structural_similarity(a, b, **options) for a, b in pairs])  # type: ignore[no-untyped-call]


def sharpness(pictures: np.ndarray) -> Floats:
    """Mean length of the gradient of the grey picture, in levels per pixel, [N]."""
    grey = pictures.astype(np.float64) @ [0.299, 0.587, 0.114]
    down, across = np.gradient(grey, axis=(1, 2))
    lengths: Floats = np.hypot(down, across).mean((1, 2))
    return lengths


def probe(x: Floats, phi: Floats) -> float:
    """Mean R2, over factors, of a linear probe from x [N, D] to phi [N, K], fitted on three quarters of the rows."""
    x = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    n = 3 * len(x) // 4
    weights = np.linalg.solve(x[:n].T @ x[:n] + np.eye(x.shape[1]), x[:n].T @ phi[:n])
    error = ((x[n:] @ weights - phi[n:]) ** 2).mean(0)
    return float((1 - error / phi[n:].var(0)).mean())


def path_ratio(network: Network, read: Readout, z: Floats, steps: int = 24) -> float:
    """Length of the way that phi takes along lines of Z, over the straight line's; 1 would be linear.

    The line's ends are neighbours in z [N, 512].
    """
    share = np.linspace(0, 1, steps + 1)[:, None, None]
    line = (z[:-1] * (1 - share) + z[1:] * share).astype(np.float32)
    with torch.no_grad():
        w = network.map(torch.from_numpy(line.reshape(-1, z.shape[1]))).numpy()
    phi = read.phi(w).reshape(steps + 1, len(z) - 1, -1)
    way = np.linalg.norm(np.diff(phi, axis=0), axis=2).sum(0)
    return float((way / np.linalg.norm(phi[-1] - phi[0], axis=1)).mean())


def mixed(phi: Floats, read: Readout, group: str) -> tuple[Floats, Floats]:
    """Style mixing at a group border: every face takes one group's factors from the next one.

    Returns:
        phi of the supervised target [N, K], and which columns came from the neighbour [K].
    """
    take = np.array([g == group for g in read.groups])
    return np.where(take, np.roll(phi, -1, axis=0), phi), take


def evaluate(
    generator: Path, directions: Path, count: int, seed: int, result: Path, encoder: Path | None = None
) -> dict[str, Any]:
    """Compare ``count`` generated faces with the renderer's; write figures as JSON and a sheet beside it.

    Args:
        generator, directions: facelab's .safetensors and the .npz of its factors.
        count: faces; z is ``RandomState(seed).randn(count, 512)``.
        encoder: also judged when given: median R2 of phi read from the renderer's pictures, and how well its codes,
            drawn again, give the picture back.
        result: the JSON file; the sheet takes its name with ``.png``: pairs of rows, renderer above generator.

    Raises:
        EvaluationError: the generator was distilled from another version of the portraits.
    """
    checkpoint, read = load(generator), Readout.load(directions)
    network = checkpoint.network
    if read.names != NAMES:
        raise EvaluationError(
            "This generator was distilled from another version of the portraits; it has no renderer here."
        )
    z = np.random.RandomState(seed).randn(count, network.z_dim).astype(np.float32)
    with torch.no_grad():
        w = network.map(torch.from_numpy(z)).numpy()
    phi = read.phi(w)
    mean = network.w_avg.numpy()
    n = min(count, 32)
    mixes = {border: mixed(phi[:n], read, group)[0] for border, group in (("4", "coarse"), ("8", "fine"))}
    wanted = draw(np.concatenate([phi, *mixes.values(), 0.5 * phi[:n], -0.5 * phi[:n]]), network.resolution)
    drawn = draw_ws(network, w)
    first, similar = psnr(drawn, wanted[:count]), ssim(drawn, wanted[:count])
    sharp = sharpness(drawn) / sharpness(wanted[:count])
    figures: dict[str, Any] = {
        "count": count, "seed": seed, "generator": checkpoint.sha256,
        "psnr_median": float(np.median(first)), "ssim_median": float(np.median(similar)),
        "sharpness_median": float(np.median(sharp)),
    }  # fmt: skip
    at = count
    for border in mixes:
        ws = np.repeat(w[:n, None], network.num_ws, 1)
        rows = slice(0, 4) if border == "4" else slice(8, None)
        ws[:, rows] = np.roll(w[:n], -1, axis=0)[:, None]
        figures[f"psnr_mixed_at_{border}"] = float(np.median(psnr(draw_ws(network, ws), wanted[at : at + n])))
        at += n
    for psi in (0.5, -0.5):
        # The mean face's own coordinates are zero up to sampling, so psi scales phi.
        figures[f"psnr_psi_{psi}"] = float(
            np.median(psnr(draw_ws(network, mean + psi * (w[:n] - mean)), wanted[at : at + n]))
        )
        at += n
    many = np.random.RandomState(seed + 1).randn(6000, network.z_dim).astype(np.float32)
    with torch.no_grad():
        many_w = torch.cat([network.map(part) for part in torch.split(torch.from_numpy(many), 2000)]).numpy()
    truth = phi_from_y(construct().y(many))  # what the faces were meant to be, before w
    figures["probe_r2_w"], figures["probe_r2_z"] = probe(many_w, truth), probe(many, truth)
    figures["path_length_ratio_z"] = path_ratio(network, read, many[:65])
    if encoder is not None:
        eyes = Encoder.load(encoder)
        guesses = np.stack([eyes.guess(picture) for picture in wanted[:count]])
        read_phi = read.phi(guesses[:, 0])
        figures["encoder_r2_median"] = float(np.median(1 - ((read_phi - phi) ** 2).mean(0) / phi.var(0)))
        figures["encoder_psnr_median"] = float(np.median(psnr(draw_ws(network, guesses), wanted[:count])))
    _write(figures, drawn, wanted[:count], result)
    return figures


def _write(figures: dict[str, Any], drawn: np.ndarray, wanted: np.ndarray, result: Path) -> None:
    from PIL import Image

    columns, (count, height, width, _) = 8, drawn.shape
    rows = -(-count // columns)
    page = np.zeros((rows, 2, columns, height, width, 3), np.uint8)
    for i in range(count):
        page[i // columns, :, i % columns] = wanted[i], drawn[i]
    with replacing(result.with_suffix(".png")) as temporary:
        Image.fromarray(page.swapaxes(2, 3).reshape(-1, columns * width, 3)).save(temporary, format="PNG")
    with replacing(result) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
