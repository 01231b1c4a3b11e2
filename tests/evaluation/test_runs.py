"""Runs on several processes: the same boxes as alone, kept on disk, going on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from napari_ocean.errors import DataError, OceanError, VideoError
from napari_ocean.evaluation import runs
from napari_ocean.evaluation.datasets import Sequence, find_sequences
from napari_ocean.evaluation.metrics import CONVENTIONS, score
from napari_ocean.evaluation.report import read_peers
from napari_ocean.evaluation.runs import (
    in_processes,
    missing,
    run,
    run_once,
    run_together,
    start_up,
)
from napari_ocean.evaluation.store import DETAILS, Store
from napari_ocean.evaluation.trackers import TrackerSpec, make
from napari_ocean.tracks import Prediction, State
from tests.evaluation.clips import write_clips

STATIC = TrackerSpec(name="static")


class Drifting:
    """Moves its box right by the mean of each frame it sees, and notes that it was called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def __call__(self, frame, box_xyxy):
        self.box_xyxy = np.array(box_xyxy)
        return self

    def step(self, frame) -> Prediction:
        self.calls.append(self.name)
        self.box_xyxy = self.box_xyxy + np.array([1, 0, 1, 0]) * frame.mean() / 100
        return Prediction(box_xyxy=self.box_xyxy, score=0.5, state=State.FOUND)


def test_trackers_take_turns_on_each_frame_and_do_not_mix(tmp_path) -> None:
    (clip,) = write_clips(tmp_path, ["a"], frames=4)
    calls: list[str] = []
    runs, frame_hw = run_together({"x": Drifting("x", []), "static": make(STATIC)}, clip)
    assert frame_hw == (120, 160)
    alone = run_once(Drifting("x", []), clip)
    assert_array_equal(runs["x"].boxes_xyxy, alone.boxes_xyxy)
    assert_array_equal(runs["static"].boxes_xyxy, np.tile(clip.truth_xyxy[0], (4, 1)))
    assert_array_equal(runs["x"].boxes_xyxy[0], clip.truth_xyxy[0])
    assert_array_equal(runs["x"].scores, [1, 0.5, 0.5, 0.5])
    assert (runs["x"].seconds > 0).all()
    run_together({name: Drifting(name, calls) for name in "xyz"}, clip)
    assert "".join(calls) == "yzxzxyxyz"


def test_a_sequence_that_cannot_be_started_is_said(tmp_path) -> None:
    (clip,) = write_clips(tmp_path, ["a"], frames=3)
    absent = np.vstack([np.full((1, 4), np.nan), clip.truth_xyxy[1:]])
    with pytest.raises(DataError, match="a has no true box on its first frame"):
        run_once(make(STATIC), Sequence("a", absent, clip.video))
    with pytest.raises(DataError, match="3 frames"):
        run_once(make(STATIC), Sequence("a", np.tile(clip.truth_xyxy[0], (9, 1)), clip.video))


def test_processes_find_what_one_process_finds_and_only_what_is_missing(
    tmp_path, one_thread
) -> None:
    clips = write_clips(tmp_path / "data", ["a", "b", "c"], frames=6)
    store = Store(tmp_path / "out", "folder")
    specs = {"ocean": TrackerSpec(device="cpu"), "static": STATIC}
    kept = run_once(make(STATIC), clips[1])
    store.write("static", clips[1], kept, (120, 160))
    jobs = missing(specs, clips, store)
    # the longest first: two trackers on a sequence before one on another
    assert [list(trackers) for trackers, _, _ in jobs] == [list(specs), list(specs), ["ocean"]]
    assert sorted(in_processes(run, jobs, 2)) == [6, 12, 12]
    for clip in clips:
        alone = run_once(make(specs["ocean"]), clip)
        found = store.read("ocean", clip)
        assert found.frame_hw == (120, 160)
        assert_allclose(found.run.boxes_xyxy, alone.boxes_xyxy, atol=1e-3)
        assert_allclose(found.run.scores, alone.scores, atol=1e-4)
    assert_array_equal(store.read("static", clips[1]).run.seconds, kept.seconds)
    assert missing(specs, clips, store) == []


