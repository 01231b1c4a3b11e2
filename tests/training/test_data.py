"""Training images and the pairs made of them."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from napari_ocean import boxes
from napari_ocean.cli import main
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.training import photometry
from napari_ocean.training.album import Album
from napari_ocean.training.images import (
    LabelledImage,
    TrainingImages,
    digests,
    film_of,
    mosaics,
    read_images,
)
from napari_ocean.training.pairs import PairBatch, PairSource
from napari_ocean.training.pictures import data_report, pairs_sheet, read_metrics, write_curves
from napari_ocean.training.settings import PairSettings, TrainSettings
from napari_ocean.training.silhouettes import (
    GRID,
    SILHOUETTES_FILE,
    Outlined,
    read_silhouettes,
    write_silhouettes,
)
from napari_ocean.training.train import look
from napari_ocean.training.unseen import Unseen

CALM = PairSettings(
    video_share=0,
    mosaic_share=0,
    negative_share=0,
    paste_share=0,
    occlusion_share=0,
    cover_share=0,
    transplant_share=0,
    part_share=0,
    background_share=0,
    color=0,
    crop_color=0,
    gray_share=0,
    blur_share=0,
    coarse_share=0,
    noise_share=0,
)


@pytest.fixture(scope="module")
def images(shards) -> TrainingImages:
    return read_images(shards)


def photo(
    pixels: np.ndarray,
    *given: tuple[float, ...],
    label: str = "toy",
    grids: np.ndarray | None = None,
) -> LabelledImage:
    grids = np.zeros((len(given), GRID, GRID), np.uint8) if grids is None else grids
    labels = (label,) * len(given)
    return LabelledImage("set/photo", pixels, np.reshape(given, (-1, 4)), labels, grids)


def silhouette(rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
    grid = np.zeros((1, GRID, GRID), np.uint8)
    grid[0, rows, columns] = 255
    return grid


FIRST, SECOND = slice(0, GRID // 2), slice(GRID // 2, GRID)
LEFT_HALF, TOP_LEFT = silhouette(columns=FIRST), silhouette(FIRST, FIRST)


def quarters(levels: tuple[int, int, int, int], grids: np.ndarray | None) -> LabelledImage:
    """A toy of four colours, top left and right, bottom left and right."""
    pixels = np.full((200, 200, 3), 100, np.uint8)
    pixels[80:120, 80:120] = np.repeat(np.reshape(levels, (2, 2)), 20, 0).repeat(20, 1)[..., None]
    return photo(pixels, (80, 80, 120, 120), grids=grids)


# ------------------------------------------------------------------------------------ reading


def test_shards_are_sorted_by_use(images: TrainingImages) -> None:
    assert len(images.photos) == 6
    assert len(images.tiny) == 4
    assert [image.name for image in images.videos[0]] == [f"film/{i}.png" for i in range(5)]
    np.testing.assert_allclose(images.photo_weights, [0, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert images.photos[1].pixels.shape == (90, 130, 3)


def outlined(images: TrainingImages, *added: tuple[float, ...]) -> dict[str, Outlined]:
    """Silhouettes of the folder's second photo, and boxes of its first, which has none."""
    empty, second = images.photos[:2]
    grids = np.concatenate([TOP_LEFT, silhouette(columns=SECOND)])[: len(added)]
    return {
        empty.name: Outlined(np.reshape(added, (-1, 4)), grids),
        second.name: Outlined(second.boxes, LEFT_HALF),
    }


def test_silhouettes_beside_the_shards_are_taken_up(shards, images, tmp_path) -> None:
    shutil.copytree(shards, tmp_path, dirs_exist_ok=True)
    write_silhouettes(
        tmp_path / SILHOUETTES_FILE, outlined(images, (1, 2, 30, 40), (5.5, 6, 70, 80))
    )
    (tmp_path / "._shard-00.zip").write_bytes(b"what macOS notes on some disks")
    read = read_images(tmp_path)
    np.testing.assert_array_equal(read.photos[0].boxes, [(1, 2, 30, 40), (5.5, 6, 70, 80)])
    np.testing.assert_array_equal(read.photos[1].boxes, images.photos[1].boxes)
    np.testing.assert_array_equal(read.photos[0].grids[:1], TOP_LEFT)
    np.testing.assert_array_equal(read.photos[0].grids[1:], silhouette(columns=SECOND))
    np.testing.assert_array_equal(read.photos[1].grids, LEFT_HALF)
    assert not any(image.grids.any() for image in read.photos[2:])
    assert read.photo_weights[0] > 0  # now it gives targets
    assert set(digests(tmp_path)) == {"shard-00.zip", SILHOUETTES_FILE}
    assert "3 of these with a silhouette" in data_report(read)


