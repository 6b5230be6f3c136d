"""The few operators that all generators share: equalised layers, activations, FIR resampling.

Sources: Karras et al. 2018 (arXiv:1710.10196) for the equalised learning rate and pixel norm; Zhang 2019
(arXiv:1904.11486) for filtered resampling; Karras et al. 2020 (arXiv:1912.04958) for their use in StyleGAN2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facelab.errors import BadArgument

_ROOT2 = math.sqrt(2.0)

# name -> (function, gain that keeps the variance)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (functional.relu, _ROOT2),
    "lrelu": (lambda x: functional.leaky_relu(x, 0.2), _ROOT2),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (functional.elu, 1.0),
    "selu": (functional.selu, 1.0),
    "softplus": (functional.softplus, 1.0),
    "swish": (functional.silu, _ROOT2),
}


def activation_gain(name: str) -> float:
    """The gain of an activation by its name.

    Raises:
        BadArgument: the name is not known.
    """
    if name not in ACTIVATIONS:
        raise BadArgument(f"unknown activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name][1]


def activate(x: Tensor, name: str, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Apply an activation, then its own gain times ``gain``, then clamp to +-``clamp``."""
    function, own = ACTIVATIONS[name]
    x = function(x)
    if own * gain != 1.0:
        x = x * (own * gain)
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalize_2nd_moment(x: Tensor, dim: int = 1) -> Tensor:
    """Scale to a mean square of one along ``dim`` (pixel norm)."""
    return x * (x.square().mean(dim, keepdim=True) + 1e-8).rsqrt()


class Dense(nn.Module):
    """A fully connected layer with equalised learning rate.

    The stored weight is scaled by ``lr_multiplier / sqrt(in_features)`` and the stored bias by ``lr_multiplier``
    when it runs.

    Args:
        in_features, out_features: sizes.
        activation: a key of ``ACTIVATIONS``.
        lr_multiplier: see above.
        gain_in_weights: the activation's gain scales the weights (StyleGAN1), not its output.
        equalized: whether weights are scaled by the number of inputs at all.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        gain_in_weights: bool = False,
        equalized: bool = True,
    ) -> None:
        super().__init__()
        gain = activation_gain(activation)
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        # A layer without inputs (c alone drives the mapping) has no fan-in to scale by.
        self.weight_gain = lr_multiplier / (math.sqrt(max(in_features, 1)) if equalized else 1.0)
        self.bias_gain = lr_multiplier
        self.output_gain = gain
        if gain_in_weights:
            self.weight_gain *= gain if equalized else 1.0
            self.output_gain = 1.0

    def forward(self, x: Tensor) -> Tensor:  # [N, in] -> [N, out]
        y = functional.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        y = ACTIVATIONS[self.activation][0](y)
        return y if self.output_gain == 1.0 else y * self.output_gain


def fir_filter(taps: Sequence[float]) -> Tensor:
    """A square low-pass filter [n, n] of sum one from the taps of its one-dimensional factor."""
    line = torch.tensor(list(taps), dtype=torch.float32, device="cpu")
    if line.ndim != 1 or not 1 <= len(line) <= 64 or float(line.sum()) == 0.0:
        raise BadArgument(f"a resampling filter needs 1 to 64 taps that do not cancel, got {list(taps)}")
    square = torch.outer(line, line)
    return square / square.sum()


def filter2d(x: Tensor, fir: Tensor, padding: tuple[int, int]) -> Tensor:
    """Convolve every channel with ``fir`` [n, n]; ``padding`` (before, after) of zeros, negative crops."""
    before, after = padding
    if before != after or before < 0:
        x = functional.pad(x, (before, after, before, after))
        before = 0
    kernel = fir.flip(0, 1).to(x.dtype)[None, None].expand(x.shape[1], 1, -1, -1)
    return functional.conv2d(x, kernel, padding=before, groups=x.shape[1])


def upsample2d(x: Tensor, fir: Tensor) -> Tensor:
    """Double height and width: zeros between the samples, then ``fir`` [n, n] with gain 4."""
    taps = fir.shape[0]
    channels = x.shape[1]
    height, width = x.shape[2] * 2, x.shape[3] * 2
    kernel = (fir * 4).to(x.dtype)[None, None].expand(channels, 1, -1, -1)
    full = functional.conv_transpose2d(x, kernel, stride=2, groups=channels)  # [N, C, 2H - 2 + n, 2W - 2 + n]
    skip = taps - 1 - (taps + 1) // 2
    if skip < 0 or full.shape[2] < skip + height:
        full = functional.pad(full, (max(-skip, 0), 2, max(-skip, 0), 2))
        skip = max(skip, 0)
    return full[:, :, skip : skip + height, skip : skip + width]


def upsample_padding(taps: int, kernel: int) -> tuple[int, int]:
    """Zeros (before, after) for ``filter2d`` behind a transposed convolution of ``kernel`` with stride 2.

    They make the pair equal to: insert zeros, filter, convolve with ``kernel // 2`` of padding.
    """
    padding = kernel // 2
    return padding + (taps + 1) // 2 - (kernel - 1), padding + (taps - 2) // 2 - (kernel - 2)
