"""Files that the reference implementations wrote, against pictures that they drew; hostile files, refused.

They are not the project's to ship: FACELAB_TEST_DATA says where they lie.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facelab import checkpoints
from facelab.errors import CheckpointError
from facelab.nets import Network

_ROOT = Path(os.environ.get("FACELAB_TEST_DATA", "/nonexistent")) / "fixtures" / "public"
_MANIFEST = _ROOT / "manifest.json"
_ROWS: list[dict[str, Any]] = json.loads(_MANIFEST.read_text())["files"] if _MANIFEST.is_file() else []
_MODELS = [row for row in _ROWS if row["what"] == "model"]
_HOSTILE = [row for row in _ROWS if row["what"] == "hostile"]

pytestmark = pytest.mark.skipif(not _ROWS, reason="FACELAB_TEST_DATA has no checkpoint fixtures")


def _by_id(row: dict[str, Any]) -> str:
    return str(row["id"])


def _check(network: Network, row: dict[str, Any]) -> float:
    """The largest difference from the reference's pictures; asserts on each."""
    reference = dict(np.load(_ROOT / row["reference"]))
    c = torch.from_numpy(reference["c"]) if "c" in reference else None
    cutoff = int(reference["cutoff"])
    worst = 0.0

    def near(name: str, found: torch.Tensor, tolerance: float) -> None:
        nonlocal worst
        expected = reference[name]
        assert found.shape == expected.shape, name
        difference = float(np.abs(found.numpy() - expected).max())
        assert difference <= tolerance, f"{name}: {difference:.1e}"
        worst = max(worst, difference if name.startswith(("img", "rgb")) else 0.0)

    def draw(name: str, ws: torch.Tensor, **options: Any) -> None:
        if name in reference:
            ws = ws[: len(reference[name])]
            near(name, torch.cat([network.synthesize(one[None], **options) for one in ws]), row["tol_img"])

    with torch.inference_mode():
        w = network.map(torch.from_numpy(reference["z"]).float(), c)[:, None].repeat(1, network.num_ws, 1)
        for name, psi, rows in (
            ("ws_psi1", 1.0, None),
            ("ws_psi07", 0.7, None),
            ("ws_psi05_cut", 0.5, cutoff),
            ("ws_psim05", -0.5, None),
        ):
            if name in reference:
                ws = w.clone()
                ws[:, :rows] = network.w_avg + psi * (ws[:, :rows] - network.w_avg)
                near(name, ws, row["tol_ws"])
        full = torch.from_numpy(reference["ws_psi1"])
        for mode in ("const", "none"):
            draw(f"img_psi1_{mode}", full, noise=mode)
            for name in ("psi07", "psi05_cut"):
                if f"ws_{name}" in reference:
                    draw(f"img_{name}_{mode}", torch.from_numpy(reference[f"ws_{name}"]), noise=mode)
            if "ws_mix" in reference:
                draw(f"img_mix_{mode}", torch.from_numpy(reference["ws_mix"]), noise=mode)
        for size, picture in network.steps(full[:1]):
            if f"rgb_b{size}" in reference and picture is not None:
                near(f"rgb_b{size}", picture.reshape(reference[f"rgb_b{size}"].shape), row["tol_img"])
        for index in range(9):
            if f"tf{index}_matrix" in reference:
                matrix = np.linalg.inv(reference[f"tf{index}_matrix"].astype(np.float64))
                draw(f"img_tf{index}", full, transform=torch.from_numpy(matrix))
        draw("img_tf_identity", full, transform=torch.eye(3))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("row", _MODELS, ids=_by_id)
def test_that_a_file_of_the_reference_draws_as_the_reference_drew(row: dict[str, Any]) -> None:
    checkpoint = checkpoints.load(_ROOT / row["file"])
    network = checkpoint.network
    found = (network.z_dim, network.w_dim, network.c_dim, network.num_ws, network.resolution, network.img_channels)
    assert found == tuple(row[key] for key in ("z_dim", "w_dim", "c_dim", "num_ws", "img_resolution", "img_channels"))
    assert not checkpoint.network.w_avg_estimated
    _check(network, row)


@pytest.mark.slow
@pytest.mark.parametrize("row", _MODELS, ids=_by_id)
def test_that_a_conversion_keeps_every_bit(row: dict[str, Any], tmp_path: Path) -> None:
    first = checkpoints.load(_ROOT / row["file"])
    checkpoints.save(first.network, tmp_path / "a.safetensors")
    again = checkpoints.load(tmp_path / "a.safetensors")
    ours, theirs = first.network.state_dict(), again.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.sha256 == first.sha256
    ws = first.network.w_avg.repeat(1, first.network.num_ws, 1)
    assert torch.equal(first.network.synthesize(ws), again.network.synthesize(ws))


@pytest.mark.parametrize("row", _HOSTILE, ids=_by_id)
def test_that_a_hostile_file_is_refused_in_one_sentence(row: dict[str, Any]) -> None:
    before = set(Path("/tmp").glob("facelab_pwned*"))
    sentence = None
    try:
        checkpoints.load(_ROOT / row["file"])
    except CheckpointError as error:
        sentence = str(error)
    if sentence is None:
        assert row["expect"] == "no-harm"
    else:
        assert len(sentence) > 20
        assert "\n" not in sentence
    assert set(Path("/tmp").glob("facelab_pwned*")) == before


@pytest.mark.slow
@pytest.mark.timeout(900)  # a process for each of 28 files, on a machine that may be busy
def test_that_the_independent_check_passes_through_the_public_api(tmp_path: Path) -> None:
    check = tmp_path / "check_loader.py"
    shutil.copy(_ROOT.parent / "check_loader.py", check)
    adapter = Path(__file__).with_name("adapter.py")
    command = [sys.executable, str(check), "--adapter", str(adapter), "--set", "public", "--root", str(_ROOT.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
