from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean import boxes
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from napari_ocean.evaluation.datasets.vot import mask_box
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def truth_of(folder: Path, text: str) -> np.ndarray:
    write_text(folder / "ants1/groundtruth.txt", text)
    (sequence,) = find_sequences(folder, "vot")
    return sequence.truth_xyxy


def test_polygons_become_the_smallest_upright_box(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, "3,0,6,3,3,6,0,3\n1.5,2,4,9,8,1\n10,20,3,4\n")
    np.testing.assert_array_equal(truth, [[0, 0, 6, 6], [1.5, 1, 8, 9], [10, 20, 13, 24]])


def test_frames_without_a_region(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, "1,1,5,5\n0\nNaN,NaN,NaN,NaN\nm0,0,0,0,0\n1,1,0,5\n")
    assert np.isnan(truth).all(axis=1).tolist() == [False, True, True, True, True]


def test_a_mask_by_hand(tmp_path: Path) -> None:
    # At (10, 20), 4 wide and 3 high, rows .11. 11.. ....: 1 zero, 2 ones, 1 zero, 2 ones, 6 zeros
    truth = truth_of(tmp_path, "m10,20,4,3,1,2,1,2,6\n")
    np.testing.assert_array_equal(truth, [[10, 20, 13, 22]])


def test_a_run_over_the_end_of_a_row_touches_both_sides() -> None:
    np.testing.assert_array_equal(mask_box(np.array([5.0, 7, 4, 3, 3, 2, 7])), [5, 7, 9, 9])


@given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=6
        )
    ),
    st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_the_box_of_any_mask_is_that_of_its_pixels(
    rows: list[list[bool]], corner: tuple[int, int]
) -> None:
    mask = np.array(rows)
    flat = np.concatenate([[False], mask.ravel(), [False]])
    changes = np.flatnonzero(np.diff(flat.astype(int)))
    runs = np.diff(np.concatenate([[0], changes, [mask.size]]))
    found = mask_box(np.array([*corner, mask.shape[1], mask.shape[0], *runs], dtype=float))
    y, x = np.nonzero(mask)
    if len(x) == 0:
        assert np.isnan(found).all()
    else:
        inside = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        np.testing.assert_array_equal(found, inside + np.tile(corner, 2))


def test_frames_lie_in_color_or_beside_the_truth_and_the_list_chooses(tmp_path: Path) -> None:
    for name in ("new", "old", "unlisted"):
        write_text(tmp_path / name / "groundtruth.txt", "1,1,2,3\n1,1,2,3\n")
    write_frames(tmp_path / "new/color", (1, 2), digits=8)
    write_frames(tmp_path / "old", (7, 8), digits=8)
    write_text(tmp_path / "list.txt", "old\nnew\n")
    old, new = find_sequences(tmp_path, "vot")
    assert (frame_numbers(old), frame_numbers(new)) == ([7, 8], [1, 2])


def test_what_is_no_region_or_has_several_targets_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Line 2 of .* is no region: it holds 5 numbers"):
        truth_of(tmp_path, "1,1,2,3\n1,2,3,4,5\n")
    with pytest.raises(DataError, match=r"Line 1 of .* is no region: it holds 2 numbers"):
        truth_of(tmp_path, "m1,2\n")
    (tmp_path / "ants1/groundtruth.txt").rename(tmp_path / "ants1/groundtruth_1.txt")
    write_text(tmp_path / "list.txt", "ants1\n")
    with pytest.raises(DataError, match="several targets"):
        find_sequences(tmp_path, "vot")


def test_masks_agree_with_the_toolkit(tmp_path: Path) -> None:
    region = pytest.importorskip("vot.region.io", reason="needs vot-toolkit")
    shapes = pytest.importorskip("vot.region.shapes", reason="needs vot-toolkit")
    mask = np.random.default_rng(0).random((9, 13)) > 0.9
    text = str(shapes.Mask(mask.astype(np.uint8), (4, 5)))
    read = region.parse_region(text)  # cut to its pixels
    expected = boxes.from_xywh([*read.offset, *read.mask.shape[::-1]])
    np.testing.assert_array_equal(truth_of(tmp_path, text + "\n")[0], expected)
