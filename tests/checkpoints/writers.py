"""Writes tiny generators in the formats that people have, with the picklers that made them: pickle and torch.save.

The classes that those files name are faked for the time of writing, so the files hold what the originals would
name, with another network's weights in them. Every writer takes one of our networks, so a file's reading can be
compared with it bit by bit.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facelab.nets import Network, build
from facelab.nets.stylegan1 import StyleGAN1
from facelab.nets.stylegan2 import StyleGAN2
from facelab.nets.stylegan3 import StyleGAN3


class Persistent:
    """What NVIDIA's persistence makes of a module: it reduces to a call with its class's name and its state."""

    def __init__(self, kind: str, state: dict[str, Any]) -> None:
        self.kind, self.state = kind, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": "# the source text would stand here",
            "class_name": self.kind,
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


class EasyDict(dict):  # type: ignore[type-arg]
    """Pickled under the name of NVIDIA's dictionary with attributes."""


class TFNetwork:
    """Pickled under the name of NVIDIA's TensorFlow network."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


@contextlib.contextmanager
def named_as_the_originals() -> Iterator[None]:
    """Let the fakes be found where the original classes are."""

    def _reconstruct_persistent_obj(meta: object) -> None:
        raise AssertionError("a reader must not call this")

    places: dict[str, dict[str, Any]] = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": TFNetwork},
    }
    before = [(thing, thing.__module__, thing.__qualname__) for thing in (EasyDict, TFNetwork)]
    for module_name, things in places.items():
        module = types.ModuleType(module_name)
        for name, thing in things.items():
            thing.__module__, thing.__qualname__ = module_name, name
            setattr(module, name, thing)
        sys.modules[module_name] = module
    try:
        yield
    finally:
        for module_name in places:
            del sys.modules[module_name]
        for thing, module_name, name in before:
            thing.__module__, thing.__qualname__ = module_name, name


# --- NVIDIA, PyTorch ---------------------------------------------------------------------------------------------


def _module(
    kind: str, tensors: dict[str, torch.Tensor], prefix: str, buffers: set[str], **attributes: Any
) -> Persistent:
    own = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    own = {key: value for key, value in own.items() if "." not in key}
    state: dict[str, Any] = {
        "training": False,
        "_parameters": collections.OrderedDict(
            (key, torch.nn.Parameter(value)) for key, value in own.items() if key not in buffers
        ),
        "_buffers": collections.OrderedDict((key, value) for key, value in own.items() if key in buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": collections.OrderedDict(),
        "_modules": collections.OrderedDict(),
        "_init_args": (),
        "_init_kwargs": EasyDict(attributes),
        **attributes,
    }
    return Persistent(kind, state)


def _dense(tensors: dict[str, torch.Tensor], prefix: str, lr: float, activation: str) -> Persistent:
    gain = np.float64(lr / np.sqrt(max(tensors[f"{prefix}weight"].shape[1], 1)))
    return _module("FullyConnectedLayer", tensors, prefix, set(), activation=activation, weight_gain=gain, bias_gain=lr)


def nvidia_module(network: Network) -> Persistent:
    """A generator as its persistent object."""
    a = network.architecture
    tensors = {key: value.detach() for key, value in network.state_dict().items()}
    mapping = _module("MappingNetwork", tensors, "mapping.", {"w_avg"}, num_layers=len(a["mapping_features"]))
    if network.c_dim:
        mapping.state["_modules"]["embed"] = _dense(tensors, "mapping.embed.", 1, "linear")
    for index in range(len(a["mapping_features"])):
        mapping.state["_modules"][f"fc{index}"] = _dense(
            tensors, f"mapping.fc{index}.", a["mapping_lr_multiplier"], a["mapping_activation"]
        )
    synthesis = _module("SynthesisNetwork", tensors, "synthesis.", set(), w_dim=network.w_dim)
    if isinstance(network, StyleGAN2):
        fir = network.get_buffer("fir")
        tensors |= {f"synthesis.b{size}.resample_filter": fir for size in network.block_resolutions}
        for size in network.block_resolutions:
            path = f"synthesis.b{size}."
            block = _module(
                "SynthesisBlock", tensors, path, {"resample_filter"}, architecture=a["architecture"], resolution=size
            )
            for name in ("conv0", "conv1", "torgb", "skip"):
                if f"{path}{name}.weight" not in tensors:
                    continue
                tensors[f"{path}{name}.resample_filter"] = fir
                kind = {"torgb": "ToRGBLayer", "skip": "Conv2dLayer"}.get(name, "SynthesisLayer")
                layer = _module(
                    kind,
                    tensors,
                    f"{path}{name}.",
                    {"resample_filter", "noise_const"},
                    conv_clamp=a["conv_clamp"],
                    activation=a["activation"],
                    use_noise=a["use_noise"],
                )
                if name != "skip":
                    layer.state["_modules"]["affine"] = _dense(tensors, f"{path}{name}.affine.", 1, "linear")
                block.state["_modules"][name] = layer
            synthesis.state["_modules"][f"b{size}"] = block
    else:
        assert isinstance(network, StyleGAN3)
        source = a["input"]
        synthesis.state |= {"layer_names": [table["name"] for table in a["layers"]], "output_scale": a["output_scale"]}
        layer = _module(
            "SynthesisInput",
            tensors,
            "synthesis.input.",
            {"freqs", "phases", "transform"},
            size=np.array(source["size"]),
            sampling_rate=source["sampling_rate"],
            bandwidth=source["bandwidth"],
            channels=source["channels"],
        )
        layer.state["_modules"]["affine"] = _dense(tensors, "synthesis.input.affine.", 1, "linear")
        synthesis.state["_modules"]["input"] = layer
        for table in a["layers"]:
            path = f"synthesis.{table['name']}."
            layer = _module(
                "SynthesisLayer",
                tensors,
                path,
                {"magnitude_ema", "up_filter", "down_filter"},
                is_torgb=table["torgb"],
                out_size=np.array([table["size"]] * 2),
                up_factor=table["up"],
                down_factor=table["down"],
                padding=table["padding"],
                conv_clamp=a["conv_clamp"],
            )
            for name in ("up_filter", "down_filter"):
                layer.state["_buffers"].setdefault(name, None)
            layer.state["_modules"]["affine"] = _dense(tensors, f"{path}affine.", 1, "linear")
            synthesis.state["_modules"][table["name"]] = layer
    return Persistent(
        "Generator",
        {
            "_parameters": collections.OrderedDict(),
            "_buffers": collections.OrderedDict(),
            "_modules": collections.OrderedDict(mapping=mapping, synthesis=synthesis),
            "z_dim": network.z_dim,
            "c_dim": network.c_dim,
            "w_dim": network.w_dim,
            "img_resolution": network.resolution,
            "img_channels": network.img_channels,
            "num_ws": network.num_ws,
        },
    )


def snapshot(network: Network) -> dict[str, Any]:
    """A training snapshot around a generator."""
    other = nvidia_module(build(network.family, network.architecture, seed=99))
    return {
        "G": other,
        "D": Persistent("Discriminator", {"_parameters": {}, "_buffers": {}, "_modules": {}}),
        "G_ema": nvidia_module(network),
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=7),
    }


def write_pickle(value: object, path: Path, protocol: int = 4) -> Path:
    """``pickle.dump`` under the original names."""
    with named_as_the_originals(), path.open("wb") as file:
        pickle.dump(value, file, protocol=protocol)
    return path


def write_torch(value: object, path: Path, *, legacy: bool = False) -> Path:
    """``torch.save`` under the original names."""
    with named_as_the_originals():
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


# --- rosinality --------------------------------------------------------------------------------------------------


def rosinality_state(network: StyleGAN2) -> dict[str, torch.Tensor]:
    """A skip StyleGAN2 under rosinality's names."""
    ours = {key: value.detach() for key, value in network.state_dict().items()}
    theirs: dict[str, torch.Tensor] = collections.OrderedDict()
    for index in range(len(network.architecture["mapping_features"])):
        for leaf in ("weight", "bias"):
            theirs[f"style.{index + 1}.{leaf}"] = ours[f"mapping.fc{index}.{leaf}"]
    theirs["input.input"] = ours["synthesis.b4.const"][None]
    names = [("conv1", "b4.conv1", 0)]
    rgbs = [("to_rgb1", "b4.torgb")]
    for k, size in enumerate(network.block_resolutions[1:]):
        names += [(f"convs.{2 * k}", f"b{size}.conv0", 2 * k + 1), (f"convs.{2 * k + 1}", f"b{size}.conv1", 2 * k + 2)]
        rgbs.append((f"to_rgbs.{k}", f"b{size}.torgb"))
        theirs[f"convs.{2 * k}.conv.blur.kernel"] = network.get_buffer("fir") * 4
        theirs[f"to_rgbs.{k}.upsample.kernel"] = network.get_buffer("fir") * 4
    for name, path, noise in names:
        path = f"synthesis.{path}"
        theirs[f"{name}.conv.weight"] = ours[f"{path}.weight"][None]
        theirs[f"{name}.conv.modulation.weight"] = ours[f"{path}.affine.weight"]
        theirs[f"{name}.conv.modulation.bias"] = ours[f"{path}.affine.bias"]
        theirs[f"{name}.noise.weight"] = ours[f"{path}.noise_strength"][None]
        theirs[f"{name}.activate.bias"] = ours[f"{path}.bias"]
        theirs[f"noises.noise_{noise}"] = ours[f"{path}.noise_const"][None, None]
    for name, path in rgbs:
        path = f"synthesis.{path}"
        theirs[f"{name}.bias"] = ours[f"{path}.bias"][None, :, None, None]
        theirs[f"{name}.conv.weight"] = ours[f"{path}.weight"][None]
        theirs[f"{name}.conv.modulation.weight"] = ours[f"{path}.affine.weight"]
        theirs[f"{name}.conv.modulation.bias"] = ours[f"{path}.affine.bias"]
    return theirs


