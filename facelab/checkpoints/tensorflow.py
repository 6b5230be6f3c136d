"""NVIDIA's TensorFlow-era pickles: StyleGAN 1 and 2 (also with adaptive augmentation), state versions 2 to 5.

A pickle is a tuple (G, D, Gs) or Gs alone; each network keeps its variables as arrays and its source text, which
is not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.checkpoints.assemble import W_AVG, assemble, is_number, taps, tidy
from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import NETWORK, Array, Stub, as_array, printable
from facelab.errors import CheckpointError
from facelab.nets import Network

name = "nvidia-tensorflow"

_VERSIONS = range(2, 6)
_MAX_VARIABLES = 10_000  # of one network; the largest have some 200
_MAX_NAME = 200  # characters of one
_OLD_PARTS = ("G_mapping/", "G_synthesis/")
_OLD_PARTS_PATTERN = re.compile(r"^G_(mapping|synthesis)/")


def detect(contents: Contents) -> bool:
    """Whether there is a TensorFlow network, alone or in a tuple."""
    return bool(_networks(contents.value))


def load(contents: Contents) -> Network:
    """The moving average of the generator (Gs), the last of the tuple."""
    networks = _networks(contents.value)
    found = next((one for one in reversed(networks) if _is_generator(one)), None)
    if found is None:
        shown = ", ".join(printable(one.state.get("name")) for one in networks)
        raise CheckpointError(f"the file holds {shown}, but no StyleGAN generator (with mapping and synthesis)")
    contents.ignored.extend(printable(one.state.get("name")) for one in networks if one is not found)
    contents.ignored.append("the source text inside the file")
    network = _open(found)
    if any("StyleMod" in key for key in network.arrays):
        return _load_stylegan1(contents, network)
    if any(key.endswith("mod_weight") for key in network.arrays):
        return _load_stylegan2(contents, network)
    raise CheckpointError("the file's generator has no styles; facelab reads StyleGAN 1 and 2")


@dataclass
class _Graph:
    """A generator's variables, under ``mapping/`` and ``synthesis/`` where they are its parts', and its options."""

    arrays: dict[str, Array]
    mapping: dict[str, Any]
    synthesis: dict[str, Any]

    def get(self, key: str, dimensions: int) -> Array:
        array = self.arrays.get(key)
        if array is None:
            raise CheckpointError(f"the file lacks the variable {key}; it may be cut off or of an unknown variant")
        if array.ndim != dimensions:
            raise CheckpointError(f"the variable {key} has the shape {list(array.shape)}, which was not expected")
        return array

    def dense(self, key: str) -> Array:
        return self.get(key, 2).T

    def conv(self, key: str, *, mirrored: bool = False) -> Array:
        kernel = self.get(key, 4).transpose(3, 2, 0, 1)  # [h, w, in, out] -> [out, in, h, w]
        return kernel[:, :, ::-1, ::-1] if mirrored else kernel

    def square(self, key: str) -> Array:
        """[1, 1, r, r] -> [r, r], or [1, c, 4, 4] -> [c, 4, 4]."""
        array: Array = self.get(key, 4)[0]
        if key.rpartition("/")[2].startswith("noise"):
            array = array[0]
        return array


def _networks(value: object) -> list[Stub]:
    items = list(value) if isinstance(value, tuple | list) and len(value) <= 16 else [value]
    if isinstance(value, dict) and len(value) <= 16:
        items = list(value.values())
    return [one for one in items if isinstance(one, Stub) and (one.name.module, one.name.name) == NETWORK]


def _is_generator(stub: Stub) -> bool:
    parts, variables = stub.state.get("components"), stub.state.get("variables")
    if isinstance(parts, dict) and {"mapping", "synthesis"} <= set(parts):
        return True
    # The oldest files keep the variables of the parts with those of the whole.
    items = variables if isinstance(variables, list) else []
    names = [item[0] for item in items if isinstance(item, tuple) and item and isinstance(item[0], str)]
    return all(any(one.startswith(part) for one in names) for part in _OLD_PARTS)


def _open(stub: Stub) -> _Graph:
    arrays: dict[str, Array] = {}
    options: dict[str, dict[str, Any]] = {"": {}, "mapping": {}, "synthesis": {}}
    inner = stub.state.get("components") or {}
    parts = {"": stub, **{key: inner[key] for key in ("mapping", "synthesis") if key in inner}}
    for key, part in parts.items():
        if not isinstance(part, Stub) or (part.name.module, part.name.name) != NETWORK:
            raise CheckpointError(f"the file's {key} is no network; the file is damaged")
        version = part.state.get("version")
        if version not in _VERSIONS:
            raise CheckpointError(f"the file has version {printable(version)} of the format, facelab reads 2 to 5")
        kwargs, variables = part.state.get("static_kwargs"), part.state.get("variables")
        if not isinstance(kwargs, dict) or not isinstance(variables, list):
            raise CheckpointError("the file's generator has no options or variables; the file is damaged")
        if len(variables) > _MAX_VARIABLES:
            raise CheckpointError(f"the file's generator has {len(variables):,} variables; no generator has that many")
        options[key] = {**options[""], **kwargs}
        for item in variables:
            array = as_array(item[1]) if isinstance(item, tuple | list) and len(item) == 2 else None
            if array is None or not isinstance(item[0], str) or len(item[0]) > _MAX_NAME:
                raise CheckpointError("a variable of the file's generator is no array; the file is damaged")
            variable = item[0] if inner else _OLD_PARTS_PATTERN.sub(r"\1/", item[0])
            arrays[f"{key}/{variable}" if key else variable] = array
    return _Graph(arrays, {**options[""], **options["mapping"]}, {**options[""], **options["synthesis"]})


def _number(options: dict[str, Any], key: str, default: float | None) -> float | None:
    value = options.get(key, default)
    if value is None:
        return None
    if not is_number(value):
        raise CheckpointError(f"the file's option {key} is no number; the file is damaged")
    return tidy(value)


def _word(options: dict[str, Any], key: str, default: str) -> str:
    value = options.get(key, default)
    if not isinstance(value, str):
        raise CheckpointError(f"the file's option {key} is no word; the file is damaged")
    return value


def _line(options: dict[str, Any], key: str, default: list[float]) -> list[float]:
    value = options.get(key, default)
    if value is None or value == []:
        return []
    array = as_array(value)
    found = array
    if isinstance(value, list | tuple) and all(is_number(one) for one in value):
        found = np.array(value, np.float64)
    if found is None or found.ndim != 1:
        raise CheckpointError(f"the file's option {key} is no list of numbers; the file is damaged")
    return taps(found)


def _sizes(network: _Graph) -> list[int]:
    found = {int(match[1]) for key in network.arrays if (match := re.match(r"synthesis/(\d{1,5})x\1/", key))}
    sizes = [2**k for k in range(2, max(found, default=0).bit_length())]
    if not sizes or set(sizes) != found:
        raise CheckpointError("the file's generator lacks blocks; it is damaged or of an unknown variant")
    return sizes


def _mapping(network: _Graph, arrays: dict[str, Array]) -> dict[str, Any]:
    """Options of the mapping network; its arrays go into ``arrays``."""
    depth = sum(1 for key in network.arrays if re.fullmatch(r"mapping/Dense\d+/weight", key))
    if not depth:
        raise CheckpointError("the file's mapping network has no layers; it is damaged or of an unknown variant")
    for index in range(depth):
        arrays[f"mapping.fc{index}.weight"] = network.dense(f"mapping/Dense{index}/weight")
        arrays[f"mapping.fc{index}.bias"] = network.get(f"mapping/Dense{index}/bias", 1)
    label: dict[str, Any] = {"c_dim": 0, "embed_features": 0}
    if "mapping/LabelConcat/weight" in network.arrays:
        table = arrays["mapping.embed_table"] = network.get("mapping/LabelConcat/weight", 2)
        label = {"c_dim": table.shape[0], "embed_features": table.shape[1], "label": "concat"}
    elif "mapping/LabelEmbed/weight" in network.arrays:
        table = arrays["mapping.embed.weight"] = network.dense("mapping/LabelEmbed/weight")
        arrays["mapping.embed.bias"] = network.get("mapping/LabelEmbed/bias", 1)
        label = {"c_dim": table.shape[1], "embed_features": table.shape[0], "label": "embed"}
    if "dlatent_avg" in network.arrays:
        arrays[W_AVG] = network.get("dlatent_avg", 1)
    features = [arrays[f"mapping.fc{index}.weight"].shape[0] for index in range(depth)]
    return {
        "z_dim": arrays["mapping.fc0.weight"].shape[1] - label["embed_features"],
        "w_dim": features[-1],
        **label,
        "mapping_features": features,
        "mapping_lr_multiplier": _number(network.mapping, "mapping_lrmul", 0.01),
        "mapping_activation": _word(network.mapping, "mapping_nonlinearity", "lrelu"),
        "normalize_z": bool(network.mapping.get("normalize_latents", True)),
    }


def _load_stylegan2(contents: Contents, network: _Graph) -> Network:
    arrays: dict[str, Array] = {}
    sizes = _sizes(network)
    mapping = _mapping(network, arrays)
    architecture = _word(network.synthesis, "architecture", "skip")
    grown = any("ToRGB_lod" in key for key in network.arrays)  # the grown synthesis of configurations b to d
    if grown:
        lod = _lod(network)
        if lod:
            raise CheckpointError(f"the file's StyleGAN2 is still growing (level of detail {lod:g}); train it on first")
        architecture = "orig"

    def styled(theirs: str, ours: str, *, mirrored: bool = False) -> None:
        arrays[f"{ours}.weight"] = network.conv(f"{theirs}/weight", mirrored=mirrored)
        arrays[f"{ours}.bias"] = network.get(f"{theirs}/bias", 1)
        arrays[f"{ours}.affine.weight"] = network.dense(f"{theirs}/mod_weight")
        # TensorFlow adds the one when it runs, in single precision; so does this.
        arrays[f"{ours}.affine.bias"] = network.get(f"{theirs}/mod_bias", 1).astype(np.float32) + np.float32(1)

    def noisy(theirs: str, ours: str, index: int) -> None:
        if f"{theirs}/noise_strength" in network.arrays:
            arrays[f"{ours}.noise_strength"] = network.get(f"{theirs}/noise_strength", 0)
            arrays[f"{ours}.noise_const"] = network.square(f"synthesis/noise{index}")

    for index, size in enumerate(sizes):
        theirs, ours = f"synthesis/{size}x{size}", f"synthesis.b{size}"
        if size == 4:
            arrays[f"{ours}.const"] = network.square(f"{theirs}/Const/const")
            styled(f"{theirs}/Conv", f"{ours}.conv1")
            noisy(f"{theirs}/Conv", f"{ours}.conv1", 0)
        else:
            styled(f"{theirs}/Conv0_up", f"{ours}.conv0", mirrored=True)
            noisy(f"{theirs}/Conv0_up", f"{ours}.conv0", 2 * index - 1)
            styled(f"{theirs}/Conv1", f"{ours}.conv1")
            noisy(f"{theirs}/Conv1", f"{ours}.conv1", 2 * index)
            if architecture == "resnet":
                arrays[f"{ours}.skip.weight"] = network.conv(f"{theirs}/Skip/weight", mirrored=True)
        if architecture == "skip" or size == sizes[-1]:
            styled("synthesis/ToRGB_lod0" if grown else f"{theirs}/ToRGB", f"{ours}.torgb")
    options = {
        "resolution": sizes[-1],
        "channels": [arrays[f"synthesis.b{size}.conv1.weight"].shape[0] for size in sizes],
        "img_channels": len(arrays[f"synthesis.b{sizes[-1]}.torgb.bias"]),
        **mapping,
        "architecture": architecture,
        "activation": _word(network.synthesis, "nonlinearity", "lrelu"),
        "conv_clamp": _number(network.synthesis, "conv_clamp", None),
        "use_noise": "synthesis.b4.conv1.noise_const" in arrays,
        "kernel_size": arrays["synthesis.b4.conv1.weight"].shape[2],
        "resample_filter": _line(network.synthesis, "resample_kernel", [1, 3, 3, 1]) or [1, 1],  # none is a box here
    }
    return assemble(contents, "stylegan2", options, arrays)


def _lod(network: _Graph) -> float:
    """The level of detail: the whole network hands its own to the synthesis when it runs."""
    found = [float(network.arrays[key].reshape(-1)[0]) for key in ("lod", "synthesis/lod") if key in network.arrays]
    return next((lod for lod in found if lod), 0.0)


def _load_stylegan1(contents: Contents, network: _Graph) -> Network:
    options = network.synthesis
    for key in ("use_styles", "const_input_layer"):
        if not options.get(key, True):
            raise CheckpointError(f"the file's StyleGAN was made with {key} off; facelab does not know such a variant")
    arrays: dict[str, Array] = {}
    sizes = _sizes(network)
    mapping = _mapping(network, arrays)
    pictures = [key for key in network.arrays if re.fullmatch(r"synthesis/ToRGB_lod\d+/bias", key)]
    # A synthesis of fixed structure has the last toRGB alone, whatever level its training had reached.
    lod = 0.0 if pictures == ["synthesis/ToRGB_lod0/bias"] else _lod(network)

    def layer(theirs: str, ours: str, index: int) -> None:
        arrays[f"{ours}.bias"] = network.get(f"{theirs}/bias", 1)
        arrays[f"{ours}.affine.weight"] = network.dense(f"{theirs}/StyleMod/weight")
        arrays[f"{ours}.affine.bias"] = network.get(f"{theirs}/StyleMod/bias", 1)
        if f"{theirs}/Noise/weight" in network.arrays:
            arrays[f"{ours}.noise_strength"] = network.get(f"{theirs}/Noise/weight", 1)
            arrays[f"{ours}.noise_const"] = network.square(f"synthesis/noise{index}")

    for index, size in enumerate(sizes):
        theirs, ours = f"synthesis/{size}x{size}", f"synthesis.b{size}"
        first, second = ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1")
        if size == 4:
            arrays[f"{ours}.conv0.const"] = network.square(f"{theirs}/Const/const")
        else:
            arrays[f"{ours}.conv0.weight"] = network.conv(f"{theirs}/Conv0_up/weight")
        arrays[f"{ours}.conv1.weight"] = network.conv(f"{theirs}/{second}/weight")
        layer(f"{theirs}/{first}", f"{ours}.conv0", 2 * index)
        layer(f"{theirs}/{second}", f"{ours}.conv1", 2 * index + 1)
        key = f"synthesis/ToRGB_lod{len(sizes) - 1 - index}"
        if f"{key}/weight" in network.arrays:
            arrays[f"{ours}.torgb.weight"] = network.conv(f"{key}/weight")
            arrays[f"{ours}.torgb.bias"] = network.get(f"{key}/bias", 1)
    if not pictures:
        raise CheckpointError("the file's generator has no layer that gives a picture")
    fused = options.get("fused_scale", "auto")
    architecture = {
        "resolution": sizes[-1],
        "channels": [arrays[f"synthesis.b{size}.conv1.weight"].shape[0] for size in sizes],
        "img_channels": len(network.arrays[pictures[0]]),
        **mapping,
        "activation": _word(options, "nonlinearity", "lrelu"),
        "use_noise": "synthesis.b4.conv0.noise_const" in arrays,
        "use_pixel_norm": bool(options.get("use_pixel_norm", False)),
        "use_instance_norm": bool(options.get("use_instance_norm", True)),
        "equalized": bool(options.get("use_wscale", True)),
        "blur_filter": _line(options, "blur_filter", [1, 2, 1]),
        "fused_from": 128 if fused == "auto" else 8 if fused else None,
        "kernel_size": arrays["synthesis.b4.conv1.weight"].shape[2],
        "lod": lod,
    }
    if lod:
        contents.notes.append(f"the network had not grown to the end (level of detail {lod:g}); pictures are coarser")
    return assemble(contents, "stylegan1", architecture, arrays)
