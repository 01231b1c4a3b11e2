"""The network against the reference implementation's numbers, and its own contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from napari_ocean.network import (
    LITE,
    OCEAN,
    SEARCH_PX,
    OceanNet,
    TemplateState,
    fold_batch_norm,
    load_network,
    resized,
)
from napari_ocean.network.combination import depthwise_correlation
from napari_ocean.network.grid import cell_centers, decode, distances, score_size, search_px_of
from napari_ocean.tracking import find_weights
from tests.network.golden import RTOL, assert_golden, official_state, pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ocean(tmp_path_factory: pytest.TempPathFactory) -> OceanNet:
    path = tmp_path_factory.mktemp("weights") / "OceanV.pth"
    torch.save(official_state("offline_align"), path)
    return load_network(path)


@torch.inference_mode()
@pytest.mark.parametrize("search_px", [255, 287])
def test_outputs_equal_the_reference(ocean: OceanNet, search_px: int) -> None:
    template = pixels(1, 127)
    assert_golden(f"zf_{search_px}", ocean.template_features(ocean.backbone(template)))
    output = ocean.search(pixels(2, search_px), ocean.template(template))
    assert_golden(f"bbox_{search_px}", output.ltrb)
    assert (output.ltrb > 0).all()
    assert_golden(f"cls_{search_px}", output.regular)
    assert output.aware is not None
    assert_golden(f"align_{search_px}", output.aware)


@torch.inference_mode()
def test_online_features_equal_the_reference(tmp_path) -> None:
    torch.save(official_state("online_siamese"), tmp_path / "online.pth")
    net = load_network(tmp_path / "online.pth")
    samples = torch.from_numpy(np.random.RandomState(3).randn(2, 3, 224, 224)).float()
    assert_golden("online_feat_224", net.backbone.online_features(samples))


@torch.inference_mode()
@pytest.mark.parametrize(
    "preset",
    [LITE, OCEAN, resized("lite", {"blocks": 8}), resized("lite", {"blocks": 6, "channels": 8})],
    ids=lambda preset: f"{preset.name}-{preset.blocks}",
)
@pytest.mark.parametrize("search_px", SEARCH_PX)
def test_maps_have_the_grid_of_the_search_crop(preset, search_px: int) -> None:
    net = OceanNet(preset).eval()
    output = net.search(pixels(2, search_px), net.template(pixels(1, 127)))
    size = score_size(search_px)
    assert output.ltrb.shape == (1, 4, size, size)
    assert output.regular.shape == output.aware.shape == (1, 1, size, size)


@torch.inference_mode()
def test_one_template_serves_many_crops_and_a_batch_equals_single_crops() -> None:
    net = load_network(find_weights("lite"))
    crops, templates = pixels(5, 255, batch=2), pixels(6, 127, batch=2)
    shared = net.search(crops, net.template(templates[:1]))
    paired = net.search(crops, net.template(templates))
    alone = net.search(crops[1:], net.template(templates[1:]))
    torch.testing.assert_close(shared.regular[0], paired.regular[0], rtol=RTOL, atol=1e-5)
    torch.testing.assert_close(alone.ltrb[0], paired.ltrb[1], rtol=RTOL, atol=1e-4)
    assert not torch.allclose(shared.regular[1], paired.regular[1])


@torch.inference_mode()
def test_folding_batch_norm_changes_nothing_but_rounding(ocean: OceanNet) -> None:
    net = OceanNet(OCEAN)
    net.load_state_dict(ocean.state_dict())
    z, x = pixels(1, 127), pixels(2, 255)
    want = ocean(z, x)
    got = fold_batch_norm(net)(z, x)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(got.ltrb, want.ltrb, rtol=RTOL, atol=1e-3)
    torch.testing.assert_close(got.aware, want.aware, rtol=1e-3, atol=1e-3)


def test_correlation_is_the_sum_of_products_and_so_are_its_gradients() -> None:
    torch.manual_seed(0)
    search = torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)

    def plain(search: Tensor, kernel: Tensor) -> Tensor:
        windows = search.unfold(2, 3, 1).unfold(3, 5, 1)  # (N, C, h, w, 3, 5)
        return torch.einsum("nchwij,ncij->nchw", windows, kernel)

    torch.testing.assert_close(depthwise_correlation(search, kernel), plain(search, kernel))
    assert torch.autograd.gradcheck(depthwise_correlation, (search, kernel))


@torch.inference_mode()
def test_what_is_known_of_the_sides_multiplies_their_distances() -> None:
    net = load_network(find_weights("lite")).eval()
    crop = pixels(2, 255, batch=2)
    state = net.template(pixels(1, 127, batch=2))
    plain = net.search(crop, state)
    zeros = state.sides
    assert zeros.shape == (2, 4, LITE.channels + 1)
    assert not zeros.any()
    wider = zeros.clone()
    wider[1, 0, -1] = np.log(1.5)  # the second target's left side
    wider[1, 2, :-1] = 0.01  # its right side, by what is seen
    said = net.search(crop, state._replace(sides=wider))
    by_sight = torch.exp(0.01 * plain.box_features[1].sum(dim=0))
    torch.testing.assert_close(said.ltrb[0], plain.ltrb[0])
    torch.testing.assert_close(said.ltrb[1, 0], 1.5 * plain.ltrb[1, 0])
    torch.testing.assert_close(said.ltrb[1, 2], by_sight * plain.ltrb[1, 2], rtol=RTOL, atol=1e-4)
    torch.testing.assert_close(said.ltrb[1, 1], plain.ltrb[1, 1])


def test_a_state_is_its_tensors_and_comes_back_from_them() -> None:
    state = OceanNet(LITE).eval().template(pixels(1, 127))
    back = TemplateState.of(state.tensors())
    assert len(back.regular) == len(back.box) == 3
    assert back.sides is state.sides
    assert all(a is b for a, b in zip(back.tensors(), state.tensors(), strict=True))


@given(st.integers(25, 60))
def test_grid_is_centred_and_inverts(size: int) -> None:
    centers = cell_centers(size)
    search_px = search_px_of(size)
    assert score_size(search_px) == size
    assert centers[size // 2] == search_px // 2
    assert (centers.diff() == 8).all()


def test_grid_of_the_released_sizes() -> None:
    for search_px, first, last in ((255, 31, 223), (271, 31, 239), (287, 31, 255)):
        centers = cell_centers(score_size(search_px))
        assert (centers[0], centers[-1]) == (first, last)


def test_distances_are_those_that_decode_takes() -> None:
    ltrb = torch.randint(-50, 200, (2, 4, 27, 27), generator=torch.manual_seed(0)).float()
    torch.testing.assert_close(distances(decode(ltrb), 27), ltrb)
    one = torch.tensor([[100.0, 110.0, 140.0, 160.0]])
    from_each = decode(distances(one[:, :, None, None], 27))
    torch.testing.assert_close(from_each, one[:, :, None, None].expand(1, 4, 27, 27))


def test_decode_puts_the_sides_at_their_distances() -> None:
    ltrb = torch.zeros(1, 4, 25, 25)
    ltrb[0, :, 12, 10] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert decode(ltrb)[0, :, 12, 10].tolist() == [111 - 1, 127 - 2, 111 + 3, 127 + 4]
