"""Results on disk: nothing mixed, nothing overwritten, damage said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation.datasets import DATASETS, Run, Sequence
from napari_ocean.evaluation.store import DETAILS, Store

TRUTH = np.array([[10.0, 10, 30, 30], [12, 10, 32, 30], [np.nan] * 4])
CLIP = Sequence("set/clip", TRUTH, video=Path("none"))
RUN = Run(
    np.array([[10.0, 10, 30, 30], [11.2345678, 10, 31, 30], [9, 9, 20, 20]]),
    np.array([1, 0.123456789, 0.5]),
    np.array([0.5, 0.123456789, 0.25]),
)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_run_comes_back_from_every_layout(dataset, tmp_path) -> None:
    store = Store(tmp_path / "out", dataset)
    assert store.read("ocean", CLIP) is None
    store.write("ocean", CLIP, RUN, (48, 64))
    back = store.read("ocean", CLIP)
    assert back.frame_hw == (48, 64)
    assert_allclose(back.run.boxes_xyxy, RUN.boxes_xyxy, atol=1e-4)
    assert_array_equal(back.run.scores, RUN.scores)
    assert_array_equal(back.run.seconds, RUN.seconds)


def test_a_name_stands_for_one_tracker(tmp_path) -> None:
    store = Store(tmp_path / "out", "folder")
    what = {"settings": {"penalty_k": 0.1, "context": 0.5}, "without": ("aware",)}
    store.claim("ocean", what)
    Store(tmp_path / "out", "folder").claim("ocean", what)
    store.claim("csrt", {})
    other = {**what, "settings": {"penalty_k": 0.2, "context": 0.5}}
    with pytest.raises(
        ConfigError, match=r"of ocean with settings\.penalty_k 0\.1 \(now 0\.2\); choose another"
    ):
        store.claim("ocean", other)
    with pytest.raises(ConfigError, match=r"weights - \(now x\)"):
        store.claim("ocean", {**what, "weights": "x"})
    with pytest.raises(ConfigError, match=r"dataset folder \(now otb\)"):
        Store(tmp_path / "out", "otb").claim("ocean", what)


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="neither empty nor a folder of results"):
        Store(tmp_path, "folder").claim("ocean", {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "thesis.tex").rename(tmp_path / ".DS_Store")  # of macOS' Finder
    Store(tmp_path, "folder").claim("ocean", {})


@pytest.mark.parametrize("differing", ["true boxes", "frames"])
def test_a_result_on_another_sequence_is_refused(differing, tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a cat")
    clip = Sequence("set/clip", TRUTH, video=tmp_path / "a.mp4")
    Store(tmp_path / "out", "folder").write("ocean", clip, RUN, (48, 64))
    assert Store(tmp_path / "out", "folder").kept(DETAILS, "ocean", clip) is not None
    if differing == "frames":
        clip.video.write_bytes(b"a dog")
    clip = replace(clip, truth_xyxy=TRUTH + (differing == "true boxes"))
    with pytest.raises(DataError, match=f"its {differing} differ"):
        Store(tmp_path / "out", "folder").kept(DETAILS, "ocean", clip)


@pytest.mark.parametrize("gone", ["frames", "digest"])
def test_a_result_is_of_use_where_frames_cannot_be_compared(gone, tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a cat")
    clip = Sequence("set/clip", TRUTH, video=tmp_path / "a.mp4")
    Store(tmp_path / "out", "folder").write("ocean", clip, RUN, (48, 64))
    clip.video.write_bytes(b"a dog")
    if gone == "frames":
        clip.video.unlink()
    else:  # as it was written before digests were
        path = tmp_path / "out" / DETAILS / "ocean" / "set" / "clip.json"
        details = json.loads(path.read_text())
        del details["video_digest"]
        path.write_text(json.dumps(details))
    assert Store(tmp_path / "out", "folder").read("ocean", replace(clip)) is not None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:40], "cannot be read"),
        (lambda text: "[]", "not a result"),
        (lambda text: json.dumps({**json.loads(text), "scores": [1]}), "number of frames differs"),
        (lambda text: text.replace("frame_hw", "hw"), "frame_hw"),
    ],
)
def test_damaged_details_are_said_with_what_to_do(damage, message, tmp_path) -> None:
    store = Store(tmp_path / "out", "folder")
    store.write("ocean", CLIP, RUN, (48, 64))
    path = tmp_path / "out" / DETAILS / "ocean" / "set" / "clip.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=f"{message}.*delete it to run again"):
        store.read("ocean", CLIP)


def test_boxes_that_are_gone_are_said(tmp_path) -> None:
    store = Store(tmp_path / "out", "folder")
    store.write("ocean", CLIP, RUN, (48, 64))
    (tmp_path / "out" / "results" / "ocean" / "set" / "clip.txt").unlink()
    with pytest.raises(DataError, match="the boxes are gone"):
        store.read("ocean", CLIP)
