"""VGG16 as a ruler: the features in which pictures are compared.

facelab ships no weights for it. A person gives a file that holds VGG16's thirteen convolutions in order, under
whatever names: torchvision's ``vgg16-397923af.pth``, LPIPS's network, NVIDIA's ``vgg16.pt``. Files are read as tensors
only: of a TorchScript archive, which is a program, the tensors beside the program.

Sources: Simonyan and Zisserman 2015 (arXiv:1409.1556) for the network; Zhang et al. 2018 (arXiv:1801.03924) for the
normalised features and their weights (LPIPS); Zhang 2019 (arXiv:1904.11486) and Ghildyal and Liu 2022
(arXiv:2207.13686) for the anti-aliased variant, which is recognised by the blur filters in its file.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import MissingPart

# Outputs of the convolutions, stage by stage; a pooling stands between two stages, and each stage's end is a tap.
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
TAPS = len(_STAGES)
_LARGEST_FILE = 2 << 30  # torchvision's, with its dense layers, has 0.53 GB
# Mean and deviation of ImageNet's colours, for pictures in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def rgb(images: Tensor) -> Tensor:
    """Pictures [N, 1 or 3 or 4, H, W] as RGB [N, 3, H, W]: grey is repeated, transparency left away."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


class Features(nn.Module):
    """Five maps of a picture, scaled so that sums of squared differences over channels are LPIPS's.

    Args:
        convolutions: weight [O, I, 3, 3] and bias [O] of the thirteen, in order.
        heads: LPIPS's weight of each channel [C] at each of the five taps; None weighs all alike.
        blur: whether poolings are anti-aliased (a maximum at every pixel, then a blur, then every second pixel).
    """

    def __init__(
        self, convolutions: list[tuple[Tensor, Tensor]], heads: list[Tensor] | None = None, blur: bool = False
    ) -> None:
        super().__init__()
        self.blur = blur
        for index, (weight, bias) in enumerate(convolutions):
            self.register_buffer(f"weight{index}", weight.float().contiguous(memory_format=torch.channels_last))
            self.register_buffer(f"bias{index}", bias.float().clone())
        for index, stage in enumerate(_STAGES):
            # Unweighted distances lie near 1 at every tap; a fifth of each brings the sum to the size of LPIPS's.
            head = (
                torch.full((stage[-1],), 1 / TAPS) if heads is None else heads[index].float().reshape(-1).clamp(min=0)
            )
            self.register_buffer(f"head{index}", head.sqrt()[:, None, None])
        # The pictures come in [-1, 1].
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None] * 2 - 1)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None] * 2)
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filter", taps[:, None] * taps[None, :])
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures [N, 3, H, W] in [-1, 1], at least 16 px -> five maps [N, C, h, w], C of 64, 128, 256, 512, 512.

        The distance of two pictures is the sum over maps of the mean over space of the sum over channels of the
        squared difference.
        """
        x = ((images - self.get_buffer("mean")) / self.get_buffer("deviation")).contiguous(
            memory_format=torch.channels_last
        )
        maps, index = [], 0
        for number, stage in enumerate(_STAGES):
            if number:
                x = self._pool(x)
            for _ in stage:
                weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
                x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
                index += 1
            # eps inside the root: the length's gradient at 0 is not finite otherwise.
            length = (x.square().sum(1, keepdim=True) + 1e-10).sqrt()
            maps.append(x / length * self.get_buffer(f"head{number}"))
        return maps

    def _pool(self, x: Tensor) -> Tensor:
        if not self.blur:
            return functional.max_pool2d(x, 2)
        x = functional.max_pool2d(x, 2, stride=1)
        x = functional.pad(x, (2, 2, 2, 2), mode="reflect")
        kernel = self.get_buffer("filter").expand(x.shape[1], 1, -1, -1)
        return functional.conv2d(x, kernel, stride=2, groups=x.shape[1])


def load(path: str | Path) -> Features:
    """Read VGG16's weights from a file of tensors.

    Args:
        path: a state dict written by ``torch.save``, or a .safetensors file.

    Raises:
        MissingPart: there is no such file, or it is not a VGG16.
    """
    path = Path(path)
    named = {str(name): value for name, value in _read(path).items() if isinstance(value, Tensor)}
    # In a .safetensors file features.10 comes before features.2, so the order is that of the numbers in the names.
    names = sorted(named, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
    tensors = [named[name] for name in names]
    # Every 3x3 kernel over more than one channel is a convolution; those over one are blur filters.
    kernels = [n for n in names if named[n].ndim == 4 and named[n].shape[2:] == (3, 3) and named[n].shape[1] > 1]
    convolutions = [(named[n], named.get(n.removesuffix("weight") + "bias", torch.empty(0))) for n in kernels]
    outputs = [out for stage in _STAGES for out in stage]
    shapes = [((o, i, 3, 3), (o,)) for o, i in zip(outputs, [3, *outputs[:-1]], strict=True)]
    if [(tuple(weight.shape), tuple(bias.shape)) for weight, bias in convolutions] != shapes:
        raise _not_vgg(path)
    ends = [stage[-1] for stage in _STAGES]
    heads = [t for t in tensors if t.ndim == 4 and t.shape[0] == 1 and t.shape[2:] == (1, 1) and t.shape[1] > 3]
    if [t.shape[1] for t in heads] != ends:
        heads = []
    blur = any(t.ndim == 4 and t.shape[1:] == (1, 3, 3) for t in tensors)
    used = [*heads, *(tensor for pair in convolutions for tensor in pair)]
    if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in used):
        raise MissingPart(f"{path.name} holds numbers that are not finite; fetch the VGG16 weights again")
    return Features(convolutions, heads or None, blur)


def _not_vgg(path: Path) -> MissingPart:
    return MissingPart(f"{path.name} is not VGG16's weights (a state dict with its thirteen convolutions in order)")


def _read(path: Path) -> Mapping[str, Any]:
    """The file's dictionary; nothing in it is run."""
    found: Any
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise MissingPart(f"{path.name} is too large for VGG16's weights ({size >> 20} MB)")
        with path.open("rb") as file:
            start = file.read(2)
        if start == b"PK" and _is_torchscript(path):
            found = _torchscript_tensors(path)
        elif start == b"PK" or start[:1] == b"\x80":
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = load_file(path)
    except OSError as error:
        raise MissingPart(f"cannot read the VGG16 weights {path.name}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, KeyError, EOFError, TypeError,
            AttributeError, IndexError, zipfile.BadZipFile, MemoryError, NotImplementedError, StopIteration,
            RecursionError) as error:  # fmt: skip
        # What torch's reader raises on a broken or hostile file is as varied as the ways to break one.
        raise _not_vgg(path) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise _not_vgg(path)
    return found


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())


