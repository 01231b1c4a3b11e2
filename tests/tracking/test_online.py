"""Tracking with the online update, on drawn clips with known truth and the shipped weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.errors import BoxError, ConfigError
from napari_ocean.online.augment import VIEWS
from napari_ocean.online.released import ReleasedUpdate
from napari_ocean.online.settings import RELEASED, OnlineSettings
from napari_ocean.tracking import Tracker, load_tracker, siamese
from napari_ocean.tracking.crop import context_side
from napari_ocean.tracks import Prediction, State
from tests.network.golden import official_state

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return load_tracker()


@cache
def _beetle(frame: int) -> np.ndarray:
    """The demo's ladybird on its own ground, ``(60, 52, 3)``."""
    clip = demo_clip()
    x0, y0, x1, y1 = clip.truth_xyxy[frame].round().astype(int)
    return cv2.resize(clip.frames[frame][y0:y1, x0:x1], (52, 60))


def _ground(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    return cv2.convertScaleAbs(cv2.GaussianBlur(noise, (0, 0), 6), alpha=4, beta=-400)


def _scene(tiles: list[tuple[np.ndarray, float, float]], hidden: slice | None = None) -> np.ndarray:
    """Pictures pasted on the ground at ``x, y``, the later ones in front; a wall over all."""
    frame = _ground(1)
    for tile, x, y in tiles:
        height, width = tile.shape[:2]
        frame[int(y) : int(y) + height, int(x) : int(x) + width] = tile
    if hidden is not None:
        frame[:, hidden] = (70, 80, 90)
    return frame


def _box(x: float, y: float = 200) -> np.ndarray:
    return boxes.from_xywh([int(x), int(y), 52, 60])


def _follow(tracker: Tracker, frames: list[np.ndarray], first: np.ndarray) -> list[Prediction]:
    session = tracker.start(frames[0], first)
    drawn = Prediction(box_xyxy=first, score=1.0, state=State.FOUND)
    return [drawn, *(session.step(frame) for frame in frames[1:])]


def test_hidden_behind_a_wall_the_score_falls_and_the_target_is_taken_up_again(
    tracker: Tracker,
) -> None:
    xs = np.linspace(60, 420, 60)
    wall = slice(220, 330)
    beetle = _beetle(0)
    frames = [_scene([(beetle, x, 200)], wall) for x in xs]
    found = _follow(tracker, frames, _box(xs[0]))
    before = max(i for i, x in enumerate(xs) if x + 52 <= wall.start)
    hidden = min(i for i, x in enumerate(xs) if x >= wall.start)
    after = min(i for i, x in enumerate(xs) if x >= wall.stop)
    assert boxes.iou(found[before].box_xyxy, _box(xs[before])) > 0.5
    assert found[before].state is State.FOUND
    assert max(p.score for p in found[hidden : hidden + 3]) < 0.5 * found[before].score
    lost = [p for p in found[hidden:after] if p.state is State.LOST]
    assert len(lost) > 5
    places = np.array([p.box_xyxy for p in lost])
    np.testing.assert_array_equal(places, np.tile(places[0], (len(places), 1)), "it wanders")
    back = boxes.iou(found[after + 5].box_xyxy, _box(xs[after + 5]))
    assert back > 0.5
    assert found[after + 5].state is State.FOUND


def test_a_look_alike_crossing_in_front_does_not_take_the_box_along(tracker: Tracker) -> None:
    """It goes the other way, brighter and with its spots exchanged, and hides a quarter of it."""
    target = _beetle(0)
    other = np.clip(target[:, ::-1].astype(int) + 25, 0, 255).astype(np.uint8)
    xs = np.linspace(150, 350, 50)
    frames = [_scene([(target, x, 200), (other, 500 - x, 245)]) for x in xs]
    found = _follow(tracker, frames, _box(xs[0]))
    ends = [boxes.iou(p.box_xyxy, _box(x)) for p, x in zip(found[-8:], xs[-8:], strict=True)]
    assert min(ends) > 0.5


def test_without_it_the_results_are_those_of_the_siamese_tracker() -> None:
    """Bit for bit, whatever the online settings of the tracker beside it."""
    clip = demo_clip(n_frames=8)
    plain, off = load_tracker(online=False, engine="torch", fast=False), load_tracker()
    off = Tracker(off.net, replace(off.settings, learnt_weight=0.9))
    beside = load_tracker().start(clip.frames[0], clip.truth_xyxy[0])
    one = _follow(plain, list(clip.frames), clip.truth_xyxy[0])
    beside.step(clip.frames[1])
    two = _follow(off, list(clip.frames), clip.truth_xyxy[0])
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.box_xyxy, b.box_xyxy)
        assert (a.score, a.state) == (b.score, b.state)


