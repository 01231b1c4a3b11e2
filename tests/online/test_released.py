"""The released loop: its crops and its verdicts, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ocean.online.released import Localisation, localise, sample_patch
from napari_ocean.online.settings import RELEASED

RAMP = np.stack([np.tile(np.arange(200), (100, 1)), np.tile(np.arange(100)[:, None], (1, 200)),
                 np.zeros((100, 200))], axis=-1).astype(np.uint8)  # fmt: skip
"""Channel 0 is x, channel 1 is y."""


def test_a_patch_shows_what_it_says() -> None:
    patch, center, scale = sample_patch(RAMP, np.array([80.0, 50.0]), 0.25, 224)
    # 56 px wide: from 80 - 27 to 80 + 28
    assert scale == pytest.approx(56 / 224)
    assert center.tolist() == [80.5, 50.5]
    middle = patch[111:113, 111:113].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(middle[:2], [80.5, 50.5], atol=0.5)
    assert patch[0, 0, 0] == 53
    assert patch[0, -1, 0] == 108


def test_beyond_the_frame_its_edge_goes_on() -> None:
    patch, _, _ = sample_patch(RAMP, np.array([0.0, 99.0]), 0.5, 64)
    assert (patch[:, :30, 0] == 0).all()
    assert (patch[-30:, :, 1] == 99).all()


def test_large_patches_are_thinned_first() -> None:
    patch, _, scale = sample_patch(RAMP, np.array([100.0, 50.0]), 2.5, 32)
    # 80 px from every second pixel
    assert scale == pytest.approx(80 / 32)
    assert patch[..., 0].min() >= 60


def _map(*peaks: tuple[int, int, float], floor: float = 0.0) -> np.ndarray:
    scores = np.full((14, 14), floor, np.float32)
    for row, column, value in peaks:
        scores[row, column] = value
    return scores


SIZE = np.array([56.0, 56.0])
"""2.2 times this is 7.15 cells: a peak within 3 cells belongs to the target."""


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        (_map((6, 6, 0.9)), Localisation.NORMAL),
        (_map((6, 6, -0.1), floor=-0.2), Localisation.NOT_FOUND),
        (_map((6, 6, 0.9), (6, 9, 0.8)), Localisation.NORMAL),
        (_map((6, 6, 0.9), (6, 11, 0.5)), Localisation.HARD_NEGATIVE),
        (_map((6, 6, 0.9), (6, 11, 0.4)), Localisation.NORMAL),
    ],
)
def test_verdicts(scores: np.ndarray, verdict: Localisation) -> None:
    assert localise(scores, SIZE, RELEASED) is verdict


def test_a_lower_threshold_finds_more_hard_negatives() -> None:
    scores = _map((6, 6, 0.9), (6, 11, 0.4))
    strict = replace(RELEASED, hard_threshold=0.3)
    assert localise(scores, SIZE, strict) is Localisation.HARD_NEGATIVE