def test_objects_found_in_a_photo_follow_its_own(shards, images, tmp_path) -> None:
    shutil.copytree(shards, tmp_path, dirs_exist_ok=True)
    second = images.photos[1]
    both = np.concatenate([second.boxes, [(1, 2, 30, 40)]])
    grids = np.concatenate([LEFT_HALF, TOP_LEFT])
    write_silhouettes(tmp_path / SILHOUETTES_FILE, {second.name: Outlined(both, grids)})
    read = read_images(tmp_path).photos[1]
    np.testing.assert_allclose(read.boxes, both)
    np.testing.assert_array_equal(read.grids, grids)
    assert read.labels == (*second.labels, "")


@pytest.mark.parametrize("names", [(), ("a",)])
def test_silhouettes_of_nothing_are_read_back(tmp_path, names: tuple[str, ...]) -> None:
    nothing = Outlined(np.zeros((0, 4)), np.zeros((0, GRID, GRID), np.uint8))
    write_silhouettes(tmp_path / "x", dict.fromkeys(names, nothing))
    assert read_silhouettes(tmp_path / "x") == {}


def test_silhouettes_of_other_boxes_are_refused(shards, images, tmp_path) -> None:
    shutil.copytree(shards, tmp_path, dirs_exist_ok=True)
    second = images.photos[1]
    found_first = np.concatenate([second.boxes + 5, second.boxes])
    for other in second.boxes + 1, second.boxes * np.nan, found_first:
        grids = np.repeat(LEFT_HALF, len(other), axis=0)
        write_silhouettes(tmp_path / SILHOUETTES_FILE, {second.name: Outlined(other, grids)})
        with pytest.raises(DataError, match=f"other boxes of {second.name} than its shard"):
            read_images(tmp_path)


@pytest.mark.parametrize(
    "damage", ["cut", "bit", "text", "npy", "pickle", "missing", "shape", "dtype"]
)
def test_a_damaged_file_of_silhouettes_is_named(shards, images, tmp_path, damage: str) -> None:
    shutil.copytree(shards, tmp_path, dirs_exist_ok=True)
    path = tmp_path / SILHOUETTES_FILE
    write_silhouettes(path, outlined(images))
    names, box, grids = np.array(["a"]), np.zeros((1, 4)), LEFT_HALF
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-60])
        case "bit":
            whole = bytearray(path.read_bytes())
            at = whole.index(b"grids.npy") + 60  # in the compressed data
            whole[at : at + 4] = b"\xff\xff\xff\xff"
            path.write_bytes(whole)
        case "npy":
            with path.open("wb") as file:
                np.save(file, grids)
        case "text":
            path.write_text("not this")
        case "pickle":
            np.savez(path, names=np.array([{}], dtype=object), boxes=box, grids=grids)
        case "missing":
            np.savez(path, names=names, boxes=box)
        case "shape":
            np.savez(path, names=names, boxes=box, grids=grids[:, :8])
        case "dtype":
            np.savez(path, names=names, boxes=box, grids=grids > 0)
    with pytest.raises(DataError, match=r"silhouettes\.npz is not a file of silhouettes"):
        read_images(tmp_path)


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


FINE = {"file": "a.png", "width": 90, "height": 64, "boxes": [[1, 2, 30, 40]], "labels": ["cup"]}


