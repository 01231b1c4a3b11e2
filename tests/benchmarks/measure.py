"""What the programs share: interleaved timing, memory, and a table to print."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

Work = Callable[[], object]

WARM_UP = 3
"""Rounds that do not count."""


def clock(device: str) -> Callable[[], float]:
    """What times work on a device: on a CPU the process's own time, which others do not take."""
    return time.process_time if device == "cpu" else time.perf_counter


def interleaved(
    works: Mapping[str, Work], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each piece of work in each round; all take turns, so load hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + WARM_UP):
        for name, work in works.items():
            began = clock()
            work()
            taken[name].append(1e3 * (clock() - began))
    return {name: np.array(ms[WARM_UP:]) for name, ms in taken.items()}


def rss_mib() -> float:
    """Memory of this process now."""
    return float(psutil.Process().memory_info().rss) / 2**20


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table under its title."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join("| " + " | ".join(map(str, of)) + " |" for of in lines)
    print(f"\n{title}\n\n{text}", flush=True)
