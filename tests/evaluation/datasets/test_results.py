"""Result files of every dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import DATASETS, Run, Sequence, find_sequences
from tests.evaluation.datasets.frames import write_frames, write_text

EVERY = pytest.mark.parametrize("name", list(DATASETS))

BOXES = [[1.0, 2, 11, 22], [1.25, 2, 11, 22.5]]
LAYOUTS = {
    "folder": ("ocean/clip.txt", "ocean/times/clip_time.txt", "1.0000,2.0000,10.0000,20.0000"),
    "otb": ("ocean/clip.txt", "ocean/times/clip_time.txt", "2.0000,3.0000,10.0000,20.0000"),
    "lasot": ("ocean/clip.txt", "ocean/times/clip_time.txt", "2.0000,3.0000,10.0000,20.0000"),
    "uav": ("ocean/clip.txt", "ocean/times/clip_time.txt", "2.0000,3.0000,10.0000,20.0000"),
    "davis": ("ocean/clip.txt", "ocean/times/clip_time.txt", "1.0000,2.0000,10.0000,20.0000"),
    "got10k": (
        "ocean/clip/clip_001.txt",
        "ocean/clip/clip_time.txt",
        "2.0000,3.0000,10.0000,20.0000",
    ),
    "vot": (
        "ocean/unsupervised/clip/clip_001.txt",
        "ocean/unsupervised/clip/clip_001_time.value",
        "1",
    ),
}


def a_sequence(boxes_xyxy: list[list[float]]) -> Sequence:
    return Sequence("clip", np.array(boxes_xyxy, dtype=float), Path())


def a_run(boxes_xyxy: list[list[float]]) -> Run:
    count = len(boxes_xyxy)
    return Run(np.array(boxes_xyxy), np.full(count, 0.5), np.linspace(0.5, 0.01, count))


@EVERY
def test_the_benchmarks_own_files(name: str, tmp_path: Path) -> None:
    boxes_path, times_path, first = LAYOUTS[name]
    DATASETS[name].write_result(tmp_path, "ocean", a_sequence(BOXES), a_run(BOXES))
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    assert found == sorted([boxes_path, times_path])
    assert (tmp_path / boxes_path).read_text().splitlines()[0] == first
    assert (tmp_path / times_path).read_text() == "0.50000000\n0.01000000\n"


@EVERY
@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.floats(-100, 4000), st.floats(-100, 4000), st.floats(0, 4000), st.floats(0, 4000)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[float, float, float, float]],
) -> None:
    folder = tmp_path_factory.mktemp("results")
    boxes_xyxy = [[x, y, x + w, y + h] for x, y, w, h in drawn]
    sequence, run = a_sequence(boxes_xyxy), a_run(boxes_xyxy)
    DATASETS[name].write_result(folder, "ocean", sequence, run)
    read = DATASETS[name].read_result(folder, "ocean", sequence)
    assert read is not None
    np.testing.assert_allclose(read.boxes_xyxy, run.boxes_xyxy, rtol=0, atol=1.1e-4)
    np.testing.assert_allclose(read.seconds, run.seconds, rtol=0, atol=1e-8)
    assert np.isnan(read.scores).all()


@EVERY
def test_nothing_there_is_no_run(name: str, tmp_path: Path) -> None:
    assert DATASETS[name].read_result(tmp_path, "ocean", a_sequence(BOXES)) is None


@EVERY
def test_times_may_be_missing(name: str, tmp_path: Path) -> None:
    DATASETS[name].write_result(tmp_path, "ocean", a_sequence(BOXES), a_run(BOXES))
    (tmp_path / LAYOUTS[name][1]).unlink()
    read = DATASETS[name].read_result(tmp_path, "ocean", a_sequence(BOXES))
    assert read is not None
    assert np.isnan(read.seconds).all()


@EVERY
def test_results_of_another_sequence_are_refused(name: str, tmp_path: Path) -> None:
    DATASETS[name].write_result(tmp_path, "ocean", a_sequence(BOXES), a_run(BOXES))
    with pytest.raises(DataError, match=r"has 2 lines, but clip has 1 frames; delete"):
        DATASETS[name].read_result(tmp_path, "ocean", a_sequence(BOXES[:1]))


def test_a_sequence_in_folders_keeps_them(tmp_path: Path) -> None:
    sequence = Sequence("set/clip", np.array(BOXES), Path())
    DATASETS["folder"].write_result(tmp_path, "ocean", sequence, a_run(BOXES))
    assert (tmp_path / "ocean/set/clip.txt").is_file()
    assert (tmp_path / "ocean/times/set/clip_time.txt").is_file()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write = DATASETS["otb"].write_result
    write(tmp_path, "ocean", a_sequence(BOXES), a_run(BOXES))
    before = (tmp_path / "ocean/clip.txt").read_text()
    (tmp_path / "ocean/times/clip_time.txt").unlink()
    (tmp_path / "ocean/times/clip_time.txt").mkdir()  # no file can take its place
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path, "ocean", a_sequence(BOXES), a_run([[0, 0, 1, 1], [0, 0, 1, 1]]))
    assert (tmp_path / "ocean/clip.txt").read_text() == before
    assert not list(tmp_path.rglob("*.part"))


def test_the_origin_of_truth_and_results_is_one(tmp_path: Path) -> None:
    write_frames(tmp_path / "Deer/img", (1,))
    write_text(tmp_path / "Deer/groundtruth_rect.txt", "198,214,34,81\n")
    (deer,) = find_sequences(tmp_path, "otb")
    DATASETS["otb"].write_result(
        tmp_path / "results", "ocean", deer, a_run([list(deer.truth_xyxy[0])])
    )
    written = (tmp_path / "results/ocean/Deer.txt").read_text()
    assert written == "198.0000,214.0000,34.0000,81.0000\n"
