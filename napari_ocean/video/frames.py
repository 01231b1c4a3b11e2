"""What a frame is: the source protocol, the one conversion to uint8 RGB, the view napari shows."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_ocean.errors import VideoError

Frame = NDArray[np.uint8]
ValueRange = tuple[float, float]


@runtime_checkable
class FrameSource(Protocol):
    """Frames of one video by absolute 0-based index, from any thread."""

    @property
    def height(self) -> int:
        """Rows of a frame."""

    @property
    def width(self) -> int:
        """Columns of a frame."""

    @property
    def fps(self) -> float | None:
        """Frames per second, None where the source does not tell."""

    @property
    def name(self) -> str:
        """File or folder name."""

    def __len__(self) -> int:
        """Count the frames."""

    def frame(self, index: int) -> Frame:
        """Return frame ``index``, uint8 RGB of shape (H, W, 3), or raise ``VideoError``."""

    def close(self) -> None:
        """Free files and memory; no frame can be read afterwards."""

    def __enter__(self) -> Self:
        """Use the source in a ``with`` statement."""

    def __exit__(self, *exception: object) -> None:
        """Close the source."""


def files_of(source: FrameSource) -> tuple[str, ...]:
    """Name of the image file that each frame is; empty where frames are no files."""
    return tuple(getattr(source, "image_names", ()))  # sources of other people need not tell


class SourceBase(ABC):
    """The part that all sources share: size, index check, closing.

    A subclass sets ``name``, ``height``, ``width``, ``fps`` and ``_length``, and ``image_names``
    where each frame is an image file.
    """

    name: str
    height: int
    width: int
    fps: float | None = None
    image_names: Sequence[str] = ()
    _length: int
    _closed = False

    def __len__(self) -> int:
        """Count the frames."""
        return self._length

    def __enter__(self) -> Self:
        """Use the source in a ``with`` statement."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the source."""
        self.close()

    def __repr__(self) -> str:
        size = f"{self.width} x {self.height}"
        return f"<{type(self).__name__} {self.name}: {self._length} frames of {size}>"

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """Return frame ``index``, uint8 RGB of shape (H, W, 3), or raise ``VideoError``."""

    @abstractmethod
    def close(self) -> None:
        """Free files and memory; no frame can be read afterwards."""

    def _check(self, index: int) -> int:
        """Return the index as an int, or say why there is no such frame."""
        index = operator.index(index)
        if not 0 <= index < self._length:
            raise VideoError(
                f"There is no frame {index} in {self.name}; it has {self._length} frames, "
                f"0 to {self._length - 1}."
            )
        if self._closed:
            raise VideoError(f"The video {self.name} is closed; open it again to read frames.")
        return index

    def _check_size(self, index: int | str, height: int, width: int) -> None:
        """Refuse a frame whose size is not that of the first one."""
        if (height, width) != (self.height, self.width):
            raise VideoError(
                f"Frame {index} of {self.name} is {width} x {height} px but the first one is "
                f"{self.width} x {self.height} px; all frames must have one size."
            )


