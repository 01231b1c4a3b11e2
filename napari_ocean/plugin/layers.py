"""What napari's layers say about pixels and boxes, and back.

Boxes are edge coordinates (pixel (0, 0) covers ``[0, 1)``), napari's data coordinates are
pixel-centre ones (pixel (0, 0) is centred at 0), hence the ``HALF`` pixel between the two. Any
shape counts by its axis-aligned bounding box. Layers only, no windows: this runs without Qt.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from napari.components import Dims
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import BoxError, TracksError, VideoError
from napari_ocean.tracks import Row, Source, State, Tracks
from napari_ocean.video import to_rgb_uint8
from napari_ocean.video.frames import SourceBase

HALF = 0.5
"""Edge coordinate minus napari coordinate of the same place, in pixels."""

DRAWN: dict[str, Any] = {
    "object_id": 0,
    "label": "object",
    "score": 1.0,
    "source": Source.DRAWN.value,
    "state": State.FOUND.value,
    "doubt": "",
}
"""Columns of a boxes layer, with what a box that was just drawn gets.

Id 0 is a new object; doubt is what the label on the screen adds to an uncertain, lost or occluded
box.
"""

LABEL_COLUMNS = ("object_id", "label", "doubt")
"""Columns that the label on the screen is made of."""

HIDDEN = " (hidden)"
"""What the label on the screen adds to a box that is marked occluded."""

PALETTE = (
    "#ffb000", "#4cc9f0", "#f72585", "#80ed99", "#b388ff",
    "#ff7b54", "#2ec4b6", "#f9e547", "#ff9ff3", "#7aa5ff",
)  # fmt: skip
"""Edge colours by object id, readable on dark and on bright frames."""

NO_FRAME = -(2**31)
"""Frame of a shape in a layer without time axis."""

SAME_PX = 1e-3
"""Corners nearer than this are where they were."""

TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine")
"""Events of an image layer that :func:`lie_on` answers."""

_ALL_PLANES = 1e6
"""Scale of the axes that boxes do not have (channel, depth): every plane rounds to their 0."""


class ImageSource(SourceBase):
    """An image layer as a :class:`napari_ocean.video.FrameSource`.

    The layer's settings are read once, here, so that frames may be read in another thread. Two to
    four channels are taken as red, green, blue; of more channels or of planes only the one shown
    counts. Values other than ``uint8`` are scaled by the layer's contrast limits.

    Parameters
    ----------
    layer : napari.layers.Image
        ``(t, y, x)``, ``(t, y, x, 3)``, or with channels or planes between time and height.
    shown : iterable of float
        Data coordinates of the planes on the screen, one per axis of the layer.

    Raises
    ------
    VideoError
        If the layer is a single image.
    """

    def __init__(self, layer: Image, shown: Iterable[float]) -> None:
        self._time = time_axis(layer)
        self._data = layer.data[0] if layer.multiscale else layer.data
        shape = tuple(map(int, self._data.shape))
        self.name = str(layer.name)
        self.height, self.width = frame_hw(layer)
        self._length = shape[self._time]
        planes = np.clip(np.rint(list(shown)), 0, np.array(shape[: layer.ndim]) - 1)
        self._index: list[int | slice] = [int(plane) for plane in planes[:-2]]
        self._colour = _colour_axis(layer, shape)
        if self._colour is not None:
            self._index[self._colour] = slice(None)
        self._value_range = _value_range(layer)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame as RGB uint8, shape (H, W, 3)."""
        where = list(self._index)
        where[self._time] = self._check(index)
        try:
            pixels = _read(self._data[tuple(where)])
        except OSError as error:
            raise VideoError(f"Frame {index} of {self.name} cannot be read: {error}.") from error
        if self._colour is not None:
            pixels = np.moveaxis(pixels, 0, -1)
        return to_rgb_uint8(pixels, value_range=self._value_range)

    def close(self) -> None:
        """Do nothing: the layer owns its pixels."""


def _read(pixels: Any) -> NDArray[Any]:
    """Pixels of a lazy array; of dask's past napari's cache, which two threads at once break."""
    if hasattr(pixels, "__dask_graph__"):
        pixels = pixels.compute(scheduler="sync", callbacks=())
    return np.asarray(pixels)