def write_shard_of(folder: Path, *lines: object, side: tuple[int, int] = (64, 90)) -> None:
    with zipfile.ZipFile(folder / "own.zip", "w") as archive:
        archive.writestr("a.png", cv2.imencode(".png", np.zeros((*side, 3), np.uint8))[1].tobytes())
        archive.writestr("boxes.jsonl", "\n".join(json.dumps(line) for line in lines))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"file": 5}, "file is 5; its type must be str"),
        ({"width": None}, "width is None; its type must be int"),
        ({"boxes": None}, "boxes is None; its type must be list"),
        ({"boxes": [[1, 2, 3]]}, "cannot reshape"),
        ({"boxes": [{}]}, "float"),
        ({"boxes": [[1, 2, float("nan"), 4]]}, "a box is not x0, y0, x1, y1"),
        ({"boxes": [[50, 40, 20, 10]]}, "a box is not x0, y0, x1, y1"),
        ({"labels": ["cup", "pen"]}, "needs one for each of its boxes"),
        ({"labels": "c"}, "needs one for each of its boxes"),
        ({"video": "film"}, "frame is None; its type must be int"),
        ({"video": 1, "frame": 0}, "video is 1; its type must be str"),
        ({"video": "film", "frame": 0, "boxes": [], "labels": []}, "needs exactly one"),
        ({"video": "film", "frame": 0, "boxes": [[5, 5, 5, 9]]}, "its box has no area"),
        ({"boxes": [[0, 0, 10**400, 5]]}, "int too large"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_wrong_line_of_a_shard_is_named(tmp_path, wrong: dict[str, object], told: str) -> None:
    write_shard_of(tmp_path, FINE, {**FINE, **wrong})
    with pytest.raises(DataError, match=rf"own\.zip .* line 2 of boxes\.jsonl: .*{told}"):
        read_images(tmp_path)


def test_what_else_a_shard_made_by_hand_may_hold_is_named(tmp_path) -> None:
    write_shard_of(tmp_path, FINE, [1, 2])
    with pytest.raises(DataError, match=r"line 2 of .*: it is not a JSON object"):
        read_images(tmp_path)
    write_shard_of(tmp_path, FINE, side=(64, 64))
    with pytest.raises(DataError, match=r"own\.zip .*a\.png is 64 x 64 px, not 90 x 64"):
        read_images(tmp_path)


def test_an_encrypted_shard_and_an_empty_image_are_named(tmp_path) -> None:
    shard = tmp_path / "own.zip"
    write_shard_of(tmp_path, FINE)
    content = bytearray(shard.read_bytes())
    content[6] |= 1  # the first file's own header, then its line of the table at the end
    content[content.find(b"PK\x01\x02") + 8] |= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"own\.zip .*encrypted"):
        read_images(tmp_path)
    with zipfile.ZipFile(shard, "w") as archive:
        archive.writestr("a.png", b"")
        archive.writestr("boxes.jsonl", json.dumps(FINE))
    with pytest.raises(DataError, match=r"own\.zip .*a\.png cannot be decoded"):
        read_images(tmp_path)


def test_a_small_image_without_a_box_is_a_background(tmp_path) -> None:
    write_shard_of(tmp_path, {**FINE, "width": 64, "boxes": [], "labels": []}, side=(64, 64))
    read = read_images(tmp_path)
    assert (len(read.photos), len(read.tiny)) == (1, 0)


def test_videos_kept_out_are_in_one_part_only(images: TrainingImages) -> None:
    films = [[frame] for frame in images.videos[0]]
    names = ["a#1", "a#2", "b#1", "UAV/car_1", "UAV/car_2"]
    films = [
        [replace(film[0], name=f"{name}/0.png")] for film, name in zip(films, names, strict=True)
    ]
    kept, unseen = replace(images, videos=films).without_films(1)
    assert [film_of(video[0]) for video in unseen.videos] == ["b"]
    assert [film_of(video[0]) for video in kept.videos] == ["a", "a", "UAV/car", "UAV/car"]
    kept, unseen = replace(images, videos=films).without_films(2)
    assert [film_of(video[0]) for video in unseen.videos] == ["a", "a", "b"]
    assert (len(kept.videos), len(unseen.photos)) == (2, 0)
    assert len(images.without_films(0)[0].videos) == 1
    with pytest.raises(ConfigError, match="unseen_videos is 4, but the data has 3 films"):
        replace(images, videos=films).without_films(4)
    with pytest.raises(ConfigError, match="keep fewer apart"):
        replace(images, photos=[], videos=films).without_films(3)


def test_objects_of_one_film_are_no_strangers_and_lend_no_ground(images: TrainingImages) -> None:
    """Without photos: neither may a crop that shows an object be said not to hold it."""
    frames = images.videos[0]
    films = [
        [replace(frame, name=f"{name}/{i}.png") for i, frame in enumerate(frames)]
        for name in ("a#1", "a#2", "b#1", "c#1")
    ]
    several = replace(images, photos=[], photo_weights=np.zeros(0), tiny=[], videos=films)
    settings = PairSettings(negative_share=0.5, cover_share=0.5)
    source = PairSource(several, settings, 0, batch=200)
    objects = source._objects
    plan = source._plan(np.random.default_rng(0))
    film = objects.film[objects.image]
    absent = ~plan["present"]
    assert 10 < absent.sum() < 100
    assert (film[plan["template"][absent]] != film[plan["search"][absent]]).all()
    laid = plan["continued"] | plan["transplanted"]
    assert (laid & absent).any()
    for crop in ("template", "search"):
        assert (objects.film[plan["ground"][laid]] != film[plan[crop][laid]]).all()
    for name in ("beside", "over", "cover"):
        pasted = absent & (plan[name] >= 0)
        assert pasted.any()
        assert (film[plan[name][pasted]] != film[plan["template"][pasted]]).all()
    assert len(np.unique(plan["ground"][laid])) > 5
    alone = replace(several, videos=films[:2])
    plan = PairSource(alone, settings, 0, batch=50)._plan(np.random.default_rng(0))
    assert plan["present"].all()
    assert not (plan["continued"] | plan["transplanted"]).any()


