"""The index of a film: which frames there are, by time stamp, and where decoding can start.

On opening, packets are read without decoding; their presentation time stamps (pts), sorted, are
the index. A few frames at both ends are then decoded as a test. Where they are not what the index
says (a header that lies, a torn end, stamps that are missing, doubled or out of order), the film
is decoded once from end to end and the truth counted.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ocean.errors import VideoError

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_THREADS = 4
"""Threads of one decoder."""

PROBED_FRAMES = 32
"""Frames decoded on opening to test the index at the start."""

PROBED_PIXELS = 300 * 1280 * 720
"""Pixels decoded at most on opening to test the index from the last keyframe to the end; with
more (about a second's work) the end is tested only where the header counts other frames."""


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Where the frames of a film are.

    Attributes
    ----------
    length : int
        Number of frames.
    pts : ndarray of int64, shape (length,), or None
        Rising time stamps in the stream's time base; None: frames can only be counted.
    keys : tuple of int
        Rising frame numbers at which decoding can start; empty without ``pts``.
    places : tuple of int
        Byte position in the file of each key's packet, by which a seek is verified.
    """

    length: int
    pts: NDArray[np.int64] | None = None
    keys: tuple[int, ...] = ()
    places: tuple[int, ...] = ()

    def number(self, pts: int | None) -> int | None:
        """Frame number of a time stamp, or None where there is none."""
        if pts is None or self.pts is None:
            return None
        at = int(np.searchsorted(self.pts, pts))
        return at if at < self.length and self.pts[at] == pts else None

    def key_at(self, frame: int) -> int:
        """Position in ``keys`` of the last one at or before a frame, -1 where there is none."""
        return bisect_right(self.keys, frame) - 1


class Decoder:
    """One open file and the place it stands at.

    Attributes
    ----------
    frames : iterator of VideoFrame
        The frames from here on.
    next_frame : int
        Number of the frame that ``frames`` gives next; kept by the user of the decoder.
    """

    def __init__(self, path: Path) -> None:
        self.container = _open(path)
        if not self.container.streams.video:
            self.container.close()
            raise VideoError(f"{path.name} holds no moving picture.")
        self.stream: VideoStream = self.container.streams.video[0]
        if getattr(self.stream, "codec_context", None) is None:
            self.container.close()
            raise VideoError(f"{path.name} is encoded in a way that PyAV cannot decode.")
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
        self.frames = self._decode()
        self.next_frame = 0

    def seek(self, index: FrameIndex, at: int) -> bool:
        """Move to the ``at``-th key of an index.

        Where the packet of that time stamp is not at the key's place in the file, ``frames`` ends;
        where the demuxer has gone elsewhere, the time stamps of the frames tell.
        """
        from av.error import FFmpegError

        if index.pts is None:
            return False
        pts = int(index.pts[index.keys[at]])
        try:
            self.container.seek(pts, stream=self.stream)
        except FFmpegError:
            return False
        self.frames = self._decode((pts, index.places[at]))
        return True

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _decode(self, key: tuple[int, int] | None = None) -> Iterator[VideoFrame]:
        """Frames until the end; damaged packets are left out, a damaged container ends it."""
        from av.error import EOFError as EndOfFile
        from av.error import FFmpegError

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                return
            if packet is None or (key and packet.pts == key[0] and _place(packet) != key[1]):
                return
            try:
                yield from packet.decode()
            except EndOfFile:
                return
            except FFmpegError:
                continue


def _open(path: Path) -> InputContainer:
    """Open a file, or say why it is no film."""
    import av

    name = str(path.absolute())  # FFmpeg takes what stands before a colon for a protocol
    try:
        return av.open(name)
    except UnicodeDecodeError:  # a title in an old code page, which PyAV before 19 refuses
        return av.open(name, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path.name} cannot be opened as a film: it is damaged, cut off or of another kind "
            f"than its ending says ({error.strerror})."
        ) from error


def _place(packet: Packet[VideoStream]) -> int:
    """Byte position of a packet in the file, -1 where the container does not tell."""
    return -1 if packet.pos is None else packet.pos


def read_index(path: Path) -> FrameIndex:
    """Index a film by its packets, test it, and count the frames where the test fails."""
    index, places = _from_packets(path)
    if index.pts is None or not index.length:
        return _from_frames(path, places)
    holds = _holds_at_end(path, index) and _holds_at_start(path, index)
    return index if holds else _from_frames(path, places)


def _from_packets(path: Path) -> tuple[FrameIndex, dict[int, int]]:
    """Index by the packets' stamps, without ``pts`` where those cannot be trusted; key places."""
    from av.error import FFmpegError

    decoder = Decoder(path)
    stamps: list[int | None] = []
    places: dict[int, int] = {}
    try:
        for packet in decoder.container.demux(decoder.stream):
            if packet.size == 0 or packet.is_discard:
                continue
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                places[packet.pts] = _place(packet)
    except FFmpegError:
        stamps.append(None)  # a torn end: not to be trusted
    # AVI knows no presentation times: with B-frames its stamps are those of decoding.
    avi_reorders = "avi" in decoder.container.format.name and decoder.stream.has_b_frames
    decoder.close()
    known = [stamp for stamp in stamps if stamp is not None]
    if avi_reorders or len(set(known)) < len(stamps):
        return FrameIndex(len(stamps)), places
    return _indexed(sorted(known), places), places


def _from_frames(path: Path, places: dict[int, int]) -> FrameIndex:
    """Index by decoding the whole film; with ``pts`` where they rise from frame to frame."""
    decoder = Decoder(path)
    frames = [(frame.pts, frame.key_frame) for frame in decoder.frames]
    decoder.close()
    stamps = [stamp for stamp, _ in frames if stamp is not None]
    if len(stamps) < len(frames) or (len(stamps) > 1 and min(np.diff(stamps)) <= 0):
        return FrameIndex(len(frames))
    keys = {stamp for stamp, is_key in frames if is_key and stamp is not None}
    return _indexed(stamps, {stamp: places[stamp] for stamp in keys & places.keys()})


def _indexed(stamps: list[int], places: dict[int, int]) -> FrameIndex:
    pts = np.array(stamps, dtype=np.int64)
    keys = sorted(places)
    numbers = np.searchsorted(pts, np.array(keys, dtype=np.int64))
    return FrameIndex(len(pts), pts, tuple(numbers.tolist()), tuple(places[key] for key in keys))


def _holds_at_start(path: Path, index: FrameIndex) -> bool:
    """Whether the first frames decoded are the first ones of the index."""
    decoder = Decoder(path)
    numbers = [index.number(frame.pts) for frame in islice(decoder.frames, PROBED_FRAMES)]
    decoder.close()
    return numbers == list(range(min(PROBED_FRAMES, index.length)))


def _holds_at_end(path: Path, index: FrameIndex) -> bool:
    """Whether the frames from the last keyframe on are the last ones of the index."""
    key = index.keys[-1] if index.keys else 0
    decoder = Decoder(path)
    stream = decoder.stream
    numbers: list[int | None] = []
    costly = (index.length - key) * stream.width * stream.height > PROBED_PIXELS
    if costly and stream.frames in (0, index.length):
        numbers.extend(range(key, index.length))
    elif not key or decoder.seek(index, -1):
        numbers.extend(index.number(frame.pts) for frame in decoder.frames)
    decoder.close()
    tail = [number for number in numbers if number is None or number >= key]
    return tail == list(range(key, index.length))
