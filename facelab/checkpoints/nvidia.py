"""NVIDIA's PyTorch pickles: StyleGAN2 (from both of their repositories) and StyleGAN3.

A snapshot is a dictionary of networks, or one network alone; each module is a persistent object that carries its
own source text, which is not run. All options are read from the modules' attributes, as the defaults of their
constructors differ between the repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from facelab.checkpoints.assemble import assemble, is_number, taps, tidy
from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import PERSISTENT, Array, Stub, as_array, printable
from facelab.errors import CheckpointError
from facelab.nets import Network

name = "nvidia-pytorch"

_KNOWN_CLASSES = frozenset(
    {
        "Conv2dLayer",
        "FullyConnectedLayer",
        "Generator",
        "MappingNetwork",
        "SynthesisBlock",
        "SynthesisInput",
        "SynthesisLayer",
        "SynthesisNetwork",
        "ToRGBLayer",
    }
)
_MAX_MODULES = 2000
_MAX_DEPTH = 10
_MAX_NAMES = 200  # of parts in one module; the largest have some 30
_MAX_NAME = 100  # characters of one


def detect(contents: Contents) -> bool:
    """Whether there is a persistent module, alone or under a key of a snapshot."""
    return bool(_candidates(contents.value))


def load(contents: Contents) -> Network:
    """The moving average of the generator (G_ema), or the generator where there is no other."""
    candidates = _candidates(contents.value)
    key = next((key for key in ("G_ema", "", "G") if key in candidates), None)
    if key is None:
        raise CheckpointError(f"the file holds {printable(', '.join(candidates))}, but no generator (G_ema)")
    if key == "G":
        contents.notes.append("the file has no moving average (G_ema); the generator of its last step (G) is shown")
    if isinstance(contents.value, dict):
        contents.ignored.extend(printable(other) for other in contents.value if other != key)
    contents.ignored.append("the source text inside the file")
    generator = Module(candidates[key], iter(range(_MAX_MODULES)))
    if generator.kind != "Generator" or not {"mapping", "synthesis"} <= set(generator.children):
        raise CheckpointError(f"the file's network, a {printable(generator.kind)}, is no generator that facelab knows")
    arrays: dict[str, Array] = {}
    for path, module in generator.walk():
        for leaf, array in module.arrays.items():
            arrays[f"{path}.{leaf}" if path else leaf] = array
    synthesis = generator.children["synthesis"]
    if "input" in synthesis.children:
        return _load_stylegan3(contents, generator, arrays)
    if "b4" in synthesis.children:
        return _load_stylegan2(contents, generator, arrays)
    raise CheckpointError("the file's generator is neither StyleGAN2 nor StyleGAN3; facelab does not know it")


class Module:
    """What a persistent object tells of itself, checked."""

    def __init__(self, stub: Stub, room: Iterator[int], depth: int = 0) -> None:
        meta = stub.args[0] if len(stub.args) == 1 else None
        if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
            raise CheckpointError("a network in the file has no state; the file is damaged")
        if depth > _MAX_DEPTH or next(room, None) is None:
            raise CheckpointError("the file nests more modules than any generator has")
        kind = meta.get("class_name")
        if not isinstance(kind, str) or kind not in _KNOWN_CLASSES:
            raise CheckpointError(f"the file has a network of the class {printable(kind)!r}, unknown to facelab")
        self.kind = kind
        self.state: dict[str, Any] = meta["state"]
        self.children: dict[str, Module] = {}
        self.arrays: dict[str, Array] = {}
        for key, value in self._table("_modules").items():
            if _is_persistent(value):
                self.children[key] = Module(value, room, depth + 1)
            elif value is not None:
                raise CheckpointError(f"the file's layer {printable(key)} is no module that facelab knows")
        for table in ("_parameters", "_buffers"):
            for leaf, value in self._table(table).items():
                array = as_array(value)
                if array is not None:
                    self.arrays[leaf] = array

    def _table(self, key: str) -> dict[str, Any]:
        table = self.state.get(key)
        if not isinstance(table, dict):
            raise CheckpointError(f"a network in the file has no {key}; the file is damaged")
        if len(table) > _MAX_NAMES or not all(isinstance(one, str) and len(one) <= _MAX_NAME for one in table):
            raise CheckpointError(f"a network in the file has {key} of a kind that no generator has")
        return table

    def walk(self, path: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their paths."""
        yield path, self
        for key, child in self.children.items():
            yield from child.walk(f"{path}.{key}" if path else key)

    def child(self, key: str) -> Module:
        """A submodule."""
        if key not in self.children:
            raise CheckpointError(f"the file's {printable(self.kind)} lacks its part {printable(key)!r}")
        return self.children[key]

    def number(self, key: str) -> int:
        """A whole attribute."""
        value = self.real(key)
        if value != int(value):
            raise CheckpointError(f"the file's {printable(self.kind)} has {key} = {value}, a whole number was expected")
        return int(value)

    def real(self, key: str) -> float:
        """A numeric attribute."""
        value = self.state.get(key)
        array = as_array(value)
        if array is not None and array.size == 1:
            value = array.reshape(-1)[0].item()
        if not is_number(value):
            raise CheckpointError(
                f"the file's {printable(self.kind)} has no number {key!r}; it is of an unknown variant"
            )
        return float(value)

    def vector(self, key: str, length: int) -> list[int]:
        """An attribute of whole numbers: a list, a tuple, an array, or one number for all."""
        value = self.state.get(key)
        array = as_array(value)
        found = array.reshape(-1).tolist() if array is not None else value
        if isinstance(found, list | tuple):
            if len(found) == 1:
                found = list(found) * length
            if len(found) == length and all(is_number(one) and one == int(one) for one in found):
                return [int(one) for one in found]
        raise CheckpointError(f"the file's {printable(self.kind)} has no {length} numbers {key!r}")

    def shape(self, leaf: str, dimensions: int) -> tuple[int, ...]:
        """The shape of one of its arrays."""
        array = self.arrays.get(leaf)
        if array is None or array.ndim != dimensions:
            raise CheckpointError(f"the file's {printable(self.kind)} lacks its {leaf}; it is damaged or cut off")
        return tuple(int(n) for n in array.shape)


