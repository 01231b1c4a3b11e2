"""Sources that are read image by image: arrays, TIFF stacks, ``.npy`` files, Zarr, folders."""

from __future__ import annotations

import logging
import lzma
import re
import threading
import zlib
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ocean.errors import VideoError
from napari_ocean.video.frames import (
    Frame,
    SourceBase,
    ValueRange,
    check_dtype,
    sample_range,
    to_rgb_uint8,
)

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings of the files that a folder of images may hold."""

_CANNOT_BE_READ = (OSError, ValueError, LookupError, RuntimeError, zlib.error, lzma.LZMAError)
"""What libraries raise at damaged files."""

SAMPLED_FRAMES = 5
"""How many frames, spread evenly from the first to the last, tell the range of values."""


class _Stack(SourceBase):
    """Frames read one by one as raw images and converted with one range of values.

    Subclasses set ``_length``, then call :meth:`_measure`.
    """

    def __init__(self, name: str, value_range: ValueRange | None) -> None:
        self.name = name
        self._range = value_range
        self._lock = threading.Lock()

    @abstractmethod
    def _read(self, index: int) -> NDArray[Any]:
        """Read one raw image, (H, W) or (H, W, C); called under the lock."""

    def _load(self, index: int) -> NDArray[Any]:
        """Read one raw image, or say that this frame cannot be read."""
        try:
            return self._read(index)
        except _CANNOT_BE_READ as error:
            reason = str(error).rstrip(".")
            raise VideoError(f"Frame {index} of {self.name} cannot be read: {reason}.") from error

    def _measure(self) -> None:
        """Learn size, type and range of values from a few frames."""
        if self._length == 0:
            raise VideoError(f"The video {self.name} holds no frames.")
        first = self._load(0)
        self.height, self.width = first.shape[:2]
        self._dtype = first.dtype
        check_dtype(first.dtype)
        if self._range is None and first.dtype not in (np.bool_, np.uint8):
            count = min(SAMPLED_FRAMES, self._length)
            picked = np.unique(np.linspace(0, self._length - 1, count).round().astype(int))
            self._range = sample_range(self._load(int(index)) for index in picked)

    def frame(self, index: int) -> Frame:
        """Return frame ``index``, uint8 RGB of shape (H, W, 3), or raise ``VideoError``."""
        with self._lock:
            image = self._load(self._check(index))
        self._check_size(index, *image.shape[:2])
        if image.dtype != self._dtype:
            raise VideoError(
                f"Frame {index} of {self.name} is of type {image.dtype} but the first one is "
                f"{self._dtype}; all frames must be of one type."
            )
        return to_rgb_uint8(image, self._range)

    def close(self) -> None:
        """Free files and memory; no frame can be read afterwards."""
        with self._lock:
            self._closed = True
            self._release()

    def _release(self) -> None:
        """Let go of what is open; called once or more under the lock."""


class ArrayStack(_Stack):
    """Any array-like, read one frame at a time; see :func:`napari_ocean.video.open_video`.

    Parameters
    ----------
    array : array-like, shape (T, H, W), (T, H, W, C), (T, C, H, W) or (T, C, 1, H, W)
        With ``shape``, ``dtype`` and indexing by an integer. The last is that of OME-Zarr.
    name : str
        For messages.
    value_range : (float, float) or None
        The values that become 0 and 255; None: from a sample of frames.
    """

    def __init__(self, array: Any, name: str, value_range: ValueRange | None) -> None:
        super().__init__(name, value_range)
        shape = tuple(int(side) for side in array.shape)
        if len(shape) == 5 and shape[2] == 1:
            shape = shape[:2] + shape[3:]
        self._frame_shape = shape[1:]
        self._channels_first = _channels_first(shape, name)
        self._array: Any = array
        self._length = shape[0]
        self._measure()

    def _read(self, index: int) -> NDArray[Any]:
        image = np.asarray(self._array[index]).reshape(self._frame_shape)
        return np.moveaxis(image, 0, -1) if self._channels_first else image

    def _release(self) -> None:
        self._array = None


def _channels_first(shape: tuple[int, ...], name: str) -> bool:
    """Tell (t, c, y, x) from (t, y, x, c) and (t, y, x), or say why it is none of them.

    A last axis of 3 or 4 is colour; else a second axis of at most 4 is channels; else a last axis
    of 1 or 2 is channels.
    """
    if len(shape) not in (3, 4):
        raise VideoError(
            f"The shape {shape} of {name} is not that of a video, which is (t, y, x), "
            "(t, y, x, 3 or 4) or (t, c, y, x)."
        )
    if 0 in shape:
        raise VideoError(f"The shape {shape} of {name} leaves no frames.")
    if len(shape) == 3:
        if shape[2] in (3, 4):
            raise VideoError(
                f"The shape {shape} of {name} is that of one colour image; a colour video is "
                "(t, y, x, 3 or 4)."
            )
        return False
    if shape[3] in (3, 4):
        return False
    if shape[1] <= 4:
        return True
    if shape[3] <= 2:
        return False
    raise VideoError(
        f"The shape {shape} of {name} has neither 3 or 4 colours on the last axis nor at most 4 "
        "channels on the second; pick one plane so that it is (t, y, x)."
    )


class NpyStack(ArrayStack):
    """A ``.npy`` file, memory mapped."""

    def __init__(self, path: Path, value_range: ValueRange | None) -> None:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it is a .npz file")
        except (ValueError, EOFError) as error:
            raise VideoError(
                f"{path.name} is not a .npy file that holds numbers: {error}."
            ) from error
        super().__init__(array, path.name, value_range)


class ZarrStack(ArrayStack):
    """A Zarr store: an array, or a group (OME-Zarr) whose array ``"0"`` has full resolution."""

    def __init__(self, path: Path, value_range: ValueRange | None) -> None:
        try:
            import zarr
        except ImportError as error:
            raise VideoError("A Zarr store needs zarr: pip install zarr.") from error
        reason = f"{path.name} is not a Zarr store with an image array, at its root or named 0."
        try:
            node: Any = zarr.open(str(path), mode="r")
            array = node if hasattr(node, "shape") else node["0"]
        except (OSError, LookupError, ValueError) as error:
            raise VideoError(reason) from error
        if not hasattr(array, "shape"):
            raise VideoError(reason)
        super().__init__(array, path.name, value_range)


class TiffStack(ArrayStack):
    """The first series of a TIFF file, read page by page; a single page is one frame.

    Writers that append page by page, or block by block as tifffile does, leave a series for each.
    Where all are alike their frames follow each other; of others the first is the stack, and the
    log warns of the rest.
    """

    def __init__(self, path: Path, value_range: ValueRange | None) -> None:
        import tifffile

        try:
            self._tiff = tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise VideoError(f"{path.name} is not a TIFF file: {error}.") from error
        try:
            series = self._tiff.series
            appended = _appended(series)
            frames: Any = _TiffChain(series) if appended else _TiffSeries(series[0])
            super().__init__(frames, path.name, value_range)
        except (ValueError, LookupError) as error:
            self._tiff.close()
            raise VideoError(f"{path.name} is a TIFF file that cannot be read: {error}.") from error
        except VideoError:
            self._tiff.close()
            raise
        if len(series) > 1 and not appended:
            _log.warning("%s", _only_first(path.name, len(series)))

    def _read(self, index: int) -> NDArray[Any]:
        try:
            return super()._read(index)
        except ValueError as error:
            if not _needs_imagecodecs(error):
                raise
            reason = f"The compression of {self.name} needs imagecodecs: pip install imagecodecs."
            raise VideoError(reason) from error

    def _release(self) -> None:
        super()._release()
        self._tiff.close()


def unread_series(path: Path) -> str:
    """Sentence for the user where a TIFF file holds more series than the first, else empty.

    For readers of others, such as napari's, which never join series.
    """
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return ""
    try:
        with tifffile.TiffFile(path) as tiff:
            count = len(tiff.series)
    except (tifffile.TiffFileError, *_CANNOT_BE_READ):  # who has read it knows it better
        return ""
    return _only_first(path.name, count) if count > 1 else ""


def _only_first(name: str, count: int) -> str:
    return (
        f"{name} holds {count} series of images; only the first was read, without the other "
        f"{count - 1}: save what you want to track in as a file of its own."
    )


def _appended(series: Sequence[Any]) -> bool:
    """Whether several series are one recording, not the positions or planes of other formats."""
    shapes = [_tiff_shape(of) for of in series]
    alike = len({(shape[1:], of.dtype) for shape, of in zip(shapes, series, strict=True)}) == 1
    blocks = all(of.kind == "shaped" for of in series)
    return len(series) > 1 and alike and (blocks or all(shape[0] == 1 for shape in shapes))


def _tiff_shape(series: Any) -> tuple[int, ...]:
    """Shape of a series as that of a video, (t, ...)."""
    shape = tuple(series.shape)
    if len(shape) - series.axes.count("S") == 2:
        return (1, *shape)
    return (shape[1], shape[0], *shape[2:]) if _channels_lead(series) else shape


def _channels_lead(series: Any) -> bool:
    """Whether all planes of one channel come before those of the next."""
    return series.axes[:2] in ("CT", "CZ")


class _TiffSeries:
    """A TIFF series as an array-like of shape (t, ...) that reads the pages of one frame.

    It ends before the first frame with a plane that was never written, as an acquisition does
    that was broken off.
    """

    def __init__(self, series: Any) -> None:
        self.shape = _tiff_shape(series)
        self.dtype = series.dtype
        self._pages = series.pages
        self._n_frames = self.shape[0]
        self._channels_lead = _channels_lead(series)
        self._mapped = None
        if series.dataoffset is not None:  # one block of plain pixels, perhaps under a single page
            mapped = series.parent.filehandle.memmap_array(
                series.parent.byteorder + series.dtype.char, series.shape, offset=series.dataoffset
            )
            turned = mapped.swapaxes(0, 1) if self._channels_lead else mapped
            self._mapped = turned.reshape(self.shape)
        elif series.kind in ("ome", "mmstack", "ndtiff"):  # in others no page can be missing
            whole = takewhile(lambda at: None not in self._planes(at), range(self._n_frames))
            self.shape = (len(list(whole)), *self.shape[1:])

    def __getitem__(self, index: int) -> NDArray[Any]:
        if self._mapped is not None:
            return np.asarray(self._mapped[index])
        planes = [page.asarray() for page in self._planes(index)]
        return np.stack(planes).reshape(self.shape[1:])

    def _planes(self, index: int) -> list[Any]:
        """Pages of a frame; None where a page was never written."""
        count = max(1, len(self._pages) // max(1, self._n_frames))
        if self._channels_lead:
            return [self._pages[index + at * self._n_frames] for at in range(count)]
        return [self._pages[index * count + at] for at in range(count)]


class _TiffChain:
    """Series that are alike, one after the other, as an array-like of shape (t, ...).

    The one read last stays open. Not all of them: each may map the file anew, and appended pages
    are as many series as frames.
    """

    def __init__(self, series: Sequence[Any]) -> None:
        self._series = series
        self._starts = [0, *accumulate(_tiff_shape(of)[0] for of in series)]
        self.shape = (self._starts[-1], *_tiff_shape(series[0])[1:])
        self.dtype = series[0].dtype
        self._open = 0, _TiffSeries(series[0])

    def __getitem__(self, index: int) -> NDArray[Any]:
        at = bisect_right(self._starts, index) - 1
        if self._open[0] != at:
            self._open = at, _TiffSeries(self._series[at])
        return self._open[1][index - self._starts[at]]


class ImageFolder(_Stack):
    """All images of a folder in natural order, one file a frame."""

    def __init__(self, path: Path, value_range: ValueRange | None) -> None:
        super().__init__(path.name or str(path), value_range)
        self.image_names = image_names(path)
        self._files = [path / name for name in self.image_names]
        if not self._files:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            raise VideoError(f"The folder {path} holds no images ({endings}).")
        self._length = len(self._files)
        self._measure()

    def _read(self, index: int) -> NDArray[Any]:
        return _read_image(self._files[index])

    def _check_size(self, index: int | str, height: int, width: int) -> None:
        if isinstance(index, int):
            index = f"{index} ({self._files[index].name})"
        super()._check_size(index, height, width)


def image_names(folder: Path) -> list[str]:
    """Names of the images in a folder, in natural order."""
    names = (file.name for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((name for name in names if not name.startswith(".")), key=natural_key)


def natural_key(name: str, *, fold: bool = True) -> tuple[list[str | int], str]:
    """Sort key under which numbers inside names count as numbers: ``img2`` before ``img10``.

    Small and capital letters count alike unless `fold` is False.
    """
    parts = re.split(r"(\d+)", name.casefold() if fold else name)
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _read_image(file: Path) -> NDArray[Any]:
    """Read one image file as grey or RGB, upright by its EXIF tag, 8 or 16 bit or float."""
    try:
        image = _read_tiff(file) if file.suffix.lower() in (".tif", ".tiff") else _decode(file)
    except FileNotFoundError as error:
        raise VideoError(f"The image {file} is gone; the folder changed.") from error
    except _CANNOT_BE_READ as error:
        raise VideoError(f"The image {file.name} cannot be read: {error}.") from error
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] > 4):
        raise VideoError(
            f"The image {file.name} holds an array of shape {image.shape}, not one picture."
        )
    return image


def _read_tiff(file: Path) -> NDArray[Any]:
    import imageio.v3 as iio
    import tifffile

    try:
        return np.asarray(iio.imread(file, plugin="tifffile"))
    except ValueError as error:
        if not _needs_imagecodecs(error):
            raise
        with tifffile.TiffFile(file) as tiff:
            if len(tiff.pages) > 1:
                raise
    return _decode(file)  # LZW, JPEG and fax, of which OpenCV reads the first page


def _needs_imagecodecs(error: Exception) -> bool:
    """Whether tifffile lacks the package that undoes a compression."""
    return "imagecodecs" in str(error)


def _decode(file: Path) -> NDArray[Any]:
    import cv2

    encoded = np.fromfile(file, dtype=np.uint8)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    decoded = cv2.imdecode(encoded, flags) if encoded.size else None
    if decoded is None:
        raise VideoError(f"The image {file.name} cannot be decoded; it may be damaged.")
    return decoded if decoded.ndim == 2 else decoded[..., ::-1]
