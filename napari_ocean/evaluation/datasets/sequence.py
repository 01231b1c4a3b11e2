"""A sequence of a benchmark: its name, its true boxes and where its frames are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.video import FrameSource, open_video
from napari_ocean.video.frames import Frame, SourceBase


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Frames with the true boxes of one target; nothing is read before :meth:`open`.

    Parameters
    ----------
    name : str
        Unique within its dataset; result files are called so.
    truth_xyxy : ndarray of float64, shape (T, 4)
        Edge coordinates in pixels; NaN where the target is absent or has no label.
    video : Path
        What :func:`napari_ocean.video.open_video` opens, usually a folder of images.
    first_frame : int
        The frame of the video that the first true box belongs to. Frames before it, and those
        after the last true box, are not part of the sequence.
    """

    name: str
    truth_xyxy: FloatArray
    video: Path
    first_frame: int = 0

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.truth_xyxy)

    def open(self) -> FrameSource:
        """Open the frames, of which number 0 is the first of the sequence.

        Raises
        ------
        VideoError
            If the frames are missing or cannot be read.
        DataError
            If there are fewer frames than true boxes.
        """
        source = open_video(self.video)
        if len(source) < self.first_frame + len(self):
            source.close()
            raise DataError(
                f"{self.name} has {len(self)} true boxes from frame {self.first_frame} on, but "
                f"{self.video} holds only {len(source)} frames."
            )
        if len(source) == len(self):
            return source
        return _Excerpt(source, self.first_frame, len(self))


class _Excerpt(SourceBase):
    """Consecutive frames of a video, counted from 0."""

    def __init__(self, source: FrameSource, first: int, length: int) -> None:
        self.name, self.fps = source.name, source.fps
        self.height, self.width = source.height, source.width
        self._source, self._first, self._length = source, first, length

    def frame(self, index: int) -> Frame:
        """Return frame ``index``, uint8 RGB of shape (H, W, 3), or raise ``VideoError``."""
        return self._source.frame(self._first + self._check(index))

    def close(self) -> None:
        """Close the video."""
        self._closed = True
        self._source.close()
