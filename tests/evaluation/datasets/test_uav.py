from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences, uav
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def test_sequences_share_a_folder_and_end_with_their_boxes(tmp_path: Path) -> None:
    write_frames(tmp_path / "data_seq/UAV123/truck4", range(1, 581), digits=6)
    write_text(tmp_path / "anno/UAV123/truck4_1.txt", "1,2,3,4\n" * 577)
    write_text(tmp_path / "anno/UAV123/truck4_2.txt", "5,2,3,4\nNaN,NaN,NaN,NaN\n9,2,3,4\n")
    write_text(tmp_path / "anno/UAV123/att/truck4_1.txt", "0,1,0")
    first, second = find_sequences(tmp_path, "uav")
    assert (first.name, second.name) == ("truck4_1", "truck4_2")
    assert frame_numbers(first)[-1] == 577 % 251
    assert frame_numbers(second) == [577 % 251, 578 % 251, 579 % 251]
    np.testing.assert_array_equal(second.truth_xyxy[[0, 2]], [[4, 1, 7, 5], [8, 1, 11, 5]])
    assert np.isnan(second.truth_xyxy[1]).all()


def test_every_third_frame_at_ten_frames_a_second(tmp_path: Path) -> None:
    write_frames(tmp_path / "data_seq/UAV123_10fps/uav1", range(1, 830), digits=6)
    write_text(tmp_path / "anno/UAV123_10fps/uav1_3.txt", "1,2,3,4\n" * 2)
    (sequence,) = find_sequences(tmp_path, "uav")
    assert frame_numbers(sequence) == [825 % 251, 826 % 251]  # of the set's own configSeqs.m


def test_simulated_sequences_have_folders_of_their_own(tmp_path: Path) -> None:
    write_text(tmp_path / "anno/UAV123/car1_s.txt", "1,2,3,4\n")
    (sequence,) = find_sequences(tmp_path, "uav")
    assert sequence.video == tmp_path / "data_seq/UAV123/car1_s"


def test_the_long_set_is_chosen_by_its_annotations(tmp_path: Path) -> None:
    write_text(tmp_path / "anno/UAV123/car1_2.txt", "1,2,3,4\n")
    write_text(tmp_path / "anno/UAV20L/car1.txt", "1,2,3,4\n")
    (sequence,) = find_sequences(tmp_path / "anno/UAV20L", "uav")
    assert (sequence.name, sequence.first_frame) == ("car1", 0)
    assert sequence.video == tmp_path / "data_seq/UAV123/car1"


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder anno/UAV123"):
        find_sequences(tmp_path, "uav")


def test_first_images_agree_with_the_toolkit() -> None:
    datasets = pytest.importorskip("got10k.datasets", reason="needs the got10k toolkit")
    import json

    table = json.loads((Path(datasets.__file__).parent / "uav123.json").read_text())["UAV123"]
    later = {name: row["start_frame"] for name, row in table.items() if row["start_frame"] > 1}
    assert later == uav._FIRST_IMAGE