def test_the_released_loop_runs_with_the_shipped_weights() -> None:
    tracker = load_tracker(online=RELEASED)
    xs = np.linspace(200, 233, 12)
    frames = [_scene([(_beetle(0), x, 200)]) for x in xs]
    session = tracker.start(frames[0], _box(xs[0]))
    assert isinstance(session._update, ReleasedUpdate)
    plain = Tracker(tracker.net, tracker.settings).start(frames[0], _box(xs[0]))
    assert session.step(frames[1]).score != plain.step(frames[1]).score
    found = _follow(tracker, frames, _box(xs[0]))
    overlaps = [boxes.iou(p.box_xyxy, _box(x)) for p, x in zip(found, xs, strict=True)]
    assert min(overlaps) > 0.5


@pytest.mark.parametrize("fidelity", ["default", "official"])
def test_the_released_classifier_is_used_whole(tmp_path, fidelity) -> None:
    """An online file in the released layout: 522 keys, random values."""
    state = {**official_state("online_siamese"), **official_state("online_classifier")}
    assert len(state) == 522
    path = tmp_path / "OceanV18on.pth"
    torch.save({f"feature_extractor.{k}" if not k.startswith("classifier.") else k: v
                for k, v in state.items()}, path)  # fmt: skip
    few = OnlineSettings(fidelity=fidelity, first_iterations=1)
    tracker = load_tracker(path, online=few)
    assert tracker.classifier is not None
    assert tracker.classifier.project is not None
    session = tracker.start(_ground(2), (200, 150, 300, 250))
    prediction = session.step(_ground(2))
    assert np.isfinite(prediction.box_xyxy).all()


def test_what_a_person_drew_elsewhere_is_known_from_the_start(tracker: Tracker) -> None:
    """A target that looks quite different later is found there once it was shown so."""
    first, later = _beetle(0), np.rot90(_beetle(0), 2).copy()
    later = cv2.GaussianBlur(255 - later, (0, 0), 1)
    start = _scene([(first, 200, 200)])
    changed = _scene([(later, 204, 200), (cv2.GaussianBlur(first, (0, 0), 5), 300, 230)])
    plain = tracker.start(start, _box(200)).step(changed)
    taught = tracker.start(start, _box(200), examples=[(changed, _box(204))]).step(changed)
    assert taught.score > plain.score
    assert boxes.iou(taught.box_xyxy, _box(204)) > 0.5


def _behind_a_post(tracker: Tracker, **how: bool) -> float:
    """Overlap after a beetle has come out from behind a post, where its box was drawn."""
    post = np.random.default_rng(2).integers(0, 256, (60, 52, 3)).astype(np.uint8)
    post = cv2.GaussianBlur(post, (0, 0), 2)
    seen = _scene([(_beetle(0), 200, 200)])
    covered = _scene([(_beetle(0), 240, 200), (post, 240, 200)])
    session = tracker.start(covered, _box(240), examples=[(seen, _box(200))], **how)
    for x in range(246, 306, 6):
        found = session.step(_scene([(_beetle(0), x, 200), (post, 240, 200)]))
    return float(boxes.iou(found.box_xyxy, _box(x)))


