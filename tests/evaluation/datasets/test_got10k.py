from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text

TRUTH = "1.0000,2.0000,3.0000,4.0000\n2.0000,2.0000,3.0000,4.0000\n3.0000,2.0000,3.0000,4.0000\n"


def make(root: Path, name: str, truth: str = TRUTH) -> Path:
    write_frames(root / name, range(1, 4), digits=8)
    write_text(root / name / "groundtruth.txt", truth)
    with (root / "list.txt").open("a") as file:
        file.write(f"{name}\n")
    return root / name


def test_the_list_orders_and_coordinates_count_from_one(tmp_path: Path) -> None:
    make(tmp_path, "GOT-10k_Val_000002")
    make(tmp_path, "GOT-10k_Val_000001")
    found = find_sequences(tmp_path, "got10k")
    assert [s.name for s in found] == ["GOT-10k_Val_000002", "GOT-10k_Val_000001"]
    np.testing.assert_array_equal(found[0].truth_xyxy[0], [0, 1, 3, 5])
    assert frame_numbers(found[0]) == [1, 2, 3]


def test_absent_targets_have_no_true_box(tmp_path: Path) -> None:
    write_text(make(tmp_path, "GOT-10k_Val_000001") / "absence.label", "0\n1\n0\n")
    (sequence,) = find_sequences(tmp_path, "got10k")
    assert np.isnan(sequence.truth_xyxy[:, 0]).tolist() == [False, True, False]


def test_cover_counts_before_absence_as_in_the_toolkit(tmp_path: Path) -> None:
    folder = make(tmp_path, "GOT-10k_Val_000001")
    write_text(folder / "absence.label", "0\n1\n0\n")
    write_text(folder / "cover.label", "8\n1\n0\n")
    (sequence,) = find_sequences(tmp_path, "got10k")
    assert np.isnan(sequence.truth_xyxy[:, 0]).tolist() == [False, False, True]


def test_the_test_set_tells_only_its_first_box(tmp_path: Path) -> None:
    make(tmp_path, "GOT-10k_Test_000001", truth="1,2,3,4\n")
    (sequence,) = find_sequences(tmp_path, "got10k")
    np.testing.assert_array_equal(sequence.truth_xyxy[0], [0, 1, 3, 5])
    assert np.isnan(sequence.truth_xyxy[1:]).all()
    assert frame_numbers(sequence) == [1, 2, 3]


def test_the_whole_dataset_is_not_one_subset(tmp_path: Path) -> None:
    make(tmp_path / "val", "GOT-10k_Val_000001")
    with pytest.raises(DataError, match=r"one subset of GOT-10k: .*val or .*test"):
        find_sequences(tmp_path, "got10k")
