"""``open_video``: any source, any order, any thread, and always the right frame."""

from __future__ import annotations

import random
import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, basic_indices
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_ocean.video import (
    FrameArray,
    FrameSource,
    VideoError,
    natural_key,
    open_video,
    to_rgb_uint8,
)
from napari_ocean.video.films import Film
from napari_ocean.video.index import Decoder

WIDTH, HEIGHT = 64, 48


def pictures(count: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frames that differ everywhere from one to the next: a texture that slides."""
    texture = np.random.default_rng(7).integers(0, 255, (height, width + 3 * count, 3), np.uint8)
    texture = cv2.GaussianBlur(texture, (5, 5), 0)
    return np.stack([texture[:, 3 * at : 3 * at + width] for at in range(count)])


def encode(
    path: Path, codec: str = "libx264", count: int = 60, gop: int = 12, **options: str
) -> Path:
    """Encode :func:`pictures` (with B-frames where the codec has them); skip without the codec."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if codec in ("mpeg4", "libx264"):
            stream.codec_context.max_b_frames = 2
        for picture in pictures(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def plain_decode(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of one decode from the start to the end, or to where it breaks."""
    frames = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                frames.append(frame.to_ndarray(format="rgb24"))
        except av.error.InvalidDataError:
            return frames
    return frames


def assert_frames_are(video: FrameSource, expected: Any, order: list[int] | range) -> None:
    assert len(video) == len(expected)
    for index in order:
        frame = video.frame(index)
        assert frame.dtype == np.uint8
        assert np.array_equal(frame, expected[index]), f"frame {index} of {video.name}"


def orders(count: int) -> list[list[int]]:
    shuffled = random.Random(3).sample(range(count), count)
    return [list(range(count)), list(range(count))[::-1], shuffled, list(range(0, count, 7))]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 of 60 frames, H.264 with B-frames where there is libx264."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    return encode(tmp_path_factory.mktemp("film") / "film.mp4", codec)


# --- films -----------------------------------------------------------------------------------


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


# --- wrong paths -----------------------------------------------------------------------------


def test_wrong_files(tmp_path: Path, film: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no film at all\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:3000])
    (tmp_path / "empty.avi").touch()
    (tmp_path / "table.xlsx").touch()
    (tmp_path / "single.png").touch()
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    (tmp_path / "bad.tif").write_bytes(b"nothing")
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 44100
        container.mux(stream.encode(silence) + stream.encode(None))
    for name, message in {
        "missing.mp4": "There is no file or folder .*missing.mp4",
        "notes.mp4": "notes.mp4 cannot be opened as a film",
        "cut.mp4": "cut.mp4 cannot be opened as a film",
        "empty.avi": "empty.avi cannot be opened as a film",
        "sound.mp4": "holds no moving picture",
        "table.xlsx": r"ending \.xlsx, which is not supported.*\.mp4",
        "single.png": "single.png is a single image; give the folder",
        "bad.npy": "not a .npy file",
        "bad.tif": "not a TIFF file",
        "folder": r"holds no images \(\.bmp, \.jpeg",
    }.items():
        with pytest.raises(VideoError, match=message):
            open_video(tmp_path / name)


@pytest.mark.parametrize("source", [None, 3, [1, 2], object()])
def test_neither_path_nor_array(source: Any) -> None:
    with pytest.raises(VideoError, match="neither a path nor an array"):
        open_video(source)


# --- folders ---------------------------------------------------------------------------------


def test_folder_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1, 33):
        cv2.imwrite(str(tmp_path / f"img{number}.png"), np.full((8, 9, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._img1.png").write_bytes(b"of a Mac")
    with open_video(str(tmp_path)) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in range(len(video))] == [1, 2, 10, 33]
        assert (video.height, video.width, video.fps) == (8, 9, None)


def test_folder_gives_rgb_and_drops_alpha(tmp_path: Path) -> None:
    bgra = np.zeros((6, 7, 4), np.uint8)
    bgra[..., :] = (10, 20, 30, 128)
    cv2.imwrite(str(tmp_path / "0.png"), bgra)
    cv2.imwrite(str(tmp_path / "1.png"), bgra[..., 0])
    tifffile.imwrite(tmp_path / "2.tif", bgra[..., 2::-1])
    with open_video(tmp_path) as video:
        assert video.frame(0)[0, 0].tolist() == [30, 20, 10]
        assert video.frame(1)[0, 0].tolist() == [10, 10, 10]
        assert video.frame(2)[0, 0].tolist() == [30, 20, 10]


def test_folder_with_wrong_images(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 9), np.uint8))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((18, 19), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((8, 9), np.uint16))
    (tmp_path / "3.png").write_bytes(b"torn")
    tifffile.imwrite(tmp_path / "4.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")
    with open_video(tmp_path) as video:
        for index, message in {
            1: r"Frame 1 \(1\.png\) .* is 19 x 18 px but the first one is 9 x 8 px",
            2: "uint16 but the first one is uint8",
            3: r"3\.png cannot be decoded",
            4: "not one picture",
        }.items():
            with pytest.raises(VideoError, match=message):
                video.frame(index)
        (tmp_path / "0.png").unlink()
        with pytest.raises(VideoError, match="is gone"):
            video.frame(0)


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_of_numbers(numbers: list[int]) -> None:
    names = sorted((f"img_{number}.png" for number in numbers), key=natural_key)
    assert names == [f"img_{number}.png" for number in sorted(numbers)]


@given(st.lists(st.text()))
def test_natural_order_takes_any_names(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


# --- stacks and arrays -----------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((7, 8, 9), "TYX"), ((7, 8, 9, 3), "TYXS"), ((7, 2, 8, 9), "TCYX"), ((7, 8, 9), "ZYX")],
)
def test_tiff_stacks(
    tmp_path: Path, shape: tuple[int, ...], axes: str, compression: str | None
) -> None:
    stack = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    path = tmp_path / "stack.tif"
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(
        path, stack, photometric=photometric, compression=compression, metadata={"axes": axes}
    )
    with open_video(path) as video, open_video(stack) as same:
        assert_frames_are(video, [same.frame(at) for at in range(7)], [6, 0, 3, 3])


def test_tiff_stack_of_imagej_and_plain_pages(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 60000, (5, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "imagej.tif", stack, imagej=True)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for page in stack:
            writer.write(page, contiguous=False, photometric="minisblack", metadata=None)
    with open_video(stack) as expected:
        for name in ("imagej.tif", "pages.tif"):
            with open_video(tmp_path / name) as video:
                assert_frames_are(video, [expected.frame(at) for at in range(5)], [4, 1])


def test_single_page_tiff_is_one_frame(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.full((8, 9, 3), 5, np.uint8), photometric="rgb")
    with open_video(tmp_path / "one.tif") as video:
        assert FrameArray(video).shape == (1, 8, 9, 3)


def test_npy_is_mapped_not_loaded(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (6, 8, 9, 4), np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    with open_video(tmp_path / "stack.npy") as video:
        assert isinstance(vars(video)["_array"], np.memmap)
        assert_frames_are(video, stack[..., :3], [5, 2])


def test_zarr_store_and_array(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    stack = np.random.default_rng(0).integers(0, 255, (6, 8, 9, 3), np.uint8)
    array = zarr.create_array(store=str(tmp_path / "a.zarr"), data=stack, chunks=(1, 8, 9, 3))
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    group.create_array("0", data=stack)
    zarr.open_group(str(tmp_path / "none.zarr"), mode="w")
    for source in (array, tmp_path / "a.zarr", tmp_path / "g.zarr"):
        with open_video(source) as video:
            assert_frames_are(video, stack, [5, 0])
    with pytest.raises(VideoError, match="not a Zarr store with an image array"):
        open_video(tmp_path / "none.zarr")


def test_dask_is_computed_frame_by_frame() -> None:
    dask_array = pytest.importorskip("dask.array")
    computed: list[int] = []

    def block(block_info: Any) -> NDArray[np.uint8]:
        at = block_info[None]["chunk-location"][0]
        computed.append(at)
        return np.full((1, 8, 9), at, np.uint8)

    lazy = dask_array.map_blocks(
        block, chunks=((1,) * 50, (8,), (9,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    with open_video(lazy) as video:
        assert len(video) == 50
        assert video.frame(33)[0, 0].tolist() == [33, 33, 33]
    assert set(computed) == {0, 33}


side = st.integers(5, 9)


@given(t=st.integers(1, 4), y=side, x=side, channels=st.integers(1, 4), seed=st.integers(0, 99))
def test_layouts_of_arrays(t: int, y: int, x: int, channels: int, seed: int) -> None:
    last = np.random.default_rng(seed).integers(0, 255, (t, y, x, channels), np.uint8)
    expected = [to_rgb_uint8(image) for image in last]
    for array in (last, np.moveaxis(last, 3, 1)):
        with open_video(array) as video:
            assert FrameArray(video).shape == (t, y, x, 3)
            assert_frames_are(video, expected, range(t))
    with open_video(last[..., 0]) as video:
        assert_frames_are(video, [to_rgb_uint8(image[..., 0]) for image in last], range(t))


def test_last_axis_of_three_or_four_wins() -> None:
    array = np.random.default_rng(0).integers(0, 255, (5, 4, 30, 3), np.uint8)
    with open_video(array) as video:
        assert_frames_are(video, array, range(5))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \(5,\) of array is not that of a video"),
        (np.zeros((8, 9)), "not that of a video"),
        (np.zeros((8, 9, 3)), "one colour image"),
        (np.zeros((2, 7, 8, 9)), "pick one plane"),
        (np.zeros((2, 2, 2, 8, 9)), "not that of a video"),
        (np.zeros((0, 8, 9)), "no frames"),
        (np.zeros((4, 8, 9), complex), "complex128 cannot be read"),
        (np.full((4, 8, 9), "a"), "cannot be read"),
    ],
)
def test_wrong_arrays(array: NDArray[Any], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        open_video(array)


def test_source_passes_through(film: Path) -> None:
    with open_video(film) as video:
        assert open_video(video) is video
        assert open_video(FrameArray(video)) is video


# --- conversion ------------------------------------------------------------------------------


def test_one_range_for_all_frames() -> None:
    stack = np.zeros((3, 8, 9), np.uint16)
    stack[0], stack[1], stack[2] = 1000, 2000, 3000
    with open_video(stack) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in range(3)] == [0, 128, 255]
    with open_video(stack, value_range=(0, 4000)) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in range(3)] == [64, 128, 191]


def test_range_is_sampled_from_few_frames_spread_evenly() -> None:
    stack = np.zeros((101, 8, 9), np.float32)
    stack[75], stack[13] = 10, 20
    with open_video(stack) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in (0, 75, 13)] == [0, 255, 255]


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        (np.array([True, False]), [255, 0, 0]),
        (np.array([7], np.uint8), [7, 7, 7]),
        (np.array([7, 8], np.uint8), [7, 8, 0]),
        (np.array([7, 8, 9, 1], np.uint8), [7, 8, 9]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, np.nan, 1.0], np.float32), [0, 0, 255]),
        (np.array([-np.inf, 0.5, np.inf], np.float16), [0, 128, 255]),
        (np.array([-100, 0, 100], np.int16), [0, 128, 255]),
        (np.array([0, 65535, 65535], np.uint16), [0, 255, 255]),
        (np.array([np.nan, np.nan, np.nan]), [0, 0, 0]),
        (np.array([5, 5, 5], np.int64), [0, 0, 0]),
    ],
)
def test_conversion_by_hand(pixel: NDArray[Any], expected: list[int]) -> None:
    rgb = to_rgb_uint8(np.broadcast_to(pixel, (4, 5, len(pixel))))
    assert rgb.shape == (4, 5, 3)
    assert rgb.flags.c_contiguous
    assert rgb[3, 4].tolist() == expected


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
)
def test_conversion_keeps_the_order_of_values(
    image: NDArray[np.float32], low: float, span: float
) -> None:
    rgb = to_rgb_uint8(image, (low, low + span))[..., 0].ravel()
    assert np.all(np.diff(rgb[np.argsort(image.ravel())].astype(int)) >= 0)
    assert np.all(rgb[image.ravel() <= low] == 0)
    assert np.all(rgb[image.ravel() >= low + span] == 255)


def test_conversion_never_gives_a_view() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    to_rgb_uint8(image)[:] = 9
    assert image.max() == 0


@pytest.mark.parametrize("shape", [(5,), (4, 5, 6), (2, 4, 5, 3), (0, 5), (4, 5, 0)])
def test_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(VideoError, match="An image has shape"):
        to_rgb_uint8(np.zeros(shape))


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.nan), (0, 1, 2), "ab", 5])
def test_no_value_range(value_range: Any) -> None:
    with pytest.raises(VideoError, match="value range"):
        open_video(np.zeros((4, 8, 9)), value_range=value_range)


# --- the view for napari ---------------------------------------------------------------------


VIEWED = np.random.default_rng(0).integers(0, 255, (6, 7, 8, 3), np.uint8)


@given(basic_indices(VIEWED.shape, allow_newaxis=False))
def test_view_indexes_like_numpy(key: Any) -> None:
    view = FrameArray(open_video(VIEWED))
    assert_array_equal(view[key], VIEWED[key])


@pytest.mark.parametrize(
    "key", [[0, 5, 2], np.array([1, 1]), ([-1, 0], slice(2)), np.arange(6) > 3]
)
def test_view_takes_lists_of_frames(key: Any) -> None:
    assert_array_equal(FrameArray(open_video(VIEWED))[key], VIEWED[key])


@pytest.mark.parametrize("key", [6, -7, (0, 99), None, (0, 0, 0, 0, 0), (..., ...), np.eye(6) > 0])
def test_view_refuses_wrong_indices(key: Any) -> None:
    with pytest.raises(IndexError):
        FrameArray(open_video(VIEWED))[key]


def test_view_as_array() -> None:
    view = FrameArray(open_video(VIEWED))
    assert (view.shape, view.ndim, view.dtype, len(view)) == ((6, 7, 8, 3), 4, np.uint8, 6)
    assert view.size == view.nbytes == VIEWED.size
    assert_array_equal(np.asarray(view), VIEWED)
    assert np.asarray(view, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="no memory to view"):
        view.__array__(copy=False)


def test_view_reads_only_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    video = open_video(VIEWED)
    read: list[int] = []
    frame = video.frame
    monkeypatch.setattr(video, "frame", lambda index: read.append(index) or frame(index))
    view = FrameArray(video)
    for key in (4, slice(3, 5), (-1, 2, 2), slice(2, 2)):
        view[key]
    assert read == [4, 3, 4, 5]


def test_napari_shows_a_film(film: Path) -> None:
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    with open_video(film) as video:
        layer = viewer.add_image(FrameArray(video), rgb=True)
        assert layer.ndim == 3
        for index in (17, 59, 0):
            viewer.dims.set_point(0, index)
            assert_array_equal(np.asarray(layer._slice.image.raw), video.frame(index))
