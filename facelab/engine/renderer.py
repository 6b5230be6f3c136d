"""Draws: drives a network block by block for whoever only wants its pictures.

The seam between the engine and a network's forward pass. What makes drawing fast lives behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from facelab.nets.network import Network, Noise


class Renderer:
    """A network on a device, ready to draw. Not differentiable; use the network itself for that."""

    def __init__(self, network: Network, device: torch.device | str = "cpu") -> None:
        """
        Args:
            network: any family, in evaluation mode. It is moved to ``device``.
            device: "cpu", "cuda" or "mps".
        """
        self.device = torch.device(device)
        self.network = network.to(self.device)

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
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Draw block by block; arguments and what comes out as of ``Network.steps``, without gradients.

        Between two items the caller's torch mode is the caller's own: no context is left open over a yield.
        """
        run = self.network.steps(
            ws.to(self.device),
            noise=noise,
            noise_strength=noise_strength,
            transform=None if transform is None else transform.to(self.device),
            resolution=resolution,
        )
        try:
            while True:
                with torch.inference_mode():
                    item = next(run, None)
                if item is None:
                    return
                yield item
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
    ) -> Tensor:
        """The last picture of ``steps``: float32 [N, img_channels, r, r], about [-1, 1], not clipped."""
        items = self.steps(ws, noise=noise, noise_strength=noise_strength, transform=transform, resolution=resolution)
        *_, (_, picture) = items
        assert picture is not None, "the last block of a network always gives its picture"
        return picture

    def trim(self) -> None:
        """Let go of what is only cached."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Give everything back; nothing is drawn afterwards."""
        self.trim()
