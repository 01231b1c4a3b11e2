"""The GOT-10k toolkit (``pip install got10k``) runs a tracker of ours.

Its experiments for GOT-10k, OTB, UAV123 and others ask a tracker for a name and to follow a
box through a list of images; :class:`ToolkitTracker` is one, and the toolkit is not needed to make
it. ::

    from got10k.experiments import ExperimentGOT10k
    from napari_ocean.evaluation.toolkits.got10k import ToolkitTracker
    from napari_ocean.tracking import load_tracker

    experiment = ExperimentGOT10k("GOT-10k", subset="test")
    experiment.run(ToolkitTracker(load_tracker("ocean").start, "ocean"))
    experiment.report(["ocean"])  # results/GOT-10k/ocean.zip for the benchmark's server
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.evaluation.toolkits.images import read_rgb

if TYPE_CHECKING:
    from napari_ocean.evaluation.protocols import Start


class ToolkitTracker:
    """A tracker as the toolkit wants one.

    Parameters
    ----------
    start : Start
        Begins to follow a target: ``load_tracker().start``.
    name : str
        Folder of its results.
    origin : int
        What the dataset calls the left column and the top row. The toolkit hands boxes on as they
        are in the files, from 1 for GOT-10k, OTB and UAV123. Its experiment for VOT asks a tracker
        for more than this one has: use :mod:`napari_ocean.evaluation.toolkits.vot`.
    """

    is_deterministic = True

    def __init__(self, start: Start, name: str, *, origin: int = 1) -> None:
        self.name = name
        self._start = start
        self._origin = origin

    def track(
        self, img_files: Sequence[str], box: ArrayLike, visualize: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Follow a box through images.

        Parameters
        ----------
        img_files : sequence of str
            Images in order.
        box : array-like of 4 floats
            ``x, y, width, height`` on the first one.
        visualize : bool
            Part of the toolkit's call; nothing is shown.

        Returns
        -------
        boxes_xywh : ndarray of float64, shape (T, 4)
            Row 0 is the given box.
        seconds : ndarray of float64, shape (T,)
            Time for each image without reading it, the first being the start.
        """
        found = np.empty((len(img_files), 4))
        seconds = np.empty(len(img_files))
        found[0] = boxes.from_xywh(box) - self._origin
        for frame, path in enumerate(img_files):
            image = read_rgb(path)
            began = time.perf_counter()
            if frame == 0:
                session = self._start(image, found[0])
            else:
                found[frame] = session.step(image).box_xyxy
            seconds[frame] = time.perf_counter() - began
        return boxes.to_xywh(found + self._origin), seconds