def test_settings_of_pairs_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pairs\.search_px is 512; it must be one of"):
        PairSettings(search_px=512)
    with pytest.raises(ConfigError, match=r"pairs\.gray_share is 1\.5; it must lie in \[0, 1\]"):
        PairSettings(gray_share=1.5)
    for wrong in ({"mosaics": -1}, {"color": math.nan}, {"search_shift_px": math.inf}):
        with pytest.raises(
            ConfigError, match=r"pairs\.\w+ is .*; it must be finite and at least 0"
        ):
            PairSettings(**wrong)
    with pytest.raises(ConfigError, match=r"pairs\.template_scale is 1\.0; it must be less than 1"):
        PairSettings(template_scale=1.0)


def test_boxes_of_a_mosaic_lie_on_their_tiles() -> None:
    tiny = []
    for level in range(40, 240, 20):
        pixels = np.full((64, 64, 3), level, np.uint8)
        pixels[20:40, 10:50] = level + 5
        tiny.append(photo(pixels, (10, 20, 50, 40)))
    for mosaic in mosaics(tiny, 3, seed=1):
        assert mosaic.pixels.shape == (320, 320, 3)
        assert len(mosaic.boxes) == len(mosaic.labels) == 9
        for x0, y0, x1, y1 in mosaic.boxes.astype(int):
            inner = mosaic.pixels[y0:y1, x0:x1]
            assert inner.min() == inner.max() == mosaic.pixels[y0 - 1, x0, 0] + 5


# -------------------------------------------------------------------------------------- album


def test_the_album_reads_between_pixels_and_knows_its_borders() -> None:
    ramp = np.repeat((10 * np.arange(6) + np.arange(4)[:, None])[..., None], 3, 2).astype(np.uint8)
    album = Album([photo(np.zeros((3, 3, 3), np.uint8)), photo(ramp)], torch.device("cpu"))
    x, y = torch.tensor([[[-1.0, -0.4, 1.25, 5.4, 5.6]]]), torch.tensor([[[0.5], [3.4]]])
    colors, inside = album.read(torch.tensor([1]), x, y)
    want = [[0.5, 0.5, 13, 50.5, 50.5], [3, 3, 15.5, 53, 53]]
    torch.testing.assert_close(colors[0, ..., 1], torch.tensor(want))
    assert inside[0].tolist() == [[False, True, True, True, False]] * 2
    torch.testing.assert_close(album.mean_colors[1], torch.tensor([20.0] * 3))


# -------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("share", ["photos", "video", "mosaic"])
def test_the_box_lies_on_the_object_in_the_search_crop(images, share: str) -> None:
    settings = replace(CALM, video_share=share == "video", mosaic_share=share == "mosaic")
    batch = PairSource(images, settings, seed=3, batch=20)[0]
    assert batch.templates.shape == (20, 127, 127, 3)
    assert batch.searches.shape == (20, 255, 255, 3)
    assert batch.present.all()
    for template, search, box in zip(*(part.numpy() for part in batch[:3]), strict=True):
        x0, y0, x1, y1 = np.round(box + 0.5).astype(int)
        inner = search[max(y0 + 4, 0) : max(y1 - 4, 0), max(x0 + 4, 0) : max(x1 - 4, 0)]
        if inner.size == 0:
            continue
        # drawn objects are one colour, brighter than their noisy surroundings
        assert inner.reshape(-1, 3).std(axis=0).max() < 12
        assert inner.mean() > 125
        np.testing.assert_allclose(template[60:67, 60:67].mean(), inner.mean(), atol=80)


def test_the_target_fills_the_crop_as_in_tracking(images: TrainingImages) -> None:
    settings = replace(CALM, search_shift_px=0, search_scale=0, search_aspect=0)
    box = PairSource(images, settings, seed=0, batch=10)[0].boxes.double().numpy()
    width, height = boxes.size(box).T
    context = np.sqrt((width + (width + height) / 2) * (height + (width + height) / 2))
    np.testing.assert_allclose(context, 127, rtol=1e-5)
    np.testing.assert_allclose(boxes.center(box), 127, atol=1e-4)


