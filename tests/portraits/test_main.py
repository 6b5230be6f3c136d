"""The command line of the portraits: one sentence and exit code 1 where the world is not as it must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facelab.checkpoints import save
from facelab.nets import build
from facelab.portraits.__main__ import main
from facelab.portraits.mapping import Readout


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands set for their process does not outlive the test."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr("facelab.engine.memory.keep_memory", lambda: True)


def test_that_a_part_must_be_one_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("2/2", "x/2", "1"):
        with pytest.raises(SystemExit):
            main(["render", "folder", "--part", text])
    assert "is not a part such as 0/2" in capsys.readouterr().err


def test_that_training_without_pictures_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--minutes", "1", "--resume", str(tmp_path / "run"), "--pictures", str(tmp_path)]) == 1
    assert "held-out.npz is missing" in capsys.readouterr().err


def test_that_a_start_needs_its_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--minutes", "1", "--resume", str(tmp_path), "--pictures", str(tmp_path), "--start", "x"]
    assert main(arguments) == 1
    assert "belong together" in capsys.readouterr().err


def test_that_a_generator_of_another_version_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build("stylegan2", {"resolution": 8, "channels": [4, 4], "mapping_features": [512]})
    save(network, tmp_path / "other.safetensors")
    zeros = np.zeros((1, 512), np.float32)
    Readout(("tail",), ("coarse",), zeros, np.zeros(1), zeros, np.ones(1), np.zeros((1, 2), np.int64)).save(
        tmp_path / "d.npz"
    )
    arguments = ["evaluate", "--json", str(tmp_path / "e.json"), "--generator", str(tmp_path / "other.safetensors")]
    assert main([*arguments, "--directions", str(tmp_path / "d.npz")]) == 1
    assert "another version of the portraits" in capsys.readouterr().err
    assert not (tmp_path / "e.json").exists()
