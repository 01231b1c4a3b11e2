"""The score strip: one line per object along the time axis, painted by what each frame is.

Click or drag in it to go to a frame. Arrays in, frames out; it knows nothing of tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QEvent, QPoint, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_ocean.annotation.review import Mark

COLORS = {
    Mark.NOTHING: "#00000000",
    Mark.ABSENT: "#ff8a8f98",
    Mark.KEYFRAME: "#ff5b8def",
    Mark.TRACKED: "#ff2a9d8f",
    Mark.INTERPOLATED: "#ffb08ae6",
    Mark.RISKY: "#ffe76f51",
}
"""``#aarrggbb`` of each mark, told apart on dark and on light and by the colour-blind."""

WORDS = {
    Mark.NOTHING: "no box",
    Mark.ABSENT: "out of view",
    Mark.KEYFRAME: "yours",
    Mark.TRACKED: "tracked",
    Mark.INTERPOLATED: "interpolated",
    Mark.RISKY: "look here",
}

_RANK = (Mark.NOTHING, Mark.TRACKED, Mark.INTERPOLATED, Mark.ABSENT, Mark.KEYFRAME, Mark.RISKY)
"""Where several frames share a pixel the last of these shows."""

_RANK_OF = np.array([_RANK.index(mark) for mark in sorted(Mark)], dtype=np.uint8)
_ARGB = np.array([int(COLORS[mark][1:], 16) for mark in _RANK], dtype=np.uint32)

