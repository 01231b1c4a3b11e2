"""A network at work: without gradients, on the number of CPU threads that suits its layers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_ocean.network.ocean import OceanNet


class _Threads:
    """The number of threads of PyTorch's layers, which is the whole process's.

    What it was before the first of the networks now at work is given back by each of them, so that
    two that overlap do not leave one the other's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._usual = 0

    @contextmanager
    def lent(self, wanted: int | None) -> Iterator[None]:
        with self._lock:
            if not self._at_work:
                self._usual = torch.get_num_threads()
            self._at_work += 1
            torch.set_num_threads(wanted or self._usual)
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                torch.set_num_threads(self._usual)


_threads = _Threads()


@contextmanager
def inference(net: OceanNet) -> Iterator[None]:
    """Run a network without gradients, on as many threads as suit it."""
    with _threads.lent(net.preset.cpu_threads), torch.inference_mode():
        yield
