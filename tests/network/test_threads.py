"""Threads of a network at work, which are the whole process's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from napari_ocean.network import LITE, OCEAN, Preset, inference


class Net:
    """As much of a network as it takes."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset


@pytest.fixture
def usual() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def threads_of_a_new_thread() -> int:
    seen: list[int] = []
    new = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    new.start()
    new.join()
    return seen[0]


def test_a_network_has_its_own_number_and_gives_it_back(usual: int) -> None:
    for preset, threads in ((LITE, 1), (OCEAN, usual)):
        with inference(Net(preset)):
            assert (torch.get_num_threads(), torch.is_inference_mode_enabled()) == (threads, True)
        assert (torch.get_num_threads(), torch.is_inference_mode_enabled()) == (usual, False)
    with pytest.raises(ZeroDivisionError), inference(Net(LITE)):
        _ = 1 / 0
    assert torch.get_num_threads() == usual


@pytest.mark.parametrize("second", [LITE, OCEAN], ids=lambda preset: preset.name)
def test_two_at_work_do_not_leave_one_the_others_number(usual: int, second: Preset) -> None:
    """The second begins while the first is at work, and ends after it."""
    begun, ended = threading.Event(), threading.Event()
    seen: list[int] = []

    def work() -> None:
        with inference(Net(second)):
            seen.append(torch.get_num_threads())
            begun.set()
            assert ended.wait(60)

    other = threading.Thread(target=work)
    with inference(Net(LITE)):
        other.start()
        assert begun.wait(60)
    ended.set()
    other.join()
    assert seen == [second.cpu_threads or usual]
    assert threads_of_a_new_thread() == usual
