"""The search for settings: seeded, resumable, and honest about what it found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ocean.cli import main
from napari_ocean.errors import DataError
from napari_ocean.evaluation.search import SPACE, Trial, as_markdown, draw, left_out, read
from tests.evaluation.clips import write_clips


def test_trials_are_drawn_by_seed_and_number() -> None:
    assert draw(0, 0, online=True) == {}
    assert draw(0, 3, online=True) == draw(0, 3, online=True) != draw(1, 3, online=True)
    assert draw(0, 3, online=True) != draw(0, 4, online=True)
    changed = []
    for trial in range(1, 40):
        drawn = draw(2, trial, online=True)
        assert all(SPACE[name][0] <= value <= SPACE[name][1] for name, value in drawn.items())
        assert "template_share" not in draw(2, trial, online=False)
        changed += drawn
    assert set(changed) == set(SPACE)
    assert all(draw(0, trial, online=False) for trial in range(1, 80))
    assert len(changed) / 39 == pytest.approx(len(SPACE) / 3, abs=1)


def test_a_lucky_trial_is_not_believed_on_what_made_it_lucky() -> None:
    steady = Trial({}, np.array([0.6, 0.6, 0.6]))
    lucky = Trial({"penalty_k": 0.1}, np.array([1.0, 0.5, 0.5]))  # mean 0.667
    # without sequence 0 steady is better, without 1 or 2 lucky is
    assert left_out([steady, lucky]) == pytest.approx((0.6 + 0.5 + 0.5) / 3)
    text = as_markdown([steady, lucky])
    assert text.index("penalty_k=0.1") < text.index("unchanged")
    assert "2 trials; unchanged settings 0.600" in text


def test_it_goes_on_where_it_stopped(tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "search" / "trials.jsonl"
    write_clips(data, ["a", "b"], frames=4)
    command = ["tune", str(data), "--out", str(out), "--device", "cpu", "--online", "off"]
    assert main([*command, "--trials", "1"]) == 0
    first = out.read_text()
    assert main([*command, "--trials", "2"]) == 0
    lines = out.read_text()
    assert lines.startswith(first)
    head, one, two = (json.loads(line) for line in lines.splitlines())
    assert head["tracker"]["weights_sha256"].keys() == {"lite.safetensors"}
    assert one["settings"] == {}
    assert two["settings"] == draw(0, 1, online=False)
    assert all(0 <= auc <= 1 for auc in one["auc"])
    assert "2 trials" in capsys.readouterr().out
    assert main([*command, "--out", str(data)]) == 1
    assert capsys.readouterr().err.endswith("data cannot be used: Is a directory.\n")
    assert main([*command[:-1], "default"]) == 1
    assert "weights, settings or versions" in capsys.readouterr().err
    (data / "binary").write_bytes(b"\xff\xfe")
    for other in ("a/groundtruth.txt", "binary"):
        with pytest.raises(DataError, match="not a search"):
            read(data / other, head)
    truth = data / "a" / "groundtruth.txt"
    np.savetxt(truth, np.loadtxt(truth, delimiter=",") + 1, delimiter=",")
    assert main([*command, "--trials", "2"]) == 1
    assert "is of other sequences, true boxes" in capsys.readouterr().err


def test_a_wrong_seed_is_said_before_anything_is_written(tmp_path, capsys) -> None:
    write_clips(tmp_path / "data", ["a"], frames=3)
    out = tmp_path / "trials.jsonl"
    assert main(["tune", str(tmp_path / "data"), "--out", str(out), "--seed", "-1"]) == 1
    assert capsys.readouterr().err == "error: --seed is -1; it must be at least 0.\n"
    assert not out.exists()
