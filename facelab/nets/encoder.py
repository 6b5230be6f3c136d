"""The portrait encoder: picture -> the factors of its face, a W+ code, and features to compare pictures by.

A small convolutional network trained on rendered portraits, where every factor is known. On portraits it serves as
perceptual features, as the starting point of a projection and as attribute labels; photographs lie outside what it
has seen, and its answers there are rough.

Source: the architecture is a plain residual network (He et al. 2016, arXiv:1512.03385) with group normalisation (Wu and
He 2018, arXiv:1803.08494), so that pictures in a batch do not influence one another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import MissingPart

FORMAT = "facelab.encoder"
VERSION = "1"
SIZE = 128  # pixels per side that the network works on
CHANNELS = (32, 64, 96, 160, 224)
_LARGEST_FILE = 64 << 20


class _Stage(nn.Module):
    """Halve the size, then one residual pair of convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm0 = nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.norm0(self.down(x)))
        return x + functional.silu(self.norm1(self.conv1(x)))


class Encoder(nn.Module):
    """Pictures -> standardised factor coordinates.

    Args:
        names: of the K factors it reads.
        num_ws, w_dim: of the generator whose codes it gives.

    Attributes:
        names: of the factors.
        moves: buffer [K, w_dim]; raising phi[i] by one is adding moves[i] to w.
        w_avg: buffer [w_dim], the code of phi = 0.
    """

    moves: Tensor
    w_avg: Tensor

    def __init__(self, names: tuple[str, ...], num_ws: int = 12, w_dim: int = 512) -> None:
        super().__init__()
        self.names, self.num_ws = names, num_ws
        self.stem = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.stages = nn.ModuleList(_Stage(a, b) for a, b in zip((24, *CHANNELS[:-1]), CHANNELS, strict=True))
        self.hidden = nn.Linear(CHANNELS[-1] * (SIZE >> len(CHANNELS)) ** 2, 160)
        self.head = nn.Linear(160, len(names))
        self.register_buffer("moves", torch.zeros(len(names), w_dim))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def features(self, images: Tensor) -> list[Tensor]:
        """Pictures [N, 3, H, W] on [-1, 1] -> five maps [N, C, S/2 .. S/32], C as in ``CHANNELS``.

        They are taken at the pictures' own size (a multiple of 32), so that fine detail of large pictures counts; each
        position is scaled to a mean square of one, so that maps of all stages weigh alike.
        """
        maps, x = [], functional.silu(self.stem(images))
        for stage in self.stages:
            x = stage(x)
            maps.append(x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt())
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] on [-1, 1], any size -> phi [N, K]: standard deviations of each factor from its mean."""
        if images.shape[2:] != (SIZE, SIZE):
            images = functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        x = functional.silu(self.stem(images))
        for stage in self.stages:
            x = stage(x)
        answer: Tensor = self.head(functional.silu(self.hidden(x.flatten(1))))
        return answer

    def codes(self, phi: Tensor) -> Tensor:
        """phi [N, K] -> W+ codes [N, num_ws, w_dim] of faces with these factors."""
        return (self.w_avg + phi @ self.moves)[:, None].expand(-1, self.num_ws, -1)

    @torch.inference_mode()
    def guess(self, pixels: np.ndarray) -> np.ndarray:
        """A picture uint8 [S, S, 3], framed as FFHQ -> a W+ code float32 [num_ws, w_dim] of a face like it."""
        images = torch.tensor(pixels, dtype=torch.float32, device=self.w_avg.device).permute(2, 0, 1)[None] / 127.5 - 1
        code: np.ndarray = self.codes(self(images))[0].cpu().numpy()
        return code.copy()

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write as .safetensors in float16 to ``path``, which should be a temporary name."""
        fields = {
            **metadata,
            "format": FORMAT,
            "version": VERSION,
            "names": json.dumps(self.names),
            "num_ws": str(self.num_ws),
        }
        save_file({k: v.detach().half().contiguous() for k, v in self.state_dict().items()}, path, fields)

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """Read what ``save`` wrote; weights come back as float32, for inference.

        Raises:
            MissingPart: the file is missing, damaged or of another format.
        """
        advice = "install facelab anew to get it back"
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise MissingPart(f"{path.name} is too large to be the portrait encoder; {advice}.")
            fields = _metadata(path)
            tensors = {name: value.float() for name, value in load_file(path).items()}
            names = tuple(str(name) for name in json.loads(fields["names"]))
            if (fields.get("format"), fields.get("version")) != (FORMAT, VERSION):
                raise MissingPart(f"{path.name} is not a portrait encoder that this facelab reads; {advice}.")
            with torch.device("meta"):
                made = cls(names, int(fields["num_ws"]), int(tensors["w_avg"].shape[0]))
            made.load_state_dict(tensors, assign=True)
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
            raise MissingPart(f"The portrait encoder {path.name} is missing or damaged; {advice}.") from error
        return made.eval().requires_grad_(False)


def _metadata(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})