def to_rgb_uint8(image: Any, value_range: ValueRange | None = None) -> Frame:
    """Convert one image to uint8 RGB; the single rule for every source.

    Values: ``bool`` gives 0 and 255. ``uint8`` stays as it is unless ``value_range`` is given.
    Everything else is scaled linearly so that ``value_range`` becomes 0 to 255, clipped and
    rounded; NaN becomes 0. Without a range, that of the image itself is taken
    (:func:`sample_range`); a source passes one range for all its frames.

    Channels: grey is repeated; two channels become red and green; of four the last (alpha) is
    dropped.

    Parameters
    ----------
    image : array-like, shape (H, W) or (H, W, C) with C in 1 to 4
        Boolean, integer or floating point.
    value_range : (float, float), optional
        The values that become 0 and 255.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Contiguous, and never a view of the image.

    Raises
    ------
    VideoError
        If the image has another shape or kind of values, or the range is not two rising numbers.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.size == 0:
        raise VideoError(
            f"An image has shape (y, x) or (y, x, c) with 1 to 4 channels, not {np.shape(image)}."
        )
    check_dtype(pixels.dtype)
    rgb = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    if pixels.shape[2] == 2:
        rgb[..., :2] = _to_uint8(pixels, value_range)
        rgb[..., 2] = 0
    else:
        rgb[...] = _to_uint8(_colours(pixels), value_range)
    return rgb


def _colours(image: NDArray[Any]) -> NDArray[Any]:
    """Image without its fourth channel, alpha."""
    return image[..., :3] if image.ndim == 3 else image


def _to_uint8(pixels: NDArray[Any], value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Scale values, see :func:`to_rgb_uint8`; any shape."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint8 and value_range is None:
        return pixels
    low, high = sample_range([pixels]) if value_range is None else check_value_range(value_range)
    exact = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    scaled = (np.clip(pixels.astype(exact), low, high) - low) * (255 / (high - low))
    if pixels.dtype.kind == "f":
        scaled[np.isnan(scaled)] = 0
    whole: NDArray[np.uint8] = np.rint(scaled, out=scaled).astype(np.uint8)
    return whole


def sample_range(images: Iterable[NDArray[Any]]) -> ValueRange:
    """Range by which values are scaled: smallest to largest finite value of all images.

    Alpha does not count: how opaque a pixel is says nothing of its brightness. Floating-point
    values that all lie within 0 and 1 give (0, 1). Where all values are one, the range starts at
    it, so that it becomes black.
    """
    low, high, floating = math.inf, -math.inf, True
    for image in images:
        floating = floating and image.dtype.kind == "f"
        image = _colours(image)
        finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high or (floating and low >= 0 and high <= 1):
        return 0.0, 1.0
    return low, (high if high > low else low + max(1.0, abs(low)))


def check_value_range(value_range: ValueRange) -> ValueRange:
    """Return the range as two floats, or say why it is none."""
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError) as error:
        raise VideoError(f"A value range is (low, high), not {value_range!r}.") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise VideoError(f"A value range rises from low to high; ({low:g}, {high:g}) does not.")
    return low, high


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Refuse values that are no brightness: complex numbers, text, objects, dates."""
    if dtype.kind not in "buif":
        raise VideoError(
            f"Frames of type {dtype} cannot be read; use boolean, integer or floating-point values."
        )


class FrameArray:
    """A :class:`FrameSource` as a lazy array of shape (T, H, W, 3), uint8, e.g. for napari.

    Integers, slices, ``...``, and lists or boolean masks of frames index it as they index a numpy
    array; only the frames asked for are read. ``np.asarray`` reads all of them.

    Parameters
    ----------
    source : FrameSource
        Stays open as long as the array is used; closing it is the owner's business.

    Examples
    --------
    >>> frames = FrameArray(open_video(np.zeros((5, 48, 64), np.uint8)))
    >>> frames.shape, frames[2].shape, frames[1:3, :10, ::2, 0].shape
    ((5, 48, 64, 3), (48, 64, 3), (2, 10, 32))
    """

    dtype: np.dtype[np.uint8] = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3)."""
        return len(self.source), self.source.height, self.source.width, 3

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole video when it is read into memory."""
        return self.size

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.source)

    def __repr__(self) -> str:
        return f"<FrameArray {self.source.name}: {self.shape} uint8>"

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read the frames that the key asks for and index them like a numpy array."""
        time, *rest = _expand(key)
        inside = tuple(rest)
        wanted = np.arange(len(self))[time]
        if wanted.ndim == 0:
            return np.asarray(self.source.frame(int(wanted))[inside])
        if wanted.ndim > 1:
            raise IndexError("Frames are picked by an integer, a slice or a flat list.")
        # A row of zero strides tells the shape of the answer before any frame is read.
        blank = np.broadcast_to(np.uint8(0), self.shape[1:])[inside]
        out = np.empty((len(wanted), *blank.shape), dtype=np.uint8)
        for row, index in enumerate(wanted):
            out[row] = self.source.frame(int(index))[inside]
        return out

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all frames into memory."""
        if copy is False:
            raise ValueError("A FrameArray reads its frames; it has no memory to view.")
        return self[:].astype(dtype or np.uint8, copy=False)


def _expand(key: Any) -> tuple[Any, ...]:
    """Write an index as a tuple without ``...`` whose first entry is the time axis."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(part is None for part in keys):
        raise IndexError("A FrameArray cannot be indexed with None (new axes).")
    dots = [at for at, part in enumerate(keys) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("An index can only hold a single ellipsis ('...').")
    if len(keys) - len(dots) > FrameArray.ndim:
        raise IndexError(f"A FrameArray has 4 axes, but the index has {len(keys) - len(dots)}.")
    at = dots[0] if dots else len(keys)
    missing = FrameArray.ndim - (len(keys) - len(dots))
    return (*keys[:at], *(slice(None),) * missing, *keys[at + 1 :])