@pytest.mark.parametrize("online", [None, OnlineSettings()])
def test_what_hides_a_target_is_not_its_look(tracker: Tracker, online) -> None:
    tracker = Tracker(tracker.net, tracker.settings, online, search=tracker.search)
    assert _behind_a_post(tracker) < 0.1, "it stays with the post"
    assert _behind_a_post(tracker, hidden=True) > 0.5


def test_a_hidden_target_that_nothing_else_is_known_of_is_followed_as_it_is(tracker) -> None:
    frame = _scene([(_beetle(0), 200, 200)])
    plain, hidden = (tracker.start(frame, _box(200), hidden=on).step(frame) for on in (False, True))
    np.testing.assert_array_equal(plain.box_xyxy, hidden.box_xyxy)


def test_an_example_outside_its_frame_is_refused(tracker: Tracker) -> None:
    frame = _ground(1)
    with pytest.raises(BoxError, match="outside the frame"):
        tracker.start(frame, _box(200), examples=[(frame, (900, 10, 950, 60))])


@pytest.mark.parametrize(
    "wrong",
    [
        {"fidelity": "best"},
        {"rate": 1.0},
        {"memory": 20},
        {"lasting_weight": -0.1},
        {"extent_share": 1.1},
        {"extent_ridge": 0.0},
        {"first_dropouts": 11},
    ],
)
def test_settings_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        OnlineSettings(**wrong)


@pytest.mark.parametrize("part_xywh", [(0, 0, 52, 120), (52, 60, 52, 60)], ids=["half", "quarter"])
def test_the_box_stays_on_the_part_that_was_drawn(tracker: Tracker, part_xywh) -> None:
    """The network alone would rather see the whole beetle (:mod:`napari_ocean.online.extent`)."""
    beetle = cv2.resize(_beetle(0), (104, 120))
    xs = np.linspace(200, 290, 30)
    frames = [_scene([(beetle, x, 200)]) for x in xs]
    truth = [boxes.from_xywh(np.add(part_xywh, (int(x), 200, 0, 0))) for x in xs]
    overlaps = []
    for share in (0.0, OnlineSettings().extent_share):
        settings = OnlineSettings(extent_share=share)
        learning = Tracker(tracker.net, tracker.settings, settings, search=tracker.search)
        found = _follow(learning, frames, truth[0])[1:]
        overlaps.append(boxes.iou([p.box_xyxy for p in found], truth[1:]).mean())
    without, taught = overlaps
    assert 1 - taught < 0.8 * (1 - without)
    assert taught > 0.85


def test_each_way_of_looking_learns_the_sides_as_it_sees_them(monkeypatch) -> None:
    """The left two thirds were drawn, which are the right ones in the mirror."""
    seen: list[np.ndarray] = []
    both_ways = siamese.both_ways
    monkeypatch.setattr(siamese, "both_ways", lambda maps: seen.append(maps) or both_ways(maps))
    frame = _scene([(cv2.resize(_beetle(0), (104, 120)), 200, 200)])
    part = boxes.from_xywh([200, 200, 70, 120])
    tracker = load_tracker(fast=False)
    for share in (0.0, 1.0):
        Tracker(
            tracker.net, tracker.settings, OnlineSettings(extent_share=share), search=tracker.search
        ).start(frame, part).step(frame)
    middle = seen[0].shape[-1] // 2  # the crop is centred on the drawn box
    plain, mirrored = np.stack(seen)[:, :, :4, middle, middle].swapaxes(0, 1)
    width_px = 70 * 127 / context_side(boxes.size(part))
    middle_px = tracker.settings.search_px // 2
    for without, taught, far_side in ((*plain, 2), (*mirrored, 0)):
        off = np.abs(np.array([without, taught])[:, far_side] - middle_px) - width_px / 2
        assert off[0] > 4, "the network alone sees more than was drawn"
        assert abs(off[1]) < off[0] / 2


