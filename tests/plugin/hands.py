"""What a person and a run do to a session, without a window."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from napari_ocean.plugin import layers
from napari_ocean.plugin.session import Session
from napari_ocean.tracks import ObjectPrediction, State

N_FRAMES = 30


def box(x: float, y: float = 10.0) -> NDArray[np.float64]:
    return np.array([x, y, x + 20, y + 16])


def draw(session: Session, frame: int, *drawn: NDArray[np.float64]) -> list[str]:
    shapes = [layers.rectangle(frame, one, session.image) for one in drawn]
    session.layer.add_rectangles(shapes)
    session.pull()
    return session.take_news()


def track(session: Session, object_id: int, frames: Iterable[int], x: float = 10) -> None:
    session.record(
        ObjectPrediction(
            object_id=object_id,
            frame=frame,
            box_xyxy=box(x + frame),
            score=0.5,
            state=State.UNCERTAIN,
        )
        for frame in frames
    )
    session.flush()


def change(session: Session, row: int, shift: tuple[float, ...]) -> None:
    """Move one shape as a person does, as far as the layer can tell."""
    vertices = session.layer.data
    vertices[row] = vertices[row] + np.array(shift)
    session.layer.data = vertices


def row_of(session: Session, object_id: int, frame: int) -> int:
    found = layers.read_boxes(session.layer, session.image)
    ids = session.layer.features["object_id"]
    (row,) = np.flatnonzero((ids == object_id) & (found.frames == frame))
    return int(row)


def assert_in_step(session: Session) -> None:
    """The layer shows every box of the model, with its features, and nothing else."""
    found = layers.read_boxes(session.layer, session.image)
    table = session.layer.features
    assert session.layer.nshapes == len(table) == len(session.tracks)
    shown = {(int(table["object_id"][k]), int(found.frames[k])): k for k in range(len(table))}
    for row in session.tracks.rows():
        k = shown[row.object_id, row.frame]
        assert_allclose(found.boxes_xyxy[k], row.box.box_xyxy, atol=1e-3)
        assert tuple(table.loc[k, ["label", "score", "source", "state"]]) == (
            row.label,
            row.box.score,
            row.box.source.value,
            row.box.state.value,
        )


def found(object_id: int, frame: int, box_xyxy: NDArray[np.float64]) -> ObjectPrediction:
    return ObjectPrediction(
        object_id=object_id, frame=frame, box_xyxy=box_xyxy, score=1.0, state=State.FOUND
    )
