"""Training images and the pairs made of them."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.errors import DataError
from napari_ocean.training.images import TrainingImages, read_images
from napari_ocean.training.pairs import PairSettings, PairSource

CALM = PairSettings(
    video_share=0,
    mosaic_share=0,
    negative_share=0,
    paste_share=0,
    occlusion_share=0,
    background_share=0,
    color=0,
    gray_share=0,
    blur_share=0,
    noise_share=0,
)


@pytest.fixture(scope="module")
def images(shards) -> TrainingImages:
    return read_images(shards)


def test_shards_are_sorted_by_use(images: TrainingImages) -> None:
    assert len(images.photos) == 6
    assert len(images.tiny) == 4
    assert [image.name for image in images.videos[0]] == [f"film/{i}.png" for i in range(5)]
    np.testing.assert_allclose(images.photo_weights, [0, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert images.photos[1].pixels.shape == (90, 130, 3)


@pytest.mark.parametrize("share", ["photos", "video", "mosaic"])
def test_the_box_lies_on_the_object_in_the_search_crop(images, share: str) -> None:
    settings = replace(CALM, video_share=share == "video", mosaic_share=share == "mosaic")
    source = PairSource(images, settings, seed=3)
    for index in range(20):
        pair = source[index]
        assert pair.template.shape == (127, 127, 3)
        assert pair.search.shape == (255, 255, 3)
        assert pair.present
        x0, y0, x1, y1 = np.round(pair.box + 0.5).astype(int)
        inner = pair.search[max(y0 + 4, 0) : max(y1 - 4, 0), max(x0 + 4, 0) : max(x1 - 4, 0)]
        if inner.size == 0:
            continue
        # drawn objects are one colour, brighter than their noisy surroundings
        assert inner.reshape(-1, 3).std(axis=0).max() < 12
        assert inner.mean() > 125
        np.testing.assert_allclose(pair.template[60:67, 60:67].mean(), inner.mean(), atol=80)


def test_the_target_fills_the_crop_as_in_tracking(images: TrainingImages) -> None:
    settings = replace(CALM, search_shift_px=0, search_scale=0, search_aspect=0)
    for index in range(10):
        box = PairSource(images, settings, seed=0)[index].box
        width, height = boxes.size(box)
        context = np.sqrt((width + (width + height) / 2) * (height + (width + height) / 2))
        np.testing.assert_allclose(context, 127, rtol=1e-6)
        np.testing.assert_allclose(boxes.center(box), [127, 127], atol=1e-6)


def test_the_same_index_gives_the_same_pair_and_others_differ(images: TrainingImages) -> None:
    source, again = (PairSource(images, PairSettings(), seed=5) for _ in range(2))
    _ = source[0]
    one, two, other = source[7], again[7], source[8]
    np.testing.assert_array_equal(one.search, two.search)
    np.testing.assert_array_equal(one.box, two.box)
    assert not np.array_equal(one.search, other.search)
    assert not np.array_equal(one.search, PairSource(images, PairSettings(), seed=6)[7].search)


def test_negative_share_is_kept(images: TrainingImages) -> None:
    source = PairSource(images, replace(CALM, negative_share=0.25), seed=0)
    absent = sum(not source[index].present for index in range(200))
    assert 30 <= absent <= 70


def test_everything_on_gives_valid_pairs(images: TrainingImages) -> None:
    shares = dict.fromkeys(
        ("paste_share", "occlusion_share", "blur_share", "noise_share", "gray_share"), 0.9
    )
    source = PairSource(images, PairSettings(**shares), seed=1)
    for index in range(60):
        pair = source[index]
        assert pair.search.dtype == pair.template.dtype == np.uint8
        assert np.isfinite(pair.box).all()
        assert (boxes.size(pair.box) > 0).all()


def test_missing_or_broken_shards_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no \*\.zip shards"):
        read_images(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"broken\.zip"):
        read_images(tmp_path)
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("a.png", b"not an image")
        archive.writestr("boxes.jsonl", '{"file": "a.png", "width": 5, "height": 5, "boxes": []}')
    with pytest.raises(DataError, match=r"a\.png.*cannot be decoded"):
        read_images(tmp_path)