def test_a_guessed_box_teaches_no_sizes(tracker: Tracker) -> None:
    frame = _scene([(_beetle(0), 200, 200)])
    half = boxes.from_xywh([200, 200, 26, 60])
    guessed = tracker.start(frame, half, guessed=True)
    assert not guessed._looks.template.sides.any()
    taught = tracker.start(frame, half, guessed=True, examples=[(frame, half)])
    assert taught._looks.template.sides.any()


@pytest.mark.parametrize("online", [None, RELEASED, OnlineSettings(extent_share=0.0)])
def test_sides_are_learnt_where_they_are_asked_for_alone(tracker: Tracker, online) -> None:
    plain = Tracker(tracker.net, tracker.settings, online, search=tracker.search)
    session = plain.start(_scene([(_beetle(0), 200, 200)]), _box(200))
    assert not session._looks.template.sides.any()


def test_a_slip_that_was_corrected_is_not_made_again(tracker: Tracker) -> None:
    """The target turns into something else while its old looks stay beside it."""
    old = _beetle(0)
    new = cv2.GaussianBlur(255 - np.rot90(old, 2), (0, 0), 1)
    xs = np.linspace(200, 230, 8)
    frames = [_scene([(old, 200, 200)])]
    frames += [_scene([(new, x, 200), (old, 300, 215)]) for x in xs]
    slipped = _follow(tracker, frames, _box(200))
    wrong = [i for i, x in enumerate(xs, 1) if boxes.iou(slipped[i].box_xyxy, _box(x)) < 0.5]
    assert wrong, "the scene must be hard enough to slip"
    corrected = (frames[wrong[0]], _box(xs[wrong[0] - 1]))
    taught = tracker.start(frames[0], _box(200), examples=[corrected])
    again = [taught.step(frame) for frame in frames[1:]]
    overlaps = [boxes.iou(p.box_xyxy, _box(x)) for p, x in zip(again, xs, strict=True)]
    assert min(overlaps) > 0.5


def test_after_long_doubt_it_is_looked_for_where_it_was_last_seen(tracker: Tracker) -> None:
    """Scores between lost and found move the place that a lost target is looked for at."""
    never_sure = Tracker(tracker.net, replace(tracker.settings, found_score=0.99), tracker.online)
    beetle = _beetle(0)
    xs = np.linspace(60, 300, 40)
    seen = [_scene([(beetle, x, 200)]) for x in xs]
    session = never_sure.start(seen[0], _box(xs[0]))
    for frame in seen[1:]:
        last = session.step(frame)
    assert last.state is State.UNCERTAIN
    for _ in range(6):
        gone = session.step(_ground(1))
    assert gone.state is State.LOST
    assert boxes.iou(gone.box_xyxy, _box(xs[-1])) > 0.3


def test_memory_does_not_grow_with_the_video(tracker: Tracker) -> None:
    session = tracker.start(_scene([(_beetle(0), 200, 200)]), _box(200))
    held = session._update._model._memory
    assert held.count == len(VIEWS), "views of another size are none of its samples"
    for i in range(60):
        session.step(_scene([(_beetle(0), 200 + i % 5, 200)]))
    assert held.count == len(held.features) == OnlineSettings().memory


def test_the_score_is_a_chance_and_changes_neither_boxes_nor_states(tracker: Tracker) -> None:
    settings = tracker.settings
    bare = Tracker(
        tracker.net, replace(settings, confidence_offset=0.0), tracker.online, search=tracker.search
    )
    xs = np.linspace(150, 260, 12)
    frames = [_scene([(_beetle(0), x, 200)], slice(230, 300)) for x in xs]
    for one, two in zip(
        _follow(tracker, frames, _box(xs[0]))[1:],
        _follow(bare, frames, _box(xs[0]))[1:],
        strict=True,
    ):
        np.testing.assert_array_equal(one.box_xyxy, two.box_xyxy)
        assert one.state is two.state
        held = np.clip(two.score, 1e-6, 1 - 1e-6)
        logit = np.log(held / (1 - held)) + settings.confidence_offset
        assert one.score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
