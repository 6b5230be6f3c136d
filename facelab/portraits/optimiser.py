"""Muon: momentum whose steps are orthogonalised, for the weights of convolutions; Adam for everything else.

A convolution's momentum, as a matrix [O, I * k * k], is replaced by the nearest matrix with orthonormal rows, so that
all directions of a layer learn at one pace, the rare ones too. Demodulation makes the scale of these weights
immaterial, which suits a step whose size does not depend on the gradient's.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scaling of the step to
Adam's is Liu et al. 2025, "Muon is Scalable for LLM Training" (arXiv:2502.16982), section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315  # quintic whose iteration brings all singular values near 1, fast


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix to [m, n], m <= n, roughly: singular values end in 0.7 to 1.2."""
    x: Tensor = matrix / (matrix.norm() + 1e-12)
    for _ in range(steps):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions.

    Args:
        params: as any torch optimiser takes them.
        lr: a step changes a weight by about 0.2 lr, as Adam's does.
        momentum: share of the old momentum kept; looked ahead as Nesterov does.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        if closure is not None:
            raise TypeError("Muon takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["momentum"])

    def _move(self, parameter: nn.Parameter, rate: float, keep: float) -> None:
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - keep)
        ahead = gradient.lerp(state["momentum"], keep).flatten(1)
        tall = ahead.shape[0] > ahead.shape[1]
        update = orthogonalise(ahead.T if tall else ahead)
        update = (update.T if tall else update).reshape(parameter.shape)
        parameter.add_(update, alpha=-0.2 * rate * math.sqrt(max(ahead.shape)))
