"""The two branches of the network at once, where a CPU has a second core.

Neither branch reads what the other makes until both are done. Threads inside a layer do not pay in
a small network, which waits for them after each one; two threads that meet once do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

First = TypeVar("First")
Second = TypeVar("Second")


def side_by_side(
    first: Callable[[], First], second: Callable[[], Second], device: torch.device
) -> tuple[First, Second]:
    """Results of two computations; where it pays, `second` runs in a thread of its own meanwhile.

    That is in inference on a CPU with a core to spare, when layers have one thread.
    """
    spare = device.type == "cpu" and torch.get_num_threads() == 1 and (os.cpu_count() or 1) > 1
    if not (spare and torch.is_inference_mode_enabled()):
        return first(), second()
    coming = _second_core(os.getpid()).submit(_in_inference_mode, second)
    return first(), coming.result()


def _in_inference_mode(work: Callable[[], Second]) -> Second:
    with torch.inference_mode():  # of this thread
        return work()


@cache
def _second_core(_process: int) -> ThreadPoolExecutor:
    """The thread of a process; a forked one does not inherit it."""
    return ThreadPoolExecutor(1, "napari-ocean-branch", torch.set_num_threads, (1,))
