"""The command line as a person uses it, with the real tracker and the weights that ship."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

import napari_ocean as no
from napari_ocean import boxes, formats
from napari_ocean.cli import COMMANDS, follow, main, preview
from napari_ocean.cli.demo import _obstacle_to_a_window
from napari_ocean.demo import DemoClip, demo_clip
from napari_ocean.errors import FormatError, VideoError
from napari_ocean.tracks import ObjectPrediction, Source, State, TrackBox, Tracks
from napari_ocean.video import FrameSource

LENGTH = 24


@pytest.fixture(scope="module")
def clip() -> DemoClip:
    """The last fifth of the demo, where nothing hides the ladybird."""
    whole = demo_clip(120)
    return DemoClip(
        frames=whole.frames[-LENGTH:],
        truth_xyxy=whole.truth_xyxy[-LENGTH:],
        visible=whole.visible[-LENGTH:],
    )


@pytest.fixture(scope="module")
def stack(clip: DemoClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "ladybird.npy"
    np.save(path, clip.frames)
    return path


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def box_of(clip: DemoClip, frame: int) -> str:
    return ",".join(f"{value:.2f}" for value in boxes.to_xywh(clip.truth_xyxy[frame]))


def overlap(tracks: Tracks, clip: DemoClip, frames: range) -> float:
    found = [tracks.get(1, frame).box_xyxy for frame in frames]
    return float(boxes.iou(found, clip.truth_xyxy[frames.start : frames.stop]).mean())


def run(*args: object, code: int = 0) -> None:
    assert main([str(arg) for arg in args]) == code


def test_forward_from_the_first_frame(
    stack: Path, clip: DemoClip, capfd: pytest.CaptureFixture[str]
) -> None:
    run("track", stack, "--box", box_of(clip, 0), "--label", "bug")
    tracks = no.read("ladybird.boxes.csv")
    assert tracks.frames(1) == list(range(LENGTH))
    assert tracks.drawn_frames(1) == [0]
    assert tracks.label(1) == "bug"
    assert overlap(tracks, clip, range(LENGTH)) > 0.6
    out, err = capfd.readouterr()
    assert f"Tracked {LENGTH - 1} of {LENGTH - 1} boxes" in out
    assert f"Wrote {LENGTH} boxes in ladybird.boxes.csv" in out
    assert "box/s" in err


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--backward"], range(13)),
        (["--both"], range(LENGTH)),
        (["--both", "--start", 4, "--stop", 20], range(4, 20)),
        (["--stop", 9999], range(12, LENGTH)),
    ],
    ids=str,
)
def test_directions_and_ranges(
    stack: Path, clip: DemoClip, options: list[object], frames: range
) -> None:
    run("track", stack, "--box", box_of(clip, 12), "--frame", 12, "--out", "a.json", *options)
    tracks = no.read("a.json")
    assert tracks.frames(1) == list(frames)
    assert tracks.drawn_frames(1) == [12]
    assert overlap(tracks, clip, frames) > 0.6


def test_two_objects(stack: Path, clip: DemoClip) -> None:
    run("track", stack, "--box", box_of(clip, 0), "--box", "20,20,60,60", "--stop", 3)
    tracks = no.read("ladybird.boxes.csv")
    assert [tracks.frames(of) for of in tracks.object_ids] == [[0, 1, 2]] * 2


def test_the_ending_of_out_chooses_what_trainers_read(stack: Path, clip: DemoClip) -> None:
    run("track", stack, "--box", box_of(clip, 0), "--label", "bug", "--out", "x.coco.json")
    content = json.loads(Path("x.coco.json").read_text())
    height, width = clip.frames.shape[1:3]
    assert [of["frame_index"] for of in content["images"]] == list(range(LENGTH))
    assert {(of["width"], of["height"]) for of in content["images"]} == {(width, height)}
    assert content["videos"][0]["name"] == "ladybird.npy"
    tracks = no.read("x.coco.json")
    assert (tracks.label(1), tracks.drawn_frames(1)) == ("bug", [0])
    assert overlap(tracks, clip, range(LENGTH)) > 0.6


def test_exported_labels_have_the_names_of_the_images(clip: DemoClip) -> None:
    import imageio.v3 as iio

    Path("shots").mkdir()
    for k, frame in enumerate(clip.frames[:3]):
        iio.imwrite(f"shots/Shot{k + 9}.png", frame)
    run("track", "shots", "--box", box_of(clip, 0), "--out", "x.voc.zip")
    with zipfile.ZipFile("x.voc.zip") as archive:
        documents = [f"Annotations/Shot{k}.xml" for k in (9, 10, 11)]
        assert archive.namelist()[:3] == documents


def test_the_same_command_gives_the_same_boxes(stack: Path, clip: DemoClip) -> None:
    for name in ("a.csv", "b.csv"):
        run("track", stack, "--box", box_of(clip, 0), "--stop", 5, "--out", name)
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


def test_preview_is_a_playable_film_of_the_tracked_frames(stack: Path, clip: DemoClip) -> None:
    run("track", stack, "--box", box_of(clip, 0), "--stop", 6, "--preview", "a.mp4")
    with av.open("a.mp4") as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 25
    assert len(frames) == 6
    assert frames[0].shape == clip.frames[0].shape
    changed = np.abs(frames[0].astype(int) - clip.frames[0]).max(axis=2) > 100
    x0, y0, x1, y1 = clip.truth_xyxy[0].astype(int)
    assert changed[y0 - 2 : y0 + 3, x0:x1].any(axis=0).mean() > 0.9  # the upper edge is drawn
    assert changed[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].mean() < 0.02  # the inside is not


@pytest.mark.parametrize(("fps", "shown"), [(29.97, 29.97), (0.5, 0.5), (1 / 3600, 1 / 1001)])
def test_preview_keeps_the_frame_rate_as_far_as_a_film_can(
    tmp_path: Path, fps: float, shown: float
) -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (4, 20, 30, 40))
    tracks.draw(1, 2, (4, 20, 30, 40))
    with no.open_video(np.zeros((3, 60, 80, 3), np.uint8)) as video:
        preview.write(tmp_path / "a.mp4", video, tracks, fps=fps)
    with av.open(tmp_path / "a.mp4") as film:
        assert float(film.streams.video[0].average_rate) == pytest.approx(shown, rel=1e-3)


def test_preview_pads_odd_sizes_and_shows_doubt(tmp_path: Path) -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (4, 20, 30, 40))
    box = np.array([4.0, 20, 30, 40])
    tracks.put(1, 1, TrackBox(box, 0.2, State.LOST, Source.TRACKED))
    frames = np.full((2, 61, 81, 3), 60, np.uint8)
    with no.open_video(frames) as video:
        preview.write(tmp_path / "a.mkv", video, tracks, fps=29.97)
    with av.open(tmp_path / "a.mkv") as film:
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in shown] == [(62, 82, 3)] * 2
    yellow, grey = shown[0][30, 4].astype(int), shown[1][30, 4].astype(int)
    assert yellow[0] - yellow[2] > 100
    assert np.ptp(grey) < 40
    assert (frames == 60).all()


def test_preview_shows_what_it_can_of_a_box_that_goes_on_for_ever() -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (-1e12, 20, 30, 1e12))
    shown = preview.draw(np.zeros((60, 80, 3), np.uint8), list(tracks.rows()))
    assert shown[40, 29].any()
    assert not shown[40, [0, 15, 40]].any()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "a.xlsx"], "supported are .csv (table), .json"),
        (["--out", "no/a.csv"], "there is no folder no"),
        (["--out", "/proc/a.csv"], "/proc/a.csv cannot be written"),
        (["--out", f"{'a' * 300}.csv"], "cannot be written: File name too long"),
        (["--preview", "/proc/a.mp4"], "/proc/a.mp4 cannot be written"),
        (["--preview", "a.gif"], "supported are .mp4, .mov, .mkv, .avi"),
        (["--preview", "no/a.mp4"], "there is no folder no"),
        (["--frame", LENGTH], f"has {LENGTH} frames (0 to {LENGTH - 1})"),
        (["--frame", -1], "--frame -1 is not in this video"),
        (["--frame", 3, "--start", 5], "lies outside the frames to track"),
        (["--frame", 3, "--stop", 3], "lies outside the frames to track"),
        (["--box", "1,1,20,20", "--out", "a.txt"], "one object"),
        (["--label", "a", "--label", "b"], "more --label than --box"),
        (["--model", "ocean"], "OceanV.pth"),
        (["--model", "none.pth"], "no weights file none.pth"),
        (["--device", "abacus"], "no device 'abacus'"),
    ],
    ids=str,
)
def test_errors_are_one_line_and_come_before_the_work(
    stack: Path,
    args: list[object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    run("track", stack, "--box", "9,9,50,50", *args, code=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_locked_objects_are_left_as_they_are(
    stack: Path, clip: DemoClip, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = Tracks()
    for _ in range(2):
        tracks.draw(tracks.add_object(), 0, clip.truth_xyxy[0])
    tracks.set_object(1, locked=True)
    no.write("boxes.json", tracks)
    run("track", stack, "--boxes", "boxes.json", "--stop", 3, "--out", "out.json")
    assert "Left as they are, being locked: 1." in capsys.readouterr().err
    found = no.read("out.json")
    assert [found.frames(k) for k in (1, 2)] == [[0], [0, 1, 2]]
    tracks.set_object(2, locked=True)
    no.write("boxes.json", tracks)
    run("track", stack, "--boxes", "boxes.json", "--out", "none.json", code=1)
    assert "All objects are locked" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8_is_no_reason_to_fail(clip: DemoClip, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", clip.frames[:3])
    (tmp_path / "a.npy").rename(tmp_path / os.fsdecode(b"caf\xe9.npy"))
    command = [sys.executable, "-m", "napari_ocean", "track", os.fsdecode(b"caf\xe9.npy")]
    done = subprocess.run(
        [*command, "--box", box_of(clip, 0)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / os.fsdecode(b"caf\xe9.boxes.csv")).is_file()
    assert b"caf\\udce9.boxes.csv" in done.stdout


def test_a_preview_through_a_link_leaves_the_link(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "films" / "real.mp4")
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (4, 20, 30, 40))
    with no.open_video(np.zeros((1, 60, 80, 3), np.uint8)) as video:
        preview.write(tmp_path / "a.mp4", video, tracks)
    assert (tmp_path / "a.mp4").is_symlink()
    assert (tmp_path / "films" / "real.mp4").stat().st_size > 0


@pytest.mark.parametrize("box", ["900,9,50,50", "9,9,1,50", "9,9,-5,50", "nan,9,50,50"])
def test_boxes_that_cannot_be_targets(
    stack: Path, box: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("track", stack, f"--box={box}", code=1)
    assert "error: " in capsys.readouterr().err
    assert not Path("ladybird.boxes.csv").exists()


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["fly"],
        ["track"],
        ["track", "a.mp4"],
        ["track", "a.mp4", "--box", "1,2,3"],
        ["track", "a.mp4", "--box", "1,2,3,x"],
        ["track", "a.mp4", "--box", "1,2,9,9", "--both", "--backward"],
        ["track", "a.mp4", "--box", "1,2,9,9", "--boxes", "a.json"],
    ],
    ids=str,
)
def test_wrong_usage_exits_with_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert "usage: napari-ocean" in capsys.readouterr().err


def drawn_by_day(clip: DemoClip) -> Tracks:
    """Two objects that begin on frames of their own, one of them corrected later."""
    tracks = Tracks()
    for object_id, frames in ((3, (4, 12)), (7, (9,))):
        tracks.add_object("bug", object_id)
        for frame in frames:
            tracks.draw(object_id, frame, clip.truth_xyxy[frame])
    return tracks


@pytest.mark.parametrize(
    ("way", "spans"),
    [
        ([], {3: range(4, LENGTH), 7: range(9, LENGTH)}),
        (["--backward"], {3: range(13), 7: range(10)}),
        (["--both", "--start", 2], {3: range(2, LENGTH), 7: range(2, LENGTH)}),
    ],
    ids=str,
)
def test_every_object_of_a_file_from_its_own_boxes(
    stack: Path,
    clip: DemoClip,
    way: list[object],
    spans: dict[int, range],
    capsys: pytest.CaptureFixture[str],
) -> None:
    no.write("day.json", drawn_by_day(clip))
    run("track", stack, "--boxes", "day.json", "--out", "night.json", *way)
    tracks = no.read("night.json")
    assert {k: tracks.frames(k) for k in tracks.object_ids} == {
        k: list(frames) for k, frames in spans.items()
    }
    assert tracks.drawn_frames(3) == [4, 12]
    for object_id, frame in ((3, 12), (7, 9)):
        np.testing.assert_allclose(tracks.get(object_id, frame).box_xyxy, clip.truth_xyxy[frame])
    n = sum(map(len, spans.values())) - 3
    assert f"Tracked {n} of {n} boxes" in capsys.readouterr().out


@pytest.mark.parametrize(("way", "frame"), [([], 4), (["--backward"], 12)], ids=str)
def test_no_object_begins_at_a_machine_made_box(
    stack: Path, clip: DemoClip, way: list[object], frame: int
) -> None:
    tracks = drawn_by_day(clip)
    guess = TrackBox(np.array([5.0, 5, 25, 25]), 0.1, State.LOST, Source.TRACKED)
    tracks.put(7, frame, guess)
    no.write("day.json", tracks)
    run("track", stack, "--boxes", "day.json", "--out", "night.json", "--stop", 13, *way)
    found = no.read("night.json")
    assert found.frames(7) == sorted([frame, *(range(10) if way else range(9, 13))])
    left = found.get(7, frame)
    assert (left.score, left.state) == (guess.score, guess.state)


def test_what_of_a_file_does_not_fit_is_said(
    stack: Path, clip: DemoClip, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = drawn_by_day(clip)
    tracks.draw(7, LENGTH + 5, clip.truth_xyxy[0])
    no.write("day.json", tracks)
    run("track", stack, "--boxes", "day.json", "--stop", 12)
    told = f"left out: 1 after the last frame ({LENGTH - 1})."
    assert told in capsys.readouterr().err
    run("track", stack, "--boxes", "day.json", "--label", "fly", code=1)
    assert "--frame and --label go with --box" in capsys.readouterr().err
    run("track", stack, "--boxes", "day.json", "--start", 13, "--force", code=1)
    assert "lies outside the frames to track" in capsys.readouterr().err
    no.write("empty.json", Tracks())
    run("track", stack, "--boxes", "empty.json", code=1)
    assert "No drawn box of empty.json lies in this video" in capsys.readouterr().err


def test_a_walk_without_frames_is_an_error(
    stack: Path, clip: DemoClip, capsys: pytest.CaptureFixture[str]
) -> None:
    run("track", stack, "--box", box_of(clip, 0), "--backward", code=1)
    assert "No frame lies before the box on frame 0" in capsys.readouterr().err
    assert not Path("ladybird.boxes.csv").exists()


def test_files_are_not_replaced_unasked(
    stack: Path, clip: DemoClip, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path("ladybird.boxes.csv")
    mine.write_text("mine")
    args = ("track", stack, "--box", box_of(clip, 0), "--stop", 2)
    run(*args, code=1)
    assert "exists already; choose another name or add --force" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    run(*args, "--force")
    assert len(no.read(mine)) == 2


def test_a_home_folder_is_found_when_files_are_compared(
    stack: Path,
    clip: DemoClip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(stack.parent))
    Path("a.csv").touch()
    run("track", "~/ladybird.npy", "--box", box_of(clip, 0), "--out", "a.csv", code=1)
    assert "a.csv exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["evaluate", "a" * 300], "cannot be used: File name too long."),
        (["shard", "a.npy", "a.csv", "--out", f"{'a' * 300}.zip"], "File name too long."),
        (["shard", "a.npy", "a.csv", "--out", "folder.zip", "--force"], "cannot be replaced"),
    ],
    ids=["evaluate", "long", "folder"],
)
def test_files_that_the_system_refuses_are_one_line(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.zip").mkdir()
    run(*args, code=1)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_output_that_nobody_reads_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "napari_ocean", "info"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_video_itself_is_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    tracks = Tracks()
    thing = tracks.add_object()
    for frame in range(3):
        tracks.draw(thing, frame, (4, 4, 30, 30))
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    with no.open_video(frames) as video:
        preview.write(Path("a.mp4"), video, tracks)
    before = Path("a.mp4").read_bytes()
    run("track", "a.mp4", "--box", "4,4,30,30", "--preview", "a.mp4", "--force", code=1)
    assert "cannot be replaced" in capsys.readouterr().err
    assert Path("a.mp4").read_bytes() == before


def test_a_video_that_breaks_keeps_what_is_done(
    stack: Path,
    clip: DemoClip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video: FrameSource = no.open_video(stack)
    healthy = type(video).frame

    def frame(self: FrameSource, index: int) -> np.ndarray:
        if index == 6:
            raise VideoError("frame 6 of ladybird.npy is damaged.")
        return healthy(self, index)

    monkeypatch.setattr(type(video), "frame", frame)
    run("track", stack, "--box", box_of(clip, 0), code=1)
    out, err = capsys.readouterr()
    assert "error: frame 6 of ladybird.npy is damaged." in err
    assert "Stopped; kept 6 boxes in ladybird.boxes.csv" in out
    assert no.read("ladybird.boxes.csv").frames(1) == list(range(6))


def predicted(after: Callable[[], object], last: int = 3) -> Iterator[ObjectPrediction]:
    """Boxes on frames 1 to `last`; after each, once it is merged, something happens."""
    for frame in range(1, last + 1):
        box = np.array([4.0, 4, 30, 30])
        yield ObjectPrediction(object_id=1, frame=frame, box_xyxy=box, score=0.9, state=State.FOUND)
        after()


def test_a_kill_costs_what_was_tracked_since_the_last_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0
    monkeypatch.setattr(follow.time, "perf_counter", lambda: now)
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (4, 4, 30, 30))
    kept: list[int] = []

    def look() -> None:
        nonlocal now
        now += 31
        kept.append(len(no.read("a.csv")) if Path("a.csv").exists() else 0)

    follow.follow([predicted(look, 5)], tracks, Path("a.csv"), total=5)
    assert kept == [0, 0, 4, 4, 6]


@pytest.mark.parametrize("current_folder", ["writable", "gone"])
@pytest.mark.parametrize("video", [b"walk.mp4", b"caf\xe9.mp4"], ids=["ascii", "latin-1"])
def test_boxes_that_cannot_be_written_at_the_end_are_kept_elsewhere(
    video: bytes, current_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("drive", "here", "spare"):
        Path(name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    monkeypatch.chdir(tmp_path / "here")

    def unplug() -> None:
        shutil.rmtree(tmp_path / "drive", ignore_errors=True)
        if current_folder == "gone":
            shutil.rmtree(tmp_path / "here", ignore_errors=True)

    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (4, 4, 30, 30))
    clip = formats.Clip(name=os.fsdecode(video), width=80, height=60, length=4)
    with pytest.raises(FormatError, match=r"cannot be written: .* The boxes are in ") as raised:
        follow.follow([predicted(unplug)], tracks, tmp_path / "drive" / "a.csv", total=3, clip=clip)
    kept = Path(str(raised.value).partition(" are in ")[2].removesuffix("."))
    assert kept.parent.name == ("here" if current_folder == "writable" else "spare")
    assert no.read(kept).frames(1) == [0, 1, 2, 3]


@pytest.mark.parametrize("request_to_end", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_to_end_keeps_what_is_done(
    request_to_end: str, clip: DemoClip, tmp_path: Path
) -> None:
    np.save("long.npy", np.concatenate([clip.frames] * 20))
    command = [sys.executable, "-m", "napari_ocean", "track", "long.npy", "--box", box_of(clip, 0)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # a test run in the background ignores Ctrl-C, and its children would inherit that
        preexec_fn=lambda: signal.signal(getattr(signal, request_to_end), signal.SIG_DFL),
    )
    assert process.stderr is not None
    shown = ""
    while "tracking:" not in shown:
        assert process.poll() is None, shown
        shown += process.stderr.read(1)
    time.sleep(1)
    process.send_signal(getattr(signal, request_to_end))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped; kept" in out
    frames = no.read("long.boxes.csv").frames(1)
    assert frames == list(range(len(frames)))
    assert 0 < len(frames) < 20 * LENGTH


def test_demo_without_a_display_does_the_whole_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    run("demo")
    out = capsys.readouterr().out
    assert "Running without a window: this computer has no display." in out
    mean_iou = float(out.split("true boxes: ")[1].split(";")[0])
    assert mean_iou > 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"ladybird.boxes.csv", "ladybird.mp4"}
    assert len(no.read("ladybird.boxes.csv")) == 120
    with no.open_video("ladybird.mp4") as film:
        assert (len(film), film.fps) == (120, 25)


def test_demo_names_a_missing_folder(capsys: pytest.CaptureFixture[str]) -> None:
    run("demo", "--headless", "--out", "none", code=1)
    assert "There is no folder none" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs X11's DISPLAY")
def test_a_display_that_does_not_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setenv("DISPLAY", ":4242")
    assert _obstacle_to_a_window() == "Qt cannot open a window on this display"


def test_info_tells_versions_devices_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    run("info")
    out = capsys.readouterr().out
    assert f"napari-ocean   {no.__version__}" in out
    assert f"{os.cpu_count()} cores" in out
    assert "lite.safetensors (" in out
    assert "OceanV.pth" in out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "usage: napari-ocean" in capsys.readouterr().out


def test_help_and_version_answer_at_once() -> None:
    for flag, expected in (("--help", "track"), ("--version", no.__version__)):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "napari_ocean", flag], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert expected in done.stdout
        assert time.perf_counter() - start < 2