def rosinality_training(network: StyleGAN2) -> dict[str, Any]:
    """What rosinality's train.py keeps: no latent_avg, the arguments as a namespace, optimisers."""
    return {
        "g": rosinality_state(build("stylegan2", network.architecture, seed=98)),  # type: ignore[arg-type]
        "d": {"final_linear.weight": torch.ones(2, 2)},
        "g_ema": rosinality_state(network),
        "g_optim": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.002}]},
        "args": argparse.Namespace(size=network.resolution, path="lmdb", latent=512),
        "ada_aug_p": 0.0,
    }


# --- NVIDIA, TensorFlow ------------------------------------------------------------------------------------------


def _tf_network(name: str, variables: dict[str, np.ndarray], version: int, **options: Any) -> TFNetwork:
    state: dict[str, Any] = {
        "version": version,
        "name": name,
        "static_kwargs": options,
        "components": {},
        "build_module_src": "# the source text would stand here",
        "build_func_name": name,
        # 0-dim variables come out of TensorFlow as scalars.
        "variables": [(key, value if value.ndim else value.dtype.type(value)) for key, value in variables.items()],
    }
    return TFNetwork(state)


def _tf_mapping(network: Network) -> dict[str, np.ndarray]:
    variables = {}
    for index in range(len(network.architecture["mapping_features"])):
        layer = getattr(network.mapping, f"fc{index}")
        variables[f"Dense{index}/weight"] = layer.weight.detach().numpy().T
        variables[f"Dense{index}/bias"] = layer.bias.detach().numpy()
    if network.c_dim and network.architecture["label"] == "concat":
        variables["LabelConcat/weight"] = network.mapping.embed_table.detach().numpy()
    elif network.c_dim:
        variables["LabelEmbed/weight"] = network.mapping.embed.weight.detach().numpy().T
        variables["LabelEmbed/bias"] = network.mapping.embed.bias.detach().numpy()
    return variables


