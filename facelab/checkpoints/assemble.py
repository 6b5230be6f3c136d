"""From an architecture and named arrays to a network, every shape checked before memory is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import Array
from facelab.errors import BadArgument, CheckpointError, UnsafeFile
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
    try:
        network = build(family, architecture, seed=None)
    except (BadArgument, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"the file describes a network that cannot be: {error}") from None
    wanted = {name: tuple(place.shape) for name, place in network.state_dict().items()}
    if W_AVG not in arrays:
        network.w_avg_estimated = True
        arrays = {**arrays, W_AVG: np.zeros(wanted[W_AVG], np.float32)}
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
    contents.ignored.extend(sorted(set(arrays) - set(wanted)))
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False).eval()
    if network.w_avg_estimated:
        network.w_avg.copy_(estimate_w_avg(network))
        contents.notes.append("the file has no w_avg; it was estimated from 10,000 samples")
    return network


def _tensor(name: str, array: Array) -> torch.Tensor:
    with np.errstate(over="ignore"):
        copied = np.array(array, np.float32, order="C")
    if not np.isfinite(copied).all():
        raise CheckpointError(f"the tensor {name} has values that are not finite; the file is damaged")
    return torch.from_numpy(copied)
