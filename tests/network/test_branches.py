"""Two branches at once: the same answers, in threads where they pay, errors and forks included."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator

import pytest
import torch

from napari_ocean.network import LITE, OceanNet
from napari_ocean.network.branches import side_by_side

CPU = torch.device("cpu")


def where() -> str:
    return threading.current_thread().name


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@torch.inference_mode()
def test_in_inference_the_second_has_a_thread_of_its_own(two_cores: None) -> None:
    first, (second, inference) = side_by_side(
        where, lambda: (where(), torch.is_inference_mode_enabled()), CPU
    )
    assert (first, second[:20]) == (where(), "napari-ocean-branch_")
    assert inference


@pytest.mark.parametrize("why", ["gradients", "one core", "a GPU", "threads in layers"])
def test_elsewhere_it_has_not(why: str, two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "one core":
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
    if why == "threads in layers":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    device = torch.device("cuda" if why == "a GPU" else "cpu")
    with torch.inference_mode(why != "gradients"):
        assert side_by_side(where, where, device) == (where(), where())


@torch.inference_mode()
def test_an_error_of_either_is_raised_and_the_thread_lives_on(two_cores: None) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    for pair in [(fail, where), (where, fail)]:
        with pytest.raises(RuntimeError, match="no"):
            side_by_side(*pair, CPU)
    assert side_by_side(lambda: 1, lambda: 2, CPU) == (1, 2)


def _sum_in_child(said: multiprocessing.SimpleQueue) -> None:
    with torch.inference_mode():
        said.put(side_by_side(lambda: 1, lambda: 2, CPU))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_thread_of_its_own(two_cores: None) -> None:
    with torch.inference_mode():
        side_by_side(where, where, CPU)  # the parent's thread runs
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    child = context.Process(target=_sum_in_child, args=(said,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert said.get() == (1, 2)


@torch.inference_mode()
def test_the_network_says_the_same(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = OceanNet(LITE).eval()
    z, x = 255 * torch.rand(1, 3, 127, 127), 255 * torch.rand(1, 3, 255, 255)
    at_once = net(z, x)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    in_turn = net(z, x)
    for one, other in zip(in_turn, at_once, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
