"""Where cells lie, and which features a network gives the filter."""

from __future__ import annotations

import pytest
import torch

from napari_ocean.network import LITE, OCEAN, OceanNet
from napari_ocean.network.grid import cell_centers, score_size
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.features import (
    BRANCH_PX,
    branch_cells,
    branch_features,
    coarse_features,
    resample,
    shared_cells,
    shared_features,
)
from tests.network.golden import official_state

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def released() -> Classifier:
    state = official_state("online_classifier")
    return Classifier.from_released({k.removeprefix("classifier."): v for k, v in state.items()})


@pytest.mark.parametrize("search_px", [255, 271, 287, 319])
def test_the_shared_cells_are_those_of_the_siamese_grid(search_px: int) -> None:
    size = score_size(search_px) + 6
    cells = shared_cells(search_px, size)
    scores = torch.rand(1, size, size)
    centers = cell_centers(score_size(search_px))
    torch.testing.assert_close(resample(scores, cells, centers), scores[:, 3:-3, 3:-3])


def test_the_branch_looks_at_the_same_place_from_coarser_cells() -> None:
    """A map that says where its cells are still does so on the Siamese grid."""
    cells = branch_cells(255)
    column = torch.tensor([cells.score_px(j) for j in range(14)])
    scores = column.expand(1, 14, 14)
    centers = cell_centers(25)
    # torch's cubic kernel does not keep a slope to the last digit
    found = resample(scores, cells, centers)[0, 12]
    torch.testing.assert_close(found[2:-2], centers[2:-2], atol=1.0, rtol=0)
    assert cells.score_px(6.5) == pytest.approx(127, abs=0.6), "the middle of the crop"


def test_samples_are_in_cells() -> None:
    cells = shared_cells(255, 31)
    sample = cells.samples(torch.zeros(1, 1, 31, 31), torch.tensor([[111.0, 119.0, 143.0, 135.0]]))
    assert sample.boxes.tolist() == [[13, 14, 17, 16]]
    assert sample.centers.tolist() == [[15, 15]]


def test_features_of_each_network(released: Classifier) -> None:
    plain = Classifier.default()
    lite = OceanNet(LITE).eval()
    ocean = OceanNet(OCEAN, aware=False, online=True).eval()
    crop = torch.rand(1, 3, 255, 255) * 255
    with torch.inference_mode():
        shared = shared_features(lite, plain, lite.backbone(crop))
        assert shared.shape == (1, 96, 31, 31)
        assert coarse_features(lite, plain, crop[..., :BRANCH_PX, :BRANCH_PX]).shape[1:] == (
            96,
            13,
            13,
        )
        branch = branch_features(ocean, released, crop, 255)
        wider = branch_features(ocean, released, torch.rand(1, 3, 319, 319) * 255, 255)
    assert branch.shape == (1, 512, 13, 13)
    assert wider.shape[-1] > 13, "at the same scale"
    for features in (shared, branch):
        assert float((features**2).mean() * features.shape[1] * 16) == pytest.approx(1, rel=1e-3)


def test_the_branch_takes_normalised_rgb(released: Classifier) -> None:
    ocean = OceanNet(OCEAN, aware=False, online=True).eval()
    crop = torch.rand(1, 3, BRANCH_PX, BRANCH_PX) * 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    with torch.inference_mode():
        rgb = crop[:, [2, 1, 0]] / 255
        want = released.features(ocean.backbone.online_features((rgb - mean) / std))
        torch.testing.assert_close(coarse_features(ocean, released, crop), want)


def test_released_parameters_are_turned_into_what_the_loss_uses() -> None:
    state = {
        key.removeprefix("classifier."): value
        for key, value in official_state("online_classifier").items()
    }
    state["filter_optimizer.log_step_length"] = torch.tensor([-1.0])
    state["filter_optimizer.filter_reg"] = torch.tensor([0.2])
    classifier = Classifier.from_released(state)
    assert classifier.step_length == pytest.approx(0.3678794)
    assert classifier.regularization == pytest.approx(0.04)
    state["filter_optimizer.filter_reg"] = torch.tensor([0.0])
    assert Classifier.from_released(state).regularization == pytest.approx(1e-6)
