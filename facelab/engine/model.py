"""A generator that is open: numpy in, pictures out, recipes worked out to codes and noise maps.

What the engine and the Python API share; neither of them touches tensors elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from facelab import checkpoints
from facelab.checkpoints import Checkpoint
from facelab.engine.renderer import CACHE_BYTES, Renderer
from facelab.errors import BadArgument, OutOfMemory, WrongGenerator
from facelab.jobs import GeneratorInfo, LayerInfo, Pixels, read_only
from facelab.latent.code import Code, Floats, frozen
from facelab.latent.recipe import Noise, Recipe
from facelab.latent.spaces import seeded_noise

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")

SAMPLES = 10_000  # codes over which W is measured, as NVIDIA's projector does (arXiv:1912.04958, section 5)


class Recent(Generic[Key, Kept]):
    """A dictionary that forgets what was used longest ago when it costs more than ``most``."""

    def __init__(self, most: int, cost: Callable[[Kept], int] = lambda _: 1) -> None:
        self._most, self._cost, self._held = most, cost, 0
        self._items: OrderedDict[Key, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def values(self) -> list[Kept]:
        """All that is kept, what was used longest ago first."""
        return list(self._items.values())

    def get(self, key: Key) -> Kept | None:
        """What is kept under ``key``; it counts as used now."""
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: Key, value: Kept) -> list[Kept]:
        """Keep ``value``; returns what had to go for it."""
        gone = [self._pop(key)] if key in self._items else []
        self._items[key] = value
        self._held += self._cost(value)
        while self._held > self._most and len(self._items) > 1:
            gone.append(self._pop(next(iter(self._items))))
        return gone

    def clear(self) -> list[Kept]:
        """Forget everything; returns it."""
        gone = list(self._items.values())
        self._items.clear()
        self._held = 0
        return gone

    def _pop(self, key: Key) -> Kept:
        value = self._items.pop(key)
        self._held -= self._cost(value)
        return value


class NoiseMaps(tuple[Floats, ...]):
    """Noise maps, coarse to fine; equal to others that hold the very same arrays (comparing numbers would take too long)."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseMaps) and list(map(id, self)) == list(map(id, other))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self)))


@dataclass(frozen=True)
class Look:
    """All of a picture but its code; pictures of equal looks can be drawn in one batch.

    Attributes:
        noise: "const", "none", or the maps.
        strength: on the generator's own noise strengths, one for all or one per map.
        transform: the nine numbers of the matrix by which the picture moves, row by row, or None.
    """

    noise: Literal["const", "none"] | NoiseMaps
    strength: tuple[float, ...] = (1.0,)
    transform: tuple[float, ...] | None = None


def choose_device(name: str | None) -> torch.device:
    """The device of a name; "auto" or None takes a GPU where there is one.

    Raises:
        BadArgument: no such device here.
    """
    has_mps = torch.backends.mps.is_available()
    if name in (None, "auto"):
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    kind = str(name).partition(":")[0]
    if kind == "cpu" or (kind == "cuda" and torch.cuda.is_available()) or (kind == "mps" and has_mps):
        try:
            return torch.device(str(name))
        except RuntimeError as error:
            raise BadArgument(f"the device {name!r} is not one; give 'cpu', 'cuda' or 'mps'") from error
    raise BadArgument(f"the device {name!r} is not here; give 'cpu'" + (" or 'auto'" if kind != "auto" else ""))


def to_tensor(array: np.ndarray) -> Tensor:
    """A float32 tensor with a copy of the array (torch warns of arrays that are closed to writing)."""
    return torch.from_numpy(np.array(array, np.float32))