def _is_persistent(value: object) -> TypeGuard[Stub]:
    return isinstance(value, Stub) and (value.name.module, value.name.name) == PERSISTENT


def _candidates(value: object) -> dict[str, Stub]:
    """Persistent modules by key of the snapshot; a bare one under the empty key."""
    if _is_persistent(value):
        return {"": value}
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items() if _is_persistent(item)}
    return {}


def _mapping(generator: Module) -> dict[str, Any]:
    mapping = generator.child("mapping")
    depth = sum(1 for key in mapping.children if re.fullmatch(r"fc\d+", key))
    layers = [mapping.child(f"fc{index}") for index in range(depth)]
    c_dim = generator.number("c_dim")
    # Without layers, w is the normalised z.
    options = {"mapping_lr_multiplier": "bias_gain", "mapping_activation": "activation"} if layers else {}
    return {
        "z_dim": generator.number("z_dim"),
        "w_dim": generator.number("w_dim"),
        "c_dim": c_dim,
        "mapping_features": [layer.shape("weight", 2)[0] for layer in layers],
        **{option: _same(layers, key) for option, key in options.items()},
        "embed_features": mapping.child("embed").shape("weight", 2)[0] if c_dim else 0,
    }


def _same(modules: list[Module], key: str) -> Any:
    """An attribute that all these modules share."""
    values = [module.state.get(key) for module in modules]
    known = isinstance(values[0], str | bool | None) or is_number(values[0])
    if not known or any(value != values[0] for value in values):
        raise CheckpointError(f"the file's layers differ in {key}; facelab does not know such a variant")
    return tidy(values[0]) if isinstance(values[0], float) else values[0]


