from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import VideoError
from napari_ocean.evaluation.datasets import find_sequences, got10k
from napari_ocean.evaluation.runs import run_once
from napari_ocean.evaluation.toolkits.got10k import ToolkitTracker
from napari_ocean.evaluation.toolkits.images import read_rgb
from napari_ocean.tracks import Prediction, State
from napari_ocean.video import open_video


class Mover:
    """Says that the target moves one pixel to the right on each frame."""

    def __init__(self, frame_rgb: NDArray[np.uint8], box_xyxy: FloatArray) -> None:
        self.box = np.asarray(box_xyxy)

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        self.box = self.box + np.array([1, 0, 1, 0])
        return Prediction(box_xyxy=self.box, score=1.0, state=State.FOUND)


def write_images(folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:08d}.jpg" for number in range(1, count + 1)]
    noise = np.random.default_rng(0)
    for path in paths:
        cv2.imwrite(str(path), noise.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return [str(path) for path in paths]


def test_boxes_come_back_in_the_files_own_coordinates(tmp_path: Path) -> None:
    given: list[FloatArray] = []

    def start(frame_rgb: NDArray[np.uint8], box_xyxy: FloatArray) -> Mover:
        given.append(box_xyxy)
        return Mover(frame_rgb, box_xyxy)

    tracker = ToolkitTracker(start, "mover")
    found, seconds = tracker.track(write_images(tmp_path / "clip", 3), np.array([1.0, 2, 5, 6]))
    np.testing.assert_array_equal(given, [[0, 1, 5, 7]])
    np.testing.assert_array_equal(found, [[1, 2, 5, 6], [2, 2, 5, 6], [3, 2, 5, 6]])
    assert seconds.shape == (3,)
    assert (seconds > 0).all()
    from_zero, _ = ToolkitTracker(start, "mover", origin=0).track(
        [str(tmp_path / "clip/00000001.jpg")], [1, 2, 5, 6]
    )
    np.testing.assert_array_equal(given[1], [1, 2, 6, 8])
    np.testing.assert_array_equal(from_zero, [[1, 2, 5, 6]])


def test_an_image_reads_as_in_a_folder(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "clip", 1)
    with open_video(tmp_path / "clip") as video:
        np.testing.assert_array_equal(read_rgb(paths[0]), video.frame(0))
    with pytest.raises(VideoError, match="missing or cannot be decoded"):
        read_rgb(tmp_path / "nothing.jpg")


def write_subset(root: Path, dev: Path, *, test: bool) -> None:
    """A subset of GOT-10k from development sequences, counted from 1."""
    names = []
    for number, source in enumerate((dev / "OTB/Skiing", dev / "OTB/Couple"), start=1):
        folder = root / f"GOT-10k_{number:06d}"
        folder.mkdir(parents=True)
        names.append(folder.name)
        truth = np.loadtxt(source / "groundtruth.txt", delimiter=",")[:30]
        truth[:, :2] += 1
        images = sorted((source / "img").iterdir())[:30]
        for at, image in enumerate(images, start=1):
            shutil.copy(image, folder / f"{at:08d}.jpg")
        np.savetxt(folder / "groundtruth.txt", truth[:1] if test else truth, "%.4f", ",")
        height, width = read_rgb(images[0]).shape[:2]
        meta = f"[METAINFO]\nresolution: ({width}, {height})\n"
        (folder / "meta_info.ini").write_text(meta)
        cover = np.full(len(truth), 8)
        cover[10:15] = 0  # as if it were hidden
        np.savetxt(folder / "cover.label", cover, "%d")
        np.savetxt(folder / "absence.label", cover == 0, "%d")
        np.savetxt(folder / "cut_by_image.label", 0 * cover, "%d")
    (root / "list.txt").write_text("\n".join(names) + "\n")


def test_the_toolkit_runs_and_scores_us(tmp_path: Path, shared_data: Path) -> None:
    experiments = pytest.importorskip("got10k.experiments", reason="needs the got10k toolkit")
    write_subset(tmp_path / "val", shared_data / "data/dev", test=False)
    experiment = experiments.ExperimentGOT10k(
        str(tmp_path), "val", str(tmp_path / "results"), str(tmp_path / "reports")
    )
    experiment.run(ToolkitTracker(Mover, "mover"))
    scores = experiment.report(["mover"])["mover"]

    overlaps = []
    for sequence in find_sequences(tmp_path / "val", "got10k"):
        run = run_once(Mover, sequence)
        theirs = got10k.read_result(tmp_path / "results/GOT-10k", "mover", sequence)
        assert theirs is not None
        np.testing.assert_allclose(theirs.boxes_xyxy, run.boxes_xyxy, rtol=0, atol=1.1e-3)
        with sequence.open() as video:
            frame_hw = (video.height, video.width)
        cut = boxes.clip(run.boxes_xyxy, frame_hw), boxes.clip(sequence.truth_xyxy, frame_hw)
        iou = boxes.iou(*cut)[1:]
        overlaps.append(iou[np.isfinite(iou)])
        assert scores["seq_wise"][sequence.name]["ao"] == pytest.approx(
            overlaps[-1].mean(), abs=0.02
        )
    assert [len(iou) for iou in overlaps] == [24, 24]  # 30 less the first and five hidden ones
    assert scores["overall"]["ao"] == pytest.approx(np.concatenate(overlaps).mean(), abs=0.02)


def test_the_files_for_the_server(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = pytest.importorskip("got10k.experiments", reason="needs the got10k toolkit")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # it waits after its warning
    write_subset(tmp_path / "test", shared_data / "data/dev", test=True)
    experiment = experiments.ExperimentGOT10k(str(tmp_path), "test", str(tmp_path / "theirs"))
    experiment.run(ToolkitTracker(Mover, "mover"))
    experiment.report(["mover"])
    theirs = tmp_path / "theirs/GOT-10k"
    for sequence in find_sequences(tmp_path / "test", "got10k"):
        got10k.write_result(tmp_path / "ours", "mover", sequence, run_once(Mover, sequence))
    files = sorted(path.relative_to(theirs) for path in theirs.rglob("*.txt"))
    assert files == sorted(
        p.relative_to(tmp_path / "ours") for p in (tmp_path / "ours").rglob("*.txt")
    )
    for path in files:
        ours = np.loadtxt(tmp_path / "ours" / path, delimiter=",")
        if "time" not in path.name:
            np.testing.assert_allclose(np.loadtxt(theirs / path, delimiter=","), ours, atol=1e-3)
    assert (theirs / "mover.zip").is_file()
