"""Reports: what stands in a row, a column, a file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_ocean.errors import DataError
from napari_ocean.evaluation import plots
from napari_ocean.evaluation.datasets import Run, Sequence
from napari_ocean.evaluation.metrics import CONVENTIONS
from napari_ocean.evaluation.report import (
    as_json,
    as_markdown,
    collect,
    difference,
    peers_corrections,
    read_peers,
)
from napari_ocean.evaluation.runs import StartUp
from napari_ocean.evaluation.store import Store

TRUTH = np.tile([10.0, 10, 30, 30], (5, 1))
IDENTITIES = {
    "ocean": {"tracker": "ocean", "settings": {"penalty_k": 0.1}, "without": []},
    "nano": {"tracker": "nano", "weights_sha256": {"a.onnx": "0123456789abcdef"}},
}


@pytest.fixture
def report(tmp_path):
    """Two trackers on two sequences; `ocean` loses two of four frames of the second."""
    clips = [Sequence(name, TRUTH, video=tmp_path / "none") for name in "ab"]
    store = Store(tmp_path / "out", "folder")
    lost = TRUTH + np.array([0, 0, 0, 90, 90])[:, None]
    for tracker, second, ms in (("ocean", lost, 10), ("nano", TRUTH, 40)):
        for clip, found in zip(clips, (TRUTH, second), strict=True):
            seconds = np.array([9, 1, 1, 1, 3]) * ms / 1000
            store.write(tracker, clip, Run(found, np.ones(5), seconds), (100, 100))
    start_ups = {"ocean": StartUp(1.5, 300.0), "nano": StartUp(0.25, None)}
    return collect("folder", "data", IDENTITIES, start_ups, clips, store)


def test_numbers_of_a_report(report) -> None:
    ocean, nano = report.trackers
    assert ocean.scores["b"].ao == 0.5
    assert_allclose([ocean.overall.ao, ocean.overall.auc], [0.75, 0.75 * 20 / 21])
    assert ocean.intervals["ao"] == (0.5, 1)
    assert_allclose([ocean.median_ms, nano.median_ms], [10, 40])  # the start does not count
    assert 10 < ocean.p95_ms <= 30
    gap, (low, high) = difference(nano, ocean, CONVENTIONS["folder"])
    assert_allclose([gap, low, high], np.array([0.25, 0, 0.5]) * 20 / 21)


def test_markdown_has_a_row_per_tracker_and_sequence(report) -> None:
    peers = {"a": {"csrt": {"auc": 0.4}}, "b": {"csrt": {"auc": 0.3}, "linear": {}}}
    lines = as_markdown(report, peers).splitlines()
    assert "2 sequences, 8 frames that count" in lines[2]
    assert any(line.startswith("| ocean | 0.714 [0.476, 0.952] | 0.750 [0.500") for line in lines)
    assert "| ocean | 0.250 | 0.500 |" in lines  # a score of 1 on each of 6 right and 2 wrong boxes
    assert "| ocean | 10.0 | 30.0 | 100 | 1.50 | 300 |" in lines
    assert "| nano | 40.0 | 120.0 | 25 | 0.25 | - |" in lines
    assert "| nano | +0.238 | [+0.000, +0.476] |" in lines
    assert "| sequence | frames | ocean | nano | csrt (peers.json) |" in lines
    assert "| b | 4 | 0.476 | 0.952 | 0.300 |" in lines
    assert "| **overall** | 8 | 0.714 | 0.952 | 0.350 |" in lines
    assert "- ocean: settings penalty_k=0.1." in lines
    assert "- nano: a.onnx (SHA-256 0123456789ab)." in lines


def test_corrections_of_peers_are_over_all_frames() -> None:
    csrt = {"corrections": 3, "frames": 100}
    peers = {"a": {"csrt": csrt, "linear": {"auc": 0.5}}, "b": {"csrt": {**csrt, "frames": 50}}}
    assert peers_corrections(peers, ["a", "b"]).splitlines()[2:] == ["| csrt | 40.0 |"]
    assert peers_corrections(peers, ["a"]).splitlines()[2:] == ["| csrt | 30.0 |"]


def test_json_has_every_number(report) -> None:
    read = json.loads(as_json(report))
    assert read["convention"]["first_frame"] is False
    assert read["trackers"][0]["scores"]["b"]["success_curve"][0] == 0.5
    assert read["trackers"][1]["identity"] == IDENTITIES["nano"]
    assert len(read["machines"]) == 1


def test_json_has_null_where_there_is_no_number(report) -> None:
    first, *others = report.trackers
    start_up = replace(first.start_up, seconds=float("nan"))
    text = as_json(replace(report, trackers=(replace(first, start_up=start_up), *others)))
    assert "NaN" not in text
    assert json.loads(text)["trackers"][0]["start_up"]["seconds"] is None


def test_a_missing_result_is_said(tmp_path) -> None:
    clip = Sequence("a", TRUTH, video=None)
    with pytest.raises(DataError, match="holds no result of ocean on a"):
        collect("folder", "data", IDENTITIES, {}, [clip], Store(tmp_path, "folder"))


def test_a_file_that_holds_no_peers_is_said(tmp_path) -> None:
    for text in (
        "[1]",
        '{"a": {"csrt": {"auc": "0.3"}}}',
        '{"a": {"csrt": {"auc": NaN}}}',
        '{"a": {"csrt": {"corrections": 1, "frames": 0}}}',
    ):
        (tmp_path / "peers.json").write_text(text)
        with pytest.raises(DataError, match=r"peers\.json is not a file of peers"):
            read_peers(tmp_path / "peers.json")


def test_curves_are_drawn_as_png_and_svg_with_the_best_first(report, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    paths = plots.write_curves(report, tmp_path / "curves")
    stems = ("success", "precision", "normalized-precision", "reliability")
    assert {p.name for p in paths} == {f"{s}.{kind}" for s in stems for kind in ("png", "svg")}
    assert all(p.read_bytes()[1:4] == b"PNG" for p in paths if p.suffix == ".png")
    svg = (tmp_path / "curves" / "success.svg").read_text()
    assert svg.index("nano [0.952]") < svg.index("ocean [0.714]")


def test_effort_is_drawn_against_quality(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    points = {f"method {i}": [(10.0 + i, 0.7), (20.0 + i, 0.8)] for i in range(9)}
    png, svg = plots.write_effort(points, tmp_path)
    assert png.stat().st_size > 10_000
    assert all(name in svg.read_text() for name in points)
