"""rosinality's stylegan2-pytorch: converted checkpoints, training checkpoints, bare state dictionaries.

Its layers are StyleGAN2's under other names; weights need neither flip nor scale. Encoder files that hold such a
generator as ``decoder.*`` (pixel2style2pixel, e4e, ReStyle) are read too.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from facelab.checkpoints.assemble import W_AVG, assemble, taps
from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import Array, as_array, printable
from facelab.errors import CheckpointError, UnsafeFile
from facelab.nets import Network

name = "rosinality"

_MARK = "convs.0.conv.modulation.weight"
_PLACES = ("g_ema", "state_dict", "g", "generator")


def detect(contents: Contents) -> bool:
    """Whether there is a state dictionary with rosinality's names."""
    return _find(contents.value) is not None


def load(contents: Contents) -> Network:
    """The moving average of the generator (g_ema), or the generator where there is no other."""
    found = _find(contents.value)
    assert found is not None, "load is called where detect said yes"
    place, prefix, state = found
    if place == "g":
        contents.notes.append("the file has no moving average (g_ema); the generator of its last step (g) is shown")
    given: dict[str, Array] = {}
    for key, value in state.items():
        array = as_array(value)
        if isinstance(key, str) and key.startswith(prefix) and array is not None:
            given[key[len(prefix) :]] = array
    if place:
        contents.ignored.extend(printable(key) for key in contents.value if key not in (place, "latent_avg"))
    depth = _count(given, r"style\.(\d+)\.weight")
    doublings = _count(given, r"to_rgbs\.(\d+)\.bias")
    if not depth or not doublings:
        raise CheckpointError("the file's generator lacks its mapping or its pictures; it is damaged or cut off")
    sizes = [4 * 2**k for k in range(doublings + 1)]
    arrays: dict[str, Array] = {}

    def take(theirs: str, ours: str, dimensions: int) -> Array:
        if theirs not in given:
            raise CheckpointError(f"the file lacks the tensor {theirs}; it may be cut off or of an unknown variant")
        array = given.pop(theirs)
        while array.ndim > dimensions and array.shape[0] == 1:
            array = array[0]
        if array.ndim > dimensions:  # [3, 1, 1], once the leading 1 is gone
            array = array.reshape([n for n in array.shape if n != 1])
        if array.ndim != dimensions:
            raise CheckpointError(f"the tensor {theirs} has the shape {list(array.shape)}, which was not expected")
        arrays[ours] = array
        return array

    def layer(theirs: str, ours: str) -> Array:
        take(f"{theirs}.conv.modulation.weight", f"{ours}.affine.weight", 2)
        take(f"{theirs}.conv.modulation.bias", f"{ours}.affine.bias", 1)
        return take(f"{theirs}.conv.weight", f"{ours}.weight", 4)

    def styled(theirs: str, ours: str, index: int, size: int) -> Array:
        take(f"{theirs}.activate.bias", f"{ours}.bias", 1)
        take(f"{theirs}.noise.weight", f"{ours}.noise_strength", 0)
        if f"noises.noise_{index}" in given:
            take(f"noises.noise_{index}", f"{ours}.noise_const", 2)
        else:
            made.append(size)
            if 4 * sum(one**2 for one in made) > 4 * contents.size + (16 << 20):
                raise UnsafeFile("the file unfolds into much more than it holds; no generator does")
            random = np.random.RandomState([0, index])
            arrays[f"{ours}.noise_const"] = random.randn(size, size).astype(np.float32)
        return layer(theirs, ours)

    made: list[int] = []  # sizes of the noise maps that the file lacks
    features = []
    for index in range(depth):
        features.append(take(f"style.{index + 1}.weight", f"mapping.fc{index}.weight", 2).shape[0])
        take(f"style.{index + 1}.bias", f"mapping.fc{index}.bias", 1)
    take("input.input", "synthesis.b4.const", 3)
    channels = [styled("conv1", "synthesis.b4.conv1", 0, 4).shape[0]]
    for k, size in enumerate(sizes[1:]):
        styled(f"convs.{2 * k}", f"synthesis.b{size}.conv0", 2 * k + 1, size)
        channels.append(styled(f"convs.{2 * k + 1}", f"synthesis.b{size}.conv1", 2 * k + 2, size).shape[0])
    for k, size in enumerate(sizes):
        theirs = f"to_rgbs.{k - 1}" if k else "to_rgb1"
        layer(theirs, f"synthesis.b{size}.torgb")
        take(f"{theirs}.bias", f"synthesis.b{size}.torgb.bias", 1)
    if made:
        contents.notes.append(f"the file has no noise for {len(made)} of its layers; it was drawn from seed 0")
    kernel = given.get("convs.0.conv.blur.kernel", given.get("to_rgbs.0.upsample.kernel"))
    architecture: dict[str, Any] = {
        "resolution": sizes[-1],
        "channels": channels,
        "img_channels": len(arrays["synthesis.b4.torgb.bias"]),
        "z_dim": arrays["mapping.fc0.weight"].shape[1],
        "w_dim": features[-1],
        "mapping_features": features,
        "kernel_size": arrays["synthesis.b4.conv1.weight"].shape[2],
        **({} if kernel is None else {"resample_filter": taps(kernel)}),
    }
    w_avg = as_array(contents.value.get("latent_avg")) if place else None
    if w_avg is not None:
        arrays[W_AVG] = _mean(contents, w_avg)
    contents.ignored.extend(sorted(printable(key) for key in given if not key.endswith(".kernel")))
    return assemble(contents, "stylegan2", architecture, arrays)


def _find(value: object) -> tuple[str, str, dict[Any, Any]] | None:
    """(key of the outer dictionary, prefix of the names, state dictionary) of the best generator."""
    if not isinstance(value, dict):
        return None
    for place, state in (("", value), *((place, value.get(place)) for place in _PLACES)):
        if isinstance(state, dict):
            for prefix in ("", "module.", "decoder.", "generator."):
                if prefix + _MARK in state:
                    return place, prefix, state
    return None


def _count(names: dict[str, Array], pattern: str) -> int:
    """How many numbered names there are, at most as many as any generator has."""
    return min(sum(1 for one in names if re.fullmatch(pattern, one)), 64)


def _mean(contents: Contents, array: Array) -> Array:
    """w_avg [w_dim] from latent_avg, which encoders keep as one row per layer."""
    if array.ndim == 2 and array.shape[0] > 1:
        row: Array = array[0]
        if not (array == row).all():
            contents.notes.append("latent_avg differs from layer to layer; the mean of its rows is used as w_avg")
            row = array.astype(np.float64).mean(0).astype(np.float32)
        return row
    return array.reshape(-1) if array.ndim else array
