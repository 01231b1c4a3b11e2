from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def test_names_are_paths_and_coordinates_count_from_zero(tmp_path: Path) -> None:
    write_frames(tmp_path / "set/b/img", range(2))
    write_text(tmp_path / "set/b/groundtruth.txt", "0,0,8,6\nNaN,NaN,NaN,NaN\n")
    write_frames(tmp_path / "set/a/img", range(1))
    write_text(tmp_path / "set/a/groundtruth.txt", "1.5,2,3,4")
    a, b = find_sequences(tmp_path)
    assert (a.name, b.name) == ("set/a", "set/b")
    np.testing.assert_array_equal(a.truth_xyxy, [[1.5, 2, 4.5, 6]])
    np.testing.assert_array_equal(b.truth_xyxy, [[0, 0, 8, 6], [np.nan] * 4])
    assert frame_numbers(b) == [0, 1]


def test_linked_sequences_are_sequences(tmp_path: Path) -> None:
    write_frames(tmp_path / "far/one", range(1))
    write_text(tmp_path / "far/one/groundtruth.txt", "0,0,8,6\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "far/one")
    (sequence,) = find_sequences(tmp_path / "set")
    assert sequence.name == "linked"


def test_images_may_lie_beside_the_boxes_of_a_single_sequence(tmp_path: Path) -> None:
    write_frames(tmp_path, range(2))
    write_text(tmp_path / "groundtruth.txt", "0,0,8,6\n0,0,8,6\n")
    (sequence,) = find_sequences(tmp_path)
    assert sequence.name == tmp_path.name
    assert frame_numbers(sequence) == [0, 1]


def test_a_film_is_taken_and_two_are_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "groundtruth.txt", "0,0,8,6\n")
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "._clip.mp4").touch()  # of macOS
    (sequence,) = find_sequences(tmp_path)
    assert sequence.video == tmp_path / "clip.mp4"
    (tmp_path / "other.avi").touch()
    with pytest.raises(DataError, match="holds 2 films"):
        find_sequences(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", r"Line 2 of .*groundtruth.txt holds 3 numbers instead of 4"),
        ("1,2,3,4\n\n1,2,3,4\n", r"Line 2 of .* something else than numbers"),
        ("1,2,3,four\n", r"Line 1 of .* something else than numbers"),
        ("\xff", "not a text file in UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "groundtruth.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        find_sequences(tmp_path)


def test_development_sequences(shared_data: Path) -> None:
    found = {s.name: s for s in find_sequences(shared_data / "data/dev")}
    assert len(found) == 13
    assert len(found["OTB/Car4"]) == 300
    np.testing.assert_array_equal(found["OTB/Car4"].truth_xyxy[0], [69, 50, 176, 137])
    with found["VOT2015/bag"].open() as video:
        assert (len(video), video.height, video.width) == (196, 360, 480)


def test_an_endless_box_is_none(tmp_path: Path) -> None:
    write_text(tmp_path / "groundtruth.txt", "0,0,inf,6\ninf,0,8,6\n0,0,8,6\n")
    (found,) = find_sequences(tmp_path)
    assert np.isnan(found.truth_xyxy).all(axis=1).tolist() == [True, True, False]
