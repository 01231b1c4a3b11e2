"""Precise RoI pooling: the stored row, and an integral taken numerically."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.online.pooling import pool_box
from tests.network.golden import GOLDEN


def test_released_numbers() -> None:
    features = torch.from_numpy(np.random.RandomState(9).standard_normal((13, 13))).float()
    pooled = pool_box(features[None, None], torch.tensor([[5.2, 4.7, 8.9, 9.1]]), 4)
    np.testing.assert_allclose(pooled[0, 0, 0], GOLDEN["prroi_4x4_row0"], rtol=1e-5)


corner = st.floats(-3, 9)


@given(corner, corner, st.floats(0.5, 6), st.floats(0.5, 6))
def test_each_bin_is_the_mean_of_the_interpolated_map(x0, y0, width, height) -> None:
    features = np.random.default_rng(1).standard_normal((6, 7))
    box = torch.tensor([[x0, y0, x0 + width, y0 + height]], dtype=torch.float64)
    pooled = pool_box(torch.from_numpy(features)[None, None], box, 2)[0, 0]

    def hat(points: np.ndarray, cells: int) -> np.ndarray:
        return np.clip(1 - np.abs(points[:, None] - np.arange(cells)), 0, None)

    fine = (np.arange(400) + 0.5) / 400
    values = hat(y0 + fine * height, 6) @ features @ hat(x0 + fine * width, 7).T
    want = values.reshape(2, 200, 2, 200).mean(axis=(1, 3))
    np.testing.assert_allclose(pooled, want, atol=2e-3)


def test_an_empty_box_pools_nothing() -> None:
    pooled = pool_box(torch.ones(1, 1, 4, 4), torch.tensor([[2.0, 1.0, 2.0, 3.0]]), 4)
    assert (pooled == 0).all()
