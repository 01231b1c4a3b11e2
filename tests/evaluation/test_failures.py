"""The worst frames: which they are, and that both boxes lie on the right pixels."""

from __future__ import annotations

import cv2
import imageio.v3 as iio
import numpy as np

from napari_ocean.evaluation import failures
from napari_ocean.evaluation.datasets import Run, Sequence

SIDE, COUNT = 100, 4


def _clip(tmp_path, name: str, truth_xyxy: np.ndarray) -> Sequence:
    """Black frames with a white square where the true box is."""
    folder = tmp_path / name
    folder.mkdir()
    for at, box in enumerate(truth_xyxy):
        frame = np.zeros((SIDE, SIDE, 3), np.uint8)
        if np.isfinite(box).all():
            x0, y0, x1, y1 = box.astype(int)
            frame[y0:y1, x0:x1] = 255
        iio.imwrite(folder / f"{at:03d}.png", frame)
    return Sequence(name, truth_xyxy, folder)


def _run(truth_xyxy: np.ndarray, off_px: list[float]) -> Run:
    found = np.nan_to_num(truth_xyxy) + np.array(off_px)[:, None] * [1, 0, 1, 0]
    return Run(found, np.linspace(1, 0.4, COUNT), np.ones(COUNT))


def test_the_worst_frame_of_each_sequence_comes_first(tmp_path) -> None:
    truth = np.tile([40.0, 40, 60, 60], (COUNT, 1))
    hidden = truth.copy()
    hidden[2] = np.nan
    gone = np.vstack([truth[:1], np.full((COUNT - 1, 4), np.nan)])
    clips = [_clip(tmp_path, *of) for of in (("a", truth), ("b", hidden), ("c", gone))]
    runs = [_run(truth, [90, 0, 2, 1]), _run(hidden, [0, 3, 90, 1]), _run(gone, [0, 90, 90, 90])]
    found = failures.worst(clips, runs)
    assert [(failure.clip.name, failure.frame) for failure in found] == [("b", 1), ("a", 2)]
    np.testing.assert_allclose([failure.overlap for failure in found], [17 / 23, 18 / 22])


def test_both_boxes_lie_on_the_picture_where_they_are(tmp_path) -> None:
    truth = np.tile([40.0, 40, 60, 60], (COUNT, 1))
    clip = _clip(tmp_path, "ä", truth)
    failures.write(failures.worst([clip], [_run(truth, [0, 8, 0, 0])]), tmp_path / "worst.png")
    cell = iio.imread(tmp_path / "worst.png")[:, : failures._SIDE_PX + 4]
    picture = cell[-failures._SIDE_PX - 2 : -2, 2:-2].astype(int)
    scale = failures._SIDE_PX / (1.5 * 28)  # both boxes are 28 px wide together
    red, green, blue = np.moveaxis(picture, -1, 0)
    for mask, x_px in (((green > 120) & (red < 60), 40), ((red > 200) & (green < 60), 48)):
        columns = np.flatnonzero(mask.sum(axis=0) > 15 * scale)
        left, right = (scale * (x - (54 - 1.5 * 14)) for x in (x_px, x_px + 20))
        assert abs(columns.min() - left) <= 2
        assert abs(columns.max() - right) <= 2
    white = (red > 250) & (green > 250) & (blue > 250)
    inside = white[round(scale * 13) : round(scale * 29), round(scale * 17) : round(scale * 26)]
    assert inside[4:-4, 4:-4].mean() > 0.95, "the square lies in its box"


def test_the_sheet_is_a_grid(tmp_path) -> None:
    truth = np.tile([40.0, 40, 60, 60], (COUNT, 1))
    clips = [_clip(tmp_path, str(i), truth) for i in range(5)]
    sheet = failures.failures_sheet(failures.worst(clips, [_run(truth, [0, 8, 0, 0])] * 5))
    rows, columns = sheet.shape[0] / 2, sheet.shape[1] / 4
    assert sheet.dtype == np.uint8
    last = sheet[int(rows) :, int(columns) :]
    assert (last == 255).all(), "one cell in the second row"
    assert cv2.cvtColor(sheet[: int(rows)], cv2.COLOR_BGR2GRAY).min() == 0