def _tf_generator(network: Network, synthesis: dict[str, np.ndarray], version: int, **options: Any) -> TFNetwork:
    root = {"lod": np.float32(options.pop("lod", 0.0)), "dlatent_avg": network.w_avg.numpy()}
    generator = _tf_network("Gs", {key: np.asarray(value) for key, value in root.items()}, version, **options)
    generator.state["components"] = {
        "synthesis": _tf_network("G_synthesis", synthesis, version, **options),
        "mapping": _tf_network("G_mapping", _tf_mapping(network), version, **options),
    }
    return generator


def tf_stylegan2(network: StyleGAN2, version: int = 4, **options: Any) -> TFNetwork:
    """A StyleGAN2 as its TensorFlow network Gs."""
    ours = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    variables: dict[str, np.ndarray] = {}

    def styled(path: str, name: str, mirrored: bool = False) -> None:
        weight = ours[f"{path}.weight"]
        weight = weight[:, :, ::-1, ::-1] if mirrored else weight
        variables[f"{name}/weight"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
        variables[f"{name}/bias"] = ours[f"{path}.bias"]
        variables[f"{name}/mod_weight"] = ours[f"{path}.affine.weight"].T
        variables[f"{name}/mod_bias"] = ours[f"{path}.affine.bias"] - np.float32(1)
        if f"{path}.noise_strength" in ours:
            variables[f"{name}/noise_strength"] = ours[f"{path}.noise_strength"]

    noises = [key for key in ours if key.endswith("noise_const")]
    noises.sort(key=lambda key: (int(key.split(".")[1][1:]), key))
    for index, key in enumerate(noises):
        variables[f"noise{index}"] = ours[key][None, None]
    for size in network.block_resolutions:
        path, name = f"synthesis.b{size}", f"{size}x{size}"
        if size == 4:
            variables[f"{name}/Const/const"] = ours[f"{path}.const"][None]
            styled(f"{path}.conv1", f"{name}/Conv")
        else:
            styled(f"{path}.conv0", f"{name}/Conv0_up", mirrored=True)
            styled(f"{path}.conv1", f"{name}/Conv1")
        if f"{path}.torgb.weight" in ours:
            styled(f"{path}.torgb", f"{name}/ToRGB")
        if f"{path}.skip.weight" in ours:
            weight = ours[f"{path}.skip.weight"][:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
            variables[f"{name}/Skip/weight"] = np.ascontiguousarray(weight)
    a = network.architecture
    return _tf_generator(
        network, variables, version, architecture=a["architecture"], conv_clamp=a["conv_clamp"],
        resample_kernel=a["resample_filter"], nonlinearity=a["activation"],
        mapping_nonlinearity=a["mapping_activation"], mapping_lrmul=a["mapping_lr_multiplier"], **options
    )  # fmt: skip


def tf_stylegan1(network: StyleGAN1, version: int = 3) -> TFNetwork:
    """A StyleGAN1 as its TensorFlow network Gs."""
    ours = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    a = network.architecture
    variables: dict[str, np.ndarray] = {"lod": np.asarray(np.float32(a["lod"]))}
    for index, size in enumerate(network.block_resolutions):
        path, name = f"synthesis.b{size}", f"{size}x{size}"
        parts = ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1")
        for row, part in enumerate(parts):
            layer = f"{path}.conv{row}"
            if f"{layer}.weight" in ours:
                variables[f"{name}/{part}/weight"] = np.ascontiguousarray(ours[f"{layer}.weight"].transpose(2, 3, 1, 0))
            else:
                variables[f"{name}/{part}/const"] = ours[f"{layer}.const"][None]
            variables[f"{name}/{part}/bias"] = ours[f"{layer}.bias"]
            variables[f"{name}/{part}/StyleMod/weight"] = ours[f"{layer}.affine.weight"].T
            variables[f"{name}/{part}/StyleMod/bias"] = ours[f"{layer}.affine.bias"]
            if a["use_noise"]:
                variables[f"{name}/{part}/Noise/weight"] = ours[f"{layer}.noise_strength"]
                variables[f"noise{2 * index + row}"] = ours[f"{layer}.noise_const"][None, None]
        if f"{path}.torgb.weight" in ours:
            lod = len(network.block_resolutions) - 1 - index
            variables[f"ToRGB_lod{lod}/weight"] = ours[f"{path}.torgb.weight"].transpose(2, 3, 1, 0)
            variables[f"ToRGB_lod{lod}/bias"] = ours[f"{path}.torgb.bias"]
    fused = {128: "auto", 8: True, None: False}[a["fused_from"]]
    return _tf_generator(
        network, variables, version, lod=a["lod"], fused_scale=fused, blur_filter=a["blur_filter"],
        use_pixel_norm=a["use_pixel_norm"], use_instance_norm=a["use_instance_norm"], use_wscale=a["equalized"],
        nonlinearity=a["activation"], mapping_nonlinearity=a["mapping_activation"], normalize_latents=a["normalize_z"],
        mapping_lrmul=a["mapping_lr_multiplier"],
    )  # fmt: skip


def tf_tuple(network: TFNetwork) -> tuple[TFNetwork, ...]:
    """(G, D, Gs), as training keeps them."""
    discriminator = _tf_network("D", {"16x16/Conv/bias": np.zeros(3, np.float32)}, network.state["version"])
    return network, discriminator, network


def pickled(value: object, protocol: int = 4) -> bytes:
    """``pickle.dumps`` under the original names."""
    with named_as_the_originals():
        buffer = io.BytesIO()
        pickle.dump(value, buffer, protocol=protocol)
        return buffer.getvalue()
