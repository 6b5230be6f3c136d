"""Every format, written by the picklers that people's files came from, is read back bit by bit."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from facelab import checkpoints
from facelab.errors import CheckpointError, ExportError
from facelab.nets import Network, build
from tests.checkpoints import examples, writers

Write = Callable[[Network, Path], Path]


def _nvidia(protocol: int) -> Write:
    return lambda network, path: writers.write_pickle(writers.snapshot(network), path, protocol)


def _tf(network: Network, path: Path) -> Path:
    make = writers.tf_stylegan1 if network.family == "stylegan1" else writers.tf_stylegan2
    version = 3 if network.family == "stylegan1" else 4
    if network.c_dim and network.architecture["label"] == "embed":
        version = 5
    return writers.write_pickle(writers.tf_tuple(make(network, version)), path)


def _same(network: Network, found: Network, *, but: tuple[str, ...] = ()) -> None:
    """Bit-equal tensors, the same architecture, the same picture."""
    assert found.family == network.family
    assert found.architecture == network.architecture
    ours, theirs = network.state_dict(), found.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if name not in but:
            assert torch.equal(tensor, theirs[name]), name
    z = torch.from_numpy(np.random.RandomState(5).randn(2, network.z_dim)).float()
    c = torch.eye(network.c_dim)[:2] if network.c_dim else None
    ws = network.map(z, c)[:, None].repeat(1, network.num_ws, 1)
    assert torch.equal(network.synthesize(ws), found.synthesize(ws))


def _no_concat(options: dict[str, object]) -> list[str]:
    return [option for option in options if option != "labels beside z"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("make", [examples.stylegan2, examples.stylegan3])
def test_that_nvidia_snapshots_are_read_in_every_protocol(
    protocol: int, make: Callable[[], Network], tmp_path: Path
) -> None:
    network = make()
    checkpoint = checkpoints.load(_nvidia(protocol)(network, tmp_path / "a.pkl"))
    _same(network, checkpoint.network)
    assert checkpoint.format == "nvidia-pytorch"
    assert {"G", "D", "augment_pipe", "training_set_kwargs"} <= set(checkpoint.ignored)


@pytest.mark.parametrize("option", _no_concat(examples.SG2))
def test_that_nvidia_stylegan2_is_read_with_every_option(option: str, tmp_path: Path) -> None:
    network = examples.stylegan2(option)
    _same(network, checkpoints.load(_nvidia(4)(network, tmp_path / "a")).network)


@pytest.mark.parametrize("option", examples.SG3)
def test_that_nvidia_stylegan3_is_read_with_every_option(option: str, tmp_path: Path) -> None:
    network = examples.stylegan3(option)
    _same(network, checkpoints.load(_nvidia(4)(network, tmp_path / "a")).network)


@pytest.mark.slow
@pytest.mark.parametrize("design", examples.DESIGNS)
def test_that_nvidia_stylegan3_is_read_in_every_design(design: str, tmp_path: Path) -> None:
    network = examples.designed_stylegan3(design)
    found = checkpoints.load(_nvidia(3)(network, tmp_path / "a")).network
    _same(network, found)
    checkpoints.save(found, tmp_path / "b")
    _same(network, checkpoints.load(tmp_path / "b").network)


# The depth and z_dim of TensorFlow's files are read off the layers.
@pytest.mark.slow
@pytest.mark.parametrize("option", [option for option in examples.SG2 if option != "w is z"])
def test_that_tensorflow_stylegan2_is_read_with_every_option(option: str, tmp_path: Path) -> None:
    network = examples.stylegan2(option)
    biases = tuple(name for name in network.state_dict() if name.endswith("affine.bias"))
    found = checkpoints.load(_tf(network, tmp_path / "a")).network
    # One is taken from these and added again, in single precision.
    for name in biases:
        torch.testing.assert_close(found.state_dict()[name], network.state_dict()[name], atol=1e-6, rtol=0)
        network.state_dict()[name].copy_(found.state_dict()[name])
    _same(network, found)


@pytest.mark.parametrize("option", examples.SG1)
def test_that_tensorflow_stylegan1_is_read_with_every_option(option: str, tmp_path: Path) -> None:
    network = examples.stylegan1(option)
    _same(network, checkpoints.load(_tf(network, tmp_path / "a")).network)


def test_that_a_tensorflow_synthesis_of_fixed_structure_is_read_though_training_had_only_begun(tmp_path: Path) -> None:
    network = examples.stylegan1()
    whole = writers.tf_stylegan1(network)  # type: ignore[arg-type]
    for key in ("lod", "synthesis"):
        place = whole.state["components"].get(key, whole)
        place.state["variables"] = [
            (name, np.float32(2) if name == "lod" else one) for name, one in place.state["variables"]
        ]
    _same(network, checkpoints.load(writers.write_pickle(whole, tmp_path / "a")).network)


def test_that_tensorflow_without_a_resampling_kernel_doubles_by_a_box(tmp_path: Path) -> None:
    whole = writers.tf_stylegan2(examples.stylegan2())  # type: ignore[arg-type]
    for part in (whole, *whole.state["components"].values()):
        part.state["static_kwargs"]["resample_kernel"] = None
    found = checkpoints.load(writers.write_pickle(whole, tmp_path / "a")).network
    assert found.architecture["resample_filter"] == [1, 1]


def test_that_the_oldest_tensorflow_files_are_read(tmp_path: Path) -> None:
    network = examples.stylegan1()
    whole = writers.tf_stylegan1(network, 2)  # type: ignore[arg-type]
    for part in whole.state.pop("components").values():
        whole.state["variables"] += [(f"{part.state['name']}/{key}", value) for key, value in part.state["variables"]]
    _same(network, checkpoints.load(writers.write_pickle(writers.tf_tuple(whole), tmp_path / "a", 2)).network)


@pytest.mark.parametrize("legacy", [False, True])
def test_that_rosinality_files_are_read_converted_and_from_training(legacy: bool, tmp_path: Path) -> None:
    network = examples.stylegan2()
    state = writers.rosinality_state(network)
    converted = {"g_ema": state, "latent_avg": network.w_avg.clone()}
    network.architecture["mapping_lr_multiplier"] = 0.01
    checkpoint = checkpoints.load(writers.write_torch(converted, tmp_path / "a.pt", legacy=legacy))
    _same(network, checkpoint.network)
    assert checkpoint.notes == ()
    training = writers.rosinality_training(network)
    checkpoint = checkpoints.load(writers.write_torch(training, tmp_path / "b.pt", legacy=legacy))
    _same(network, checkpoint.network, but=("mapping.w_avg",))
    assert checkpoint.network.w_avg_estimated
    assert any("10,000" in note for note in checkpoint.notes)
    assert {"g", "d", "g_optim", "args"} <= set(checkpoint.ignored)


def test_that_an_estimated_mean_is_no_part_of_a_generators_identity(tmp_path: Path) -> None:
    network = examples.stylegan2()
    state = writers.rosinality_state(network)
    first = checkpoints.load(writers.write_torch({"g_ema": state}, tmp_path / "a.pt"))
    checkpoints.save(first.network, tmp_path / "b.safetensors")
    again = checkpoints.load(tmp_path / "b.safetensors")
    assert again.network.w_avg_estimated
    again.network.w_avg.add_(1)
    assert checkpoints.identity(again.network) == first.sha256
    exact = checkpoints.load(writers.write_torch({"g_ema": state, "latent_avg": network.w_avg}, tmp_path / "c.pt"))
    assert exact.sha256 != first.sha256


def test_that_encoders_with_a_rosinality_decoder_are_read(tmp_path: Path) -> None:
    network = examples.stylegan2()
    state = {f"decoder.{key}": value for key, value in writers.rosinality_state(network).items()}
    file = {"state_dict": state | {"encoder.x": torch.ones(2)}, "latent_avg": network.w_avg.repeat(6, 1), "opts": {}}
    _same(network, checkpoints.load(writers.write_torch(file, tmp_path / "a.pt")).network)


def test_that_a_generator_alone_is_read_in_every_wrapping(tmp_path: Path) -> None:
    network = examples.stylegan3()
    module = writers.nvidia_module(network)
    for index, path in enumerate(
        [
            writers.write_pickle(module, tmp_path / "bare"),
            writers.write_pickle({"G_ema": module}, tmp_path / "ema"),
            writers.write_pickle(writers.EasyDict(G_ema=module, G=None, D=None), tmp_path / "easy", 3),
            writers.write_torch(module, tmp_path / "zip"),
            writers.write_torch(module, tmp_path / "legacy", legacy=True),
        ]
    ):
        checkpoint = checkpoints.load(path)
        _same(network, checkpoint.network)
        assert checkpoint.notes == (), index
    checkpoint = checkpoints.load(writers.write_pickle({"G": module}, tmp_path / "g"))
    assert any("moving average" in note for note in checkpoint.notes)
    gs = writers.tf_stylegan2(examples.stylegan2())  # type: ignore[arg-type]
    assert checkpoints.load(writers.write_pickle(gs, tmp_path / "gs", 2)).format == "nvidia-tensorflow"


def test_that_tensors_laid_out_otherwise_are_read(tmp_path: Path) -> None:
    network = examples.stylegan2()
    state = writers.rosinality_state(network)  # type: ignore[arg-type]
    odd = {}
    for name, tensor in state.items():
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        elif tensor.ndim == 2:
            tensor = torch.cat([torch.zeros(3, len(tensor)), tensor.t()])[3:].t()  # transposed, behind other numbers
        odd[name] = tensor
    found = checkpoints.load(writers.write_torch({"g_ema": odd, "latent_avg": network.w_avg}, tmp_path / "a.pt"))
    _same(network, found.network)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_that_tensors_of_other_precisions_are_read(kind: torch.dtype, tmp_path: Path) -> None:
    network = examples.stylegan2()
    state = writers.rosinality_state(network)  # type: ignore[arg-type]
    rounded = {name: tensor.to(kind) for name, tensor in state.items()}
    path = writers.write_torch({"g_ema": rounded, "latent_avg": network.w_avg}, tmp_path / "a.pt")
    found = checkpoints.load(path).network.state_dict()
    name = "synthesis.b8.conv0.weight"
    assert torch.equal(found[name], network.state_dict()[name].to(kind).float())


ALL = (
    [(examples.stylegan1, option) for option in examples.SG1]
    + [(examples.stylegan2, option) for option in examples.SG2]
    + [(examples.stylegan3, option) for option in examples.SG3]
)


@pytest.mark.parametrize(("make", "option"), ALL)
def test_that_saving_and_loading_changes_nothing(make: Callable[[str], Network], option: str, tmp_path: Path) -> None:
    network = make(option)
    checkpoints.save(network, tmp_path / "a.safetensors", {"name": "tiny", "licence": "CC0-1.0"})
    checkpoint = checkpoints.load(tmp_path / "a.safetensors")
    _same(network, checkpoint.network)
    assert checkpoint.network.architecture == network.architecture
    assert checkpoint.sha256 == checkpoints.identity(network)
    assert checkpoint.metadata == {"name": "tiny", "licence": "CC0-1.0"}


def test_that_an_option_that_has_its_default_is_no_part_of_the_identity() -> None:
    network = examples.stylegan2("resnet, clamped")
    before = checkpoints.identity(network)
    del network.architecture["kernel_size"]  # as if this facelab did not have it yet
    network.architecture["resolution"] = 16.0
    assert checkpoints.identity(network) == before
    network.architecture["conv_clamp"] = 0.25
    assert checkpoints.identity(network) != before


def test_that_half_precision_halves_the_file_and_keeps_the_picture_near(tmp_path: Path) -> None:
    network = examples.stylegan2()
    checkpoints.save(network, tmp_path / "a", half=True)
    checkpoint = checkpoints.load(tmp_path / "a")
    with safe_open(tmp_path / "a", framework="numpy") as file:
        assert file.metadata()["sha256"] == checkpoint.sha256
    found = checkpoint.network
    ws = torch.randn(2, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(1))
    difference = (network.synthesize(ws) - found.synthesize(ws)).abs().max()
    assert 0 < float(difference.detach()) < 0.02
    assert torch.equal(network.w_avg, found.w_avg)


def test_that_a_conversion_is_the_same_generator(tmp_path: Path) -> None:
    first = checkpoints.load(_nvidia(4)(examples.stylegan3("r"), tmp_path / "a.pkl"))
    checkpoints.save(first.network, tmp_path / "b.safetensors")
    again = checkpoints.load(tmp_path / "b.safetensors")
    assert again.sha256 == first.sha256
    assert again.file_sha256 != first.file_sha256


def test_that_a_file_is_known_by_its_contents_whatever_its_name(tmp_path: Path) -> None:
    network = examples.stylegan2()
    path = _nvidia(4)(network, tmp_path / "holiday.safetensors")
    assert checkpoints.load(path).format == "nvidia-pytorch"
    checkpoints.save(network, tmp_path / "generator.pkl")
    assert checkpoints.load(tmp_path / "generator.pkl").format == "facelab"


def test_that_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"old")
    with pytest.raises(ExportError):
        checkpoints.save(examples.stylegan2(), tmp_path / "missing" / "a.safetensors")
    target.unlink()
    target.mkdir()
    with pytest.raises(ExportError):
        checkpoints.save(examples.stylegan2(), target)
    assert list(tmp_path.iterdir()) == [target]


def test_that_the_embedded_generator_opens_and_says_what_it_is() -> None:
    from facelab.assets import EMBEDDED_GENERATOR, resource

    checkpoint = checkpoints.load(resource(EMBEDDED_GENERATOR))
    assert checkpoint.network.family == "stylegan2"
    assert checkpoint.metadata["licence"] == "CC0-1.0"
    assert checkpoint.ignored == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g.state["_modules"].pop("mapping"), "no generator"),
        (lambda g: setattr(g.state["_modules"]["synthesis"], "kind", "Evil"), "'Evil'"),
        (lambda g: g.state["_modules"]["synthesis"].state["_modules"].pop("b8"), "'b8'"),
        (lambda g: g.state.update(img_resolution=17), "power of two"),
        (lambda g: g.state.update(img_resolution=float("nan")), "img_resolution"),
        (lambda g: g.state.update(z_dim=17), "mapping.fc0.weight"),
        (lambda g: g.state["_modules"]["mapping"].state["_parameters"], None),
    ],
)
def test_that_a_variant_that_is_not_known_is_named(
    change: Callable[[writers.Persistent], object], said: str | None, tmp_path: Path
) -> None:
    module = writers.nvidia_module(examples.stylegan2())
    change(module)
    path = writers.write_pickle({"G_ema": module}, tmp_path / "a")
    if said is None:
        checkpoints.load(path)
    else:
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path)


_LARGE = """
import resource, sys, time
from facelab import checkpoints
checkpoints.load(sys.argv[1])
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
checkpoints.load(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10, time.process_time() - started)
"""


@pytest.mark.slow
def test_that_a_large_snapshot_takes_about_its_size_and_seconds(tmp_path: Path) -> None:
    """Two networks of 100 MB lie in it; one is read, the other never touched."""
    options = {"resolution": 128, "channels": [512] * 6}
    large = _nvidia(4)(build("stylegan2", options), tmp_path / "large")
    small = _nvidia(4)(examples.stylegan2(), tmp_path / "small")
    command = [sys.executable, "-c", _LARGE, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    memory, seconds = (float(one) for one in done.stdout.split())
    assert large.stat().st_size > 180 << 20
    assert memory < 1.25 * large.stat().st_size
    assert seconds < 5


def test_that_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = examples.stylegan2()
    network.state_dict()["synthesis.b8.conv0.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv0\.weight.*not finite"):
        checkpoints.load(_nvidia(4)(network, tmp_path / "a"))


def test_that_a_tuple_without_a_generator_says_what_it_holds(tmp_path: Path) -> None:
    network = writers._tf_network("vgg16_zhang_perceptual", {"a": np.ones(3, np.float32)}, 3)
    with pytest.raises(CheckpointError, match="vgg16_zhang_perceptual"):
        checkpoints.load(writers.write_pickle(network, tmp_path / "a"))
    with pytest.raises(CheckpointError, match="version 9"):
        checkpoints.load(writers.write_pickle(writers.tf_stylegan2(examples.stylegan2(), 9), tmp_path / "a"))  # type: ignore[arg-type]


def test_that_the_writers_write_what_the_originals_wrote(tmp_path: Path) -> None:
    names = set()

    class Names(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            names.add(f"{module}.{name}")
            return super().find_class(module, name)

    path = writers.write_pickle(writers.snapshot(examples.stylegan3()), tmp_path / "a", 3)
    with path.open("rb") as file, writers.named_as_the_originals(), pytest.raises(AssertionError, match="must not"):
        Names(file).load()
    assert "torch_utils.persistence._reconstruct_persistent_obj" in names
    assert "torch.storage._load_from_bytes" in names