def _load_stylegan2(contents: Contents, generator: Module, arrays: dict[str, Array]) -> Network:
    synthesis = generator.child("synthesis")
    resolution = generator.number("img_resolution")
    if not 4 <= resolution <= 8192 or resolution & (resolution - 1):
        raise CheckpointError(f"the file's resolution is {resolution}; a power of two of at least 4 was expected")
    sizes = [2**k for k in range(2, resolution.bit_length())]
    blocks = [synthesis.child(f"b{size}") for size in sizes]
    convs = [child for block in blocks for key, child in block.children.items() if key in ("conv0", "conv1")]
    rgbs = [block.child("torgb") for block in blocks if "torgb" in block.children]
    if not rgbs:
        raise CheckpointError("the file's generator has no layer that gives a picture")
    use_noise = {bool(conv.state.get("use_noise")) for conv in convs}
    if len(use_noise) != 1:
        raise CheckpointError("the file's layers differ in their noise; facelab does not know such a variant")
    filters = [block.arrays["resample_filter"] for block in blocks if "resample_filter" in block.arrays]
    if not filters:
        raise CheckpointError("the file's generator has no resampling filter; it is damaged or of an unknown variant")
    architecture = {
        "resolution": resolution,
        "img_channels": generator.number("img_channels"),
        "channels": [block.child("conv1").shape("weight", 4)[0] for block in blocks],
        **_mapping(generator),
        "architecture": _same(blocks, "architecture"),
        "activation": _same(convs, "activation"),
        "conv_clamp": _same([*convs, *rgbs], "conv_clamp"),
        "use_noise": use_noise.pop(),
        "kernel_size": blocks[0].child("conv1").shape("weight", 4)[2],
        "resample_filter": taps(filters[0]),
    }
    arrays = {key: array for key, array in arrays.items() if not key.endswith("resample_filter")}
    return assemble(contents, "stylegan2", architecture, arrays)


def _load_stylegan3(contents: Contents, generator: Module, arrays: dict[str, Array]) -> Network:
    synthesis = generator.child("synthesis")
    source = synthesis.child("input")
    names = synthesis.state.get("layer_names")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names) or not 1 <= len(names) <= 64:
        raise CheckpointError("the file's generator does not name its layers; it is damaged or of an unknown variant")
    layers = [synthesis.child(one) for one in names]
    tables = []
    for one, layer in zip(names, layers, strict=True):
        weight = layer.shape("weight", 4)
        tables.append(
            {
                "name": one,
                "size": max(layer.vector("out_size", 2)),
                "in_channels": weight[1],
                "out_channels": weight[0],
                "kernel": weight[2],
                "torgb": bool(layer.state.get("is_torgb")),
                "up": layer.number("up_factor"),
                "down": layer.number("down_factor"),
                "padding": layer.vector("padding", 4),
                "up_filter": _filter_shape(layer, "up_filter"),
                "down_filter": _filter_shape(layer, "down_filter"),
            }
        )
    architecture = {
        "resolution": generator.number("img_resolution"),
        "img_channels": generator.number("img_channels"),
        **_mapping(generator),
        "input": {
            "channels": source.shape("weight", 2)[0],
            "size": source.vector("size", 2),
            "sampling_rate": tidy(source.real("sampling_rate")),
            "bandwidth": tidy(source.real("bandwidth")),
        },
        "layers": tables,
        "conv_clamp": _same(layers, "conv_clamp"),
        "output_scale": tidy(synthesis.real("output_scale")),
    }
    radial = any(len(table["down_filter"]) == 2 for table in tables)
    pointwise = all(table["kernel"] == 1 for table in tables)
    return assemble(contents, "stylegan3-r" if radial or pointwise else "stylegan3-t", architecture, arrays)


def _filter_shape(layer: Module, leaf: str) -> list[int]:
    return list(layer.arrays[leaf].shape) if leaf in layer.arrays else []