def _colour_axis(layer: Image, shape: tuple[int, ...]) -> int | None:
    """Axis of the red, green and blue channels in front of the height, if any."""
    others = [axis for axis in range(layer.ndim - 2) if axis != time_axis(layer)]
    if layer.rgb or len(others) != 1 or not 2 <= shape[others[0]] <= 4:
        return None
    depth = str(layer.axis_labels[others[0]]).lower() in ("z", "depth", "plane")
    return None if depth else others[0]


def _value_range(layer: Image) -> tuple[float, float] | None:
    """Values that are black and white on the screen; None for those that need no scaling."""
    dtype = np.dtype(layer.dtype)
    if dtype == np.uint8 or dtype == np.bool_:
        return None
    if layer.rgb:
        return (0.0, float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0)
    low, high = layer.contrast_limits
    return float(low), float(high)


def time_axis(layer: Image) -> int:
    """Axis of the layer that is time: the one labelled so, else the first.

    Raises
    ------
    VideoError
        If the layer is a single image.
    """
    if layer.ndim < 3:
        raise VideoError(
            f"The image layer {layer.name!r} is a single image; choose one with a time axis."
        )
    for axis, label in enumerate(layer.axis_labels[:-2]):
        if str(label).lower() in ("t", "time", "frame", "frames"):
            return axis
    return 0


def n_frames(layer: Image) -> int:
    """Count the frames of an image layer."""
    data = layer.data[0] if layer.multiscale else layer.data
    return int(data.shape[time_axis(layer)])


def frame_hw(layer: Image) -> tuple[int, int]:
    """Height and width of an image layer's frames in pixels."""
    data = layer.data[0] if layer.multiscale else layer.data
    height, width = data.shape[layer.ndim - 2 : layer.ndim]
    return int(height), int(width)


def shown(image: Image, dims: Dims) -> FloatArray:
    """Where the viewer is, in data coordinates of an image layer, shape (ndim,)."""
    return np.asarray(image.world_to_data(dims.point), dtype=float)


def current_frame(image: Image, dims: Dims) -> int:
    """Frame of the image layer that the viewer shows; the nearest one outside of it."""
    frame = round(float(shown(image, dims)[time_axis(image)]))
    return min(max(frame, 0), n_frames(image) - 1)


def show_frame(image: Image, dims: Dims, frame: int) -> None:
    """Move the viewer to a frame of the image layer, the nearest one that there is."""
    point = shown(image, dims)
    point[time_axis(image)] = min(max(frame, 0), n_frames(image) - 1)
    axis = time_axis(image) - image.ndim
    dims.set_point(axis % dims.ndim, float(image.data_to_world(point)[axis]))


class LayerBoxes(NamedTuple):
    """Bounding boxes of a shapes layer in frame pixels.

    Attributes
    ----------
    frames : ndarray of int64, shape (N,)
        Frame of each shape; ``NO_FRAME`` where the layer has no time axis.
    boxes_xyxy : ndarray of float64, shape (N, 4)
        Edge coordinates.
    flat : ndarray of bool, shape (N,)
        False where a shape spans several frames.
    corners : list of ndarray of float, shape (V, ndim) each
        The shapes as napari has them.
    """

    frames: NDArray[np.int64]
    boxes_xyxy: FloatArray
    flat: NDArray[np.bool_]
    corners: list[FloatArray]


def read_boxes(shapes: Shapes, image: Image, *, own: bool = False) -> LayerBoxes:
    """Bounding box and frame of every shape, in the pixels of an image layer.

    A layer of as many axes as the image is read axis by axis, one of three axes as ``(t, y, x)``,
    one of two as ``(y, x)`` without time. The transforms of both layers are respected.

    Parameters
    ----------
    shapes : napari.layers.Shapes
    image : napari.layers.Image
    own : bool
        The layer is the image's boxes layer, which holds image pixels wherever it is shown.
    """
    corners = shapes.data
    if not corners:
        nothing = np.zeros(0)
        return LayerBoxes(nothing.astype(np.int64), np.zeros((0, 4)), nothing.astype(bool), [])
    here = np.eye(image.ndim), np.zeros(image.ndim)
    matrix, offset = here if own else _affine(shapes, image)
    low, high = _extents(corners, matrix, offset)
    time = time_axis(image)
    frames = np.rint((low[:, time] + high[:, time]) / 2).astype(np.int64)
    if shapes.ndim == 2:
        frames = np.full(len(low), NO_FRAME, dtype=np.int64)
    flat = high[:, time] - low[:, time] < HALF
    xyxy = np.stack([low[:, -1], low[:, -2], high[:, -1], high[:, -2]], axis=1) + HALF
    return LayerBoxes(frames, xyxy, flat, corners)


