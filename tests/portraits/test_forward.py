"""The training form of the synthesis network against the network itself, and the optimiser of its convolutions."""

from __future__ import annotations

import pytest
import torch

from facelab.portraits import forward, training
from facelab.portraits.factors import K
from facelab.portraits.optimiser import Muon, orthogonalise

PLAN = training.Plan(resolution=64, channel_base=512, channel_max=8)


def _ws(count: int) -> torch.Tensor:
    return torch.randn(count, training.student(PLAN).num_ws, K, generator=torch.Generator().manual_seed(3))


def test_that_training_draws_what_the_network_draws() -> None:
    network = training.student(PLAN)
    with torch.no_grad():
        for parameter in network.synthesis.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    ws = _ws(3)
    wanted, drawn = network.synthesize(ws, noise="none"), forward.draw(network, ws)
    assert torch.allclose(drawn, wanted, atol=1e-4 * float(wanted.detach().abs().max()))
    wanted.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in network.synthesis.named_parameters() if p.grad is not None}
    network.synthesis.zero_grad(set_to_none=True)
    drawn.square().sum().backward()
    for name, parameter in network.synthesis.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradients[name], atol=1e-3 * float(gradients[name].abs().max()) + 1e-6)


def test_that_half_precision_draws_nearly_the_same_picture() -> None:
    network = training.student(PLAN)
    ws = _ws(2)
    wanted = forward.draw(network, ws)
    error = (forward.draw(network, ws, torch.bfloat16) - wanted).abs().mean()
    assert 0 < error < 0.02 * wanted.std()
    assert forward.fastest_precision() in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("shape", [(8, 72), (16, 16), (5, 7)])
def test_that_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -1, shape[1])
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.3


def test_that_muon_moves_convolutions_downhill_by_about_its_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(6, 4, 3, 3))
    target = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    optimiser = Muon([weight], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (weight - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        before = weight.detach().clone()
        optimiser.step()
        losses.append(float(loss.detach()))
        assert float((weight.detach() - before).square().mean().sqrt()) == pytest.approx(0.2 * 0.05, rel=0.5)
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(TypeError, match="no closure"):
        optimiser.step(lambda: 0.0)
