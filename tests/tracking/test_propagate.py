"""Propagation: which frames, which objects, from which boxes; with the shipped weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.errors import BoxError, TracksError, VideoError
from napari_ocean.tracking import Tracker, load_tracker, propagate, step_together
from napari_ocean.tracking.propagate import Corrections
from napari_ocean.tracks import ABSENT, ObjectPrediction, Source, State, TrackBox, Tracks
from napari_ocean.video import FrameArray, open_video

CLIP = demo_clip()
FRAMES = CLIP.frames[:12]
BOX = CLIP.truth_xyxy[0]


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return load_tracker()


def drawn(*where: tuple[int, int]) -> Tracks:
    """Tracks with a true box per ``(object, frame)``."""
    tracks = Tracks()
    for object_id, frame in where:
        if object_id not in tracks.object_ids:
            tracks.add_object(object_id=object_id)
        tracks.draw(object_id, frame, CLIP.truth_xyxy[frame])
    return tracks


def visited(predictions: list[ObjectPrediction]) -> list[tuple[int, int]]:
    return [(p.object_id, p.frame) for p in predictions]


def test_forward_gives_every_frame_from_the_drawn_one(tracker: Tracker) -> None:
    predictions = list(propagate(FRAMES, drawn((1, 4)), tracker=tracker))
    assert visited(predictions) == [(1, frame) for frame in range(4, 12)]
    first = predictions[0]
    assert (first.score, first.state) == (1.0, State.FOUND)
    np.testing.assert_array_equal(first.box_xyxy, CLIP.truth_xyxy[4])
    found = np.array([p.box_xyxy for p in predictions])
    assert boxes.iou(found, CLIP.truth_xyxy[4:12]).min() > 0.5


def test_what_is_yielded_is_the_callers(tracker: Tracker) -> None:
    """To xywh in place, as scripts do: the drawn box and what begins at it stay as they are."""
    tracks = drawn((1, 0))
    wanted = [p.box_xyxy.tolist() for p in propagate(FRAMES[:3], tracks, tracker=tracker)]
    seen = []
    for p in propagate(FRAMES[:3], tracks, tracker=tracker):
        seen.append(p.box_xyxy.tolist())
        p.box_xyxy[2:] -= p.box_xyxy[:2]
    assert seen == wanted


def test_a_video_that_is_open_stays_open(tracker: Tracker) -> None:
    """The data of napari's layer is a view of one, which goes on being shown."""
    with open_video(FRAMES[:2]) as video:
        for given in (video, FrameArray(video)):
            assert len(list(propagate(given, drawn((1, 0)), tracker=tracker))) == 2
            assert video.frame(0).shape == FRAMES.shape[1:]


def test_backward_walks_down_and_respects_the_range(tracker: Tracker) -> None:
    predictions = list(
        propagate(FRAMES, drawn((1, 8)), tracker=tracker, start=3, stop=10, reverse=True)
    )
    assert visited(predictions) == [(1, frame) for frame in range(8, 2, -1)]


def test_backward_equals_forward_on_the_reversed_video(tracker: Tracker) -> None:
    backward = propagate(FRAMES, drawn((1, 11)), tracker=tracker, reverse=True)
    turned = Tracks()
    turned.draw(turned.add_object(), 0, CLIP.truth_xyxy[11])
    forward = propagate(FRAMES[::-1].copy(), turned, tracker=tracker)
    for b, f in zip(backward, forward, strict=True):
        np.testing.assert_allclose(b.box_xyxy, f.box_xyxy, atol=1e-3)


def test_each_object_has_its_own_beginning(tracker: Tracker) -> None:
    predictions = list(propagate(FRAMES, drawn((1, 2), (2, 5)), tracker=tracker, stop=8))
    assert sorted(visited(predictions)) == [
        *((1, frame) for frame in range(2, 8)),
        *((2, frame) for frame in range(5, 8)),
    ]


