"""Folders of images, TIFF stacks and arrays."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_ocean.video import (
    FrameArray,
    VideoError,
    natural_key,
    open_video,
    stacks,
    to_rgb_uint8,
    unread_series,
)
from tests.video.films import (
    assert_frames_are,
)


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


@pytest.mark.parametrize("shape", [(5, 8, 9), (5, 8, 9, 3)])
def test_pages_that_were_appended_are_frames(tmp_path: Path, shape: tuple[int, ...]) -> None:
    stack = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    photometric = "rgb" if stack.ndim == 4 else "minisblack"
    for page in stack:
        tifffile.imwrite(tmp_path / "a.tif", page, photometric=photometric, append=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.series) == 5
    with open_video(tmp_path / "a.tif") as video, open_video(stack) as same:
        assert len(video) == 5
        assert_frames_are(video, [same.frame(at) for at in range(5)], [4, 0, 2])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_blocks_that_were_appended_follow_each_other(
    tmp_path: Path, compression: str | None
) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (11, 8, 9), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for block in (stack[:4], stack[4:8], stack[8:10], stack[10]):
            writer.write(block, photometric="minisblack", compression=compression)
    with open_video(tmp_path / "a.tif") as video, open_video(stack) as same:
        assert len(video) == 11
        assert_frames_are(video, [same.frame(at) for at in range(11)], [10, 3, 4, 7, 8, 0])


def test_a_block_is_opened_once_on_the_way_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    class Counted(stacks._TiffSeries):
        def __init__(self, series: Any) -> None:
            opened.append(series.shape[0])
            super().__init__(series)

    monkeypatch.setattr(stacks, "_TiffSeries", Counted)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for length in (5, 4, 3):
            writer.write(np.zeros((length, 8, 9), np.uint8), photometric="minisblack")
    with open_video(tmp_path / "a.tif") as video:
        video.frame(0)
        opened.clear()
        for index in [*range(12), *range(11, -1, -1)]:
            video.frame(index)
    assert opened == [4, 3, 4, 5]


def two_positions(path: Path) -> Path:
    with tifffile.TiffWriter(path, ome=True) as writer:
        for value in (7, 8):
            writer.write(np.full((4, 8, 9), value, np.uint8), photometric="minisblack")
    return path


def three_that_differ(path: Path) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for shape in ((4, 8, 9), (3, 3), (5, 4, 4)):
            writer.write(np.full(shape, 7, np.uint8), photometric="minisblack")
    return path


@pytest.mark.parametrize(
    ("write", "name", "count"), [(two_positions, "a.ome.tif", 2), (three_that_differ, "a.tif", 3)]
)
def test_of_other_series_the_first_is_the_stack_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, write: Any, name: str, count: int
) -> None:
    path = write(tmp_path / name)
    with open_video(path) as video:
        assert FrameArray(video).shape == (4, 8, 9, 3)
        assert (video.frame(3) == 7).all()
    (record,) = caplog.records
    told = record.getMessage()
    assert told.startswith(f"{name} holds {count} series of images; only the first was read, ")
    assert f" without the other {count - 1}: save " in told
    assert unread_series(path) == told


def test_the_command_line_prints_which_series_was_read(tmp_path: Path) -> None:
    path = three_that_differ(tmp_path / "a.tif")
    code = f"import napari_ocean as no; no.open_video({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == f"{unread_series(path)}\n"


def test_nothing_is_told_where_all_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tifffile.TiffWriter(tmp_path / "blocks.tif") as writer:
        for length in (4, 2):
            writer.write(np.zeros((length, 8, 9), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((4, 8, 9), np.uint8), photometric="minisblack")
    for name in ("blocks.tif", "one.tif"):
        open_video(tmp_path / name).close()
    assert caplog.records == []
    (tmp_path / "torn.tif").write_bytes(b"torn")
    others = ("one.tif", "torn.tif", "gone.tif", "clip.mp4")
    assert [unread_series(tmp_path / name) for name in others] == [""] * 4
    assert unread_series(tmp_path / "blocks.tif").startswith("blocks.tif holds 2 series")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("length", [3, 7])
def test_tiff_with_channel_after_channel(
    tmp_path: Path, length: int, compression: str | None
) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (length, 2, 8, 9), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        stack.swapaxes(0, 1),
        photometric="minisblack",
        compression=compression,
        metadata={"axes": "CTYX"},
    )
    with open_video(tmp_path / "a.ome.tif") as video, open_video(stack) as same:
        assert len(video) == length
        assert_frames_are(video, [same.frame(at) for at in range(length)], range(length))


def test_an_acquisition_that_was_broken_off_ends_early(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 60000, (4, 2, 8, 9), np.uint16)
    about = tifffile.OmeXml()
    about.addimage("uint16", (6, 2, 8, 9), (12, 1, 1, 8, 9, 1), axes="TCYX")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        for number, plane in enumerate([*stack.reshape(8, 8, 9)[:7]]):
            text = None if number else about.tostring().encode()
            writer.write(plane, contiguous=False, description=text, metadata=None)
    with open_video(tmp_path / "a.ome.tif") as video, open_video(stack[:3]) as same:
        assert len(video) == 3
        assert_frames_are(video, [same.frame(at) for at in range(3)], [2, 0])


@pytest.mark.parametrize("folder", [True, False])
def test_damaged_deflate_is_said(tmp_path: Path, folder: bool) -> None:
    source = tmp_path / ("shots" if folder else "a.tif")
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8)
    settings: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib"}
    if folder:
        source.mkdir()
        for number, image in enumerate(images):
            tifffile.imwrite(source / f"{number}.tif", image, **settings)
    else:
        tifffile.imwrite(source, images, **settings)
    damaged = source / "1.tif" if folder else source
    with tifffile.TiffFile(damaged) as file:
        start = file.pages[0 if folder else 1].dataoffsets[0]
    with damaged.open("r+b") as file:
        file.seek(start + 20)
        file.write(bytes(40))
    with (
        open_video(source) as video,
        pytest.raises(VideoError, match=r"1.* cannot be read: .*data"),
    ):
        video.frame(1)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_images_that_opencv_compressed_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 60000, shape, np.uint16)
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    cv2.imwrite(str(tmp_path / "0.tif"), image, lzw)
    with open_video(tmp_path) as video:
        rgb = image if image.ndim == 2 else image[..., ::-1]
        np.testing.assert_array_equal(video.frame(0), to_rgb_uint8(rgb))


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="is about its absence")
def test_a_compressed_stack_names_the_package_it_needs(tmp_path: Path) -> None:
    path, lzw = tmp_path / "a.tif", [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    cv2.imwritemulti(str(path), [np.zeros((8, 9), np.uint8)] * 3, lzw)
    with pytest.raises(VideoError, match=r"a\.tif needs imagecodecs: pip install imagecodecs"):
        open_video(path)
    with pytest.raises(VideoError, match=r"image a\.tif cannot be read: .* requires"):
        open_video(tmp_path)


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


def test_an_npz_file_is_no_npy_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.zeros((6, 8, 9)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(VideoError, match=r"a\.npy is not a \.npy file .*: it is a \.npz file"):
        open_video(tmp_path / "a.npy")


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
    first = np.moveaxis(last, 3, 1)
    for array in (last, first, first[:, :, None]):
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
