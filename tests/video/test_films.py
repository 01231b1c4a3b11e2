"""Films: every frame in any order, from any thread, and always the right one."""

from __future__ import annotations

import random
import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_ocean.video import (
    VideoError,
    open_video,
)
from napari_ocean.video.films import Film
from napari_ocean.video.index import Decoder
from tests.video.films import (
    HEIGHT,
    WIDTH,
    assert_frames_are,
    encode,
    orders,
    pictures,
    plain_decode,
)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {}),
        ("h264.mkv", "libx264", {}),
        ("h264.mov", "libx264", {}),
        ("h264.m4v", "libx264", {}),
        ("open_gop.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
        ("intra_refresh.mkv", "libx264", {"x264-params": "intra-refresh=1"}),
        ("no_presentation_times.avi", "libx264", {}),
        ("mpeg4.avi", "mpeg4", {}),
        ("mpeg4.mp4", "mpeg4", {}),
        ("mjpeg.avi", "mjpeg", {}),
        ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_every_frame_in_any_order(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, codec, **options)
    expected = plain_decode(path)
    assert len(expected) == 60
    for order in orders(60):
        with open_video(path, cache_bytes=10 * HEIGHT * WIDTH * 3) as video:
            assert_frames_are(video, expected, order)
            assert video.fps == pytest.approx(25)
            assert (video.height, video.width, video.name) == (HEIGHT, WIDTH, name)


@pytest.mark.parametrize(
    "name",
    [
        "bedroom.mp4",
        "bikes.mp4",
        "carphone_pristine.mp4",
        "centered_pair_small.mp4",
        "cup.mp4",
        "dance.mp4",
        "tree.avi",
    ],
)
def test_real_clips(shared_data: Path, name: str) -> None:
    path = shared_data / "data" / "clips" / name
    with av.open(str(path)) as container:
        expected = [hash(f.to_ndarray(format="rgb24").tobytes()) for f in container.decode(video=0)]
    count = len(expected)
    with open_video(path) as video:
        assert len(video) == count == {"tree.avi": 68}.get(name, count)
        jumps = random.Random(1).sample(range(count), 5)
        for index in [*jumps, *range(count - 1, max(-1, count - 100), -1), *range(min(count, 40))]:
            assert hash(video.frame(index).tobytes()) == expected[index], f"frame {index}"


def test_reading_on_never_seeks(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(film) as video:
        monkeypatch.setattr(Decoder, "seek", lambda *_: pytest.fail("a sequential read seeked"))
        for index in range(len(video)):
            video.frame(index)


def count_decoded(monkeypatch: pytest.MonkeyPatch, path: Path, order: list[int]) -> int:
    """How many frames the decoders give while frames are read in an order."""
    decoded = 0
    decode = Decoder._decode

    def counting(self: Decoder, *key: Any) -> Any:
        nonlocal decoded
        for frame in decode(self, *key):
            decoded += 1
            yield frame

    with open_video(path) as video:
        monkeypatch.setattr(Decoder, "_decode", counting)
        for index in order:
            video.frame(index)
        monkeypatch.undo()
    return decoded


def test_walking_back_decodes_each_stretch_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "long_group.mp4", "mpeg4", count=120, gop=100)
    walk = list(range(119, -1, -1))
    assert count_decoded(monkeypatch, path, walk) < 4 * 120
    # A viewer that looks elsewhere between the steps does not spoil the walk.
    disturbed = [frame for step in walk for frame in (step, 5 + step % 3)]
    assert count_decoded(monkeypatch, path, disturbed) < 6 * 120


def test_two_readers_do_not_disturb_each_other(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [frame for step in range(25) for frame in (step, 30 + step)]
    assert count_decoded(monkeypatch, film, both) < 2 * 60


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_doubled_time_stamps(tmp_path: Path, codec: str) -> None:
    source = encode(tmp_path / "source.avi", codec, count=30)
    path = tmp_path / "doubled.mkv"
    with av.open(str(source)) as given_in, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(given_in.streams.video[0])
        for at, packet in enumerate(p for p in given_in.demux(video=0) if p.size):
            packet.pts = packet.dts = 40 * (at // 2)
            packet.time_base = Fraction(1, 1000)
            packet.stream = stream
            out.mux(packet)
    expected = plain_decode(path)
    with open_video(path, cache_bytes=4 * HEIGHT * WIDTH * 3) as video:
        for order in orders(len(expected)):
            assert_frames_are(video, expected, order)


def test_uneven_frame_times(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for at, picture in enumerate(pictures(40)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 40 * at + 13 * (at % 3), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = plain_decode(path)
    for order in orders(40):
        with open_video(path) as video:
            assert_frames_are(video, expected, order)


def test_trimmed_by_an_edit_list(film: Path, tmp_path: Path) -> None:
    data = bytearray(film.read_bytes())
    at = data.find(b"elst") + 12
    duration, start, rate = struct.unpack(">IiI", data[at : at + 12])
    data[at : at + 12] = struct.pack(">IiI", duration - 200, start + 5 * 512, rate)
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(data)
    expected = plain_decode(path)
    assert 0 < len(expected) < 60
    for order in orders(len(expected)):
        with open_video(path) as video:
            assert_frames_are(video, expected, order)


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
)
def test_rotated_films_stand_upright(
    film: Path, tmp_path: Path, matrix: tuple[int, ...], turns: int
) -> None:
    data = bytearray(film.read_bytes())
    at = data.find(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    data[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    with open_video(path) as video, open_video(film) as straight:
        assert_array_equal(video.frame(9), np.rot90(straight.frame(9), turns))
        assert (video.height, video.width) == video.frame(0).shape[:2]


@pytest.mark.parametrize("name", ["torn.mkv", "torn.avi"])
def test_torn_films_hold_what_can_be_decoded(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    data = encode(tmp_path / f"whole_{name}", codec).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 6 // 10])
    expected = plain_decode(path)
    assert 0 < len(expected) < 60
    with open_video(path) as video:
        assert_frames_are(video, expected, range(len(expected) - 1, -1, -1))


def test_damaged_middle_gives_right_frames_or_an_error(tmp_path: Path) -> None:
    data = bytearray(encode(tmp_path / "whole.avi", "mjpeg", count=40).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    expected = plain_decode(path)
    with open_video(path) as video:
        for index in random.Random(2).sample(range(len(expected)), len(expected)):
            try:
                frame = video.frame(index)
            except VideoError:
                continue
            assert_array_equal(frame, expected[index])


def test_threads_read_at_once(film: Path) -> None:
    expected = plain_decode(film)
    wrong: list[int] = []

    def read(seed: int) -> None:
        for index in random.Random(seed).sample(range(60), 40):
            if not np.array_equal(video.frame(index), expected[index]):
                wrong.append(index)

    with open_video(film, cache_bytes=8 * HEIGHT * WIDTH * 3) as video:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("frames_kept", [0, 1, 5])
def test_cache_is_bounded_and_cannot_be_spoilt(film: Path, frames_kept: int) -> None:
    one = HEIGHT * WIDTH * 3
    with Film(film, cache_bytes=frames_kept * one) as video:
        for index in [*range(60), *range(59, -1, -1)]:
            video.frame(index)
            assert video.cached_bytes <= max(1, frames_kept) * one
        before = video.frame(3).copy()
        video.frame(3)[:] = 0
        assert_array_equal(video.frame(3), before)


@pytest.mark.parametrize("index", [-1, 60, 10**9])
def test_no_such_frame(film: Path, index: int) -> None:
    with open_video(film) as video, pytest.raises(VideoError, match="60 frames, 0 to 59"):
        video.frame(index)


def test_closed_video(film: Path) -> None:
    video = open_video(film)
    video.close()
    video.close()
    with pytest.raises(VideoError, match=r"film\.mp4 is closed"):
        video.frame(0)