def test_a_later_drawn_box_begins_anew(tracker: Tracker) -> None:
    tracker = Tracker(tracker.net, tracker.settings)  # which learns nothing from the other box
    tracks = drawn((1, 0))
    moved = CLIP.truth_xyxy[6] + 15
    tracks.draw(1, 6, moved)
    predictions = list(propagate(FRAMES, tracks, tracker=tracker))
    np.testing.assert_array_equal(predictions[6].box_xyxy, moved)
    alone = Tracks()
    alone.draw(alone.add_object(), 6, moved)
    again = list(propagate(FRAMES, alone, tracker=tracker))
    np.testing.assert_allclose(predictions[-1].box_xyxy, again[-1].box_xyxy, atol=1e-3)


def test_a_machine_made_box_begins_only_on_the_first_frame(tracker: Tracker) -> None:
    tracks = drawn((1, 0))
    for frame in (3, 5):
        tracks.put(1, frame, TrackBox(CLIP.truth_xyxy[frame], 0.9, State.FOUND, Source.TRACKED))
    assert visited(list(propagate(FRAMES, tracks, tracker=tracker, start=3, stop=7))) == [
        (1, frame) for frame in range(3, 7)
    ]
    with pytest.raises(TracksError, match="No object has a drawn box"):
        propagate(FRAMES, tracks, tracker=tracker, start=2, stop=7)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_absent_span_is_never_bridged(tracker: Tracker, reverse: bool) -> None:
    tracks = drawn((1, 1), (1, 10), (2, 0), (2, 11))
    for frame in (4, 5, 7):
        tracks.put(1, frame, ABSENT)
    predictions = list(propagate(FRAMES, tracks, tracker=tracker, reverse=reverse))
    reached = [8, 9, 10, *range(2)] if reverse else [*range(1, 4), 10, 11]
    assert sorted(p.frame for p in predictions if p.object_id == 1) == sorted(reached)
    assert sorted(p.frame for p in predictions if p.object_id == 2) == list(range(12))


def test_a_corrected_box_begins_anew(tracker: Tracker) -> None:
    tracks = drawn((1, 0))
    for prediction in propagate(FRAMES, tracks, tracker=tracker):
        tracks.merge(prediction)
    tracks.draw(1, 8, CLIP.truth_xyxy[8])
    assert tracks.get(1, 8).source is Source.CORRECTED
    again = list(propagate(FRAMES, tracks, tracker=tracker, start=6))
    np.testing.assert_array_equal(again[2].box_xyxy, CLIP.truth_xyxy[8])
    assert again[2].score == 1.0


def test_tracks_are_read_only_until_merged(tracker: Tracker) -> None:
    tracks = drawn((1, 3))
    merged = tracks.copy()
    for prediction in propagate(FRAMES, tracks, tracker=tracker):
        merged.merge(prediction)
    assert tracks.frames(1) == [3]
    assert merged.frames(1) == list(range(3, 12))
    assert merged.drawn_frames(1) == [3]


def told(when: dict[int, list[tuple[int, int, object]]]) -> Corrections:
    """Tell of corrections before the frame of that number; a plain box is one that is in sight."""
    asked = iter(range(len(FRAMES)))

    def say(cell: object) -> object:
        return TrackBox(cell) if isinstance(cell, np.ndarray) else cell

    return lambda: [(k, frame, say(cell)) for k, frame, cell in when.get(next(asked), [])]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_goes_on_from_what_is_corrected_meanwhile(tracker: Tracker, reverse: bool) -> None:
    """On its last frame at once, ahead when it comes there, behind it not at all."""
    plain = Tracker(tracker.net, tracker.settings)  # which learns nothing from other boxes
    way = [*range(12)][::-1] if reverse else [*range(12)]
    last, ahead, behind = way[3], way[8], way[2]
    tracks = drawn((1, way[0]), (2, way[0]))
    for frame in (way[7], ahead):
        tracks.put(1, frame, ABSENT)  # before the person drew there
    moved = [CLIP.truth_xyxy[last] + 25, CLIP.truth_xyxy[ahead] - 25]
    corrections = told({4: [(1, behind, BOX), (1, last, moved[0]), (1, ahead, moved[1])]})
    found = list(propagate(FRAMES, tracks, tracker=plain, reverse=reverse, corrections=corrections))
    of = [[p for p in found if p.object_id == k] for k in (1, 2)]
    walked = [*way[:4], last, *way[4:7], *way[8:]]
    assert [p.frame for p in of[0]] == walked
    assert [p.frame for p in of[1]] == way
    assert [k for k, p in enumerate(of[0]) if p.score == 1] == [0, 4, 8]
    for frame, box, rest in ((last, moved[0], of[0][4:8]), (ahead, moved[1], of[0][8:])):
        alone = Tracks()
        alone.draw(alone.add_object(), frame, box)
        again = propagate(FRAMES, alone, tracker=plain, reverse=reverse)
        for one, other in zip(rest, again, strict=False):
            np.testing.assert_allclose(one.box_xyxy, other.box_xyxy, atol=0.05)