class _Inert:
    """Stands for a module of a TorchScript archive; what was its state are its attributes."""

    def __init__(self, *_: object) -> None:
        self.state: object = {}

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """Unpickles the tree of modules and tensors of a TorchScript archive; knows four kinds of names and calls nothing else."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__" or module == "torch.jit._pickle":
            return _Inert
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a network's weights")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        raw = bytearray(self._archive.read(f"{self._folder}data/{int(key)}"))
        flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.zeros(0, dtype=dtype)
        if len(flat) != count:
            raise pickle.UnpicklingError("a storage has another size than it says")
        return flat

    @staticmethod
    def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
        # as_strided checks the window against the storage; stride 0 makes no copies by itself.
        return torch.as_strided(storage, size, stride, offset)


_STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "DoubleStorage": torch.float64,
             "LongStorage": torch.int64, "IntStorage": torch.int32, "ByteStorage": torch.uint8,
             "BoolStorage": torch.bool}  # fmt: skip


def _torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a TorchScript archive by its path, without a line of its program."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_FILE:
            raise MissingPart(f"{path.name} is too large for VGG16's weights")
        folder = next(n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl")[: -len("data.pkl")]
        tree = _Reader(archive, folder).load()
    tensors: dict[str, Tensor] = {}

    def walk(node: object, name: str, depth: int) -> None:
        if isinstance(node, Tensor):
            tensors[name] = node
        elif isinstance(node, _Inert) and isinstance(node.state, dict) and depth < 32:
            for key, child in node.state.items():
                walk(child, f"{name}.{key}" if name else str(key), depth + 1)

    walk(tree, "", 0)
    return tensors
