"""Films (mp4, mov, avi, mkv, webm) through PyAV, by absolute index of the decoded frame.

Reading on never seeks. Elsewhere, a decoder is moved to the keyframe before, its packet must lie
where it lay on opening, the time stamp of the first frame must be the keyframe's, and decoding goes
on to the frame asked for. Where that fails, decoding starts further back, at last from the start.

Frames handed out stay in a cache bounded by bytes. A walk backwards decodes the stretch before it,
keeps as much of its end as the cache holds, and finds the next steps there.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ocean.errors import VideoError
from napari_ocean.video.frames import Frame, SourceBase
from napari_ocean.video.index import Decoder, read_index

if TYPE_CHECKING:
    from av import VideoFrame

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
"""Endings of the files that are opened as films."""

CACHE_BYTES = 256 * 2**20
"""Default bound of the RGB frames kept."""

MAX_DECODERS = 2
"""Decoders open at once: one for the walking tracker, one for the viewer."""

SEEK_COST_FRAMES = 16
"""Seeking must save decoding more frames than this to be worth it."""

BACK_STEP = 8
"""A frame at most this far before one in the cache is taken for a step of a walk backwards."""

BACK_STRETCH = 16
"""A walk backwards decodes at least so many frames at once."""


class Film(SourceBase):
    """A video file as a :class:`~napari_ocean.video.FrameSource`.

    Parameters
    ----------
    path : Path
        The file.
    cache_bytes : int
        Bound of the RGB frames kept; the newest frame always is.

    Raises
    ------
    VideoError
        If the file is no video that can be decoded, or holds no frames.
    """

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        from av.video.reformatter import VideoReformatter

        self.name = path.name
        self._path = path
        self._lock = threading.Lock()
        self._cache = _Cache(cache_bytes)
        self._reformatter = VideoReformatter()
        self._index = read_index(path)
        self._length = self._index.length
        if self._length == 0:
            raise VideoError(f"{self.name} holds no frames that can be decoded.")
        self._decoders = [Decoder(path)]  # the one used last stands at the end
        stream = self._decoders[0].stream
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        if 0 < stream.frames != self._length:
            logger.info("%s announces %d frames, holds %d.", path, stream.frames, self._length)
        self.height, self.width = self._decoded(0).shape[:2]

    @property
    def cached_bytes(self) -> int:
        """Bytes of the RGB frames kept now."""
        return self._cache.bytes

    def frame(self, index: int) -> Frame:
        """Return frame ``index``, uint8 RGB of shape (H, W, 3), or raise ``VideoError``."""
        with self._lock:
            index = self._check(index)
            rgb = self._decoded(index)
        self._check_size(index, *rgb.shape[:2])
        return rgb.copy()  # the cache keeps its own

    def close(self) -> None:
        """Free files and memory; no frame can be read afterwards."""
        with self._lock:
            self._closed = True
            self._cache.clear()
            while self._decoders:
                self._decoders.pop().close()

    def _to_rgb(self, decoded: VideoFrame) -> Frame:
        """Convert to RGB, upright."""
        rgb = self._reformatter.reformat(decoded, format="rgb24").to_ndarray()
        turns = round(decoded.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(rgb, turns)).astype(np.uint8, copy=False)

    def _decoded(self, number: int) -> Frame:
        """Frame from the cache, or by decoding on, or by decoding from a keyframe before."""
        cached = self._cache.get(number)
        if cached is not None:
            return cached
        walks_back = any(number + step in self._cache for step in range(1, BACK_STEP + 1))
        keep = self._cache.room if walks_back else 1
        at = self._index.key_at(max(0, number - BACK_STRETCH) if walks_back else number)
        decoder = self._decoder_behind(number, self._index.keys[at] if at > 0 else 0)
        if decoder is not None:
            frame = self._run(decoder, number, decoder.next_frame, keep)
            if frame is not None:
                return frame
        step = 1
        while at > 0:
            frame = self._run_from_key(at, number, keep)
            if frame is not None:
                return frame
            at, step = at - step, 2 * step  # no clean start there: further and further back
        frame = self._run(self._decoder_at_start(), number, 0, keep)
        if frame is None:
            raise self._damaged(number)
        return frame

    def _decoder_behind(self, number: int, key: int) -> Decoder | None:
        """Find the decoder that reaches a frame soonest, unless starting at ``key`` is sooner."""
        behind = [each for each in self._decoders if each.next_frame <= number]
        nearest = max(behind, key=lambda each: each.next_frame, default=None)
        if nearest is None or key - nearest.next_frame > SEEK_COST_FRAMES:
            return None
        self._decoders.remove(nearest)
        self._decoders.append(nearest)
        return nearest

    def _decoder_at_start(self) -> Decoder:
        """Open a decoder at the start, in place of the one not used for longest."""
        if len(self._decoders) >= MAX_DECODERS:
            self._decoders.pop(0).close()
        self._decoders.append(Decoder(self._path))
        return self._decoders[-1]

    def _run_from_key(self, at: int, number: int, keep: int) -> Frame | None:
        """Seek to the ``at``-th key and decode on to a frame; None where it is no clean start."""
        if len(self._decoders) < MAX_DECODERS:
            decoder = self._decoder_at_start()
        else:
            decoder = self._decoders.pop(0)
            self._decoders.append(decoder)
        decoder.next_frame = self._length  # stands nowhere until a frame has told
        if not decoder.seek(self._index, at):
            return None
        return self._run(decoder, number, self._index.keys[at], keep)

    def _run(self, decoder: Decoder, number: int, start: int, keep: int) -> Frame | None:
        """Decode up to a frame; None where ``start`` is not met first.

        The last ``keep`` frames up to ``number`` go into the cache.
        """
        clean = False
        counted = start
        for frame in decoder.frames:
            met = self._index.number(frame.pts) if self._index.pts is not None else counted
            counted += 1
            if met is None or met < start:
                continue
            if met != start and not clean:
                decoder.next_frame = self._length
                return None
            clean = True
            decoder.next_frame = met + 1
            if met > number:
                break
            if met > number - keep:
                rgb = self._to_rgb(frame)
                self._cache.put(met, rgb)
            if met == number:
                return rgb
        else:
            decoder.next_frame = self._length
        if clean:
            raise self._damaged(number)
        return None

    def _damaged(self, number: int) -> VideoError:
        return VideoError(
            f"Frame {number} of {self.name} cannot be decoded because the file is damaged there; "
            "encode it anew to repair it."
        )


class _Cache:
    """RGB frames by number; those not used for longest go when they exceed the bound."""

    def __init__(self, limit_bytes: int) -> None:
        self.bytes = 0
        self._limit = limit_bytes
        self._frames: OrderedDict[int, Frame] = OrderedDict()

    def __contains__(self, number: int) -> bool:
        return number in self._frames

    @property
    def room(self) -> int:
        """How many frames as large as the newest one fit in, at least one."""
        newest = next(reversed(self._frames.values()), None)
        return 1 if newest is None else max(1, self._limit // newest.nbytes)

    def get(self, number: int) -> Frame | None:
        """Frame of a number, or None."""
        frame = self._frames.get(number)
        if frame is not None:
            self._frames.move_to_end(number)
        return frame

    def put(self, number: int, frame: Frame) -> None:
        """Keep a frame, and at least the newest one whatever the bound."""
        if number in self._frames:
            self.bytes -= self._frames.pop(number).nbytes
        self._frames[number] = frame
        self.bytes += frame.nbytes
        while self.bytes > self._limit and len(self._frames) > 1:
            self.bytes -= self._frames.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()
        self.bytes = 0
