"""Draws: the seam between the engine and a network's forward pass. What makes drawing fast lives behind it.

Usable headless::

    network = checkpoints.load("ffhq.pkl").network
    renderer = Renderer(network)
    picture = renderer.render(ws)                      # [N, 3, H, W], about [-1, 1]
    preview = renderer.render(ws, resolution=64)       # stops early
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from facelab.engine.memory import keep_memory
from facelab.engine.prefix import PrefixCache
from facelab.engine.prepared_stylegan2 import PreparedStyleGAN2
from facelab.engine.prepared_stylegan3 import PreparedStyleGAN3
from facelab.errors import BadArgument
from facelab.nets.network import Network, Noise
from facelab.nets.stylegan2 import StyleGAN2
from facelab.nets.stylegan3 import StyleGAN3

CACHE_BYTES = 320 << 20  # of feature maps; the default of the setting
_HALF_GAIN, _HALF_PSNR = 1.1, 45.0  # times faster, dB: what half precision has to give to be chosen
_BATCH_UP_TO = 128  # px: above, pictures of a batch are drawn one at a time, which is faster and takes less memory


class Renderer:
    """A network on a device, ready to draw: within 1e-3 of the plain network in float32.

    On a CPU the process's allocator is set to keep what is freed (see ``memory.keep_memory``). On a GPU the network draws itself, in half precision where that was measured to be faster and near enough.

    Attributes:
        network: the network itself, for whoever needs its mapping, its noise maps or its weights.
        device: where it lies.
        precision: "float32", "float16" or "bfloat16".
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str = "cpu",
        *,
        cache_bytes: int = CACHE_BYTES,
        half: bool = True,
    ) -> None:
        """
        Args:
            network: any family, in evaluation mode. It is moved to ``device``, its weights are made constants.
            device: "cpu", "cuda" or "mps".
            cache_bytes: limit for feature maps kept between pictures; 0 keeps none.
            half: whether half precision may be chosen.
        """
        self.device = torch.device(device)
        if self.device.type == "cpu":
            keep_memory()  # also for whoever draws from a program of their own; half of the speed is lost without
        self.network = network.to(self.device).requires_grad_(False)
        self._cache = PrefixCache(cache_bytes)
        # Not under inference_mode: what is made there cannot be used in a backward pass.
        with torch.no_grad():
            self._prepared = self._prepare() if self.device.type == "cpu" else None
        self._half = self._choose_half() if half and self.device.type != "cpu" else None
        self.precision = "float32" if self._half is None else str(self._half).removeprefix("torch.")

    def _choose_half(self) -> torch.dtype | None:
        """The half precision that pays on this device, by trying: faster by a tenth at least, and hardly to be told apart."""
        for dtype in (torch.float16, torch.bfloat16):
            gain, likeness = self.try_half(dtype)
            if gain >= _HALF_GAIN and likeness >= _HALF_PSNR:
                return dtype
        return None

    def try_half(self, dtype: torch.dtype) -> tuple[float, float]:
        """Draw the mean face in full and in half precision.

        Returns:
            How many times faster half precision is, and its PSNR against float32 in dB (peak to peak 2).
        """
        ws = self.network.w_avg.expand(1, self.network.num_ws, -1).to(self.device)
        seconds, pictures = [], []
        for chosen in (None, dtype):
            times = []
            for _ in range(3):
                start = time.perf_counter()
                with torch.inference_mode(), self._autocast(chosen):
                    picture = self.network.synthesize(ws).float().cpu()  # the copy waits for the device
                times.append(time.perf_counter() - start)
            seconds.append(min(times))
            pictures.append(picture.clamp(-1, 1))
        error = float((pictures[0] - pictures[1]).square().mean())
        likeness = 10 * math.log10(4 / error) if 0 < error < math.inf else 0.0 if error else math.inf
        return seconds[0] / seconds[1], likeness

    def _autocast(self, dtype: torch.dtype | None) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _prepare(self) -> PreparedStyleGAN2 | PreparedStyleGAN3 | None:
        network = self.network
        if isinstance(network, StyleGAN2) and PreparedStyleGAN2.fits(network):
            return PreparedStyleGAN2(network, self._cache)
        if isinstance(network, StyleGAN3) and PreparedStyleGAN3.fits(network):
            return PreparedStyleGAN3(network, self._cache)
        return None

    def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [N, Z] (and labels [N, c_dim]) to w [N, C], neither truncated nor broadcast; see ``Network.map``."""
        with torch.inference_mode():
            return self.network.map(z.to(self.device), None if c is None else c.to(self.device))

    def steps(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_strength: float | Sequence[float] = 1.0,
        transform: Tensor | None = None,
        resolution: int | None = None,
        rough: bool = False,
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw block by block; arguments and what comes out as of ``Network.steps``, without gradients.

        A ``rough`` picture is for the eye: layers may be drawn in bfloat16 where the processor is faster in that, and where
        the picture was measured to come within 45 dB (PSNR, peak to peak 2) of the exact one. The first time that is tried,
        with items without a picture between.

        Blocks whose input is still known from an earlier picture are left out. Between two items the caller's torch
        mode is the caller's own: no context is left open over a yield.
        """
        # A copy: products round differently with the order and the alignment of their input in memory (MKL), and equal codes are
        # to give equal pictures.
        ws = ws.to(self.device, torch.float32, copy=True, memory_format=torch.contiguous_format)
        transform = None if transform is None else transform.to(self.device)
        prepared = self._prepared
        if prepared is None or (isinstance(prepared, PreparedStyleGAN2) and transform is not None):
            run = self.network.steps(
                ws, noise=noise, noise_strength=noise_strength, transform=transform, resolution=resolution
            )
        else:
            size = self._check(ws, resolution)
            # A network without previews draws all of it; the picture is then averaged over boxes.
            early = size if self.network.has_previews else self.network.resolution
            if isinstance(prepared, PreparedStyleGAN3):
                _check_transform(transform)
                run = prepared.steps(ws, transform)
            else:
                with torch.inference_mode():
                    maps, signature = self._noise(noise, noise_strength, len(ws))
                if len(ws) > 1 and early > _BATCH_UP_TO:
                    run = self._one_by_one(ws, maps, signature, early, rough)
                else:
                    run = prepared.steps(ws, maps, signature, early, rough=rough)
            run = _shrunk(run, size)
        try:
            while True:
                with torch.inference_mode(), self._autocast(self._half):
                    item = next(run, None)
                if item is None:
                    return
                yield item if self._half is None or item[1] is None else (item[0], item[1].float())
        finally:
            run.close()  # type: ignore[attr-defined]

    def render(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_strength: float | Sequence[float] = 1.0,
        transform: Tensor | None = None,
        resolution: int | None = None,
        rough: bool = False,
    ) -> Tensor:
        """The last picture of ``steps``: float32 [N, img_channels, r, r], about [-1, 1], not clipped."""
        items = self.steps(
            ws, noise=noise, noise_strength=noise_strength, transform=transform, resolution=resolution, rough=rough
        )
        *_, (_, picture) = items
        assert picture is not None, "the last block of a network always gives its picture"
        return picture

    def differentiable(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_strength: float | Sequence[float] = 1.0,
        transform: Tensor | None = None,
        resolution: int | None = None,
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw block by block with gradients for ``ws`` and for given noise maps; the weights are constants.

        Runs in the caller's torch mode, which has to record gradients.
        """
        if not isinstance(self._prepared, PreparedStyleGAN2) or transform is not None or not self.network.has_previews:
            yield from self.network.steps(
                ws, noise=noise, noise_strength=noise_strength, transform=transform, resolution=resolution
            )
            return
        size = self._check(ws, resolution)
        maps, _ = self._noise(noise, noise_strength, len(ws), sign=False)
        yield from self._prepared.differentiable(ws, maps, size)

    @property
    def rough_layers(self) -> tuple[int, ...]:
        """Which convolutions of a rough picture are in bfloat16; none before one was asked for."""
        rows = self._prepared.rough_rows if isinstance(self._prepared, PreparedStyleGAN2) else None
        return tuple(sorted(rows or ()))

    def trim(self) -> None:
        """Let go of what is only cached."""
        self._cache.clear()
        if isinstance(self._prepared, PreparedStyleGAN2):
            self._prepared.trim()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Give everything back; nothing is drawn afterwards."""
        self.trim()
        self._prepared = None

    def _check(self, ws: Tensor, resolution: int | None) -> int:
        network = self.network
        if ws.ndim != 3 or ws.shape[1:] != (network.num_ws, network.w_dim):
            raise BadArgument(
                f"ws must be [N, {network.num_ws}, {network.w_dim}] for this generator, got {list(ws.shape)}"
            )
        size = network.resolution if resolution is None else resolution
        if size not in network.preview_resolutions():
            raise BadArgument(f"resolution must be one of {list(network.preview_resolutions())}, got {resolution}")
        return size

    def _noise(
        self, noise: Noise, strength: float | Sequence[float], count: int, *, sign: bool = True
    ) -> tuple[list[Tensor | None], list[bytes]]:
        """For each conv its map with all gains in, or None where it adds nothing; and bytes that tell it from another."""
        assert isinstance(self._prepared, PreparedStyleGAN2)
        gains = self._prepared.noise_gains()
        if not self.network.noise_shapes:
            return [None] * len(gains), [b""] * len(gains)
        maps: list[Tensor | None] = []
        signature = []
        for one, gain in zip(self.network._noise_maps(noise, strength, count, self.device), gains, strict=True):
            if one is None or gain == 0.0:
                maps.append(None)
                signature.append(b"")
                continue
            maps.append(one * gain)
            signature.append(_fingerprint(one) if sign and self._cache.limit else b"")
        return maps, signature

    def _one_by_one(
        self, ws: Tensor, maps: list[Tensor | None], signature: list[bytes], size: int, rough: bool
    ) -> Iterator[tuple[int, Tensor | None]]:
        """A batch of large pictures: the small blocks of all would only crowd one another out of the cache."""
        assert isinstance(self._prepared, PreparedStyleGAN2)
        pictures = []
        for index in range(len(ws)):
            mine = [None if m is None else m if len(m) == 1 else m[index : index + 1] for m in maps]
            for block, picture in self._prepared.steps(ws[index : index + 1], mine, signature, size, rough=rough):
                if block == size and picture is not None:
                    pictures.append(picture)
                    break
                yield block, None
        yield size, torch.cat(pictures)


def _check_transform(transform: Tensor | None) -> None:
    if transform is not None and transform.shape != (3, 3):
        raise BadArgument(f"transform must be a 3x3 matrix, got {list(transform.shape)}")


def _fingerprint(tensor: Tensor) -> bytes:
    return hashlib.blake2b(tensor.detach().cpu().contiguous().numpy().tobytes(), digest_size=16).digest()


def _shrunk(run: Iterator[tuple[int, Tensor | None]], size: int) -> Iterator[tuple[int, Tensor | None]]:
    for block, picture in run:
        if picture is not None and picture.shape[-1] > size:
            picture = functional.interpolate(picture, size=(size, size), mode="area")
        yield block, picture
