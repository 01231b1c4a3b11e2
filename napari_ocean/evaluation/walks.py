"""What a tracker finds from drawn boxes, each walk over the frames made once.

A tracker gives the same boxes for the same frames, so methods and bounds that ask for the same walk
share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.evaluation.protocols import Session, Start
from napari_ocean.tracks import Prediction, State
from napari_ocean.video import FrameSource

FRAMES_MIB = 256
"""Decoded frames that are kept, of one sequence."""

LIVE = 6
"""Sessions that are kept to go on with; one of ours holds some 20 MiB."""

_Walk = tuple[int, int, tuple[int, ...]]
"""Frame to begin on, step, and frames whose boxes teach the tracker beforehand."""


class Walks:
    """Walks of one tracker through one sequence, from its true boxes.

    Parameters
    ----------
    make : callable
        Makes the tracker, when it is first needed.
    video : FrameSource
    truth_xyxy : ndarray of float64, shape (T, 4)
    examples : int
        Further drawn boxes that the tracker learns from when it starts.
    """

    def __init__(
        self,
        make: Callable[[], Start],
        video: FrameSource,
        truth_xyxy: FloatArray,
        examples: int = 0,
    ) -> None:
        self._make = make
        self._start: Start | None = None
        self._video = video
        self._truth_xyxy = truth_xyxy
        self._examples = examples
        self._found: dict[_Walk, list[Prediction]] = {}
        self._live: dict[_Walk, Session] = {}
        self._frames: dict[int, NDArray[np.uint8]] = {}

    def between(self, first: int, last: int, drawn: Iterable[int]) -> list[Prediction]:
        """Follow from the drawn box of one frame to another frame, in either direction.

        Parameters
        ----------
        first, last : int
        drawn : iterable of int
            Frames that a person has drawn the target on; those nearest to `first` are examples.

        Returns
        -------
        list of Prediction, length ``abs(last - first) + 1``
            In the order of the walk; the first is the drawn box.
        """
        nearest = sorted(set(drawn) - {first}, key=lambda frame: abs(frame - first))
        walk = first, 1 if last >= first else -1, tuple(nearest[: self._examples])
        n = abs(last - first) + 1
        if len(self._found.get(walk, ())) < n:
            self._go_on(walk, n)
        return self._found[walk][:n]

    def _go_on(self, walk: _Walk, n: int) -> None:
        """Have `n` frames of a walk, from where its session stands or else from its beginning."""
        first, step, _ = walk
        session = self._live.pop(walk, None)
        if session is None:
            session = self._begin(walk)
            box = self._truth_xyxy[first]
            self._found[walk] = [Prediction(box_xyxy=box, score=1.0, state=State.FOUND)]
        found = self._found[walk]
        for k in range(len(found), n):
            found.append(session.step(self._frame(first + step * k)))
        self._live[walk] = session
        if len(self._live) > LIVE:
            del self._live[next(iter(self._live))]

    def _begin(self, walk: _Walk) -> Session:
        self._start = self._start or self._make()
        shown = [(self._frame(k), self._truth_xyxy[k]) for k in (walk[0], *walk[2])]
        return self._start(*shown[0], examples=shown[1:])

    def _frame(self, index: int) -> NDArray[np.uint8]:
        """A frame; the first ones asked for stay in memory."""
        frame = self._frames.get(index)
        if frame is None:
            frame = self._video.frame(index)
            if (len(self._frames) + 1) * frame.nbytes <= FRAMES_MIB * 2**20:
                self._frames[index] = frame
        return frame
