"""From an architecture and named arrays to a network, every shape checked before memory is taken.

Also what several formats need to tell an architecture from what a file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import torch

from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import Array, printable
from facelab.errors import CheckpointError, UnsafeFile
from facelab.nets import Network, build, estimate_w_avg

W_AVG = "mapping.w_avg"


def assemble(contents: Contents, family: str, architecture: Mapping[str, Any], arrays: Mapping[str, Array]) -> Network:
    """Build the network and give it its tensors; the one place where they are copied out of the file.

    Arrays that the network has no place for are listed in ``contents.ignored``. A missing ``mapping.w_avg`` is
    estimated and noted.

    Raises:
        CheckpointError: an array is missing, has another shape, is not numbers or not finite.
        UnsafeFile: one short piece of the file is declared to be many large arrays.
    """
    network = _build(family, architecture)
    wanted = {name: tuple(place.shape) for name, place in network.state_dict().items()}
    if W_AVG not in arrays:
        network.w_avg_estimated = True
        arrays = {**arrays, W_AVG: np.broadcast_to(np.float32(0), wanted[W_AVG])}  # takes no memory yet
    for name, shape in wanted.items():
        if name not in arrays:
            raise CheckpointError(f"the file lacks the tensor {name}; it may be cut off or of an unknown variant")
        array = arrays[name]
        if array.shape != shape:
            raise CheckpointError(
                f"the tensor {name} is {list(array.shape)}, {list(shape)} was expected; "
                "the file is damaged or of an unknown variant"
            )
        if array.dtype.kind != "f":
            raise CheckpointError(f"the tensor {name} holds {array.dtype}, not floating-point numbers")
    # Half precision doubles, and small tensors of a format may be made rather than read.
    if sum(4 * arrays[name].size for name in wanted) > 4 * contents.size + (16 << 20):
        raise UnsafeFile("the file unfolds into much more than it holds; no generator does")
    tensors = {name: _tensor(name, arrays[name]) for name in wanted}
    contents.ignored.extend(sorted(printable(name) for name in set(arrays) - set(wanted)))
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False).eval()
    if network.w_avg_estimated:
        network.w_avg.copy_(estimate_w_avg(network))
        contents.notes.append("the file has no w_avg; it was estimated from 10,000 samples")
    return network


def _build(family: str, architecture: Mapping[str, Any]) -> Network:
    try:
        return build(family, architecture, seed=None)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Whatever goes wrong here is the architecture's fault, and that came out of the file.
        raise CheckpointError(f"the file describes a network that cannot be: {printable(error, 160)}") from error


def _tensor(name: str, array: Array) -> torch.Tensor:
    with np.errstate(over="ignore"):
        copied = np.array(array, np.float32, order="C")
    if not np.isfinite(copied).all():
        raise CheckpointError(f"the tensor {name} has values that are not finite; the file is damaged")
    return torch.from_numpy(copied)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value out of a file is a number that an option can be: finite and of a size that can be meant."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def tidy(value: float) -> float:
    """A whole number as int, so that 256 and 256.0 give one architecture."""
    return int(value) if value == int(value) else value


def taps(array: Array) -> list[float]:
    """The one-dimensional factor of a resampling filter, [n] or [n, n], as whole numbers where it has such.

    Raises:
        CheckpointError: it has no such factor.
    """
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise CheckpointError("the file's resampling filter is no filter; the file is damaged")
    square = np.asarray(array, np.float64)
    line = square if square.ndim == 1 else square.sum(1)
    smallest = np.abs(line[line != 0]).min() if line.ndim == 1 and 1 <= line.size <= 64 and line.any() else 0.0
    if not smallest or not np.isfinite(line).all() or not line.sum():
        raise CheckpointError("the file's resampling filter is empty or damaged")
    line = line / smallest
    if np.allclose(line, line.round(), atol=1e-4):
        line = line.round()
    outer = np.outer(line, line)
    if square.ndim == 2 and not np.allclose(outer / outer.sum(), square / square.sum(), atol=1e-5):
        raise CheckpointError("the file's resampling filter is not separable; facelab does not know such a variant")
    return [tidy(float(one)) for one in line]
