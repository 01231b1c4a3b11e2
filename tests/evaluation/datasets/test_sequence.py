from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError, VideoError
from napari_ocean.evaluation.datasets import Sequence, find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames


def test_frames_before_and_behind_are_not_part_of_a_sequence(tmp_path: Path) -> None:
    write_frames(tmp_path, range(10))
    sequence = Sequence("clip", np.zeros((4, 4)), tmp_path, first_frame=3)
    assert frame_numbers(sequence) == [3, 4, 5, 6]
    with sequence.open() as video, pytest.raises(VideoError, match="no frame 4"):
        video.frame(4)


def test_a_closed_part_gives_no_frames(tmp_path: Path) -> None:
    write_frames(tmp_path, range(3))
    video = Sequence("clip", np.zeros((2, 4)), tmp_path).open()
    assert (len(video), video.height, video.width) == (2, 6, 8)
    video.close()
    with pytest.raises(VideoError, match="closed"):
        video.frame(0)


def test_too_few_frames_are_told_on_opening(tmp_path: Path) -> None:
    write_frames(tmp_path, range(5))
    sequence = Sequence("clip", np.zeros((3, 4)), tmp_path, first_frame=3)
    with pytest.raises(DataError, match=r"3 true boxes from frame 3 on, but .* only 5 frames"):
        sequence.open()


def test_it_reaches_another_process_whole(tmp_path: Path) -> None:
    write_frames(tmp_path, range(4))
    sequence = Sequence("clip", np.arange(12.0).reshape(3, 4), tmp_path, 1)
    other = pickle.loads(pickle.dumps(sequence))
    np.testing.assert_array_equal(other.truth_xyxy, sequence.truth_xyxy)
    assert frame_numbers(other) == [1, 2, 3]


def test_unknown_names_and_missing_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset 'imagenet'; known are folder, otb"):
        find_sequences(tmp_path, "imagenet")
    with pytest.raises(DataError, match="no folder"):
        find_sequences(tmp_path / "nowhere", "otb")


@pytest.mark.parametrize("dataset", ["folder", "otb", "lasot", "vot"])
def test_an_empty_folder_is_told(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(DataError, match=f"no sequence laid out as '{dataset}'"):
        find_sequences(tmp_path, dataset)
