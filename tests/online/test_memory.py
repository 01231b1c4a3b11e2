"""The sample memory as properties of any sequence of insertions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.online.memory import SampleMemory


def _filled(capacity: int, first: int, lasting_weight: float) -> SampleMemory:
    memory = SampleMemory(capacity, lasting_weight)
    features = torch.arange(first, dtype=torch.float32).reshape(-1, 1, 1, 1)
    memory.fill(features, torch.zeros(first, 2), lasting=lasting_weight > 0)
    return memory


def _names(memory: SampleMemory) -> list[int]:
    return [int(v) for v in memory.used()[0].flatten()]


@given(
    st.integers(1, 6),
    st.integers(1, 8),
    st.floats(0, 0.9),
    st.lists(st.sampled_from([0.0075, 0.02, 0.3]), max_size=40),
)
def test_weights_sum_to_one_and_what_lasts_stays(first, spare, lasting, rates) -> None:
    memory = _filled(first + spare, first, lasting)
    for i, rate in enumerate(rates):
        memory.add(torch.full((1, 1, 1), float(100 + i)), torch.zeros(2), rate)
        features, centers, weights = memory.used()
        assert len(features) == len(centers) == len(weights) <= first + spare
        assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
        assert (weights >= 0).all()
        assert 100 + i in _names(memory)
        if lasting > 0:
            assert set(range(first)) <= set(_names(memory))
            assert float(weights[:first].sum()) >= lasting - 1e-5
    assert len(_names(memory)) == min(first + len(rates), first + spare)


def test_the_rule_of_the_released_memory_by_hand() -> None:
    """Two samples of 1/2; then two of rate 0.2; a third replaces the lightest."""
    memory = _filled(4, 2, lasting_weight=0.0)
    memory.add(torch.full((1, 1, 1), 10.0), torch.zeros(2), 0.2)
    # 1/2 / 0.8 each and 0.2, made to sum to 1
    torch.testing.assert_close(memory.used()[2], torch.tensor([0.625, 0.625, 0.2]) / 1.45)
    memory.add(torch.full((1, 1, 1), 11.0), torch.zeros(2), 0.2)
    before = torch.tensor([0.625, 0.625, 0.2, 0.25])
    torch.testing.assert_close(memory.used()[2], before / before.sum())
    memory.add(torch.full((1, 1, 1), 12.0), torch.zeros(2), 0.2)
    assert _names(memory) == [0, 1, 12, 11]