def test_a_step_gives_the_same_pairs_on_any_number_of_processes(images: TrainingImages) -> None:
    whole = PairSource(images, PairSettings(), seed=5, batch=8)
    _ = whole[0]
    halves = [
        PairSource(images, PairSettings(), seed=5, batch=8, share=slice(i, i + 4))[7]
        for i in (0, 4)
    ]
    for one, *parts in zip(whole[7], *halves, strict=True):
        torch.testing.assert_close(torch.cat(parts), one, rtol=0, atol=0)
    assert not torch.equal(whole[7].searches, whole[8].searches)
    other = PairSource(images, PairSettings(), seed=6, batch=8)
    assert not torch.equal(whole[7].searches, other[7].searches)


def test_negative_share_is_kept(images: TrainingImages) -> None:
    source = PairSource(images, replace(CALM, negative_share=0.25), seed=0, batch=200)
    # one in five strangers is the target itself by chance: then it is present
    assert 20 <= (~source[0].present).sum() <= 65


def test_everything_on_gives_valid_pairs(images: TrainingImages) -> None:
    names = ("paste", "occlusion", "blur", "noise", "gray", "coarse", "transplant", "background")
    names = (*names, "part", "roll", "cover")
    settings = PairSettings(**{f"{name}_share": 0.9 for name in names})
    batch = PairSource(images, settings, seed=1, batch=40)[0]
    assert batch.searches.dtype == batch.templates.dtype == torch.uint8
    box = batch.boxes.numpy()
    assert np.isfinite(box).all()
    assert (boxes.size(box) > 0).all()


def test_what_covers_a_drawn_target_is_not_the_target() -> None:
    toys = []
    for level in (250, 10):
        pixels = np.full((200, 200, 3), 100, np.uint8)
        pixels[80:120, 80:120] = level
        toys.append(photo(pixels, (80, 80, 120, 120)))
    images = TrainingImages(toys, np.array([0.5, 0.5]), [], [])
    still = replace(CALM, search_shift_px=0, search_scale=0, search_aspect=0)
    plain = PairSource(images, still, seed=0, batch=80)[0]
    covered = PairSource(images, replace(still, cover_share=1), seed=0, batch=80)[0]
    torch.testing.assert_close(covered.boxes, plain.boxes)  # those of the whole target, as ever

    def bright_and_dark(crops: torch.Tensor) -> torch.Tensor:
        levels = crops[..., 0].int()
        shown = [levels > 190, levels < 50]
        return torch.stack([of.float().mean(dim=(1, 2)) for of in shown])

    both = bright_and_dark(covered.templates)
    assert not (bright_and_dark(plain.templates) > 0).all(dim=0).any()
    # half of the strangers are the target itself by chance: nothing covers it then
    assert 25 < (both > 0).all(dim=0).sum() < 55
    whole = bright_and_dark(plain.templates).max(dim=0).values
    own = torch.where(bright_and_dark(plain.templates) > 0, both, 0).max(dim=0).values
    assert (own > whole / 4).all()  # something of the target stays to be seen
    assert 12 < (bright_and_dark(covered.searches) > 0).all(dim=0).sum() < 45  # in most of them


def test_a_transplanted_target_leaves_its_surroundings_behind() -> None:
    own = np.full((200, 200, 3), 100, np.uint8)
    own[80:120, 80:120] = 250
    ground = photo(np.zeros((50, 50, 3), np.uint8))
    images = TrainingImages([photo(own, (80, 80, 120, 120)), ground], np.array([1.0, 0]), [], [])
    settings = replace(CALM, transplant_share=1, search_shift_px=0, search_scale=0)
    batch = PairSource(images, settings, seed=0, batch=12)[0]
    corners, middles = batch.searches[:, 2, 2, 0], batch.searches[:, 127, 127, 0]
    assert (middles == 250).all()
    assert set(corners.tolist()) == {0, 100}  # the ground is either photo
    assert (batch.templates[:, 2, 2, 0] == 100).all()


