"""The portrait encoder as a network and as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facelab.errors import MissingPart
from facelab.nets.encoder import CHANNELS, Encoder

NAMES = ("yaw", "smile", "hat")


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    made = Encoder(NAMES, num_ws=6, w_dim=16)
    made.moves = torch.randn(3, 16)
    made.w_avg = torch.randn(16)
    return made.eval()


def test_that_pictures_of_any_size_give_one_answer_each(encoder: Encoder) -> None:
    with torch.no_grad():
        assert encoder(torch.zeros(2, 3, 128, 128)).shape == (2, 3)
        assert encoder(torch.zeros(1, 3, 200, 300)).shape == (1, 3)


def test_that_pictures_in_a_batch_do_not_influence_one_another(encoder: Encoder) -> None:
    images = torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(encoder(images)[1], encoder(images[1:2])[0], atol=1e-4)


def test_that_features_are_five_maps_of_unit_size_with_gradients(encoder: Encoder) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    maps = encoder.features(images)
    assert [tuple(m.shape) for m in maps] == [(1, c, 32 >> i, 32 >> i) for i, c in enumerate(CHANNELS)]
    assert all(float(m.detach().square().mean()) == pytest.approx(1.0, abs=0.05) for m in maps)
    sum(m.square().sum() for m in encoder.features(images * 1.01)).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_that_codes_are_linear_in_the_factors(encoder: Encoder) -> None:
    codes = encoder.codes(torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    assert codes.shape == (2, 6, 16)
    assert torch.equal(codes[0, 3], encoder.w_avg)
    assert torch.allclose(codes[1, 0] - codes[0, 0], 2 * encoder.moves[1])


def test_that_a_guess_is_the_code_of_what_is_read(encoder: Encoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    pixels.flags.writeable = False
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        wanted = encoder.codes(encoder(images))[0].numpy()
    assert encoder.guess(pixels) == pytest.approx(wanted, abs=1e-5)
    assert encoder.guess(pixels).dtype == np.float32


def test_that_an_encoder_survives_its_file(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder.safetensors", {"licence": "CC0-1.0"})
    back = Encoder.load(tmp_path / "encoder.safetensors")
    assert back.names == NAMES
    assert back.num_ws == 6
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(back(images), encoder(images), atol=1e-2)
    assert (tmp_path / "encoder.safetensors").stat().st_size < 8e6


@pytest.mark.parametrize("content", [None, b"", b"\x10\0\0\0\0\0\0\0{}", b"x" * 1000])
def test_that_a_missing_or_damaged_file_is_told_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "encoder.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingPart, match="missing or damaged"):
        Encoder.load(path)


def test_that_a_file_of_another_kind_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "encoder.safetensors"
    save_file({"w_avg": torch.zeros(4)}, path, {"names": "[]", "num_ws": "3", "format": "other"})
    with pytest.raises(MissingPart, match="not a portrait encoder"):
        Encoder.load(path)
    encoder.save(path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingPart, match="missing or damaged"):
        Encoder.load(path)
