"""One-pass evaluation: from the first true box to the last frame, without help (OTB's OPE).

One job is one sequence in one single-threaded process; the trackers of a job take turns on each
decoded frame, so that their times compare. What is finished lies on disk
(:mod:`napari_ocean.evaluation.store`), so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError, OceanError
from napari_ocean.evaluation.datasets import Run
from napari_ocean.evaluation.datasets import Sequence as Clip
from napari_ocean.evaluation.protocols import Start
from napari_ocean.evaluation.store import DETAILS, Store
from napari_ocean.evaluation.trackers import TrackerSpec, make

Result = TypeVar("Result")

_TASKS = 20
"""After so many jobs each, processes make room for others: a network that is compiled for OpenVINO
leaves some 10 MiB behind (torch keeps what it traced)."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROBED_FRAMES = 20


@dataclass(frozen=True, slots=True)
class StartUp:
    """What it takes to begin, measured in a process of its own.

    Attributes
    ----------
    seconds : float
        From nothing loaded to the first box taken in: imports, weights, first frame.
    peak_mib : float or None
        Most memory the process held while it followed the first frames; None where the system
        does not tell (it does on Linux).
    """

    seconds: float
    peak_mib: float | None


def run_once(start: Start, sequence: Clip) -> Run:
    """Follow the first true box to the end.

    Raises
    ------
    DataError
        If the sequence has no true box on its first frame, or too few frames.
    """
    return run_together({"": start}, sequence)[0][""]


def run_together(
    starts: Mapping[str, Start], sequence: Clip
) -> tuple[dict[str, Run], tuple[int, int]]:
    """Follow with several trackers that take turns on each frame; also the frames' ``(H, W)``.

    Every frame is decoded once, outside the time; another tracker is first on each frame.
    """
    names = list(starts)
    total = len(sequence)
    found = {name: np.empty((total, 4)) for name in names}
    scores = {name: np.ones(total) for name in names}
    seconds = {name: np.empty(total) for name in names}
    given = _given_box(sequence)
    with sequence.open() as video:
        first = video.frame(0)
        sessions = {}
        for name in names:
            began = time.perf_counter()
            sessions[name] = starts[name](first, given)
            seconds[name][0] = time.perf_counter() - began
            found[name][0] = given
        for frame in range(1, total):
            image = video.frame(frame)
            turn = frame % len(names)
            for name in names[turn:] + names[:turn]:
                began = time.perf_counter()
                prediction = sessions[name].step(image)
                seconds[name][frame] = time.perf_counter() - began
                found[name][frame] = prediction.box_xyxy
                scores[name][frame] = prediction.score
    runs = {name: Run(found[name], scores[name], seconds[name]) for name in names}
    return runs, (video.height, video.width)


Job = tuple[dict[str, TrackerSpec], Clip, Store]
"""Trackers to run on a sequence, and where to keep what they find."""


def missing(specs: Mapping[str, TrackerSpec], sequences: Sequence[Clip], store: Store) -> list[Job]:
    """What is not on disk yet, the longest first, so that processes end together.

    Parameters
    ----------
    specs : mapping of str to TrackerSpec
        Trackers by the name under which their results are kept.
    sequences : sequence of Sequence
    store : Store
    """
    jobs = []
    for sequence in sequences:
        left = {n: spec for n, spec in specs.items() if store.kept(DETAILS, n, sequence) is None}
        if left:
            jobs.append((left, sequence, store))
    return sorted(jobs, key=lambda job: len(job[0]) * len(job[1]), reverse=True)


def run(specs: Mapping[str, TrackerSpec], sequence: Clip, store: Store) -> int:
    """Do one job, usually by :func:`in_processes`; the number of tracked frames."""
    starts = {name: made(pickle.dumps(spec)) for name, spec in specs.items()}
    runs, frame_hw = run_together(starts, sequence)
    for name, found in runs.items():
        store.write(name, sequence, found, frame_hw)
    return len(runs) * len(sequence)


def start_up(tracker: str, spec: TrackerSpec, sequence: Clip, store: Store) -> StartUp:
    """Start-up time and peak memory of one tracker in a fresh process; measured once, then kept."""
    kept = store.kept("start-up", tracker, sequence)
    if kept is not None:
        return StartUp(kept["seconds"], kept["peak_mib"])
    (measured,) = in_processes(_probe, [(spec, sequence)], 1)
    store.keep("start-up", tracker, sequence, asdict(measured))
    return measured


def in_processes(
    function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[Result]:
    """Call a function for each job's arguments in single-threaded processes, results as they come.

    A program that uses this needs ``if __name__ == "__main__":``, since processes are spawned.

    Raises
    ------
    OceanError
        The first one of a job, or if a process was killed; what other jobs wrote stays.
    """
    at_once = _TASKS * processes  # Python's own max_tasks_per_child hangs (gh-115634)
    for first in range(0, len(jobs), at_once):
        some = jobs[first : first + at_once]
        with _workers(processes) as pool:
            for job in as_completed([pool.submit(function, *arguments) for arguments in some]):
                yield job.result()


def _probe(spec: TrackerSpec, sequence: Clip) -> StartUp:
    given = _given_box(sequence)
    with sequence.open() as video:
        frames = [video.frame(i) for i in range(min(_PROBED_FRAMES, len(sequence)))]
    began = time.perf_counter()
    session = make(spec)(frames[0], given)
    seconds = time.perf_counter() - began
    for frame in frames[1:]:
        session.step(frame)
    return StartUp(seconds, _peak_mib())


@lru_cache
def made(pickled_spec: bytes) -> Start:
    """One tracker for all sequences of a process; the :class:`TrackerSpec` is pickled."""
    return make(pickle.loads(pickled_spec))


def _given_box(sequence: Clip) -> FloatArray:
    truth = sequence.truth_xyxy
    if not len(sequence) or not np.isfinite(truth[0]).all():
        raise DataError(f"{sequence.name} has no true box on its first frame to start from.")
    return np.asarray(truth[0])


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned single-threaded processes that end with this one, however it ends."""
    before = {name: os.environ.get(name) for name in _THREADS}
    mine = set(multiprocessing.active_children())
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read when a child loads its libraries
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise OceanError(
            "A process of this evaluation was ended from outside, perhaps for lack of memory; "
            "run the same command again to go on, with fewer --processes."
        ) from error
    except BaseException:  # Ctrl-C too
        for child in set(multiprocessing.active_children()) - mine:
            child.terminate()  # else a sequence of minutes would have to end first
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # spares the progress bar
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: SpawnProcess) -> None:
    """Leave when the parent is gone; a killed one cannot tell its children."""
    parent.join()
    os._exit(1)


def _peak_mib() -> float | None:
    """High-water mark of this process (``getrusage`` would tell the parent's, kept over exec)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    text = status.read_text(encoding="utf-8")
    lines = dict(line.partition(":")[::2] for line in text.splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024
