"""``napari-ocean evaluate``: from a folder to a report, and one sentence for what is wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_ocean.cli import main
from napari_ocean.tracking.weights import SHIPPED
from tests.evaluation.clips import write_clips


def test_a_report_with_peers_side_by_side(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a", "b"], frames=6)
    (data / "peers.json").write_text('{"a": {"csrt": {"auc": 0.125}}}')
    command = ["evaluate", str(data), "--out", str(out), "--device", "cpu"]
    assert main([*command, "--tracker", "ocean", "--tracker", "static", "--without", "aware"]) == 0
    text = capsys.readouterr().out
    assert text == (out / "report.md").read_text()
    head = "| sequence | frames | ocean | ocean-without-aware | static | csrt (peers.json) |"
    assert head in text.splitlines()
    report = json.loads((out / "report.json").read_text())
    assert [t["name"] for t in report["trackers"]] == ["ocean", "ocean-without-aware", "static"]
    assert report["trackers"][0]["overall"]["auc"] > report["trackers"][2]["overall"]["auc"]
    assert report["trackers"][1]["identity"]["without"] == ["aware"]
    assert (out / "success.png").is_file()
    assert (out / "failures.png").is_file()

    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main([*command, "--set", "penalty_k=0.2"]) == 1
    sentence = capsys.readouterr().err
    assert "holds results of ocean with settings.penalty_k 0.06 (now 0.2)" in sentence
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_released_settings_by_name_and_changes_on_top(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a"], frames=3)
    command = ["evaluate", str(data), "--out", str(out), "--no-curves", "--device", "cpu"]
    assert main([*command, "--settings", "VOT2018", "--set", "search_px=287"]) == 0
    settings = json.loads((out / "trackers" / "ocean.json").read_text())["settings"]
    assert (settings["penalty_k"], settings["size_rate"]) == (0.021, 0.73)
    assert (settings["search_px"], settings["search_small_target_px"]) == (287, 271)
    assert (settings["aware_weight"], settings["exact_crop_origin"]) == (0.07, False)


def test_true_boxes_of_the_first_frame_only_give_results_and_no_scores(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a"], frames=3)
    lines = (data / "a" / "groundtruth.txt").read_text().splitlines()
    (data / "a" / "groundtruth.txt").write_text("\n".join([lines[0], *["nan,nan,nan,nan"] * 2]))
    command = ["evaluate", str(data), "--out", str(out), "--no-curves", "--tracker", "static"]
    assert main(command) == 0
    assert "no true boxes to score them by" in capsys.readouterr().out
    assert main(["evaluate", str(data), "--tracker", "static"]) == 1
    assert "add --out to keep the results" in capsys.readouterr().err
    assert np.loadtxt(out / "results" / "static" / "a.txt", delimiter=",").shape == (3, 4)


def test_weights_are_measured_side_by_side(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a"], frames=3)
    mine = shutil.copy(SHIPPED / "lite.safetensors", tmp_path / "mine.safetensors")
    command = ["evaluate", str(data), "--out", str(out), "--no-curves", "--device", "cpu"]
    models = ["--model", "lite", "--model", str(mine), "--online", "default", "--online", "off"]
    assert main([*command, *models]) == 0
    report = json.loads((out / "report.json").read_text())
    names = ["ocean", "ocean-off", "ocean-mine", "ocean-mine-off"]
    assert [tracker["name"] for tracker in report["trackers"]] == names
    same = {tracker["overall"]["auc"] for tracker in report["trackers"][::2]}
    assert len(same) == 1, "the same weights under another name"


def test_effort_is_resumed_from_disk(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a"], frames=8)
    command = ["evaluate", str(data), "--effort", "--tracker", "static", "--out", str(out)]
    assert main([*command, "--no-curves"]) == 0
    text = capsys.readouterr().out
    assert text == (out / "effort.md").read_text()
    kept = sorted((out / "effort").rglob("*.json"))
    assert {path.parent.parent.name for path in kept} == {"0.5", "0.7"}
    before = [path.stat().st_mtime_ns for path in kept]
    assert main([*command, "--no-curves"]) == 0
    assert capsys.readouterr().out == text
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_one_way_to_label_is_measured_alone(tmp_path, capsys) -> None:
    write_clips(tmp_path, ["a"], frames=8)
    command = ["evaluate", str(tmp_path), "--effort", "--tracker", "static", "--way", "forward"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.count("| drawn boxes | frames | static |") == 2  # once a bound
    assert "linear" not in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--processes", "0"], "--processes is 0"),
        (["--settings", "VOT3000"], "no --settings VOT3000; known: VOT2018"),
        (["--set", "context"], "--set takes NAME=NUMBER"),
        (["--set", "memory=60.5"], "--set memory takes a whole number, not '60.5'"),
        (["--set", "patience=true"], "--set patience takes a whole number, not 'true'"),
        (["--set", "contxt=1"], "Unknown setting contxt"),
        (["--tracker", "static", "--set", "context=1"], "are for the tracker ocean"),
        (["--without", "brakes"], "no part brakes to leave out"),
        (["--tracker", "nanotrack_v2"], "nanotrack_v2_backbone.onnx"),
        (["--model", "nowhere.pth"], "nowhere.pth"),
        (["--model", "a/one.pth", "--model", "b/one.pth"], "rename one of the files of --model"),
        (["--tracker", "static", "--model", "one.pth"], "are for the tracker ocean"),
        (["--way", "forward"], "add --effort"),
        (
            ["--effort", "--way", "review", "--tracker", "static"],
            "Only the tracker ocean is measured by",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_before_anything_is_written(
    options, sentence, tmp_path, capsys
) -> None:
    write_clips(tmp_path / "data", ["a"], frames=3)
    command = ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--no-curves"]
    assert main([*command, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error:")
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_results_are_reported_where_their_frames_are_gone(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_clips(data, ["a"], frames=3)
    command = ["evaluate", str(data), "--dataset", "lasot", "--out", str(out), "--no-curves"]
    assert main([*command, "--tracker", "static"]) == 0
    text = capsys.readouterr().out
    shutil.rmtree(data / "a" / "img")
    assert main([*command, "--tracker", "static"]) == 0
    assert capsys.readouterr().out == text


def test_effort_leaves_out_what_has_one_true_box(tmp_path, capsys) -> None:
    write_clips(tmp_path, ["a", "b"], frames=3)
    for name in ("b", "a"):
        file = tmp_path / name / "groundtruth.txt"
        first = file.read_text().splitlines()[0]
        file.write_text("\n".join([first, *["nan,nan,nan,nan"] * 2]))
        command = ["evaluate", str(tmp_path), "--effort", "--way", "linear"]
        assert main(command) == (0 if name == "b" else 1)
    told = capsys.readouterr()
    assert [line for line in told.out.splitlines() if line.startswith(("| a ", "| b "))] == [
        "| a | 2 | 2 |"
    ] * 2
    assert "has no sequence with two true boxes to label" in told.err


@pytest.mark.parametrize("options", [[], ["--effort", "--way", "forward"]], ids=str)
def test_a_wrong_file_of_peers_is_said_before_anything_is_tracked(
    options: list[str], tmp_path, capsys
) -> None:
    write_clips(tmp_path / "data", ["a"], frames=3)
    (tmp_path / "data" / "peers.json").write_text('{"a": {"csrt": {"auc": "0.3"}}}')
    out = tmp_path / "out"
    command = ["evaluate", str(tmp_path / "data"), "--tracker", "static", "--out", str(out)]
    assert main([*command, *options]) == 1
    assert "auc is '0.3'; it must be a number" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["trackers"]


def test_a_file_cannot_be_the_folder_of_results(tmp_path, capsys) -> None:
    write_clips(tmp_path / "data", ["a"], frames=3)
    (tmp_path / "out").write_text("mine")
    command = ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*command, "--tracker", "static", "--no-curves"]) == 1
    assert "is a file; choose another --out" in capsys.readouterr().err