def tilted(corners: FloatArray, kind: str) -> bool:
    """Whether a shape is a rectangle that was turned: its box is that of its extent."""
    plane = corners[:, -2:]
    low, high = plane.min(axis=0), plane.max(axis=0)
    at_side = np.isclose(plane, low, atol=SAME_PX) | np.isclose(plane, high, atol=SAME_PX)
    return bool(kind == "rectangle" and not at_side.all())


def clicked(corners: FloatArray, shapes: Shapes) -> bool:
    """Whether a shape is what napari makes of a click with a drawing tool, without a drag."""
    sides = np.ptp(corners[:, -2:], axis=0)
    least = shapes._normalized_vertex_radius / 2  # there is no public name for it
    return bool(len(corners) == 4 and np.allclose(sides, least, rtol=1e-3))


def problem(found: LayerBoxes, row: int, image: Image, of: str = "A shape") -> str | None:
    """Say in a sentence why a shape cannot be a target, or None."""
    frame, last = int(found.frames[row]), n_frames(image) - 1
    if not found.flat[row]:
        return f"{of} spans several frames and is not used; draw it on one frame."
    if frame != NO_FRAME and not 0 <= frame <= last:
        return f"{of} lies on frame {frame}, but the clip has 0 to {last}; it is not used."
    try:
        boxes.check(found.boxes_xyxy[row], frame_hw(image))
    except BoxError as error:
        where = "" if frame == NO_FRAME else f" on frame {frame}"
        return f"{of}{where} is not used. {error}"
    return None