def test_a_transplanted_target_is_cut_out_along_its_silhouette() -> None:
    ground = photo(np.zeros((50, 50, 3), np.uint8))
    toy = quarters((250, 200, 220, 180), TOP_LEFT)
    images = TrainingImages([toy, ground], np.array([1.0, 0]), [], [])
    settings = replace(CALM, transplant_share=1, search_shift_px=20, search_scale=0.2)
    batch = PairSource(images, settings, seed=0, batch=16)[0]
    shown = set()
    for search, box in zip(batch.searches[..., 0].numpy(), batch.boxes.numpy(), strict=True):
        if search[2, 2] == 0:  # laid on the black photo, not on its own
            (x, y), (w, h) = boxes.center(box).round().astype(int), boxes.size(box) / 4
            ys, xs = np.array([y - h, y + h]).astype(int), np.array([x - w, x + w]).astype(int)
            shown.add(tuple(search[np.ix_(ys, xs)].ravel().tolist()))
    # some are mirrored, and their silhouette with them
    assert shown == {(250, 0, 0, 0), (0, 250, 0, 0)}


@pytest.mark.parametrize("transplanted", [False, True])
def test_the_box_of_a_turned_target_is_that_of_its_silhouette(transplanted: bool) -> None:
    pixels = np.full((200, 200, 3), 60, np.uint8)
    pixels[70:130, 80:100] = pixels[110:130, 80:120] = 250  # an L
    own = np.zeros((1, GRID, GRID), np.uint8)
    own[:, :, : GRID // 2] = own[:, GRID * 2 // 3 :] = 255
    toy = photo(pixels, (80, 70, 120, 130), grids=own)
    ground = photo(np.full((50, 50, 3), 20, np.uint8))
    images = TrainingImages([toy, ground], np.array([1.0, 0]), [], [])
    settings = replace(
        CALM, roll_share=1, roll=1.5, transplant_share=int(transplanted), search_shift_px=20
    )
    batch = PairSource(images, settings, seed=0, batch=32)[0]
    upright = PairSource(images, replace(settings, roll_share=0), seed=0, batch=32)[0]
    change = boxes.size(batch.boxes.numpy()) / boxes.size(upright.boxes.numpy())
    assert np.ptp(np.log(change[:, 0] / change[:, 1])) > 0.5
    compared = 0
    for search, box in zip(batch.searches[..., 0].numpy(), batch.boxes.numpy(), strict=True):
        if not transplanted or search[2, 2] == 20:  # else it lies on its own photo
            shown = np.argwhere(search > 155)[:, ::-1]
            edges = np.concatenate([shown.min(axis=0) - 0.5, shown.max(axis=0) + 0.5])
            whole = (box > 2).all() and (box < 252).all()
            if whole:
                np.testing.assert_allclose(box, edges, atol=4)
                compared += 1
    assert compared > 8


def test_a_turned_box_keeps_its_distance_from_the_silhouette() -> None:
    pixels = np.full((200, 200, 3), 60, np.uint8)
    pixels[92:108, 92:108] = 250  # in the middle third of its box
    own = np.zeros((1, GRID, GRID), np.uint8)
    own[:, 11:21, 11:21] = 255
    toy = photo(pixels, (76, 76, 124, 124), grids=own)
    images = TrainingImages([toy], np.array([1.0]), [], [])
    still = replace(CALM, search_shift_px=0, search_scale=0, search_aspect=0)
    turned = replace(still, roll_share=1, roll=1.5)
    sides = boxes.size(PairSource(images, turned, seed=0, batch=32)[0].boxes.numpy())
    upright = boxes.size(PairSource(images, still, seed=0, batch=1)[0].boxes.numpy())
    # a square of a third of the sides is at most sqrt(2) times as wide when it is turned
    assert 1.1 < (sides / upright).max() < 1 + 0.42 / 3 + 0.02
    assert (sides / upright).min() > 0.999


def test_strangers_are_pasted_along_their_own_silhouettes() -> None:
    kinds = {
        "left": (quarters((150, 151, 152, 153), LEFT_HALF), {150, 152}),
        "quarter": (quarters((180, 181, 182, 183), TOP_LEFT), {180}),
        "unknown": (quarters((220, 221, 222, 223), None), {220, 221, 222, 223}),
    }
    toys = [toy for toy, _ in kinds.values()]
    images = TrainingImages(toys, np.full(3, 1 / 3), [], [])
    settings = replace(CALM, paste_share=1, search_shift_px=0, search_scale=0)
    batch = PairSource(images, settings, seed=0, batch=60)[0]
    seen: dict[str, set[int]] = {name: set() for name in kinds}
    for template, search in zip(batch.templates[..., 0], batch.searches[..., 0], strict=True):
        own = int(template[60, 60]) // 10  # which toy is the target: of it all is there
        areas = np.bincount(search.numpy().ravel(), minlength=256)
        areas[own * 10 : own * 10 + 10] = areas[:150] = 0
        strange = set(np.flatnonzero(areas > max(areas.max() / 2, 150)).tolist())
        for name, (_, levels) in kinds.items():
            if strange and min(strange) // 10 == min(levels) // 10:
                seen[name] |= strange
    assert seen == {name: levels for name, (_, levels) in kinds.items()}


def test_a_part_is_the_same_piece_of_its_object_in_both_crops() -> None:
    own = np.zeros((200, 200, 3), np.uint8)
    own[60:140, 60:140] = np.arange(60, 220, 2)[:, None, None]  # bright rows tell the height
    images = TrainingImages([photo(own, (60, 60, 140, 140))], np.ones(1), [], [])
    settings = replace(CALM, part_share=1, search_scale=0, search_aspect=0, search_shift_px=9)
    batch = PairSource(images, settings, seed=0, batch=16)[0]
    sides = boxes.size(batch.boxes.numpy())
    assert sides.std(axis=0).min() > 4  # each pair has a part of its own
    for template, search, box in zip(batch.templates, batch.searches, batch.boxes, strict=True):
        x, y = boxes.center(box.numpy()).round().astype(int)
        assert abs(int(search[y, x, 0]) - int(template[63, 63, 0])) <= 12


def test_a_part_of_a_small_object_is_all_of_it_or_more() -> None:
    own = np.full((99, 99, 3), 200, np.uint8)
    own[40:52, 40:52] = 0
    one = TrainingImages([photo(own, (40, 40, 52, 52))], np.ones(1), [], [])
    settings = replace(CALM, part_share=1, search_shift_px=0, search_aspect=0)
    batch = PairSource(one, settings, seed=0, batch=100)[0]
    width, height = boxes.size(batch.boxes.numpy()).T
    assert np.allclose(width, height, rtol=0.36)
    assert not np.allclose(width, height, rtol=0.1)
    dark = (batch.searches.numpy()[..., 0] < 100).sum(axis=(1, 2)) / (width * height)
    assert 0.5 < dark.min() < 0.8 < dark.max() < 1.1  # a part would be dark all over
    assert np.allclose(width[dark > 0.95], height[dark > 0.95], rtol=0.1)


def test_strangers_of_the_same_kind_are_pasted_beside_the_target() -> None:
    def toy(level: int, label: str) -> LabelledImage:
        pixels = np.zeros((120, 120, 3), np.uint8)
        pixels[40:80, 40:80] = level
        return photo(pixels, (40, 40, 80, 80), label=label)

    images = TrainingImages(
        [toy(100, "a"), toy(150, "a"), toy(250, "b")], np.array([0.5, 0.5, 0]), [], []
    )
    settings = replace(CALM, paste_share=1, alike_share=1, search_shift_px=0)
    searches = PairSource(images, settings, seed=0, batch=30)[0].searches[..., 0]
    shown = [set(np.unique(search).tolist()) & {100, 150, 250} for search in searches.numpy()]
    assert sum({100, 150} <= levels for levels in shown) > 8
    assert not any(250 in levels for levels in shown)


def test_nothing_to_follow_is_said() -> None:
    images = TrainingImages([photo(np.zeros((9, 9, 3), np.uint8))], np.ones(1), [], [])
    with pytest.raises(DataError, match="No training image has an object of 8 px"):
        PairSource(images, CALM, seed=0, batch=1)


# --------------------------------------------------------------------------------- photometry


@pytest.fixture
def crops() -> torch.Tensor:
    levels = np.random.default_rng(0).integers(0, 256, (3, 21, 21, 3))
    return torch.from_numpy(levels).float()


def test_no_change_of_light_is_the_identity(crops: torch.Tensor) -> None:
    levels = torch.arange(256.0)[None, :, None].expand(3, -1, 3)
    table = photometry.recolor(levels, torch.zeros(3, 5))
    torch.testing.assert_close(photometry.look_up(crops.byte(), table), crops, rtol=0, atol=1e-3)
    brighter = photometry.recolor(levels, torch.tensor([[0.0, 0, 0, 20, 0]]).expand(3, -1))
    torch.testing.assert_close(brighter, levels + 20, rtol=0, atol=1e-3)


def test_blur_keeps_the_mean_and_follows_its_angle() -> None:
    dot = torch.zeros(2, 31, 31, 3)
    dot[:, 15, 15] = 100
    across = torch.full((2,), 0.4)
    angle = torch.tensor([0.0, np.pi / 2])
    blurred = photometry.blur(dot, torch.full((2,), 2.0), across, angle)
    torch.testing.assert_close(blurred.sum(dim=(1, 2)), dot.sum(dim=(1, 2)), rtol=1e-4, atol=0)
    level, upright = blurred[..., 0]
    assert level[15, 19] > 1 > level[19, 15]
    torch.testing.assert_close(level.T, upright, rtol=1e-4, atol=1e-4)


def test_compression_loses_less_at_higher_quality(crops: torch.Tensor) -> None:
    losses = [
        (photometry.compress(crops, torch.full((3,), quality)) - crops).abs().mean()
        for quality in (100.0, 60.0, 15.0)
    ]
    assert losses[0] < 1 < losses[1] < losses[2]
    flat = torch.full((1, 20, 20, 3), 77.0)
    kept = photometry.compress(flat, torch.tensor([15.0]))
    assert (kept - flat).abs().max() < 8  # the mean of a block is kept in steps of 53 / 8


def test_coarse_gray_and_noisy_crops(crops: torch.Tensor) -> None:
    gray = photometry.gray(crops)
    torch.testing.assert_close(gray[..., 0], gray[..., 2])
    coarse = photometry.coarsen(crops, 3.0)
    assert coarse.shape == crops.shape
    assert coarse.std() < 0.6 * crops.std()
    field = torch.randn(64, 64, 3)
    noisy = photometry.add_noise(crops, field, np.array([[0, 1], [5, 5], [9, 0]]), torch.ones(3))
    torch.testing.assert_close(noisy[0] - crops[0], field[:21, 1:22], rtol=0, atol=1e-4)


# ----------------------------------------------------------------------------------- pictures


def test_a_look_at_the_data_shows_boxes_and_counts(shards, tmp_path, capsys) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"batch": 7}')
    command = ["train", str(shards), "--out", str(tmp_path / "out"), "--config", str(config)]
    assert main([*command, "--look"]) == 0
    sheet = cv2.imread(str(tmp_path / "out" / "pairs.png"))
    assert sheet.shape == (2 * (127 + 255 + 4), 6 * (255 + 4), 3)
    report = (tmp_path / "out" / "data.md").read_text()
    assert "6 photos with 5 boxes, 4 small images, 1 films with 5 frames" in report
    assert "| toys | 6 | 5 |" in report
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_look_shows_the_pairs_of_the_first_step(shards, images, tmp_path) -> None:
    """Those of the films that are trained on, not of the ones kept apart."""
    settings = TrainSettings(batch=6, unseen_videos=1)
    look(settings, shards, tmp_path)
    kept, _ = images.without_films(1)
    first = PairSource(kept, settings.pairs, settings.seed, batch=6)[0]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "pairs.png")), pairs_sheet(first))
    assert "0 films" in (tmp_path / "data.md").read_text()


