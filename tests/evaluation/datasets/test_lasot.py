from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def make(folder: Path, *, occluded: str = "0,0,0,0", outside: str = "0,0,0,0") -> None:
    write_frames(folder / "img", range(1, 5), digits=8)
    write_text(folder / "groundtruth.txt", "1,1,4,5\n2,1,4,5\n3,1,4,5\n4,1,0,0\n")
    write_text(folder / "full_occlusion.txt", occluded)
    write_text(folder / "out_of_view.txt", outside)


def test_either_flag_hides_the_target(tmp_path: Path) -> None:
    make(tmp_path / "bear/bear-2", occluded="0,1,0,0", outside="0,0,1,0")
    (bear,) = find_sequences(tmp_path, "lasot")
    assert bear.name == "bear-2"
    np.testing.assert_array_equal(bear.truth_xyxy[0], [0, 0, 4, 5])
    assert np.isnan(bear.truth_xyxy[1:]).all()
    assert frame_numbers(bear) == [1, 2, 3, 4]


def test_a_list_of_the_test_set_chooses(tmp_path: Path) -> None:
    for name in ("bear/bear-2", "bear/bear-17", "cat-1"):
        make(tmp_path / name)
    assert [s.name for s in find_sequences(tmp_path, "lasot")] == ["bear-17", "bear-2", "cat-1"]
    write_text(tmp_path / "testing_set.txt", "bear-17\nnot-here-1\n")
    assert [s.name for s in find_sequences(tmp_path, "lasot")] == ["bear-17"]


def test_flags_for_another_number_of_frames_are_told(tmp_path: Path) -> None:
    make(tmp_path / "bear/bear-2", outside="0,0,0")
    with pytest.raises(DataError, match=r"out_of_view.txt has flags for 3 frames, .* 4 true boxes"):
        find_sequences(tmp_path, "lasot")
