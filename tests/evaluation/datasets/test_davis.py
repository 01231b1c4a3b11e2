from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import find_sequences
from tests.evaluation.datasets.frames import frame_numbers, write_frames, write_text


def write_mask(path: Path, labels: np.ndarray, *, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    if palette:
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
    image.save(path)


def blank(**objects: tuple[int, int, int, int]) -> np.ndarray:
    """A 6 x 8 mask with rectangles ``n12=(x0, y0, x1, y1)`` of the value 12."""
    labels = np.zeros((6, 8), np.uint8)
    for name, (x0, y0, x1, y1) in objects.items():
        labels[y0:y1, x0:x1] = int(name[1:])
    return labels


def annotations(root: Path, name: str = "dogs-jump") -> Path:
    write_frames(root / "JPEGImages/480p" / name, range(3), digits=5)
    return root / "Annotations/480p" / name


def test_each_object_is_a_sequence_with_tight_boxes(tmp_path: Path) -> None:
    masks = annotations(tmp_path)
    write_mask(masks / "00000.png", blank(n1=(1, 1, 4, 3), n2=(5, 0, 8, 6)))
    write_mask(masks / "00001.png", blank(n2=(6, 0, 8, 6)))
    write_mask(masks / "00002.png", blank(n1=(0, 5, 1, 6), n2=(5, 0, 8, 6), n255=(0, 0, 8, 1)))
    one, two = find_sequences(tmp_path, "davis")
    assert (one.name, two.name) == ("dogs-jump_1", "dogs-jump_2")  # 255 is void, no third object
    np.testing.assert_array_equal(one.truth_xyxy, [[1, 1, 4, 3], [np.nan] * 4, [0, 5, 1, 6]])
    np.testing.assert_array_equal(two.truth_xyxy[1:], [[6, 0, 8, 6], [5, 1, 8, 6]])


def test_a_sequence_begins_where_its_object_does(tmp_path: Path) -> None:
    masks = annotations(tmp_path)
    write_mask(masks / "00000.png", blank(n1=(1, 1, 4, 3)))
    write_mask(masks / "00001.png", blank(n1=(1, 1, 4, 3), n2=(5, 0, 8, 6)))
    write_mask(masks / "00002.png", blank(n1=(1, 1, 4, 3)))
    _, late = find_sequences(tmp_path, "davis")
    assert frame_numbers(late) == [1, 2]
    np.testing.assert_array_equal(late.truth_xyxy, [[5, 0, 8, 6], [np.nan] * 4])


@pytest.mark.parametrize("palette", [False, True])
def test_a_single_object_of_2016_is_white(tmp_path: Path, palette: bool) -> None:
    masks = annotations(tmp_path, "bear")
    for frame in range(3):
        labels = blank(n255=(frame, 2, frame + 2, 5))
        write_mask(masks / f"{frame:05d}.png", labels, palette=palette)
    (bear,) = find_sequences(tmp_path, "davis")
    assert bear.name == "bear"
    np.testing.assert_array_equal(bear.truth_xyxy[:, 0], [0, 1, 2])


def test_masks_with_colour_channels_are_one_object(tmp_path: Path) -> None:
    masks = annotations(tmp_path, "bear")
    labels = np.repeat(blank(n192=(2, 1, 5, 3))[..., None], 3, axis=2)
    write_mask(masks / "00000.png", labels, palette=False)
    (bear,) = find_sequences(tmp_path, "davis")
    np.testing.assert_array_equal(bear.truth_xyxy, [[2, 1, 5, 3]])


PAIRS = """\
/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png
/JPEGImages/480p/bear/00001.jpg /Annotations/480p/bear/00001.png
/JPEGImages/480p/cat/00000.jpg /Annotations/480p/cat/00000.png
"""


@pytest.mark.parametrize(("year", "text"), [("2017", "bear\n\ncat\n"), ("480p", PAIRS)])
def test_the_validation_list_chooses(tmp_path: Path, year: str, text: str) -> None:
    for name in ("ant", "bear", "cat"):
        write_mask(annotations(tmp_path, name) / "00000.png", blank(n255=(0, 0, 2, 2)))
    assert [s.name for s in find_sequences(tmp_path, "davis")] == ["ant", "bear", "cat"]
    write_text(tmp_path / "ImageSets" / year / "val.txt", text)
    assert [s.name for s in find_sequences(tmp_path, "davis")] == ["bear", "cat"]


def test_missing_and_damaged_masks_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder Annotations/480p"):
        find_sequences(tmp_path, "davis")
    write_text(annotations(tmp_path) / "00000.png", "no image")
    with pytest.raises(DataError, match=r"00000.png cannot be read"):
        find_sequences(tmp_path, "davis")


def test_a_listed_sequence_without_masks_is_told(tmp_path: Path) -> None:
    write_mask(annotations(tmp_path, "bear") / "00000.png", blank(n255=(0, 0, 2, 2)))
    write_text(tmp_path / "ImageSets" / "2017" / "val.txt", "bear\ncat\n")
    with pytest.raises(DataError, match="cat is missing or holds no masks"):
        find_sequences(tmp_path, "davis")
