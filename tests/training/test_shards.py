"""Cutting training images out of an annotated clip."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_ocean import boxes, formats
from napari_ocean.cli import main
from napari_ocean.errors import ConfigError
from napari_ocean.tracks import ABSENT, Source, State, TrackBox, Tracks
from napari_ocean.training.images import LabelledImage, TrainingImages, read_images
from napari_ocean.training.pairs import PairSource
from napari_ocean.training.settings import PairSettings
from napari_ocean.training.shards import ShardSettings, cut, joined
from napari_ocean.training.silhouettes import GRID

WIDTH, HEIGHT, LENGTH = 640, 480, 12


def picture(box_xyxy: object, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A bright rectangle on dark ground, its edge pixels as bright as they are covered."""
    x0, y0, x1, y1 = np.asarray(box_xyxy, float)

    def covered(low: float, high: float, length: int) -> np.ndarray:
        at = np.arange(length)
        return np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, 1)

    shape = covered(y0, y1, height)[:, None] * covered(x0, x1, width)
    return np.repeat((20 + 200 * shape).round().astype(np.uint8)[..., None], 3, axis=2)


def seen(pixels: np.ndarray) -> np.ndarray:
    """Measure the box of the bright rectangle by its mass and mean, to a fraction of a pixel."""
    level = np.clip((pixels[..., 1].astype(float) - 20) / 200, 0, 1)
    low, high = [], []
    for lines in (level, level.T):
        profile = lines[lines.max(axis=1) > 0.9].mean(axis=0)
        profile[profile < 0.05] = 0  # compression
        size = profile.sum()
        middle = profile @ (np.arange(len(profile)) + 0.5) / size
        low.append(middle - size / 2)
        high.append(middle + size / 2)
    return np.array(low + high)


def slide(frame: int) -> np.ndarray:
    """Box of the rectangle on a frame: it moves by fractions of a pixel and leaves to the left."""
    return np.array([150.3, 200.6, 190.8, 230.1]) + frame * np.array([-14.35, 3.7, -14.35, 3.7])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "slide.npy"
    np.save(path, np.stack([picture(slide(frame)) for frame in range(LENGTH)]))
    return path


def drawn(*frames: int, label: str = "tile") -> Tracks:
    tracks = Tracks()
    object_id = tracks.add_object(label)
    for frame in frames:
        tracks.draw(object_id, frame, slide(frame))
    return tracks


def shard(clip: Path, tracks: Tracks, *options: str) -> Path:
    """Run the command and return the folder of the shard."""
    boxes_file, folder = clip.with_name("boxes.json"), clip.with_name("shards")
    folder.mkdir(exist_ok=True)
    formats.write(boxes_file, tracks)
    out = folder / "mine.zip"
    assert main(["shard", str(clip), str(boxes_file), "--out", str(out), "--force", *options]) == 0
    return folder


def lines(folder: Path) -> list[dict]:
    with zipfile.ZipFile(folder / "mine.zip") as archive:
        return [json.loads(line) for line in archive.read("boxes.jsonl").splitlines()]


@pytest.mark.parametrize("options", [[], ["--side", "100"], ["--context", "30"]], ids=str)
def test_the_box_lies_on_the_object_wherever_it_was_cut(clip: Path, options: list[str]) -> None:
    folder = shard(clip, drawn(*range(LENGTH)), "--every", "1", *options)
    (video,) = read_images(folder).videos
    assert len(video) == LENGTH
    for frame, image in enumerate(video):
        np.testing.assert_allclose(seen(image.pixels), image.boxes[0], atol=0.2)
        shrink = image.pixels.shape[1] / cut_side(slide(frame), options)
        inside = boxes.clip(slide(frame), (HEIGHT, WIDTH))
        np.testing.assert_allclose(
            boxes.size(image.boxes[0]), boxes.size(inside) * shrink, rtol=0.005
        )


def cut_side(box: np.ndarray, options: list[str]) -> float:
    """Width that was cut out of the frame, px."""
    context = 30 if "--context" in options else 7
    size = boxes.size(boxes.clip(box, (HEIGHT, WIDTH)))
    return min(np.ceil(max(context * np.sqrt(size.prod()), *size)), WIDTH)


def test_images_are_square_and_as_large_as_asked(clip: Path) -> None:
    (line,) = lines(shard(clip, drawn(0)))
    assert line["width"] == line["height"] == 242  # 7 sizes of 40.5 x 29.5 px
    (line,) = lines(shard(clip, drawn(0), "--side", "120"))
    assert line["width"] == line["height"] == 120
    (line,) = lines(shard(clip, drawn(0), "--context", "4.5"))
    assert line["width"] == line["height"] == 156


def test_the_layout_is_that_of_the_video_shards(clip: Path) -> None:
    assert lines(shard(clip, drawn(3, 0, label="tegel"), "--context", "3"))[1] == {
        "file": "mine/slide#1/00003.webp",
        "width": 104,
        "height": 104,
        "boxes": [[31.25, 37.7, 71.75, 67.2]],
        "labels": ["tegel"],
        "video": "mine/slide#1",
        "frame": 3,
        "track_ids": [1],
    }


def test_a_cut_out_moves_into_the_frame_and_ends_with_it() -> None:
    box = np.array([0, 100, 40, 140.0])
    image, inside = cut(picture(box), box, ShardSettings(context=5))
    assert image.shape == (200, 200, 3)
    np.testing.assert_array_equal(inside, [0, 80, 40, 120])
    image, inside = cut(picture(box, 90, 300), box, ShardSettings(context=5))
    assert image.shape == (200, 90, 3)
    np.testing.assert_array_equal(inside, [0, 80, 40, 120])


