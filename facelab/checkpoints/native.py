"""facelab's own format: one .safetensors with canonical tensor names and the architecture in its metadata.

Specified in docs/formats.md, "Generators".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from facelab.checkpoints.assemble import W_AVG, assemble
from facelab.checkpoints.contents import Contents
from facelab.errors import CheckpointError
from facelab.nets import FAMILIES, Network

FORMAT = "facelab.generator"
VERSION = "1"
name = "facelab"

_RESERVED = ("format", "version", "family", "architecture", "sha256", "w_avg")


def detect(contents: Contents) -> bool:
    """Whether the metadata bear facelab's mark."""
    return contents.container == "safetensors" and contents.metadata.get("format") == FORMAT


def load(contents: Contents) -> Network:
    """The network of one of facelab's own files."""
    fields = contents.metadata
    if fields.get("version") != VERSION:
        raise CheckpointError(
            f"the file has version {fields.get('version', 'none')!s:.20} of facelab's format, this facelab reads "
            f"{VERSION}; update facelab"
        )
    family = fields.get("family", "")
    if family not in FAMILIES:
        raise CheckpointError(f"the file names a generator family, {family!r:.40}, that this facelab does not have")
    try:
        architecture = json.loads(fields.get("architecture", ""))
    except (ValueError, RecursionError):
        raise CheckpointError("the architecture in the file's metadata is not readable; the file is damaged") from None
    if not isinstance(architecture, dict):
        raise CheckpointError("the architecture in the file's metadata is not a table; the file is damaged")
    network = assemble(contents, family, architecture, contents.value)
    if fields.get("w_avg") == "estimated":
        network.w_avg_estimated = True
        contents.notes.append("w_avg was estimated when the file was converted")
    return network


def extra_metadata(contents: Contents) -> dict[str, str]:
    """The fields that the writer added: name, licence, origin."""
    return {key: value for key, value in contents.metadata.items() if key not in _RESERVED}


def write(network: Network, path: Path, metadata: Mapping[str, str], *, half: bool) -> None:
    """Write to ``path``, which should be a temporary name; see ``facelab.checkpoints.save``."""
    tensors = _canonical(network)
    if half:
        for key, value in tensors.items():
            if key.startswith("synthesis.") and value.ndim >= 2:
                tensors[key] = value.to(torch.float16)
    fields = {
        **metadata,
        "format": FORMAT,
        "version": VERSION,
        "family": network.family,
        "architecture": json.dumps(network.architecture, sort_keys=True),
        "sha256": _identity(network, tensors),
        "w_avg": "estimated" if network.w_avg_estimated else "exact",
    }
    mode = path.stat().st_mode
    save_file(tensors, path, fields)
    path.chmod(mode)  # the library makes its files readable by their owner alone


def identity(network: Network) -> str:
    """SHA-256 over family, architecture and canonical float32 tensors in the order of their names.

    Left out are options that have their default, so that one which comes with a later facelab changes no identity,
    and a w_avg that was only estimated, so that a file and its conversion are one model.
    """
    return _identity(network, _canonical(network))


def _canonical(network: Network) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().to("cpu", torch.float32).contiguous() for key, tensor in network.state_dict().items()}


def _identity(network: Network, tensors: Mapping[str, torch.Tensor]) -> str:
    options = {key: one for key, one in network.architecture.items() if one != network.defaults[key]}
    digest = hashlib.sha256()
    digest.update(json.dumps([network.family, _plain(options)], sort_keys=True).encode())
    for key, tensor in sorted(tensors.items()):
        if key == W_AVG and network.w_avg_estimated:
            continue
        digest.update(f"\n{key} {list(tensor.shape)}\n".encode())
        digest.update(tensor.to(torch.float32).numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """JSON in one form: whole numbers as such, so that 256 and 256.0 are one architecture."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
