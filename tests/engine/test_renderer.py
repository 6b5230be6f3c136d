"""The fast form of a network draws what the plain network draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facelab import checkpoints
from facelab.engine import bfloat16, prepared_stylegan2, prepared_stylegan3, trials
from facelab.engine.renderer import Renderer
from facelab.errors import BadArgument
from facelab.nets.network import Network
from facelab.nets.stylegan2 import StyleGAN2
from tests.bench.renderer import random_stylegan3


def network(seed: int = 0, **options: Any) -> StyleGAN2:
    given: dict[str, Any] = {
        "resolution": 64, "channels": [130, 132, 136, 24, 12], "z_dim": 16, "w_dim": 24, "mapping_features": [24, 24],
    }  # fmt: skip
    made = StyleGAN2(**(given | options))
    made.initialise(seed)
    with torch.no_grad():
        for name, tensor in made.state_dict(keep_vars=True).items():
            if name.endswith(("noise_strength", ".bias")):
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(name))))
    return made.eval()


def codes(net: Network, count: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, net.num_ws, net.w_dim, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("count", [1, 3])
def test_that_the_fast_form_draws_what_the_network_draws(architecture: str, clamp: float | None, count: int) -> None:
    net = network(architecture=architecture, conv_clamp=clamp)
    ws = codes(net, count)
    renderer = Renderer(net)
    assert renderer._prepared is not None
    for noise in ("const", "none"):
        with torch.no_grad():
            plain = net.synthesize(ws, noise=noise, noise_strength=1.3)  # type: ignore[arg-type]
        assert close(renderer.render(ws, noise=noise, noise_strength=1.3), plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64])
def test_that_it_stops_at_every_resolution(resolution: int) -> None:
    net = network()
    ws = codes(net, 2)
    with torch.no_grad():
        plain = net.synthesize(ws, resolution=resolution)
    assert close(Renderer(net).render(ws, resolution=resolution), plain)


def test_that_a_picture_comes_after_every_block() -> None:
    net = network()
    items = [(size, None if p is None else p.shape[-1]) for size, p in Renderer(net).steps(codes(net))]
    assert items == [(n, n) for n in (4, 8, 16, 32, 64)]


def test_that_large_pictures_of_a_batch_are_each_as_alone() -> None:
    net = network(resolution=256, channels=[16, 16, 16, 16, 8, 8, 4])
    ws = codes(net, 3)
    renderer = Renderer(net)
    together = renderer.render(ws)
    assert close(together, torch.cat([renderer.render(w[None]) for w in ws]))


@pytest.mark.parametrize("row", range(10))
def test_that_what_was_kept_gives_the_same_picture_whichever_row_changes(row: int) -> None:
    net = network(resolution=64)
    renderer, fresh = Renderer(net), Renderer(net, cache_bytes=0)
    ws = codes(net)
    renderer.render(ws)
    for step in range(3):
        ws = ws.clone()
        ws[0, row] += 0.5 + step
        assert close(renderer.render(ws), fresh.render(ws))
        assert close(renderer.render(ws, resolution=16), fresh.render(ws, resolution=16))


def test_that_what_was_kept_is_not_used_when_the_noise_differs() -> None:
    net = network()
    renderer, fresh = Renderer(net), Renderer(net, cache_bytes=0)
    ws = codes(net)
    renderer.render(ws)
    strength = [1.0] * len(net.noise_shapes)
    for layer in range(len(strength)):
        changed = [*strength]
        changed[layer] = 2.0
        assert close(renderer.render(ws, noise_strength=changed), fresh.render(ws, noise_strength=changed))
    maps = [torch.randn(shape, generator=torch.Generator().manual_seed(5)) for shape in net.noise_shapes]
    assert close(renderer.render(ws, noise=maps), fresh.render(ws, noise=maps))


def test_that_only_the_blocks_behind_a_changed_row_are_drawn() -> None:
    net = network()
    renderer = Renderer(net)
    ws = codes(net)
    renderer.render(ws)
    for row, sizes in ((9, [64]), (7, [64]), (5, [32, 64]), (2, [8, 16, 32, 64])):
        ws = ws.clone()
        ws[0, row] += 1
        assert [size for size, _ in renderer.steps(ws)] == sizes


def test_that_the_kept_maps_stay_within_their_bytes() -> None:
    net = network()
    renderer = Renderer(net, cache_bytes=3 << 20)
    for seed in range(12):
        renderer.render(codes(net, seed=seed))
        assert 0 < renderer._cache.bytes <= 3 << 20
    renderer.trim()
    assert renderer._cache.bytes == 0


@pytest.mark.slow
def test_that_gradients_are_those_of_the_plain_network() -> None:
    net = network().requires_grad_(False)
    renderer = Renderer(net)
    push = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))

    def gradients(run: Any, seed: int) -> list[torch.Tensor]:
        ws = codes(net, 2, seed).requires_grad_()
        maps = [torch.ones(shape).requires_grad_() for shape in net.noise_shapes]
        *_, (_, picture) = run(ws, noise=maps)
        (picture * push).sum().backward()
        return [ws.grad, *(m.grad for m in maps)]  # type: ignore[list-item]

    worst = []
    for seed in range(1, 7):
        pairs = zip(gradients(renderer.differentiable, seed), gradients(net.steps, seed), strict=True)
        worst.append(max(float((fast - plain).norm() / plain.norm()) for fast, plain in pairs))
    # An activation that lies within rounding of its kink takes the other slope; most codes have none.
    assert max(worst) < 3e-2
    assert min(worst) < 1e-5


def test_that_no_torch_mode_is_left_open_between_steps() -> None:
    net = network()
    for _ in Renderer(net).steps(codes(net)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_that_codes_of_another_generator_are_refused_in_one_sentence() -> None:
    net = network()
    with pytest.raises(BadArgument, match=r"ws must be \[N, 10, 24\]"):
        Renderer(net).render(torch.zeros(1, 18, 512))
    with pytest.raises(BadArgument, match="resolution must be one of"):
        Renderer(net).render(codes(net), resolution=48)


def test_that_options_beyond_the_fast_form_are_drawn_by_the_network_itself() -> None:
    net = network(activation="swish")
    renderer = Renderer(net)
    assert renderer._prepared is None
    ws = codes(net)
    with torch.no_grad():
        assert np.allclose(renderer.render(ws), net.synthesize(ws), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("base", "radial"), [(256, False), (640, False), (256, True)])
def test_that_the_fast_form_of_stylegan3_draws_what_the_network_draws(count: int, base: int, radial: bool) -> None:
    net = random_stylegan3(32, base, radial=radial)
    ws = codes(net, count)
    renderer = Renderer(net)
    assert renderer._prepared is not None
    turned = torch.tensor([[0.8, 0.6, 0.1], [-0.6, 0.8, -0.2], [0, 0, 1]])
    for transform in (None, turned):
        with torch.no_grad():
            plain = net.synthesize(ws, transform=transform)
        assert float(plain.std()) > 1e-3
        assert close(renderer.render(ws, transform=transform), plain)


@pytest.mark.slow
@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_that_the_clamp_of_stylegan3_acts_where_a_value_comes_near_it(
    radial: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(prepared_stylegan3, "onednn", lambda: False)
    net = random_stylegan3(32, 256, radial=radial)
    ws = codes(net)
    with torch.no_grad():
        free = net.synthesize(ws)
        for layer in prepared_stylegan3._layers(net):
            layer.conv_clamp = 0.9
        plain = net.synthesize(ws)
    assert not close(free, plain)
    assert close(Renderer(net).render(ws), plain)


@pytest.mark.slow
def test_that_kept_maps_of_stylegan3_know_their_row_and_their_transform() -> None:
    net = random_stylegan3(32, 512)
    renderer, fresh = Renderer(net), Renderer(net, cache_bytes=0)
    ws = codes(net)
    turned = torch.tensor([[0.8, 0.6, 0.1], [-0.6, 0.8, -0.2], [0, 0, 1]])
    renderer.render(ws)
    for row in (15, 9, 15, 1, 0):
        ws = ws.clone()
        ws[0, row] += 1
        for transform in (None, turned):
            assert close(renderer.render(ws, transform=transform), fresh.render(ws, transform=transform))
    assert len(list(renderer.steps(ws))) == 1


@pytest.mark.slow
def test_that_radial_filters_and_layers_that_double_the_rate_come_out_right(test_data: Path) -> None:
    for name in ("a6_sg3t_64", "a7h_sg3r_32_mod"):
        net = checkpoints.load(test_data / "fixtures/public" / f"{name}.pkl").network
        reference = np.load(test_data / "fixtures/public/refs" / f"{name}.npz")
        renderer = Renderer(net)
        assert renderer._prepared is not None
        drawn = [renderer.render(w[None]).numpy()[0] for w in torch.from_numpy(reference["ws_psi1"])]
        want = reference["img_psi1_const"]
        assert np.abs(np.stack(drawn[: len(want)]) - want).max() < 1e-4


def test_that_half_precision_is_judged_by_what_it_gains_and_loses() -> None:
    renderer = Renderer(network())
    assert renderer.precision == "float32"
    gain, likeness = renderer.try_half(torch.bfloat16)
    assert gain > 0
    assert 20 < likeness < 60


def test_that_a_device_whose_half_precision_pays_draws_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer(network())
    ws = codes(renderer.network)
    full = renderer.render(ws)
    for gain, likeness, chosen in ((2.0, 60.0, torch.float16), (1.0, 60.0, None), (2.0, 30.0, None)):
        monkeypatch.setattr(renderer, "try_half", lambda dtype, g=gain, q=likeness: (g, q))
        assert renderer._choose_half() is chosen
    # A processor has autocast, too: what is drawn in half precision is near, comes as float32, and is not the same.
    renderer._prepared, renderer._half = None, torch.bfloat16
    half = renderer.render(ws)
    assert half.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.5


@pytest.fixture
def rough_pays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """bfloat16 as if it were faster on this processor, in every layer."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        pytest.skip("oneDNN has no bfloat16 on this processor")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing was found before
    monkeypatch.setattr(bfloat16, "pays", lambda: True)
    monkeypatch.setattr(bfloat16, "GAIN", 0.0)


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * float(((a - b).square().mean() / (b.max() - b.min()).square()).log10())


