"""Each network against the papers' formulas written out, and what ``Network`` promises of all of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facelab.errors import BadArgument
from facelab.nets import Network, build, estimate_w_avg
from facelab.nets.stylegan3 import fir_axis
from tests.checkpoints import examples
from tests.nets import reference


def _state(network: Network) -> dict[str, torch.Tensor]:
    return {key: value.detach() for key, value in network.state_dict().items()}


def _inputs(network: Network) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(3, network.z_dim, generator=generator)
    c = torch.eye(network.c_dim)[[0, 1, 2]] if network.c_dim else None
    ws = torch.randn(3, network.num_ws, network.w_dim, generator=generator)
    return z, c, ws


@pytest.mark.slow
@pytest.mark.parametrize("option", examples.SG2)
@pytest.mark.parametrize("noise", ["const", "none"])
def test_that_stylegan2_draws_what_the_paper_says(option: str, noise: str) -> None:
    network = examples.stylegan2(option)
    z, c, ws = _inputs(network)
    state, a = _state(network), network.architecture
    torch.testing.assert_close(network.map(z, c), reference.mapping(state, a, z, c), atol=1e-5, rtol=1e-5)
    expected = reference.stylegan2(state, a, network.get_buffer("fir"), ws, noise == "const")
    torch.testing.assert_close(network.synthesize(ws, noise=noise), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("option", examples.SG1)
@pytest.mark.parametrize("noise", ["const", "none"])
def test_that_stylegan1_draws_what_the_paper_says(option: str, noise: str) -> None:
    network = examples.stylegan1(option)
    z, c, ws = _inputs(network)
    state, a = _state(network), network.architecture
    torch.testing.assert_close(network.map(z, c), reference.mapping(state, a, z, c, True), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        network.synthesize(ws, noise=noise), reference.stylegan1(state, a, ws, noise == "const"), atol=2e-4, rtol=2e-4
    )


@pytest.mark.parametrize("option", examples.SG3)
def test_that_stylegan3_draws_what_the_paper_says(option: str) -> None:
    network = examples.stylegan3(option)
    z, c, ws = _inputs(network)
    state, a = _state(network), network.architecture
    torch.testing.assert_close(network.map(z, c), reference.mapping(state, a, z, c), atol=1e-5, rtol=1e-5)
    stored = state["synthesis.input.transform"]
    torch.testing.assert_close(network.synthesize(ws), reference.stylegan3(state, a, ws, stored), atol=1e-4, rtol=1e-4)
    moved = torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, -0.2], [0, 0, 1]])
    expected = reference.stylegan3(state, a, ws, torch.linalg.inv(moved))
    torch.testing.assert_close(network.synthesize(ws, transform=moved), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("design", examples.DESIGNS)
def test_that_a_stylegan3_of_any_design_draws_what_the_paper_says(design: str) -> None:
    network = examples.designed_stylegan3(design)
    ws = torch.randn(1, network.num_ws, network.w_dim, generator=torch.Generator().manual_seed(3))
    state, a = _state(network), network.architecture
    expected = reference.stylegan3(state, a, ws, state["synthesis.input.transform"])
    torch.testing.assert_close(network.synthesize(ws), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4), (3, 1), (1, 3)])
def test_that_an_axis_is_filtered_as_if_zeros_were_inserted(up: int, down: int) -> None:
    generator = torch.Generator().manual_seed(up + 10 * down)
    x = torch.randn(2, 3, 1, 23, generator=generator)
    for before, after in [(0, 0), (3, 5), (-3, 2), (4, -5), (-1, -1)]:
        for taps in (1, 2, 12):
            line = torch.randn(taps, generator=generator)
            spread = torch.zeros(2, 3, 1, 23, up)
            spread[..., 0] = x
            padded = functional.pad(spread.flatten(-2), (before, after)).reshape(6, 1, 1, -1)
            expected = functional.conv2d(padded, line.flip(0)[None, None, None])[..., ::down]
            across = fir_axis(x, line, 3, up=up, down=down, padding=(before, after))
            torch.testing.assert_close(across.reshape(expected.shape), expected, atol=1e-5, rtol=1e-5)
            along = fir_axis(x.transpose(2, 3), line, 2, up=up, down=down, padding=(before, after))
            torch.testing.assert_close(along.transpose(2, 3), across, atol=1e-5, rtol=1e-5)


NETWORKS = {
    "stylegan1": examples.stylegan1,
    "stylegan2": examples.stylegan2,
    "stylegan2 resnet": lambda: examples.stylegan2("resnet, clamped"),
    "stylegan3": examples.stylegan3,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_that_one_and_many_codes_draw_the_same(kind: str) -> None:
    network = NETWORKS[kind]()
    _, _, ws = _inputs(network)
    alone = torch.cat([network.synthesize(one[None]) for one in ws])
    torch.testing.assert_close(network.synthesize(ws), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_that_every_row_of_ws_and_every_noise_map_gets_a_gradient(kind: str) -> None:
    network = NETWORKS[kind]()
    _, _, ws = _inputs(network)
    ws.requires_grad_(True)
    noise = [torch.randn(shape).requires_grad_(True) for shape in network.noise_shapes]
    network.synthesize(ws, noise=noise).square().sum().backward()
    assert ws.grad is not None
    assert bool((ws.grad.abs().amax((0, 2)) > 0).all())
    for one in noise:
        assert one.grad is not None
        assert bool(one.grad.abs().max() > 0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_that_steps_go_from_coarse_to_fine_and_end_in_the_picture(kind: str) -> None:
    network = NETWORKS[kind]()
    _, _, ws = _inputs(network)
    steps = list(network.steps(ws))
    assert [size for size, _ in steps] == list(network.block_resolutions)
    assert all((picture is not None) == network.has_previews for _, picture in steps[:-1])
    torch.testing.assert_close(steps[-1][1], network.synthesize(ws))


@pytest.mark.parametrize("kind", NETWORKS)
def test_that_a_smaller_picture_can_be_asked_for(kind: str) -> None:
    network = NETWORKS[kind]()
    _, _, ws = _inputs(network)
    assert network.synthesize(ws, resolution=8).shape == (3, network.img_channels, 8, 8)
    with pytest.raises(BadArgument, match="resolution"):
        network.synthesize(ws, resolution=7)


@pytest.mark.parametrize("kind", NETWORKS)
def test_that_layers_name_a_row_of_ws_and_the_length_of_its_style(kind: str) -> None:
    network = NETWORKS[kind]()
    layers = network.layers()
    assert {layer.ws_index for layer in layers} == set(range(network.num_ws))
    for layer in layers:
        affine = network.synthesis.get_submodule(f"{layer.name}.affine")
        assert affine.weight.shape == (layer.style_size, network.w_dim)


def test_that_noise_strength_scales_the_networks_own() -> None:
    network = examples.stylegan2()
    _, _, ws = _inputs(network)
    quiet = network.synthesize(ws, noise_strength=0)
    torch.testing.assert_close(quiet, network.synthesize(ws, noise="none"))
    last = [0.0] * (len(network.noise_shapes) - 1) + [2.0]
    expected = [torch.zeros(shape) for shape in network.noise_shapes[:-1]] + [network.noise_consts()[-1] * 2]
    torch.testing.assert_close(network.synthesize(ws, noise_strength=last), network.synthesize(ws, noise=expected))
    batch = [torch.randn(3, 1, *shape) for shape in network.noise_shapes]
    assert network.synthesize(ws, noise=batch).shape[0] == 3


def test_that_what_does_not_fit_a_network_is_named() -> None:
    network = examples.stylegan2("labels")
    z, c, ws = _inputs(network)
    with pytest.raises(BadArgument, match="c_dim 5"):
        network.map(z)
    with pytest.raises(BadArgument, match=r"z must be \[N, 16\]"):
        network.map(z[:, 1:], c)
    with pytest.raises(BadArgument, match=r"ws must be \[N, 6, 12\]"):
        network.synthesize(ws[:, 1:])
    with pytest.raises(BadArgument, match="noise must be"):
        network.synthesize(ws, noise="random")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="5 noise maps"):
        network.synthesize(ws, noise=[torch.zeros(4, 4)])
    with pytest.raises(BadArgument, match="only StyleGAN3"):
        network.synthesize(ws, transform=torch.eye(3))
    with pytest.raises(BadArgument, match="unconditional"):
        examples.stylegan2().map(z, c)
    with pytest.raises(BadArgument, match="vanish"):
        examples.stylegan3().synthesize(torch.zeros(1, 5, 12), transform=torch.zeros(3, 3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resolution": 24}, "power of two"),
        ({"channels": [4]}, "channels"),
        ({"architecture": "dense"}, "architecture"),
        ({"colour": 1}, "colour"),
        ({"w_dim": 7}, "w_dim"),
        ({"activation": "sine"}, "sine"),
        ({"resample_filter": [1, -1]}, "filter"),
    ],
)
def test_that_an_architecture_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    good = {"resolution": 16, "channels": [4, 4, 4], "mapping_features": [512]}
    build("stylegan2", good)
    with pytest.raises(BadArgument, match=said):
        build("stylegan2", good | change)


def test_that_layers_that_do_not_fit_one_another_are_refused() -> None:
    good = examples.stylegan3().architecture
    for key, value in (("padding", [20, 20, 20, 20]), ("in_channels", 7), ("size", 21), ("kernel", 1), ("down", 1)):
        layers = [dict(table) for table in good["layers"]]
        layers[1][key] = value
        with pytest.raises(BadArgument, match=r"L\d_\d+_\d does not fit"):
            build("stylegan3-t", good | {"layers": layers})
    with pytest.raises(BadArgument, match="last layer"):
        build("stylegan3-t", good | {"resolution": 32})
    with pytest.raises(BadArgument, match="odd"):
        build("stylegan2", examples.stylegan2().architecture | {"kernel_size": 2})


def test_that_a_network_is_built_alike_from_its_own_architecture_and_seed() -> None:
    first = examples.stylegan3("r")
    again = build(first.family, first.architecture, seed=1)
    other = build(first.family, first.architecture, seed=2)
    assert {k: v.shape for k, v in first.state_dict().items()} == {k: v.shape for k, v in again.state_dict().items()}
    assert not torch.equal(again.state_dict()["mapping.fc0.weight"], other.state_dict()["mapping.fc0.weight"])
    with pytest.raises(BadArgument, match="family"):
        build("stylegan9", {})


def test_that_the_estimated_mean_of_w_is_near_the_true_one_and_always_the_same() -> None:
    network = examples.stylegan2()
    mean = estimate_w_avg(network)
    assert torch.equal(mean, estimate_w_avg(network))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        sample = network.map(torch.randn(20_000, network.z_dim, generator=generator))
    assert bool(((mean - sample.mean(0)).abs() < 5 * sample.std(0) / 100).all())