def test_what_is_taken_back_on_the_last_frame_was_never_said(tracker: Tracker) -> None:
    """A run goes on as it came there; one that began there ends, and neither breaks off."""
    tracks = drawn((1, 0))
    plain = list(propagate(FRAMES, tracks, tracker=tracker, stop=6))
    for said in (BOX, ABSENT):
        corrections = told({4: [(1, 3, said), (1, 3, None)]})
        found = list(propagate(FRAMES, tracks, tracker=tracker, stop=6, corrections=corrections))
        assert visited(found) == visited(plain)
        for one, two in zip(found, plain, strict=True):
            np.testing.assert_array_equal(one.box_xyxy, two.box_xyxy)
    corrections = told({1: [(1, 0, None)]})
    found = list(propagate(FRAMES, tracks, tracker=tracker, stop=6, corrections=corrections))
    assert visited(found) == [(1, 0)]
    met = drawn((1, 0), (1, 3))
    corrections = told({4: [(1, 3, None)]})
    found = list(propagate(FRAMES, met, tracker=tracker, stop=6, corrections=corrections))
    assert visited(found) == visited(plain)


def test_corrections_that_cannot_be_used_are_left(tracker: Tracker) -> None:
    outside = np.array([9000.0, 9000, 9100, 9100])
    corrections = told({2: [(1, 1, outside), (1, 3, outside), (7, 3, BOX)]})
    found = propagate(FRAMES, drawn((1, 0)), tracker=tracker, stop=5, corrections=corrections)
    assert [(p.object_id, p.frame, p.score == 1) for p in found] == [
        (1, frame, frame == 0) for frame in range(5)
    ]


class Counted:
    """Tells which frames were read; those from `broken` on cannot be."""

    height, width = FRAMES.shape[1:3]
    fps, name = None, "counted"

    def __init__(self, broken: int = len(FRAMES)) -> None:
        self.read: list[int] = []
        self._broken = broken

    def __len__(self) -> int:
        return len(FRAMES)

    def frame(self, index: int) -> np.ndarray:
        self.read.append(index)
        if index >= self._broken:
            raise VideoError(f"Frame {index} is broken.")
        return FRAMES[index]

    def close(self) -> None: ...
    def __enter__(self): ...
    def __exit__(self, *of): ...


def test_closing_stops_reading_frames(tracker: Tracker) -> None:
    source = Counted()
    walk = propagate(source, drawn((1, 0)), tracker=tracker)
    got = [next(walk), next(walk), next(walk)]
    walk.close()
    assert visited(got) == [(1, 0), (1, 1), (1, 2)]
    assert source.read in ([0, 1, 2], [0, 1, 2, 3])  # one is read ahead


def test_a_frame_that_cannot_be_read_costs_none_before_it(tracker: Tracker) -> None:
    walk = propagate(Counted(broken=3), drawn((1, 0)), tracker=tracker)
    assert visited([next(walk), next(walk), next(walk)]) == [(1, 0), (1, 1), (1, 2)]
    with pytest.raises(VideoError, match="Frame 3 is broken"):
        next(walk)