def test_a_long_object_is_not_cut_off() -> None:
    box = np.array([20, 100, 620, 110.0])
    image, inside = cut(picture(box), box, ShardSettings(context=1, side=1000))
    assert image.shape == (480, 600, 3)
    np.testing.assert_allclose(seen(image), inside, atol=0.1)


def test_thinning_counts_from_the_last_cut_out(clip: Path) -> None:
    tracks = drawn(0, 1, 2, 5, 6, 7, 8)
    assert [line["frame"] for line in lines(shard(clip, tracks))] == [0, 5, 8]


def test_only_boxes_to_trust_are_taken(clip: Path) -> None:
    tracks = drawn(0)
    tracked = {"score": 0.2, "source": Source.TRACKED}
    put = {
        1: TrackBox(slide(1), source=Source.TRACKED),
        2: TrackBox(slide(2), state=State.UNCERTAIN, **tracked),
        3: TrackBox(slide(3), state=State.LOST, **tracked),
        4: TrackBox(slide(4), state=State.UNCERTAIN, fine=True, **tracked),
        5: TrackBox(slide(5), source=Source.INTERPOLATED),
        6: TrackBox(slide(6), occluded=True),
        7: ABSENT,
        8: TrackBox(slide(8) - (WIDTH, 0, WIDTH, 0)),
        9: TrackBox(slide(9), source=Source.CORRECTED),
    }
    for frame, cell in put.items():
        tracks.put(1, frame, cell)
    folder = shard(clip, tracks, "--every", "1")
    assert [line["frame"] for line in lines(folder)] == [0, 1, 4, 9]


def test_objects_of_several_files_stay_apart() -> None:
    first, second = drawn(0, label="a"), drawn(3, label="b")
    second.put(second.add_object("c", 7), 4, TrackBox(slide(4)))
    together = joined([first, second])
    assert [(k, together.label(k), together.frames(k)) for k in together.object_ids] == [
        (1, "a", [0]),
        (2, "b", [3]),
        (7, "c", [4]),
    ]


def test_two_shards_of_a_folder_never_share_a_video(clip: Path) -> None:
    folder = shard(clip, drawn(0, 3))
    (folder / "mine.zip").rename(folder / "other.zip")
    boxes_file = str(clip.with_name("boxes.json"))
    twice = [str(clip), boxes_file, boxes_file, "--out", str(folder / "mine.zip")]
    assert main(["shard", *twice]) == 0
    (folder / "other.zip").unlink()
    assert [len(video) for video in read_images(folder).videos] == [2, 2]
    assert main(["shard", *twice[:-1], str(folder / "more.zip")]) == 0
    assert [len(video) for video in read_images(folder).videos] == [2, 2, 2, 2]


def test_the_same_boxes_give_the_same_bytes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (shard(clip, drawn(0, 3)) / "mine.zip").read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert (shard(clip, drawn(0, 3)) / "mine.zip").read_bytes() == first


@pytest.mark.parametrize(
    ("frames", "options", "told"),
    [
        ([0, LENGTH], [], f"frame {LENGTH}, but slide.npy ends at frame {LENGTH - 1}"),
        ([], [], "No box of the annotation can be used"),
        ([0], ["--every", "0"], "the least is 1"),
        ([0], ["--side", "0"], "1 to 16383 px, not 0"),
        ([0], ["--context", "nan"], "1 object size or wider, not nan"),
        ([0], ["--out", "shard.tar"], "shard.tar is not named .zip"),
        ([0], ["--out", "nowhere/mine.zip"], "cannot be written: No such file"),
    ],
    ids=str,
)
def test_errors_are_one_sentence_and_leave_nothing(
    clip: Path,
    frames: list[int],
    options: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clip.parent)
    formats.write("boxes.json", drawn(*frames))
    assert main(["shard", "slide.npy", "boxes.json", "--out", "mine.zip", *options]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert {path.name for path in clip.parent.iterdir()} == {"boxes.json", "slide.npy"}


def test_a_shard_that_fails_leaves_the_old_one(clip: Path) -> None:
    folder = shard(clip, drawn(0))
    old = (folder / "mine.zip").read_bytes()
    formats.write(clip.with_name("boxes.json"), drawn(LENGTH))
    again = [str(clip), str(clip.with_name("boxes.json")), "--out", str(folder / "mine.zip")]
    assert main(["shard", *again, "--force"]) == 1
    assert [path.name for path in folder.iterdir()] == ["mine.zip"]
    assert (folder / "mine.zip").read_bytes() == old


def test_a_shard_is_not_replaced_unasked(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shard(clip, drawn(0)) / "mine.zip"
    old = out.read_bytes()
    again = [str(clip), str(clip.with_name("boxes.json")), "--out", str(out), "--side", "90"]
    assert main(["shard", *again]) == 1
    assert "mine.zip exists already" in capsys.readouterr().err
    assert out.read_bytes() == old
    assert main(["shard", *again, "--force"]) == 0
    assert out.read_bytes() != old


def test_settings_are_checked_from_python_too() -> None:
    with pytest.raises(ConfigError, match=r"not 0\.5"):
        ShardSettings(context=0.5)


def test_films_alone_can_be_trained_on(clip: Path) -> None:
    videos = read_images(shard(clip, drawn(0, 3)))
    alone = PairSource(videos, PairSettings(), seed=0, batch=8)[0]
    assert alone.searches.max() > 100
    unknown = np.zeros((1, GRID, GRID), np.uint8)
    photo = LabelledImage("photo", picture(slide(0)), slide(0)[None], ("",), unknown)
    images = TrainingImages([photo], np.ones(1), [], videos.videos)
    assert PairSource(images, PairSettings(video_share=1), seed=0, batch=8)[0].searches.max() > 100
