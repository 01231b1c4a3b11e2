"""What drawn boxes teach of a target's extent: ridge regression of the distances to its sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from napari_ocean.network.grid import cell_centers, decode, distances
from napari_ocean.online.extent import REACH_PX, learn_sides

CHANNELS, SIZE = 6, 25


def _views(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, the true boxes, and the same seen from each cell."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, CHANNELS, SIZE, SIZE, generator=generator)
    centers = 127 + 60 * torch.rand(count, 2, generator=generator) - 30
    half = 30 + 40 * torch.rand(count, 2, generator=generator)
    true = torch.cat([centers - half, centers + half], dim=1)
    return features, true, distances(true[:, :, None, None], SIZE)


def _taught(sides: Tensor, features: Tensor) -> Tensor:
    """Factor on each distance, shape (V, 4, S, S)."""
    kernel, constant = sides[:, :-1], sides[:, -1]
    return torch.exp(torch.einsum("tc,vcyx->vtyx", kernel, features) + constant[:, None, None])


def _near(true: Tensor) -> Tensor:
    """The cells that are learnt from."""
    cells = cell_centers(SIZE).numpy()
    middle = (true[:, :2] + true[:, 2:]).numpy() / 2
    away = np.abs(cells[None, None, :] - middle[:, 0, None, None]) + np.abs(
        cells[None, :, None] - middle[:, 1, None, None]
    )
    return torch.from_numpy(away <= REACH_PX)


@given(st.integers(0, 1000))
def test_what_is_linear_in_the_features_is_learnt_whole(seed: int) -> None:
    """With hardly a penalty: the network's boxes are wrong by a known map, and come out right."""
    features, true, sides = _views(8, seed)
    wrong = 0.1 * torch.randn(4, CHANNELS + 1, generator=torch.Generator().manual_seed(seed + 1))
    said = decode(sides / _taught(wrong, features))
    learnt = learn_sides(features, said, true, ridge=1e-9, share=1.0)
    torch.testing.assert_close(learnt, wrong, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_share_of_it_is_taken(share: float) -> None:
    features, true, sides = _views(4, 0)
    said = decode(sides * (1.2 + 0.2 * torch.rand_like(sides)))
    whole = learn_sides(features, said, true, ridge=1.0, share=1.0)
    torch.testing.assert_close(learn_sides(features, said, true, ridge=1.0, share=share),
                               share * whole)  # fmt: skip


def test_it_is_the_least_of_the_penalised_squares() -> None:
    """The gradient of what is minimised, written down anew and by autograd, is zero."""
    features, true, sides = _views(5, 3)
    noise = torch.randn(sides.shape, generator=torch.Generator().manual_seed(4))
    said = decode(sides * torch.exp(0.2 * noise + 0.1))
    ridge = 0.7
    learnt = learn_sides(features, said, true, ridge=ridge, share=1.0).double()
    near = _near(true)
    seen = features.movedim(1, -1)[near].double()
    missing = (sides / distances(said, SIZE)).log().movedim(1, -1)[near].double()
    mean, spread = seen.mean(dim=0), seen.std(dim=0, correction=0)
    spread = spread + 0.05 * spread.mean() + 1e-6
    kernel = (learnt[:, :-1] * spread).T.clone().requires_grad_()  # of standardised features
    constant = (learnt[:, -1] + learnt[:, :-1] @ mean).clone().requires_grad_()
    error = missing - (seen - mean) / spread @ kernel - constant
    loss = error.square().sum() / len(seen) + ridge * kernel.square().sum()
    loss.backward()
    assert kernel.grad.abs().max() < 1e-5
    assert constant.grad.abs().max() < 1e-5


def test_under_a_great_penalty_the_mean_is_left() -> None:
    features, true, sides = _views(4, 5)
    said = decode(sides * torch.tensor([2.0, 0.5, 1.0, 1.0])[None, :, None, None])
    learnt = learn_sides(features, said, true, ridge=1e9, share=1.0)
    torch.testing.assert_close(learnt[:, :-1], torch.zeros(4, CHANNELS))
    want = torch.tensor([0.5, 2.0, 1.0, 1.0]).log()
    torch.testing.assert_close(learnt[:, -1], want, atol=1e-4, rtol=0)


def test_a_target_outside_the_grid_teaches_nothing() -> None:
    features, _, sides = _views(1, 6)
    outside = torch.tensor([[400.0, 400.0, 450.0, 450.0]])
    learnt = learn_sides(features, decode(sides), outside, ridge=1.0, share=1.0)
    torch.testing.assert_close(learnt, torch.zeros(4, CHANNELS + 1))