def _extents(
    vertices: list[FloatArray], matrix: FloatArray, offset: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest image coordinate of each shape, ``(N, ndim)`` each."""
    counts = [len(shape) for shape in vertices]
    points = np.concatenate(vertices) @ matrix.T + offset
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)


def _affine(shapes: Shapes, image: Image) -> tuple[FloatArray, FloatArray]:
    """Matrix and offset from the data of ``shapes`` to those of ``image``, found by probing."""
    time, ndim = time_axis(image), image.ndim

    def convert(point: FloatArray) -> FloatArray:
        world = np.asarray(shapes.data_to_world(point), dtype=float)
        full = np.zeros(ndim)
        if len(world) >= ndim:
            full[:] = world[-ndim:]
        else:
            full[-2:] = world[-2:]
            if len(world) >= 3:
                full[time] = world[-3]
        return np.asarray(image.world_to_data(full), dtype=float)

    offset = convert(np.zeros(shapes.ndim))
    columns = [convert(unit) - offset for unit in np.eye(shapes.ndim)]
    return np.stack(columns, axis=1), offset


def rectangle(frame: int, box_xyxy: FloatArray, image: Image) -> FloatArray:
    """Corners of a box as napari wants them in the image's axes, shape (4, ndim)."""
    (corners,) = rectangles(np.array([frame]), np.asarray(box_xyxy)[None], image)
    return np.asarray(corners)


def rectangles(frames: NDArray[np.intp], boxes_xyxy: FloatArray, image: Image) -> FloatArray:
    """Corners of boxes ``(N, 4)`` on their frames ``(N,)``, shape (N, 4, ndim)."""
    x0, y0, x1, y1 = (boxes_xyxy - HALF).T
    corners = np.zeros((len(frames), 4, image.ndim))
    corners[:, :, time_axis(image)] = frames[:, None]
    corners[:, :, -2] = np.stack([y0, y0, y1, y1], axis=1)
    corners[:, :, -1] = np.stack([x0, x1, x1, x0], axis=1)
    return corners


def features(rows: Iterable[Row]) -> dict[str, NDArray[Any]]:
    """Feature table of some boxes, with the columns of :data:`DRAWN`."""
    of = list(rows)
    doubt = [
        ("" if row.box.state is State.FOUND else "?") + (HIDDEN if row.box.occluded else "")
        for row in of
    ]
    return {
        "object_id": np.array([row.object_id for row in of], dtype=np.int64),
        "label": np.array([row.label for row in of], dtype=object),
        "score": np.array([row.box.score for row in of], dtype=np.float64),
        "source": np.array([row.box.source.value for row in of], dtype=object),
        "state": np.array([row.box.state.value for row in of], dtype=object),
        "doubt": np.array(doubt, dtype=object),
    }


def color(object_id: int) -> str:
    """Edge colour of an object, as ``#rrggbb``."""
    return PALETTE[(object_id - 1) % len(PALETTE)]


def color_of(tracks: Tracks, object_id: int) -> str:
    """Edge colour of an object: the one a person gave it, else that of its id."""
    with suppress(TracksError):
        return tracks.info(object_id).color or color(object_id)
    return color(object_id)


def score_rgba(score: float) -> FloatArray:
    """Colour of a score: red at 0, yellow at 1/2, green at 1."""
    return np.array([min(2 - 2 * score, 1), min(2 * score, 1), 0.2, 1])


def rgba(color_hex: str) -> FloatArray:
    """Turn ``#rrggbb`` into red, green, blue, alpha in [0, 1], shape (4,)."""
    return np.array([*bytes.fromhex(color_hex[1:]), 255]) / 255


def boxes_layer(image: Image) -> Shapes:
    """Make an empty, editable layer for the boxes of an image layer, lying exactly on it."""
    above = [0.0] * (image.ndim - 2) + [-max(frame_hw(image)) / 50, 0.0]
    with warnings.catch_warnings():
        # Ids are few integers: napari rightly takes them for categories, and warns about it.
        warnings.filterwarnings("ignore", message="Feature 'object_id' looks like categorical")
        layer = Shapes(
            ndim=image.ndim,
            name=boxes_layer_name(image),
            features=features(()),
            feature_defaults=DRAWN,
            edge_color=PALETTE[0],
            edge_width=edge_width(image),
            face_color="transparent",
            opacity=1.0,
            text={
                "string": "{label} {object_id}{doubt}",
                "size": 9,
                "color": "white",
                "anchor": "upper_left",
                "translation": above,
            },
            axis_labels=image.axis_labels,
            units=image.units,
        )
    lie_on(layer, image)
    return layer


def lie_on(layer: Shapes, image: Image) -> None:
    """Give a boxes layer the transforms of its image, so that image pixels show in their place.

    Axes between time and height (channels, planes) are stretched so far that the boxes show on
    all of them.
    """
    scale = np.asarray(image.scale, dtype=float).copy()
    for axis in range(image.ndim - 2):
        if axis != time_axis(image):
            scale[axis] = _ALL_PLANES
    layer.scale = scale
    layer.rotate = image.rotate
    layer.shear = image.shear
    layer.translate = image.translate
    layer.affine = image.affine.affine_matrix.copy()


def edge_width(image: Image) -> float:
    """Line width in image pixels that stays visible when the whole frame is shown."""
    return max(1.0, round(max(frame_hw(image)) / 320))


def boxes_layer_name(image: Image) -> str:
    """Name of the layer that holds the boxes of an image layer."""
    return f"{image.name} boxes"


def is_boxes_layer(layer: Shapes, image: Image) -> bool:
    """Whether a shapes layer has the columns and axes of a boxes layer for the image."""
    return layer.ndim == image.ndim and set(DRAWN) <= set(layer.features.columns)


def in_hand(layer: Shapes) -> bool:
    """Whether a person is in the middle of drawing or dragging a shape of the layer.

    napari's own flags are asked, as its events cannot be trusted here: dragging a vertex tells of
    no beginning, a vertex that an ellipse refuses to lose tells of no end.
    """
    return bool(layer._is_creating or layer._is_moving)


def put_down(layer: Shapes) -> None:
    """Finish a shape that is being drawn, as Escape does; an unfinished polygon is closed.

    Setting the mode alone would keep the corner that hangs on the mouse pointer.
    """
    layer._finish_drawing()


def numbers(column: Iterable[Any], default: float) -> list[float]:
    """Column of a feature table as finite floats, `default` where there is no number."""
    return [_number(value, default) for value in column]


def _number(value: Any, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if math.isfinite(number) else default
