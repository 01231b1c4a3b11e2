"""The optimiser: golden numbers, its own derivative, a dense solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_ocean.online.classifier import Classifier
from napari_ocean.online.optimizer import BIN_CELLS, BINS, Goals, by_distance, optimise, score_maps
from tests.network.golden import GOLDEN, assert_golden

pytestmark = pytest.mark.usefixtures("one_thread")

BOXES_XYWH = torch.tensor(
    [[84, 84, 56, 56], [60, 70, 40, 80], [90, 40, 60, 60], [100, 100, 50, 30], [84, 84, 56, 56]]
)
"""Of the golden run, in px of a 224 px sample."""


@pytest.fixture(scope="module")
def golden_samples() -> tuple[torch.Tensor, torch.Tensor, Goals]:
    random = np.random.RandomState(7)
    raw = torch.from_numpy(random.standard_normal((5, 512, 13, 13)).astype(np.float32))
    classifier = Classifier.default()
    first = 0.02 * torch.from_numpy(random.standard_normal((512, 4, 4)).astype(np.float32))
    centers = (BOXES_XYWH[:, :2] + BOXES_XYWH[:, 2:] / 2) / 16
    return classifier.features(raw), first, classifier.goals(centers, 14)


def test_features_are_normalised_as_released(golden_samples) -> None:
    assert_golden("instl2", golden_samples[0])


@pytest.mark.parametrize(
    ("weights", "iterations", "name"),
    [
        ([0.2] * 5, 5, ("sd_losses", "sd_w5")),
        ([0.1, 0.2, 0.3, 0.25, 0.15], 3, ("sd_losses_sw", "sd_w3_sw")),
    ],
)
def test_losses_and_filter_of_the_released_optimiser(
    golden_samples, weights, iterations, name
) -> None:
    features, first, goals = golden_samples
    trained, losses = optimise(
        first,
        features,
        goals,
        torch.tensor(weights),
        regularization=0.01,
        step_length=0.9,
        iterations=iterations,
    )
    np.testing.assert_allclose(losses, GOLDEN[name[0]], rtol=1e-4)
    assert_golden(name[1], trained)
    if name[0] == "sd_losses":
        assert_golden("sd_scores", score_maps(trained, features))


@pytest.mark.parametrize(("kernel", "dilation", "padding"), [(4, 1, 2), (4, 2, 3), (2, 1, 1)])
def test_score_maps_are_a_plain_correlation(kernel, dilation, padding) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 9, 7, generator=generator)
    filter_ = torch.randn(3, kernel, kernel, generator=generator)
    want = F.conv2d(features, filter_[None], padding=padding, dilation=dilation)[:, 0]
    torch.testing.assert_close(score_maps(filter_, features, dilation), want)


def _problem(dilation: int) -> tuple[torch.Tensor, torch.Tensor, Goals, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    filter_ = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    shape = score_maps(filter_, features, dilation).shape
    goals = Goals(*(torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(3)))
    return features, filter_, goals, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def _loss(filter_, features, goals, weights, dilation) -> torch.Tensor:
    scores = score_maps(filter_, features, dilation)
    act = torch.where(scores < 0, goals.mask, 1.0) * scores
    squares = (goals.weight * (act - goals.label)) ** 2
    return (weights[:, None, None] * squares).sum() + 0.05 * (filter_**2).sum()


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_step_follows_the_gradient_that_autograd_finds(dilation) -> None:
    features, filter_, goals, weights = _problem(dilation)
    leaf = filter_.clone().requires_grad_()
    loss = _loss(leaf, features, goals, weights, dilation)
    (gradient,) = torch.autograd.grad(loss, leaf)
    stepped, losses = optimise(
        filter_, features, goals, weights,
        regularization=0.05, step_length=1.0, iterations=1, dilation=dilation,
    )  # fmt: skip
    torch.testing.assert_close(losses[0], loss.detach())
    assert losses[1] < losses[0]
    move = (filter_ - stepped).flatten()
    cosine = F.cosine_similarity(move, gradient.flatten(), dim=0)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_it_ends_where_a_dense_solver_does() -> None:
    """With a mask of 1 the problem is linear least squares."""
    features, filter_, goals, weights = _problem(dilation=2)
    goals = goals._replace(mask=torch.ones_like(goals.mask))
    columns = [
        score_maps(unit, features, 2).flatten()
        for unit in torch.eye(32).double().reshape(32, 2, 4, 4)
    ]
    scale = (goals.weight * weights.sqrt()[:, None, None]).flatten()
    matrix = torch.stack(columns, dim=1) * scale[:, None]
    wanted = goals.label.flatten() * scale
    exact = torch.linalg.solve(matrix.T @ matrix + 0.05 * torch.eye(32).double(), matrix.T @ wanted)
    found, _ = optimise(
        filter_, features, goals, weights,
        regularization=0.05, step_length=1.0, iterations=400, dilation=2,
    )  # fmt: skip
    torch.testing.assert_close(found.flatten(), exact, atol=1e-4, rtol=1e-3)


def test_functions_of_distance_are_piecewise_linear_and_constant_far_away() -> None:
    table = torch.arange(BINS, dtype=torch.float32) ** 2
    distance = torch.tensor([0.0, BIN_CELLS / 2, BIN_CELLS, 9.85, 9.9, 50.0])
    want = torch.tensor([0.0, 0.5, 1.0, (98**2 + 99**2) / 2, 99.0**2, 99.0**2])
    torch.testing.assert_close(by_distance(table, distance), want, rtol=1e-4, atol=1e-3)