def test_boxes_on_the_sheet_are_green_or_red() -> None:
    crops = torch.zeros(2, 255, 255, 3, dtype=torch.uint8)
    box = torch.tensor([[50.0, 60, 100, 120]] * 2)
    templates = torch.zeros(2, 127, 127, 3, dtype=torch.uint8)
    sheet = pairs_sheet(PairBatch(templates, crops, box, torch.tensor([True, False])))
    corner = 2 + 127 + 60, 2 + 50
    assert sheet[corner].tolist() == [0, 200, 0]
    assert sheet[corner[0], corner[1] + 259].tolist() == [0, 0, 230]


def test_metrics_become_curves(tmp_path) -> None:
    lines = ['{"step": 5, "loss": 2.0, "box": 1}', '{"step": 5, "unseen_iou": 0.5}']
    curves = read_metrics([*lines, '{"step": 10, "loss": 1.0, "box": 1}'])
    assert curves["loss"] == [(5, 2.0), (10, 1.0)]
    assert curves["unseen_iou"] == [(5, 0.5)]
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    write_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_a_silhouette_too_thin_to_be_seen_is_not_known(images: TrainingImages) -> None:
    """No cell of it is half full, so there is nothing to turn and nothing to cut out."""
    thin = [replace(of, grids=np.full_like(of.grids, 90)) for of in images.photos]
    source = PairSource(
        replace(images, photos=thin), PairSettings(roll_share=1, video_share=0), 0, batch=16
    )
    assert torch.isfinite(source[0].boxes).all()


def test_held_out_pairs_are_as_they_are(images: TrainingImages) -> None:
    grey = [
        [replace(frame, pixels=np.full_like(frame.pixels, 120)) for frame in video]
        for video in images.videos
    ]
    for batch in Unseen(replace(images, videos=grey), torch.device("cpu"))._batches:
        assert (batch.templates == 120).all()
        assert (batch.searches == 120).all()
