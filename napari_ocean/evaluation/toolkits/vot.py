"""The VOT toolkit runs a tracker of ours, through the TraX protocol.

The toolkit starts this module as a process of its own and talks to it: it names an image and a
region, then image after image, and gets a rectangle and a confidence for each. So the toolkit and
this package may live in different environments; ours needs ``vot-trax`` only. In the toolkit's
``trackers.ini``::

    [ocean]
    label = napari-ocean
    protocol = trax
    command = python -m napari_ocean.evaluation.toolkits.vot --model OceanV18on.pth ...

Then ``vot evaluate --workspace DIR ocean`` and ``vot analysis --workspace DIR ocean`` give expected
average overlap, accuracy and robustness (Kristan et al., TPAMI 2016) by the official code.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError, OceanError
from napari_ocean.evaluation.toolkits.images import read_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_ocean.evaluation.protocols import Session, Start


def serve(start: Start, name: str) -> None:
    """Answer the toolkit until it hangs up; standard input and output belong to it meanwhile.

    Parameters
    ----------
    start : Start
        Begins to follow a target.
    name : str
        What the tracker calls itself.

    Raises
    ------
    DataError
        If ``vot-trax`` is not installed, or the toolkit wants several targets followed.
    """
    try:
        import trax
    except ImportError as error:
        raise DataError("The VOT toolkit needs TraX: pip install vot-trax.") from error
    regions = [trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK]
    with trax.Server(regions, [trax.Image.PATH], tracker_name=name) as server:
        session: Session | None = None
        while (request := server.wait()).type != trax.TraxStatus.QUIT:
            frame = read_rgb(request.image[trax.ImageChannel.COLOR].path())
            if request.type == trax.TraxStatus.INITIALIZE:
                box_xyxy = _given_box(request.objects)
                session, score = start(frame, box_xyxy), 1.0
            elif session is None:
                raise DataError("The VOT toolkit sent a frame before it gave a target.")
            else:
                found = session.step(frame)
                box_xyxy, score = found.box_xyxy, found.score
            rectangle = trax.Rectangle.create(*boxes.to_xywh(box_xyxy).tolist())
            server.status([(rectangle, {"confidence": f"{score:.6f}"})])


def _given_box(objects: Sequence[tuple[Any, Any]]) -> FloatArray:
    """Box of the one target that the toolkit gives."""
    if len(objects) != 1:
        raise DataError(f"One target can be followed at a time, not {len(objects)}.")
    region = objects[0][0]
    if region.type == "rectangle":
        return boxes.from_xywh(region.bounds())
    if region.type == "mask":
        rows, columns = np.nonzero(region.array())
        corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        box_xyxy: FloatArray = np.array(corners, dtype=np.float64) + np.tile(region.offset(), 2)
        return box_xyxy
    return polygon_box([region.get(corner) for corner in range(region.size())])


def polygon_box(corners_xy: ArrayLike) -> FloatArray:
    """Upright box that a tracker is given for a polygon.

    For four corners it has the polygon's centre, the aspect ratio of the smallest box around it,
    and the area of the rotated rectangle that VOT labelled, plus 1 px on each side: what TracKit
    and the got10k toolkit start from, and what Ocean's numbers on VOT 2018 and 2019 rest on. For
    others it is the smallest box around the corners.

    Parameters
    ----------
    corners_xy : array-like, shape (N, 2)
        In order around the target.

    Returns
    -------
    ndarray of float64, shape (4,)
    """
    corners = np.asarray(corners_xy, dtype=np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if len(corners) != 4 or not (high > low).all():
        return np.concatenate([low, high])
    sides = np.linalg.norm(np.diff(corners[:3], axis=0), axis=1)
    size_wh = np.sqrt(sides.prod() / (high - low).prod()) * (high - low) + 1
    return boxes.from_center(corners.mean(axis=0), size_wh)


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the tracker and serve it; ``python -m napari_ocean.evaluation.toolkits.vot --help``."""
    from napari_ocean.tracking import ONLINE, RELEASED, load_tracker

    parser = argparse.ArgumentParser(description="A tracker for the VOT toolkit, through TraX.")
    parser.add_argument("--model", default="lite", help="preset or weights file")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--settings", choices=list(RELEASED), help="the released code's settings for a benchmark"
    )
    parser.add_argument(
        "--online", choices=list(ONLINE), default="default", help="how the online update works"
    )
    args = parser.parse_args(arguments)
    settings = RELEASED[args.settings] if args.settings else None
    online = ONLINE[args.online]
    try:
        tracker = load_tracker(
            args.model, device=args.device, settings=settings, online=online, fast=False
        )
        serve(tracker.start, "napari-ocean")
    except OceanError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
