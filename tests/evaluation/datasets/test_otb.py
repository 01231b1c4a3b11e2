from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def lines(count: int) -> str:
    return "".join(f"{n + 1},1,2,3\n" for n in range(count))


@pytest.mark.parametrize(
    "text", ["1,2,3,4\n11,12,5,6", "1\t2\t3\t4\n11 12 5 6", "1 2 3 4\n11, 12, 5, 6"]
)
def test_coordinates_count_from_one_whatever_separates_them(tmp_path: Path, text: str) -> None:
    write_frames(tmp_path / "Deer/img", (1, 2))
    write_text(tmp_path / "Deer/groundtruth_rect.txt", text)
    (deer,) = find_sequences(tmp_path, "otb")
    np.testing.assert_array_equal(deer.truth_xyxy, [[0, 1, 3, 5], [10, 11, 15, 17]])


def test_two_targets_of_one_folder_are_two_sequences(tmp_path: Path) -> None:
    write_frames(tmp_path / "Jogging/img", (1, 2))
    write_text(tmp_path / "Jogging/groundtruth_rect.1.txt", "1,1,2,3\n1,1,2,3\n")
    write_text(tmp_path / "Jogging/groundtruth_rect.2.txt", "5,5,2,3\n5,5,2,3\n")
    write_frames(tmp_path / "Human4/img", (1,))
    write_text(tmp_path / "Human4/groundtruth_rect.1.txt", "")
    write_text(tmp_path / "Human4/groundtruth_rect.2.txt", "1,1,2,3\n")
    found = {s.name: s for s in find_sequences(tmp_path, "otb")}
    assert list(found) == ["Human4-2", "Jogging-1", "Jogging-2"]
    assert found["Jogging-2"].truth_xyxy[0, 0] == 4
    assert found["Jogging-1"].video == found["Jogging-2"].video


def test_copies_of_a_folder_with_two_targets_count_once(tmp_path: Path) -> None:
    for name in ("Jogging", "Jogging-1", "Jogging-2"):
        write_frames(tmp_path / name / "img", (1,))
        write_text(tmp_path / name / "groundtruth_rect.1.txt", "1,1,2,3\n")
        write_text(tmp_path / name / "groundtruth_rect.2.txt", "5,5,2,3\n")
    found = {s.name: s for s in find_sequences(tmp_path, "otb")}
    assert list(found) == ["Jogging-1", "Jogging-2"]
    assert [s.truth_xyxy[0, 0] for s in found.values()] == [0, 4]


def test_the_boxes_of_david_begin_at_image_300(tmp_path: Path) -> None:
    write_frames(tmp_path / "David/img", range(1, 771))
    write_text(tmp_path / "David/groundtruth_rect.txt", lines(471))
    (david,) = find_sequences(tmp_path, "otb")
    with david.open() as video:
        assert video.frame(0)[0, 0, 0] == 300 % 251
        assert video.frame(470)[0, 0, 0] == 770 % 251


def test_a_copy_of_david_that_was_cut_already_is_left_alone(tmp_path: Path) -> None:
    write_frames(tmp_path / "David/img", range(300, 310))
    write_text(tmp_path / "David/groundtruth_rect.txt", lines(10))
    assert frame_numbers(find_sequences(tmp_path, "otb")[0])[0] == 300 % 251


def test_the_first_five_frames_of_tiger1_are_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path / "Tiger1/img", range(1, 355))
    write_text(tmp_path / "Tiger1/groundtruth_rect.txt", lines(354))
    (tiger,) = find_sequences(tmp_path, "otb")
    assert len(tiger) == 349
    assert tiger.truth_xyxy[0, 0] == 5
    assert frame_numbers(tiger)[0] == 6


def test_images_behind_the_last_box_do_not_count(tmp_path: Path) -> None:
    write_frames(tmp_path / "Freeman4/img", range(1, 15))
    write_text(tmp_path / "Freeman4/groundtruth_rect.txt", lines(12))
    assert frame_numbers(find_sequences(tmp_path, "otb")[0]) == list(range(1, 13))


def test_an_empty_box_is_no_true_box(tmp_path: Path) -> None:
    write_frames(tmp_path / "Board/img", (1, 2))
    write_text(tmp_path / "Board/groundtruth_rect.txt", "1,1,2,3\n0,0,0,0\n")
    (board,) = find_sequences(tmp_path, "otb")
    assert np.isnan(board.truth_xyxy).all(axis=1).tolist() == [False, True]


def test_missing_frames_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "Deer/groundtruth_rect.txt", lines(1))
    with pytest.raises(DataError, match="Deer has no folder img"):
        find_sequences(tmp_path, "otb")