@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("count", [1, 3])
def test_that_a_rough_picture_is_near_and_spoils_no_exact_one(
    rough_pays: None, clamp: float | None, count: int
) -> None:
    net = network(conv_clamp=clamp)
    ws = codes(net, count)
    renderer, fresh = Renderer(net), Renderer(net)
    exact = fresh.render(ws)
    rough = renderer.render(ws, rough=True)
    assert rough.dtype == torch.float32
    assert 45 < decibels(rough, exact) < 90
    assert torch.equal(renderer.render(ws), exact)
    renderer.trim()
    assert torch.equal(renderer.render(ws, rough=True), rough)
    for resolution in (16, 64):
        near = renderer.render(ws, rough=True, resolution=resolution)
        assert 45 < decibels(near, fresh.render(ws, resolution=resolution)) < 90


@pytest.mark.parametrize("row", range(10))
def test_that_what_a_rough_picture_keeps_serves_rough_pictures(rough_pays: None, row: int) -> None:
    net = network()
    renderer = Renderer(net)
    ws = codes(net)
    renderer.render(ws, rough=True)
    ws[0, row] += 0.5
    assert 45 < decibels(renderer.render(ws, rough=True), Renderer(net, cache_bytes=0).render(ws)) < 90


def test_that_no_layer_is_rough_where_it_would_show(rough_pays: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_stylegan2, "ROUGH_PSNR", 120.0)
    net = network()
    ws = codes(net)
    assert torch.equal(Renderer(net).render(ws, rough=True), Renderer(net).render(ws))


