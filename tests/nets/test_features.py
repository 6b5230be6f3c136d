"""VGG16's features, and the files that they are read from."""

from __future__ import annotations

import importlib.util
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facelab.errors import MissingPart
from facelab.nets import features
from facelab.nets.features import Features

CHANNELS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
TAPS = (3, 8, 15, 22, 29)  # where each stage ends, in torchvision's numbering


def torchvision_vgg() -> nn.Sequential:
    """The convolutional part of VGG16 as torchvision lays it out, with seeded weights."""
    layers: list[nn.Module] = []
    inputs = 3
    for channels in CHANNELS:
        if isinstance(channels, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
    network = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if parameter.ndim == 1:
                parameter.mul_(0.1)
    return network


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    return torchvision_vgg()


@pytest.fixture(scope="module")
def state(vgg: nn.Sequential) -> OrderedDict[str, Tensor]:
    return OrderedDict((f"features.{name}", tensor.detach()) for name, tensor in vgg.named_parameters())


@pytest.fixture(scope="module")
def file(state: OrderedDict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def save_program(network: nn.Module, path: Path) -> None:
    """Write a TorchScript archive, as NVIDIA's VGG16 is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no longer the way to write one; files of it stay about
        torch.jit.save(torch.jit.script(network), path)


def pictures(seed: int = 0, count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_that_the_maps_are_torchvisions_taps_of_normalised_colours(vgg: nn.Sequential, file: Path) -> None:
    images = pictures()
    x = ((images + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    wanted = []
    with torch.no_grad():
        for index, layer in enumerate(vgg):
            x = layer(x)
            if index in TAPS:
                wanted.append(x / x.norm(dim=1, keepdim=True) / 5**0.5)
        found = features.load(file)(images)
    assert [f.shape for f in found] == [w.shape for w in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_that_heads_weigh_the_squared_differences_as_lpips_does(
    state: OrderedDict[str, Tensor], tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(2)
    heads = [torch.rand(1, n, 1, 1, generator=generator) for n in (64, 128, 256, 512, 512)]
    torch.save({**state, **{f"lin{i}.model.1.weight": h for i, h in enumerate(heads)}}, tmp_path / "lpips.pth")
    torch.save(state, tmp_path / "plain.pth")
    a, b = pictures(3, 2).split(1)
    weighted, plain = features.load(tmp_path / "lpips.pth"), features.load(tmp_path / "plain.pth")
    found = sum((x - y).square().sum(1).mean() for x, y in zip(weighted(a), weighted(b), strict=True))
    wanted = sum(
        ((x - y).square() * 5 * head).sum(1).mean() for x, y, head in zip(plain(a), plain(b), heads, strict=True)
    )
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_that_gradients_reach_the_picture_and_stay_finite_even_where_it_is_flat(file: Path) -> None:
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network = features.load(file)
    distance = sum((m - t).square().sum() for m, t in zip(network(image), network(pictures(4, 1)), strict=True))
    (gradient,) = torch.autograd.grad(distance, [image])
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("wrap", ["state_dict", "safetensors", "classifier"])
def test_that_the_forms_people_have_are_read(
    wrap: str, state: OrderedDict[str, Tensor], file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.bin"
    if wrap == "state_dict":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif wrap == "safetensors":  # sorted by name: features.10 comes before features.2 there
        save_file(dict(state), path)
    else:
        torch.save({**state, "classifier.0.weight": torch.zeros(4, 8), "classifier.0.bias": torch.zeros(4)}, path)
    image = pictures(5, 1)
    for one, other in zip(features.load(path)(image), features.load(file)(image), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_that_the_tensors_of_a_torchscript_archive_are_read_and_its_program_is_not_run(
    vgg: nn.Sequential, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vgg16.pt"
    save_program(vgg, path)
    monkeypatch.setattr(torch.jit, "load", None)
    image = pictures(5, 1)
    for one, other in zip(features.load(path)(image), features.load(file)(image), strict=True):
        assert torch.equal(one, other)


def test_that_blur_filters_in_the_file_make_the_poolings_anti_aliased(
    state: OrderedDict[str, Tensor], tmp_path: Path
) -> None:
    torch.save({**state, "slice2.5.filt": torch.ones(64, 1, 3, 3) / 9}, tmp_path / "blur.pth")
    network = features.load(tmp_path / "blur.pth")
    assert network.blur
    assert [tuple(m.shape[2:]) for m in network(pictures(6, 1))] == [(32, 32), (17, 17), (9, 9), (5, 5), (3, 3)]


@pytest.mark.slow
def test_that_the_published_shift_tolerant_network_tells_near_from_far() -> None:
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("stlpips-pytorch is not installed (pip install --no-deps stlpips-pytorch)")
    network = features.load(Path(spec.submodule_search_locations[0], "weights/vST0.0/vgg_shift_tolerant.pth"))
    a, b = pictures(0, 2, 64).split(1)
    near = a + (b - a) * 0.05

    def distance(x: Tensor, y: Tensor) -> float:
        return float(sum((m - n).square().sum(1).mean() for m, n in zip(network(x), network(y), strict=True)))

    # 0.0666: by the published code, for these two pictures with these weights.
    assert distance(a, b) == pytest.approx(0.0666, abs=5e-5)
    assert distance(a, near) < distance(a, b) / 3
    assert distance(a, a) == 0


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch facelab_pwned",)


def _hostile(path: Path) -> None:
    torch.save({"features.0.weight": _Payload()}, path)


def _hostile_program(path: Path) -> None:
    """A TorchScript archive whose tree asks for a call."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vgg16/data.pkl", pickle.dumps(_Payload()))
        archive.writestr("vgg16/constants.pkl", b"\x80\x02).")


def _short_program(path: Path) -> None:
    """A TorchScript archive that declares more numbers than it holds."""
    save_program(torchvision_vgg(), path.with_suffix(".whole"))
    with zipfile.ZipFile(path.with_suffix(".whole")) as whole, zipfile.ZipFile(path, "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[: 64 if "/data/" in name else None])


def _not_finite(path: Path) -> None:
    wrong = torchvision_vgg()
    wrong[0].weight.data[0, 0, 0, 0] = float("nan")
    torch.save(wrong.state_dict(), path)


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not weights"),
    "code": _hostile,
    "hostile program": _hostile_program,
    "short program": _short_program,
    "other": lambda path: torch.save({"a": torch.zeros(3)}, path),
    "list": lambda path: torch.save([torch.zeros(3)], path),
    "shape": lambda path: torch.save({"0.weight": torch.zeros(64, 3, 3, 3), "0.bias": torch.zeros(3)}, path),
    "not finite": _not_finite,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
def test_that_a_file_that_is_not_vgg16_gives_one_sentence_and_runs_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    BROKEN[kind](path)
    with pytest.raises(MissingPart, match=r"weights\.pth") as caught:
        features.load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "facelab_pwned").exists()


def test_that_a_truncated_or_missing_file_gives_one_sentence(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(file.read_bytes()[:100_000])
    for path in (cut, tmp_path / "absent.pth"):
        with pytest.raises(MissingPart, match=path.name):
            features.load(path)


def test_that_features_need_no_gradient_of_their_own(file: Path) -> None:
    network = features.load(file)
    assert isinstance(network, Features)
    assert not list(network.parameters())
    assert not any(buffer.requires_grad for buffer in network.buffers())