def test_another_annotation_may_teach(tracker: Tracker, monkeypatch) -> None:
    """Its boxes are looked at, but the run does not begin anew at them."""
    taught = []

    def start(frame_rgb, box_xyxy, *, examples=(), guessed=False, hidden=False):
        assert not guessed
        taught.append([box for _, box in examples])
        return Tracker.start(tracker, frame_rgb, box_xyxy)

    monkeypatch.setattr(tracker, "start", start)
    found = propagate(
        FRAMES, drawn((1, 0)), tracker=tracker, stop=4, taught_by=drawn((1, 0), (1, 3))
    )
    assert [of.score for of in found][3] < 1
    np.testing.assert_array_equal(taught, [[CLIP.truth_xyxy[3]]])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 2), (0, 13), (12, 13)])
def test_ranges_outside_the_video_are_refused_at_the_call(tracker, start: int, stop: int) -> None:
    with pytest.raises(TracksError, match="has 12 frames"):
        propagate(FRAMES, drawn((1, 0)), tracker=tracker, start=start, stop=stop)


def test_objects_without_a_beginning(tracker: Tracker) -> None:
    tracks = drawn((1, 0))
    tracks.add_object("empty")
    assert {p.object_id for p in propagate(FRAMES, tracks, tracker=tracker, stop=3)} == {1}
    with pytest.raises(TracksError, match="Object 2 has no drawn box"):
        propagate(FRAMES, tracks, tracker=tracker, object_ids=[1, 2])
    with pytest.raises(TracksError, match="no object 7"):
        propagate(FRAMES, tracks, tracker=tracker, object_ids=[7])


def test_a_box_outside_the_frame_names_object_and_frame(tracker: Tracker) -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 2, (9000, 9000, 9100, 9100))
    with pytest.raises(BoxError, match=r"Object 1, frame 2: .*outside the frame"):
        propagate(FRAMES, tracks, tracker=tracker)


def test_a_run_that_begins_at_a_found_box_says_so(tracker: Tracker, monkeypatch) -> None:
    tracks = drawn((1, 0))
    found = TrackBox(CLIP.truth_xyxy[3], 0.9, State.FOUND, Source.TRACKED)
    tracks.put(1, 3, found)
    begun = []

    def start(frame_rgb, box_xyxy, *, examples=(), guessed=False, hidden=False):
        begun.append((len(examples), guessed))
        return Tracker.start(tracker, frame_rgb, box_xyxy)

    monkeypatch.setattr(tracker, "start", start)
    list(propagate(FRAMES, tracks, tracker=tracker, start=3, stop=5))
    list(propagate(FRAMES, tracks, tracker=tracker, stop=2))
    assert begun == [(1, True), (0, False)]


def test_all_boxes_that_a_person_drew_teach_the_tracker(tracker: Tracker, monkeypatch) -> None:
    """The nearest first, also those outside the range; one outside the frame is left out."""
    tracks = drawn((1, 2))
    for frame in (0, 1, 5, 7, 9, 11):
        tracks.draw(1, frame, CLIP.truth_xyxy[frame])
    tracks.put(1, 6, TrackBox(np.array([-90.0, -90.0, -10.0, -10.0])))
    taught = []

    def start(frame_rgb, box_xyxy, *, examples=(), guessed=False, hidden=False):
        assert not guessed
        taught.append([int(box[0]) for _, box in examples])
        for image, box in examples:
            frame = int(np.argmin(np.abs(CLIP.truth_xyxy - box).sum(axis=1)))
            np.testing.assert_array_equal(image, CLIP.frames[frame])
        return Tracker.start(tracker, frame_rgb, box_xyxy)

    monkeypatch.setattr(tracker, "start", start)
    list(propagate(FRAMES, tracks, tracker=tracker, start=2, stop=4))
    assert taught == [[int(CLIP.truth_xyxy[frame][0]) for frame in (1, 0, 5, 7)]]