def test_that_no_layer_is_rough_where_the_processor_is_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16, "pays", lambda: False)
    net = network()
    ws = codes(net)
    assert torch.equal(Renderer(net).render(ws, rough=True), Renderer(net).render(ws))


def test_that_residual_networks_and_stylegan3_draw_exactly_when_asked_for_a_rough_picture(rough_pays: None) -> None:
    for net in (network(architecture="resnet"), random_stylegan3(32, 256)):
        ws = codes(net)
        assert torch.equal(Renderer(net).render(ws, rough=True), Renderer(net).render(ws))


def test_that_which_layers_are_rough_is_found_once_for_a_generator(
    rough_pays: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    ws = codes(net)
    renderer = Renderer(net, cache_bytes=0)
    assert [size for size, picture in renderer.steps(ws, rough=True) if picture is None]
    assert not [size for size, picture in renderer.steps(ws, rough=True) if picture is None]
    rough = renderer.render(ws, rough=True)
    other = Renderer(net, cache_bytes=0)
    for _ in range(200):  # each stops the one before it at once; what was tried so far counts
        _, picture = next(other.steps(ws, rough=True))
        if picture is not None:
            break
    assert picture is not None
    monkeypatch.setattr(trials, "keep", lambda *answer, **options: pytest.fail("tried again"))
    again = Renderer(net, cache_bytes=0)
    assert torch.equal(again.render(ws, rough=True), rough)
    assert not torch.equal(again.render(ws), rough)
