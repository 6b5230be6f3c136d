"""From an architecture and named tensors to a network, every shape checked first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from facelab.checkpoints.contents import Contents
from facelab.errors import BadArgument, CheckpointError
from facelab.nets import Network, build, estimate_w_avg

W_AVG = "mapping.w_avg"


def assemble(
    contents: Contents, family: str, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Network:
    """Build the network and give it its tensors, without a second copy of them.

    Tensors that the network has no place for are listed in ``contents.ignored``. A missing ``mapping.w_avg`` is
    estimated and noted.

    Raises:
        CheckpointError: a tensor is missing, has another shape, is not numbers or not finite.
    """
    try:
        network = build(family, architecture, seed=None)
    except (BadArgument, ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"the file describes a network that cannot be: {error}") from None
    wanted = network.state_dict()
    given: dict[str, Tensor] = {}
    for name, place in wanted.items():
        if name not in tensors:
            if name == W_AVG:
                given[name] = torch.zeros(place.shape)
                network.w_avg_estimated = True
                continue
            raise CheckpointError(f"the file lacks the tensor {name}; it may be cut off or of an unknown variant")
        tensor = tensors[name]
        if tensor.shape != place.shape:
            raise CheckpointError(
                f"the tensor {name} is {list(tensor.shape)}, {list(place.shape)} was expected; "
                "the file is damaged or of an unknown variant"
            )
        if not tensor.is_floating_point():
            raise CheckpointError(f"the tensor {name} holds {tensor.dtype}, not floating-point numbers")
        tensor = tensor.detach().to(torch.float32).contiguous()
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"the tensor {name} has values that are not finite; the file is damaged")
        given[name] = tensor
    contents.ignored.extend(sorted(set(tensors) - set(wanted)))
    network.load_state_dict(given, assign=True)
    network.requires_grad_(False).eval()
    if network.w_avg_estimated:
        network.w_avg.copy_(estimate_w_avg(network))
        contents.notes.append("the file has no w_avg; it was estimated from 10,000 samples")
    return network