def to_pixels(picture: Tensor) -> Pixels:
    """A picture [N, 1, 3 or 4, H, W] of about [-1, 1] as uint8 [N, H, W, 3]: round((x + 1) * 127.5).

    Grey is repeated; a transparent picture is laid on middle grey.

    Raises:
        BadArgument: it holds numbers that are not finite.
    """
    with torch.inference_mode():
        if picture.shape[1] == 4:
            picture = picture[:, :3] * ((picture[:, 3:] + 1) / 2).clamp(0, 1)
        elif picture.shape[1] == 1:
            picture = picture.expand(-1, 3, -1, -1)
        elif picture.shape[1] != 3:
            raise BadArgument(f"a generator with {picture.shape[1]} image channels draws no colours that can be shown")
        if not bool(torch.isfinite(picture).all()):
            raise BadArgument(
                "this face lies so far out that its picture has no finite numbers; bring psi or its sliders back"
            )
        levels = ((picture + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
        return read_only(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy())


class Model:
    """A generator on a device.

    Attributes:
        network: the torch module, float32; its own forward pass is the reference and the differentiable one.
        renderer: draws it, fast.
        sha256: its identity.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path | None,
        device: torch.device,
        *,
        cache_bytes: int = CACHE_BYTES,
        half: bool = True,
    ) -> None:
        self.checkpoint, self.path, self.device = checkpoint, path, device
        self.network, self.sha256 = checkpoint.network, checkpoint.sha256
        self.renderer = Renderer(self.network, device, cache_bytes=cache_bytes, half=half)
        self.when_full: Callable[[], None] = self.trim  # called when memory runs out
        self._w_std: float | None = None
        self._samples: Floats | None = None
        self._mapped: Recent[str, Floats] = Recent(512)
        self._maps: Recent[int, NoiseMaps] = Recent(4)

    @classmethod
    def open(
        cls, path: Path, device: str | None = "auto", *, cache_bytes: int = CACHE_BYTES, half: bool = True
    ) -> Model:
        """Open a generator's file; see ``checkpoints.load`` for what can go wrong.

        ``cache_bytes`` is the limit for feature maps that are kept between pictures; ``half`` allows half precision.
        """
        where = choose_device(device)
        return cls(checkpoints.load(path), path, where, cache_bytes=cache_bytes, half=half)

    @cached_property
    def w_avg(self) -> Floats:
        """Mean of W, read-only [C]."""
        return frozen(self.network.w_avg.detach().cpu().numpy())

    def check_resolution(self, resolution: int | None) -> int:
        """The side at which drawing stops; None is the generator's own.

        Raises:
            BadArgument: it is none at which this generator can stop.
        """
        sizes = self.network.preview_resolutions()
        if resolution is None:
            return self.network.resolution
        if isinstance(resolution, bool) or resolution not in sizes:
            raise BadArgument(
                f"resolution must be one of {', '.join(map(str, sizes))} for this generator, not {resolution!r}"
            )
        return int(resolution)

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.checkpoint.metadata.get("name") or (self.path.stem if self.path else self.sha256[:12])

    # -- codes ------------------------------------------------------------------------------------------------------
    def map(self, z: Floats, c: Floats | None = None) -> Floats:
        """z [N, Z] (and labels [N, c_dim]) to w [N, C]."""
        return self.renderer.map(to_tensor(z), None if c is None else to_tensor(c)).cpu().numpy()

    def sample(self, count: int = SAMPLES, seed: int = 123) -> Iterator[Floats]:
        """w of ``count`` codes of one seed, some at a time, [n, C]; a conditional generator's classes are drawn evenly."""
        random = np.random.RandomState(seed)
        for start in range(0, count, 1000):
            n = min(1000, count - start)
            z = random.randn(n, self.network.z_dim).astype(np.float32)
            c = None
            if self.network.c_dim:
                c = np.eye(self.network.c_dim, dtype=np.float32)[random.randint(self.network.c_dim, size=n)]
            yield self.map(z, c)

    def mapped(self, codes: Sequence[Code]) -> list[Floats]:
        """Each code as w [C] or W+ [L, C]; those in Z go through the mapping network, once.

        Raises:
            WrongGenerator: a code belongs to another generator.
            BadArgument: a code's length does not fit, or a conditional generator is given no class.
        """
        for code in codes:
            self.check_generator(code.generator)
        fresh = {c.digest: c for c in codes if c.space == "z" and self._mapped.get(c.digest) is None}
        results = {c.digest: c.array for c in codes if c.space != "z"}
        results |= {c.digest: kept for c in codes if (kept := self._mapped.get(c.digest)) is not None}
        if fresh:
            z, c = self._inputs(list(fresh.values()))
            for digest, w in zip(fresh, self.map(z, c), strict=True):
                results[digest] = w
                self._mapped.put(digest, w)
        return [results[c.digest] for c in codes]

    def _inputs(self, codes: Sequence[Code]) -> tuple[Floats, Floats | None]:
        network = self.network
        if any(c.array.shape != (network.z_dim,) for c in codes):
            wrong = next(c for c in codes if c.array.shape != (network.z_dim,))
            raise BadArgument(
                f"a z of {wrong.array.size} numbers does not fit this generator, which takes {network.z_dim}"
            )
        z = np.stack([c.array for c in codes])
        if not network.c_dim:
            return z, None
        labels = []
        for code in codes:
            if code.label is None or not 0 <= code.label < network.c_dim:
                given = "none was given" if code.label is None else f"{code.label} was given"
                raise BadArgument(
                    f"this generator is conditional (c_dim {network.c_dim}): choose a class from 0 to {network.c_dim - 1}, {given}"
                )
            labels.append(code.label)
        return z, np.eye(network.c_dim, dtype=np.float32)[labels]

    def check_generator(self, sha256: str) -> None:
        """Refuse what belongs to another generator."""
        if sha256 != self.sha256:
            raise WrongGenerator(
                f"this face belongs to another generator ({sha256[:12]}) than the one that is open ({self.sha256[:12]}); open that one first"
            )

    # -- recipes ----------------------------------------------------------------------------------------------------
    def ws(self, recipe: Recipe) -> Floats:
        """The W+ code [L, C] that a recipe draws.

        Raises:
            WrongGenerator, BadArgument: as of ``mapped`` and ``Recipe.ws``.
        """
        return recipe.ws(self.mapped(recipe.sources), self.w_avg, self.network.num_ws)

    def look(self, recipe: Recipe) -> Look:
        """Noise and transform of a recipe, worked out; where its codes have no noise of their own, "own" is "const".

        Raises:
            BadArgument: the codes' own noise has other shapes than this generator's.
        """
        noise, move = recipe.noise, recipe.transform
        own = self.own_noise(recipe) if noise.mode == "own" else None
        return Look(
            own or ("const" if noise.mode == "own" else self.noise(noise)),
            noise.strength,
            None if move is None else tuple(move.matrix().ravel().tolist()),
        )

    def noise(self, noise: Noise) -> Literal["const", "none"] | NoiseMaps:
        """The noise of a mode other than "own"; the maps of a seed are drawn once."""
        if noise.mode == "seed":
            maps = self._maps.get(noise.seed)
            if maps is None:
                maps = NoiseMaps(seeded_noise(noise.seed, self.network.noise_shapes))
                self._maps.put(noise.seed, maps)
            return maps
        assert noise.mode != "own"
        return noise.mode

    def maps(self, recipe: Recipe) -> NoiseMaps | None:
        """The noise maps that a recipe is drawn with, where they are its own or a seed's."""
        noise = self.look(recipe).noise
        return noise if isinstance(noise, NoiseMaps) and len(noise) else None

    def own_noise(self, recipe: Recipe) -> NoiseMaps | None:
        """The optimised noise of a recipe's codes, mixed as the codes are, layer by layer; None where no code has any.

        The shares are scaled to a sum of squares of 1, so that mixed noise is as strong as each; a code without noise
        brings the generator's own.
        """
        sources = [(c, w) for c, w in zip(recipe.sources, recipe.weights, strict=True) if any(w)]
        if all(c.noise is None for c, _ in sources):
            return None
        shapes = self.network.noise_shapes
        for code, _ in sources:
            if code.noise is not None and tuple(n.shape for n in code.noise) != shapes:
                raise BadArgument("the noise of this face does not fit the generator; draw it with constant noise")
        const: tuple[Floats, ...] = ()
        if any(c.noise is None for c, _ in sources):
            const = tuple(n.detach().cpu().numpy() for n in self.network.noise_consts())
        mixed = []
        for layer in range(len(shapes)):
            # Noise map i enters the layer that row i of ws styles, in StyleGAN 1 and 2 alike.
            shares = np.array([w[min(layer, len(w) - 1)] for _, w in sources], np.float32)
            maps = [const[layer] if c.noise is None else c.noise[layer] for c, _ in sources]
            if np.count_nonzero(shares) <= 1:
                mixed.append(maps[int(np.abs(shares).argmax())])
                continue
            shares /= np.sqrt(np.square(shares).sum())
            mixed.append(np.tensordot(shares, np.stack(maps), 1).astype(np.float32))
        return NoiseMaps(mixed)

    # -- pictures ---------------------------------------------------------------------------------------------------
    def draw(self, ws: Floats, look: Look, side: int, *, rough: bool = False) -> Iterator[Tensor | None]:
        """Draw codes [N, L, C] in one batch, halved when it does not fit in memory; ``rough`` as of ``Renderer.steps``.

        Yields:
            A picture [N, channels, r, r] of each block that gives one, coarse to fine, else None; the last is the result.

        Raises:
            OutOfMemory: not even one picture fits.
        """
        try:
            steps = self.renderer.steps(
                to_tensor(ws),
                noise=look.noise if isinstance(look.noise, str) else [to_tensor(m) for m in look.noise],
                noise_strength=look.strength[0] if len(look.strength) == 1 else look.strength,
                transform=None if look.transform is None else torch.tensor(look.transform).reshape(3, 3),
                resolution=side,
                rough=rough,
            )
            for _, picture in steps:
                yield picture
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here are the tensors of the failed attempt gone, with its traceback.
        self.when_full()
        if len(ws) == 1:
            raise OutOfMemory(
                f"not even one picture of {side} px fits in memory; draw it smaller or close other programs"
            )
        halves = []
        for half in np.array_split(ws, 2):
            for picture in self.draw(half, look, side, rough=rough):
                if picture is not None and picture.shape[-1] == side:
                    halves.append(picture)
                yield None
        yield torch.cat(halves)

    def pictures(self, ws: Floats, look: Look, side: int) -> Iterator[Tensor]:
        """Draw codes [N, L, C], a batch at a time; only the results."""
        count = self.batch(side)
        for start in range(0, len(ws), count):
            *_, picture = self.draw(ws[start : start + count], look, side)
            assert picture is not None
            yield picture

    def batch(self, resolution: int) -> int:
        """How many pictures are best drawn at once (measured: above 128 px one at a time)."""
        if self.network.family.startswith("stylegan3"):
            return 1  # it normalises styles over the whole batch: a face would depend a little on those drawn with it
        worked = resolution if self.network.has_previews else self.network.resolution
        return 16 if worked <= 32 else 8 if worked <= 128 else 1

    # -- description ------------------------------------------------------------------------------------------------
    def samples(self) -> Generator[None, None, Floats]:
        """The codes of ``sample``, [SAMPLES, C], kept until ``trim``; some are mapped between two yields."""
        if self._samples is None:
            parts = []
            for part in self.sample():
                parts.append(part)
                yield
            self._samples = np.concatenate(parts)
        return self._samples

    def measure(self) -> Iterator[None]:
        """Work out ``w_std``, some samples between two yields."""
        if self._w_std is None:
            # Part by part: all samples at once in double precision would take 150 MB that the allocator then keeps.
            count, total, squares = 0, np.zeros(self.network.w_dim), np.zeros(self.network.w_dim)
            for part in self.sample():
                away = part.astype(np.float64) - self.w_avg
                count, total, squares = count + len(away), total + away.sum(0), squares + np.square(away).sum(0)
                yield
            self._w_std = float(np.sqrt(np.mean(squares / count - np.square(total / count))))

    def affines(self, layers: tuple[int, int] | None = None) -> tuple[Floats, ...]:
        """The weights [styles, C] that turn w into styles, of the convolutions in a half-open range of rows of W+.

        A toRGB only counts where it has a row of its own, as in SeFa (Shen and Zhou 2021, arXiv:2007.06600).
        """
        first, last = layers or (0, self.network.num_ws)
        tensors = self.network.state_dict()
        shown = {layer.ws_index: layer.name for layer in self.network.layers()}  # the last of a row is its convolution
        names = [f"synthesis.{shown[row]}.affine.weight" for row in range(first, last) if row in shown]
        return tuple(tensors[name].float().cpu().numpy() for name in names)

    @property
    def w_std(self) -> float:
        """Root mean square distance of one channel of W from its mean, over ``SAMPLES`` codes."""
        for _ in self.measure():
            pass
        assert self._w_std is not None
        return self._w_std

    def info(self) -> GeneratorInfo:
        """What was opened, for a person."""
        network, checkpoint = self.network, self.checkpoint
        noise_works = bool(network.noise_shapes) and any(
            "noise" in key and not key.endswith("noise_const") and bool(tensor.any())
            for key, tensor in network.state_dict().items()
        )
        return GeneratorInfo(
            sha256=self.sha256,
            file_sha256=checkpoint.file_sha256,
            name=self.name,
            path=None if self.path is None else str(self.path),
            family=network.family,
            format=checkpoint.format,
            resolution=network.resolution,
            img_channels=network.img_channels,
            num_ws=network.num_ws,
            z_dim=network.z_dim,
            w_dim=network.w_dim,
            c_dim=network.c_dim,
            parameters=sum(p.numel() for p in network.parameters()),
            w_avg=self.w_avg,
            w_std=self.w_std,
            layers=self._layers(),
            noise_shapes=network.noise_shapes,
            noise_works=noise_works,
            device=str(self.device),
            precision=self.renderer.precision,
            ignored=checkpoint.ignored,
            notes=checkpoint.notes,
            metadata=dict(checkpoint.metadata),
        )

    def _layers(self) -> tuple[LayerInfo, ...]:
        rows: dict[int, LayerInfo] = {}
        # A row that styles both a toRGB and the next convolution is shown as the convolution, which comes later.
        for layer in self.network.layers():
            rows[layer.ws_index] = LayerInfo(
                layer.name, layer.resolution, layer.in_channels, layer.out_channels, layer.style_size
            )
        return tuple(rows[row] for row in sorted(rows))

    def trim(self) -> None:
        """Let go of what is only cached."""
        self._maps.clear()
        self._samples = None
        self.renderer.trim()

    def close(self) -> None:
        """Give everything back."""
        self.trim()
        self.renderer.close()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or torch says that there is no more memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch's allocator for the CPU raises a plain RuntimeError.
    text = str(error).lower()
    return "not enough memory" in text or "can't allocate memory" in text or "out of memory" in text