def test_what_is_wrong_with_one_sequence_reaches_the_caller_and_the_rest_stays(tmp_path) -> None:
    clips = write_clips(tmp_path / "data", ["a", "b"], frames=3)
    (tmp_path / "data" / "b" / "img" / "0001.png").write_bytes(b"no image")
    store = Store(tmp_path / "out", "folder")
    with pytest.raises(VideoError, match=r"0001\.png"):
        list(in_processes(run, missing({"static": STATIC}, clips, store), 1))
    assert store.read("static", clips[0]) is not None
    assert store.kept(DETAILS, "static", clips[1]) is None


def test_a_process_that_is_killed_is_said() -> None:
    with pytest.raises(OceanError, match="run the same command again"):
        list(in_processes(_kill_self, [()], 1))


def test_processes_make_room_for_others_until_all_is_done(monkeypatch) -> None:
    monkeypatch.setattr(runs, "_TASKS", 2)
    pids = list(in_processes(os.getpid, [()] * 5, 1))
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


def test_processes_are_single_threaded_and_leave_no_trace_here() -> None:
    before = dict(os.environ)
    assert list(in_processes(_threads, [()], 1)) == [("1", 1, 1)]
    assert dict(os.environ) == before


def test_start_up_is_measured_once(tmp_path) -> None:
    (clip,) = write_clips(tmp_path / "data", ["a"], frames=3)
    store = Store(tmp_path / "out", "folder")
    first = start_up("static", STATIC, clip, store)
    assert 0 < first.seconds < 60
    if Path("/proc/self/status").is_file():
        # a bare interpreter with numpy and OpenCV, far from this process with torch and napari
        assert 20 < first.peak_mib < 250
    assert start_up("static", STATIC, clip, store) == first


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_evaluation_goes_on_where_it_stopped(tmp_path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    clips = write_clips(data, ["a", "b", "c"], frames=25)
    command = [sys.executable, "-m", "napari_ocean", "evaluate", str(data), "--out", str(out)]
    command += ["--no-curves", "--device", "cpu", "--processes", "1"]
    store = Store(out, "folder")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait(lambda: _finished(out), running)
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    before = {path: path.stat().st_mtime_ns for path in _finished(out)}
    assert 1 <= len(before) < 3
    assert not (out / "report.md").exists()

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items())
    assert len(_finished(out)) == 3
    assert done.stdout == (out / "report.md").read_text()
    assert done.stdout.count("| 24 |") == 3
    assert not list(out.rglob("*.part"))
    for clip in clips:
        assert_array_equal(store.read("ocean", clip).run.boxes_xyxy[0], clip.truth_xyxy[0])


def test_the_static_box_scores_what_the_development_table_says(shared_data) -> None:
    root = shared_data / "data" / "dev"
    peers = read_peers(root / "peers.json")
    sequences = {s.name: s for s in find_sequences(root)}
    assert set(sequences) == set(peers)
    for name in ("DAVIS2016val/dog", "OTB/Skiing"):
        sequence, want = sequences[name], peers[name]["static"]
        found = run_once(make(STATIC), sequence).boxes_xyxy
        scores = score(found, sequence.truth_xyxy, CONVENTIONS["folder"], (1, 1))
        assert scores.frames == want["frames"]
        assert_allclose(scores.auc, want["auc"], atol=1e-4)
        assert_allclose(scores.ao, want["ao"], atol=1e-4)
        assert_allclose(scores.sr50, want["sr50"], atol=1e-4)


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _threads() -> tuple[str, int, int]:
    import cv2
    import torch

    return os.environ["OMP_NUM_THREADS"], cv2.getNumThreads(), torch.get_num_threads()


def _finished(out: Path) -> list[Path]:
    return sorted(out.glob("details/ocean/*.json"))


def _wait(ready, running: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
