"""Track with a progress bar, and keep what is done whatever happens: shared by track and demo."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from tqdm import tqdm

from napari_ocean import formats
from napari_ocean.errors import FormatError
from napari_ocean.tracks import ObjectPrediction, State, Tracks

_WRITE_EVERY_S = 60.0
"""What a kill of the process costs at most; large files are written less often."""


@contextmanager
def _ending_as_by_ctrl_c() -> Iterator[None]:
    """Make of requests to end what Ctrl-C is.

    A closed terminal is ignored where it was (``nohup``), and other threads have no signals.
    """
    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        asked = []
    usual = [number for number in asked if signal.getsignal(number) is signal.SIG_DFL]
    for number in usual:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


@_ending_as_by_ctrl_c()
def follow(
    predictions: Iterable[Iterable[ObjectPrediction]],
    tracks: Tracks,
    out: Path,
    *,
    total: int,
    clip: formats.Clip | None = None,
) -> None:
    """Merge predictions into `tracks` as they come, and write them to a file.

    The file is written every minute and on every way out: at the end, after Ctrl-C, when the video
    breaks, and when the system asks the process to end or the terminal is closed; Windows does not
    ask when it closes one.

    Parameters
    ----------
    predictions : iterable of iterables
        The runs, one after the other, e.g. forwards and backwards.
    tracks : Tracks
        With the boxes to begin with; changed in place.
    out : Path
        Where the boxes go; the suffix tells the format.
    total : int
        Number of predictions expected, for the progress bar.
    clip : Clip, optional
        The video, for formats that have to know it.

    Raises
    ------
    FormatError
        If the file cannot be written at the end; it names another one that has the boxes.
    """
    states: Counter[str] = Counter()
    began = time.perf_counter()
    due = began + _WRITE_EVERY_S
    every_s = 0.1 if sys.stderr.isatty() else 10.0  # in a log file only a line now and then
    outcome = "Stopped; kept"
    try:
        with tqdm(total=total, desc="tracking", unit="box", mininterval=every_s) as bar:
            for prediction in chain.from_iterable(predictions):
                if tracks.merge(prediction):
                    states[prediction.state] += 1
                    bar.update()
                if time.perf_counter() > due:
                    due = _written_on_the_way(out, tracks, clip)
        outcome = "Wrote"
    finally:
        seconds = time.perf_counter() - began
        _write_or_rescue(out, tracks, clip)
        kinds = ", ".join(f"{states[name]} {name}" for name in State)
        rate = states.total() / max(seconds, 1e-9)
        print(
            f"Tracked {states.total()} of {total} boxes in {seconds:.1f} s ({rate:.1f}/s): {kinds}."
        )
        missing = 0 if clip is None else formats.left_out(out, tracks, clip)
        left = f", {missing} left out (lost or outside the picture)" if missing else ""
        print(f"{outcome} {len(tracks) - missing} boxes in {out}{left}")


def _written_on_the_way(out: Path, tracks: Tracks, clip: formats.Clip | None) -> float:
    """Write, if it can be done now, and return when to do it again."""
    began = time.perf_counter()
    with suppress(FormatError):  # the last writing says so, should it fail as well
        formats.write(out, tracks, clip)
    now = time.perf_counter()
    return now + max(_WRITE_EVERY_S, 20 * (now - began))


def _write_or_rescue(out: Path, tracks: Tracks, clip: formats.Clip | None) -> None:
    """Write, or keep the boxes elsewhere and say so in the error."""
    try:
        formats.write(out, tracks, clip)
    except FormatError as error:
        spare = _rescued(tracks, clip)
        raise FormatError(f"{error} The boxes are in {spare}.") from error


def _rescued(tracks: Tracks, clip: formats.Clip | None) -> Path:
    """Write to a new file in the current folder, or else in that for temporary files."""
    spare = Path(f"napari-ocean-{token_hex(4)}.json")
    try:
        formats.write(spare, tracks, clip)
    except FormatError:
        spare = gettempdir() / spare
        formats.write(spare, tracks, clip)
    return spare.resolve()