@pytest.mark.parametrize("online", [False, True])
def test_a_box_marked_as_occluded_shows_no_looks(tracker: Tracker, monkeypatch, online) -> None:
    """Where a run begins at one, the looks come from the drawn boxes that are not."""
    if not online:
        tracker = Tracker(tracker.net, tracker.settings, search=tracker.search)
    tracks = drawn((1, 0), (1, 2), (1, 6))
    tracks.put(1, 2, replace(tracks.get(1, 2), occluded=True))
    begun = []

    def start(frame_rgb, box_xyxy, *, examples=(), guessed=False, hidden=False):
        begun.append((int(box_xyxy[0]), [int(box[0]) for _, box in examples], hidden))
        return Tracker.start(tracker, frame_rgb, box_xyxy)

    monkeypatch.setattr(tracker, "start", start)
    list(propagate(FRAMES, tracks, tracker=tracker, stop=8))
    x = {frame: int(CLIP.truth_xyxy[frame][0]) for frame in (0, 2, 6)}
    taught = {0: [x[6]], 6: [x[0]]} if online else {0: [], 6: []}
    assert begun == [
        (x[0], taught[0], False),
        (x[2], [x[0], x[6]], True),
        (x[6], taught[6], False),
    ]


@pytest.mark.parametrize("hidden", [True, False])
def test_a_box_that_is_marked_as_occluded_meanwhile_shows_no_looks(
    tracker: Tracker, monkeypatch, hidden: bool
) -> None:
    """Ahead of the walk and on its last frame; where the mark is taken back it shows them again."""
    tracks = drawn((1, 0), (1, 4), (1, 6))
    marked = {k: replace(tracks.get(1, k), occluded=hidden) for k in (4, 6)}
    for frame, box in marked.items():
        tracks.put(1, frame, replace(box, occluded=not hidden))
    begun = []

    def start(frame_rgb, box_xyxy, *, examples=(), guessed=False, hidden=False):
        begun.append((int(box_xyxy[0]), hidden))
        assert not guessed or hidden
        return Tracker.start(tracker, frame_rgb, box_xyxy)

    monkeypatch.setattr(tracker, "start", start)
    corrections = told({5: [(1, 4, marked[4]), (1, 6, marked[6])]})
    list(propagate(FRAMES, tracks, tracker=tracker, stop=8, corrections=corrections))
    x = [int(CLIP.truth_xyxy[frame][0]) for frame in (0, 4, 6)]
    assert begun == [(x[0], False), (x[1], hidden), (x[2], hidden)]


def test_where_every_frame_is_drawn_nothing_is_tracked(tracker: Tracker, monkeypatch) -> None:
    tracks = drawn(*((1, frame) for frame in range(5)))
    monkeypatch.setattr(tracker, "start", None)
    predictions = list(propagate(FRAMES, tracks, tracker=tracker, stop=5))
    assert [p.score for p in predictions] == [1.0] * 5


def test_several_targets_share_a_batch_and_find_what_each_finds_alone(tracker: Tracker) -> None:
    plain = Tracker(tracker.net, tracker.settings, search=tracker.search)
    once = Tracker(tracker.net, replace(tracker.settings, mirrored=False), search=tracker.search)
    starts = [CLIP.truth_xyxy[0], CLIP.truth_xyxy[0] + 20, np.array([300.0, 60.0, 360.0, 110.0])]
    begin = [plain.start, once.start, plain.start]  # one of them does not look into the mirror
    together, alone = (
        [start(CLIP.frames[0], box) for start, box in zip(begin, starts, strict=True)]
        for _ in range(2)
    )
    for image in CLIP.frames[1:4]:
        batch = step_together(together, image)
        for one, other in zip(batch, [session.step(image) for session in alone], strict=True):
            np.testing.assert_allclose(one.box_xyxy, other.box_xyxy, atol=0.05)
            assert one.score == pytest.approx(other.score, abs=1e-3)
