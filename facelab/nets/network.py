"""What every generator offers, whatever its family: mapping, synthesis block by block, and a description.

A ``Network`` knows neither files nor windows. Its parts are two submodules, ``mapping`` and ``synthesis``,
whose tensors bear canonical names (those of the published PyTorch checkpoints), so that a checkpoint of any
format is a dictionary of the same names.
"""

from __future__ import annotations

import abc
import collections
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import BadArgument

Noise = Literal["const", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class LayerInfo:
    """One styled layer: what the mixer, SeFa and the info panel need to know of it.

    Attributes:
        name: its module path below ``synthesis``, e.g. ``"b8.conv0"``.
        resolution: height and width of what it gives, in pixels.
        in_channels: feature maps that enter, also the length of its style vector unless ``style_size`` differs.
        out_channels: feature maps that leave.
        ws_index: which row of ws [L, C] styles it.
        style_size: length of its style vector.
    """

    name: str
    resolution: int
    in_channels: int
    out_channels: int
    ws_index: int
    style_size: int


class Network(nn.Module, abc.ABC):
    """A generator: z -> w -> picture.

    Attributes:
        family: ``"stylegan1"``, ``"stylegan2"``, ``"stylegan3-t"`` or ``"stylegan3-r"``.
        defaults: what each architecture option is where it is not given; ``...`` where it must be.
        architecture: JSON-able keyword arguments; ``facelab.nets.build(family, architecture)`` makes its like.
        resolution: height and width of the picture.
        img_channels: 1 grey, 3 RGB, 4 RGBA.
        num_ws: rows of ws that synthesis takes (L).
        z_dim, w_dim, c_dim: lengths of z, of w (C) and of the label; c_dim is 0 for an unconditional network.
        noise_shapes: (height, width) of each noise map, coarse to fine; empty for StyleGAN3.
        block_resolutions: what ``steps`` goes through, coarse to fine.
        has_previews: whether the blocks before the last one give a picture too.
        w_avg_estimated: w_avg was not in the file but sampled; the generator's identity leaves it out then.
    """

    family: str
    defaults: Mapping[str, Any]
    architecture: dict[str, Any]
    resolution: int
    img_channels: int
    num_ws: int
    z_dim: int
    w_dim: int
    c_dim: int
    noise_shapes: tuple[tuple[int, int], ...]
    block_resolutions: tuple[int, ...]
    has_previews: bool = False
    w_avg_estimated: bool = False
    mapping: nn.Module
    synthesis: nn.Module

    @property
    def w_avg(self) -> Tensor:
        """The mean of W, float32 [w_dim], toward which truncation pulls."""
        return cast(Tensor, self.mapping.w_avg)

    def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map z to w, neither truncated nor broadcast to layers.

        Args:
            z: float32 [N, z_dim], normally distributed; its length is normalised away.
            c: labels, float32 [N, c_dim] (one-hot for classes); None only where c_dim is 0.

        Returns:
            w, float32 [N, w_dim].

        Raises:
            BadArgument: a shape does not fit, or a conditional network gets no label.
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise BadArgument(f"z must be [N, {self.z_dim}] for this generator, got {list(z.shape)}")
        if self.c_dim == 0:
            if c is not None and c.numel() > 0:
                raise BadArgument("this generator is unconditional (c_dim 0): leave c away")
            return cast(Tensor, self.mapping(z.to(torch.float32), None))
        if c is None:
            raise BadArgument(f"this generator is conditional (c_dim {self.c_dim}): give c as [N, {self.c_dim}]")
        if c.shape != (len(z), self.c_dim):
            raise BadArgument(f"c must be {[len(z), self.c_dim]} for this generator, got {list(c.shape)}")
        return cast(Tensor, self.mapping(z.to(torch.float32), c.to(torch.float32)))

    @abc.abstractmethod
    def layers(self) -> tuple[LayerInfo, ...]:
        """Its styled layers in the order in which they run."""

    @abc.abstractmethod
    def _steps(
        self, ws: Tensor, noise: list[Tensor | None], transform: Tensor | None, resolution: int
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Run the blocks; arguments have been checked. See ``steps``."""

    def steps(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_strength: float | Sequence[float] | Tensor = 1.0,
        transform: Tensor | None = None,
        resolution: int | None = None,
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw block by block; differentiable in ws, noise maps and weights.

        Args:
            ws: float32 [N, num_ws, w_dim].
            noise: ``"const"`` (the file's own maps), ``"none"``, or one map per entry of ``noise_shapes``,
                each [r, r], [1, 1, r, r] or [N, 1, r, r], standard normal.
            noise_strength: a factor on the network's own strengths, one for all maps or one for each.
            transform: StyleGAN3 only: the 3x3 matrix by which the picture moves (1.0 is its width);
                None is the file's own.
            resolution: stop at this size, a divisor of the network's own by a power of two; None is the full one.
                A network without previews draws all of it and is then averaged over boxes.

        Yields:
            (block resolution, picture so far [N, img_channels, r, r] or None where the block gives no picture);
            the last item is the result, float32, about [-1, 1].

        Raises:
            BadArgument: a shape, a resolution or a transform does not fit this network.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise BadArgument(f"ws must be [N, {self.num_ws}, {self.w_dim}] for this generator, got {list(ws.shape)}")
        size = self.resolution if resolution is None else resolution
        if size not in self.preview_resolutions():
            raise BadArgument(f"resolution must be one of {list(self.preview_resolutions())}, got {resolution}")
        if transform is not None and transform.shape != (3, 3):
            raise BadArgument(f"transform must be a 3x3 matrix, got {list(transform.shape)}")
        maps = self._noise_maps(noise, noise_strength, len(ws), ws.device)
        early = size if self.has_previews else self.resolution
        for block, picture in self._steps(ws.to(torch.float32), maps, transform, early):
            if picture is not None and picture.shape[-1] > size:
                picture = functional.interpolate(picture, size=(size, size), mode="area")
            yield block, picture

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_strength: float | Sequence[float] | Tensor = 1.0,
        transform: Tensor | None = None,
        resolution: int | None = None,
    ) -> Tensor:
        """The last picture of ``steps``: float32 [N, img_channels, H, W], about [-1, 1], not clipped."""
        pictures = self.steps(
            ws, noise=noise, noise_strength=noise_strength, transform=transform, resolution=resolution
        )
        _, last = collections.deque(pictures, maxlen=1).pop()
        assert last is not None, "the last block of a network always gives its picture"
        return last

    def preview_resolutions(self) -> tuple[int, ...]:
        """The sizes at which ``steps`` and ``synthesize`` can stop, small to large."""
        sizes = [self.resolution]
        while sizes[-1] % 2 == 0 and sizes[-1] > 4:
            sizes.append(sizes[-1] // 2)
        return tuple(sorted(sizes))

    def noise_consts(self) -> tuple[Tensor, ...]:
        """The file's own noise maps [r, r], one per entry of ``noise_shapes``."""
        return ()

    def _noise_maps(
        self, noise: Noise, strength: float | Sequence[float] | Tensor, count: int, device: torch.device
    ) -> list[Tensor | None]:
        """Maps [1 or N, 1, r, r] times the caller's strength, or None, one per entry of ``noise_shapes``."""
        shapes = self.noise_shapes
        factors = torch.as_tensor(strength, dtype=torch.float32, device=device)
        if factors.ndim > 1 or factors.numel() not in {1, len(shapes)}:
            raise BadArgument(f"noise_strength must be a number or {len(shapes)} numbers, got {factors.numel()}")
        factors = factors.reshape(-1).expand(len(shapes))
        if isinstance(noise, str):
            if noise not in {"const", "none"}:
                raise BadArgument(f'noise must be "const", "none" or one map per layer, got {noise!r}')
            if noise == "none":
                return [None] * len(shapes)
            maps: Sequence[Tensor] = self.noise_consts()
        else:
            maps = noise
        if len(maps) != len(shapes):
            raise BadArgument(f"this generator takes {len(shapes)} noise maps, got {len(maps)}")
        result: list[Tensor | None] = []
        for index, (one, shape) in enumerate(zip(maps, shapes, strict=True)):
            if one.ndim == 2:
                one = one[None, None]
            if one.ndim != 4 or one.shape[0] not in {1, count} or one.shape[1] != 1 or one.shape[2:] != shape:
                raise BadArgument(f"noise map {index} must be {list(shape)} or [N, 1, *{list(shape)}]")
            result.append(one.to(device=device, dtype=torch.float32) * factors[index])
        return result

    @torch.no_grad()
    def initialise(self, seed: int = 0) -> None:
        """Give every tensor the value it has before training, from one seed.

        Weights and noise maps are standard normal (the equalised learning rate scales them at run time),
        the biases of style layers one, all else zero. Source: Karras et al. 2020 (arXiv:1912.04958).
        """
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in self.state_dict(keep_vars=True).items():
            self._initialise_tensor(name, tensor.detach(), generator)

    def _initialise_tensor(self, name: str, tensor: Tensor, generator: torch.Generator) -> None:
        leaf = name.rpartition(".")[2]
        if leaf in {"weight", "const", "noise_const"}:
            gain = 1.0
            if name.startswith("mapping.fc"):
                gain /= float(self.architecture["mapping_lr_multiplier"])
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * gain)
        elif name.endswith("affine.bias"):
            tensor.fill_(1.0)
        else:
            tensor.zero_()


@torch.no_grad()
def estimate_w_avg(network: Network, count: int = 10_000, seed: int = 123) -> Tensor:
    """The mean of W over ``count`` codes of one seed, float32 [w_dim].

    A conditional network is averaged over labels drawn evenly from its classes.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(network.w_dim, dtype=torch.float64)
    batch = max(min(1000, (4 << 20) // max(network.c_dim, 1)), 1)  # one-hot labels of many classes are large
    for start in range(0, count, batch):
        size = min(batch, count - start)
        z = torch.randn(size, network.z_dim, generator=generator).to(network.w_avg)
        c = None
        if network.c_dim:
            classes = torch.randint(network.c_dim, (size,), generator=generator)
            c = functional.one_hot(classes, network.c_dim).to(network.w_avg)
        total += network.map(z, c).cpu().double().sum(0)
    return (total / count).to(network.w_avg)


def check_architecture(architecture: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Complete an architecture with defaults and refuse what is not known.

    Raises:
        BadArgument: a key that the network does not have, or one that it needs and that is not there.
    """
    unknown = sorted(set(architecture) - set(defaults))
    if unknown:
        raise BadArgument(f"unknown architecture option {unknown[0]!r}")
    full = copy.deepcopy({**defaults, **architecture})  # a list of the caller's, or of the defaults, is not shared
    missing = [key for key, value in full.items() if value is ...]
    if missing:
        raise BadArgument(f"the architecture lacks {missing[0]!r}")
    return full