_HEIGHT_PX = 48
_ROW_PX = range(3, _HEIGHT_PX + 1)
_SCORED_PX = 12
"""From this height on, a row is as high as its scores."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """One object in the strip.

    Attributes
    ----------
    object_id : int
    name : str
    marks : ndarray of uint8, shape (T,)
        A :class:`~napari_ocean.annotation.review.Mark` for each frame.
    scores : ndarray of float, shape (T,), optional
        Confidence in ``[0, 1]``, NaN where there is none.
    """

    object_id: int
    name: str
    marks: NDArray[np.uint8]
    scores: NDArray[np.float64] | None = None


class ScoreStrip(QWidget):
    """The strip; a line shows the frame in view.

    Attributes
    ----------
    clicked : Signal(int, int)
        Frame and object id (0 where there is none) that a person clicked or dragged to.
    """

    clicked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_HEIGHT_PX)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._lanes: list[Lane] = []
        self._n_frames = 1
        self._frame = 0
        self._image: QImage | None = None

    def sizeHint(self) -> QSize:
        """As wide as it gets."""
        return QSize(260, _HEIGHT_PX)

    def show_lanes(self, lanes: Sequence[Lane], n_frames: int) -> None:
        """Paint these objects over a clip of so many frames."""
        self._lanes = list(lanes)
        self._n_frames = max(n_frames, 1)
        self._image = None
        self.update()

    def show_frame(self, frame: int) -> None:
        """Move the line to a frame."""
        if frame != self._frame:
            self._frame = frame
            self.update()

    def frame_at(self, x: float) -> int:
        """Frame that is painted at a distance in pixels from the left."""
        return min(max(int(x * self._n_frames / max(self.width(), 1)), 0), self._n_frames - 1)

    def lane_at(self, y: float) -> Lane | None:
        """Object that is painted at a distance in pixels from the top."""
        n = len(self._lanes)
        row = int(y // self._row_px)
        return self._lanes[row * self._per_row] if 0 <= row * self._per_row < n else None

    # -- painting ----------------------------------------------------------------------------------

    @property
    def _per_row(self) -> int:
        """Objects that share a row, so that all find a place."""
        return max(1, -(-len(self._lanes) * _ROW_PX.start // _HEIGHT_PX))

    @property
    def _row_px(self) -> int:
        rows = -(-len(self._lanes) // self._per_row)
        return min(max(_HEIGHT_PX // max(rows, 1), _ROW_PX.start), _ROW_PX.stop - 1)

    def pixels(self) -> NDArray[np.uint32]:
        """The strip as it is painted, without the line: ARGB, shape (height, width)."""
        width, row_px = max(self.width(), 1), self._row_px
        picture = np.zeros((self.height(), width), dtype=np.uint32)
        for row, first in enumerate(range(0, len(self._lanes), self._per_row)):
            of = self._lanes[first : first + self._per_row]
            rank = np.max([_RANK_OF[lane.marks] for lane in of], axis=0)
            colors = _ARGB[shrink(rank, width)]
            gap = 1 if row_px > 4 else 0
            part = picture[row * row_px : (row + 1) * row_px - gap]
            part[:] = colors
            scores = of[0].scores
            if scores is not None and len(of) == 1 and row_px >= _SCORED_PX:
                _cut(part, scores)
        return picture

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the rows, then the line of the frame in view."""
        if self._image is None:
            picture = np.ascontiguousarray(self.pixels())
            height, width = picture.shape
            shared = QImage(picture.tobytes(), width, height, QImage.Format.Format_ARGB32)
            self._image = shared.copy()
        painter = QPainter(self)
        back = self.palette().color(self.foregroundRole())
        back.setAlpha(28)
        painter.fillRect(self.rect(), back)
        painter.drawImage(QPoint(0, 0), self._image)
        if self._lanes:
            self._paint_line(painter)
        painter.end()

    def _paint_line(self, painter: QPainter) -> None:
        x = int((self._frame + 0.5) * self.width() / self._n_frames)
        painter.fillRect(x - 1, 0, 3, self.height(), QColor(0, 0, 0, 160))
        painter.fillRect(x, 0, 1, self.height(), QColor("white"))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Paint anew in the new width."""
        self._image = None

    # -- mouse -------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the frame."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Go along with the mouse."""
        self._go(event)

    def _go(self, event: QMouseEvent | None) -> None:
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            lane = self.lane_at(event.position().y())
            self.clicked.emit(self.frame_at(event.position().x()), lane.object_id if lane else 0)

    def event(self, event: QEvent | None) -> bool:
        """Say what is under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.describe(event.pos()), self)
            return True
        return bool(super().event(event))

    def describe(self, at: QPoint) -> str:
        """What is painted there, in words."""
        frame, lane = self.frame_at(at.x()), self.lane_at(at.y())
        if lane is None:
            return f"Frame {frame}. Click to go there."
        text = f"Frame {frame}: {lane.name}, {WORDS[Mark(int(lane.marks[frame]))]}"
        if lane.scores is not None and np.isfinite(lane.scores[frame]):
            text += f", score {lane.scores[frame]:.2f}"
        return text


def shrink(rank: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Highest rank among the frames of each of `width` pixels, so that no single frame is lost."""
    n = len(rank)
    starts = np.arange(width) * n // width
    return rank[starts] if n <= width else np.maximum.reduceat(rank, starts)


def _cut(part: NDArray[np.uint32], scores: NDArray[np.float64]) -> None:
    """Make the columns of a row as high as the lowest score there, a third at least."""
    height, width = part.shape
    n = len(scores)
    known = np.where(np.isfinite(scores), scores, 1.0)
    starts = np.arange(width) * n // width
    low = known[starts] if n <= width else np.minimum.reduceat(known, starts)
    top = np.round((1 - low) * height * 2 / 3).astype(int)
    part[np.arange(height)[:, None] < top] = 0


def legend() -> str:
    """Which colour means what, as rich text."""
    shown = (Mark.KEYFRAME, Mark.TRACKED, Mark.RISKY, Mark.INTERPOLATED, Mark.ABSENT)
    dots = [f"<font color='#{COLORS[mark][3:]}'>■</font>&nbsp;{WORDS[mark]}" for mark in shown]
    return (
        " ".join(dots)
        .replace("out of view", "out&nbsp;of&nbsp;view")
        .replace("look here", "look&nbsp;here")
    )
