"""Formats that other programs read: MOTChallenge, COCO, CVAT, YOLO and Pascal VOC."""

from __future__ import annotations

import csv
import io
import json as stdlib_json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from napari_ocean import formats
from napari_ocean.errors import FormatError
from napari_ocean.formats import Clip, coco, cvat, json, mot, otb, via, voc, yolo
from napari_ocean.formats.parsing import is_guess
from napari_ocean.tracks import ABSENT, Source, State, TrackBox, Tracks
from tests.formats.test_formats import assert_same, track_boxes

CLIP = Clip(name="clip.mp4", width=200, height=100, length=30)
OF_CLIP = [".coco.json", ".cvat.xml", ".yolo.zip", ".voc.zip", ".via.csv"]

xml_labels = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8
)


@st.composite
def annotations(draw: st.DrawFn) -> Tracks:
    """Up to three objects with up to eight boxes each within the clip, no empty ones."""
    tracks = Tracks()
    for object_id in draw(st.sets(st.integers(1, 10**6), max_size=3)):
        tracks.add_object(draw(xml_labels), object_id)
        frames = st.sets(st.integers(0, CLIP.length - 1), min_size=1, max_size=8)
        for frame in draw(frames):
            tracks.put(object_id, frame, draw(track_boxes()))
    return tracks


def two_objects() -> Tracks:
    """A dog on frames 0 and 1, absent on 2, back on 3; a cat, tracked, lost on frame 1."""
    tracks = Tracks()
    dog, cat = tracks.add_object("dog"), tracks.add_object("cat")
    tracks.draw(dog, 0, (10, 20, 50, 60))
    tracks.put(dog, 1, TrackBox(np.array([12.5, 20, 52.5, 60]), occluded=True))
    tracks.put(dog, 2, ABSENT)
    tracks.draw(dog, 3, (-10, 80, 30, 120))
    for frame, state in enumerate((State.FOUND, State.LOST)):
        box = TrackBox(np.array([0.0, 0, 200, 100]), 0.75, state, Source.TRACKED)
        tracks.put(cat, frame, box)
    return tracks


def unpacked(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


# -- MOTChallenge ----------------------------------------------------------------------------------


def test_mot_counts_frames_ids_and_pixels_from_1() -> None:
    assert mot.dumps(two_objects()).splitlines() == [
        "1,1,11.0,21.0,40.0,40.0,1,1,1",
        "2,1,13.5,21.0,40.0,40.0,1,1,0",
        "4,1,-9.0,81.0,40.0,40.0,1,1,1",
        "1,2,1.0,1.0,200.0,100.0,1,2,1",
        "2,2,1.0,1.0,200.0,100.0,0,2,1",
    ]


def test_mot_has_the_class_numbers_of_mot16_where_all_labels_are_its() -> None:
    tracks = two_objects()
    tracks.rename(1, "Car")
    tracks.rename(2, "pedestrian")
    assert [line.split(",")[7] for line in mot.dumps(tracks).splitlines()] == list("33311")
    again = mot.loads(mot.dumps(tracks))
    assert (again.label(1), again.label(2)) == ("class 3", "class 1")
    assert mot.dumps(again) == mot.dumps(tracks)


def test_mot_reads_lines_of_the_benchmark() -> None:
    """The first lines of MOT17-02's gt.txt, and one of a result file."""
    truth = mot.loads("1,1,912,484,97,109,0,7,1\n2,1,912,484,97,109,0,7,1\n1,2,1,1,9,9,1,1,0.25\n")
    assert truth.frames(1) == [0, 1]
    assert truth.get(1, 0).box_xyxy.tolist() == [911, 483, 1008, 592]
    assert truth.get(1, 0).state is State.LOST
    assert (truth.label(1), truth.label(2)) == ("class 7", "class 1")
    assert [truth.get(of, 0).occluded for of in (1, 2)] == [False, True]
    result = mot.loads("1, 3, 794.27, 247.59, 71.245, 174.88, 0.5, -1, -1, -1\n")
    assert (result.label(3), result.get(3, 0).score) == ("object", 0.5)
    assert result.get(3, 0).box_xyxy[0] == pytest.approx(793.27)


@given(annotations())
def test_mot_gives_back_boxes_and_ids(tracks: Tracks) -> None:
    back = mot.loads(mot.dumps(tracks))
    want = Tracks()
    for row in tracks.rows():
        if row.object_id not in want.object_ids:
            want.add_object(back.label(row.object_id), row.object_id)
        lost = is_guess(row.box)
        read = (0.0, State.LOST, Source.TRACKED) if lost else (1.0, State.FOUND, Source.DRAWN)
        want.put(row.object_id, row.frame, TrackBox(row.box.box_xyxy, *read, row.box.occluded))
    assert_same(back, want, atol=1e-9)


def test_a_guess_that_a_person_has_found_fine_is_written_like_any_other_box(tmp_path) -> None:
    tracks = Tracks()
    one = tracks.add_object("dog")
    tracks.draw(one, 0, (10, 10, 30, 30))
    guess = TrackBox(np.array([12.0, 10.0, 32.0, 30.0]), 0.1, State.LOST, Source.TRACKED)
    tracks.put(one, 1, guess)
    tracks.put(one, 2, replace(guess, box_xyxy=np.array([-40.0, 10.0, -20.0, 30.0]), fine=True))
    suffixes = [*formats.kinds()]
    without = [formats.left_out(f"a{suffix}", tracks, CLIP) for suffix in suffixes]
    want = {".yolo.zip": 2, ".voc.zip": 2, ".cvat.xml": 1, ".via.csv": 1}
    assert dict(zip(suffixes, without, strict=True)) == dict.fromkeys(suffixes, 0) | want
    assert mot.dumps(tracks).splitlines()[1].split(",")[6] == "0"
    tracks.put(one, 1, replace(guess, fine=True))
    assert all(line.split(",")[6] == "1" for line in mot.dumps(tracks).splitlines())
    assert not any(
        "ignore" in of for of in stdlib_json.loads(coco.dumps(tracks, CLIP))["annotations"]
    )
    assert len(formats.read(_written(tmp_path / "a.cvat.xml", tracks)).frames(one)) == 3
    assert formats.left_out("a.yolo.zip", tracks, CLIP) == 1  # the one outside the picture


def _written(path: Path, tracks: Tracks) -> Path:
    formats.write(path, tracks, CLIP)
    return path


# -- COCO ------------------------------------------------------------------------------------------


def test_coco_known_values() -> None:
    content = stdlib_json.loads(coco.dumps(two_objects(), CLIP))
    assert content["videos"] == [{"id": 1, "name": "clip.mp4", "width": 200, "height": 100}]
    assert content["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    assert len(content["images"]) == CLIP.length
    image = content["images"][1]
    assert (image["id"], image["frame_index"], image["file_name"]) == (2, 1, "000001.jpg")
    assert (image["width"], image["height"], image["video_id"]) == (200, 100, 1)
    occluded = content["annotations"][1]
    assert (occluded["id"], occluded["image_id"], occluded["category_id"]) == (2, 2, 1)
    assert (occluded["bbox"], occluded["area"]) == ([12.5, 20, 40, 40], 1600)
    assert (occluded["iscrowd"], occluded["track_id"], occluded["score"]) == (0, 1, 1)
    assert (occluded["segmentation"], content["licenses"]) == ([], [])
    assert occluded["occluded"] is True
    assert [of.get("ignore") for of in content["annotations"]] == [None] * 4 + [1]


@given(annotations())
def test_coco_gives_back_every_box(tracks: Tracks) -> None:
    assert_same(coco.loads(coco.dumps(tracks, CLIP)), tracks, atol=1e-9)


def coco_file(**changes: Any) -> str:
    """A file as another program may write it, without our own fields."""
    content = {
        "images": [{"id": 7, "frame_id": 3, "file_name": "x.png"}],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 4, "instance_id": 2, "bbox": [1, 2, 3, 4]}
        ],
        "categories": [{"id": 4, "name": "hen"}],
    }
    return stdlib_json.dumps(content | changes)


def test_coco_of_another_program() -> None:
    (row,) = coco.loads(coco_file()).rows()
    assert row[:3] == (2, "hen", 3)
    assert row.box.box_xyxy.tolist() == [1, 2, 4, 6]
    assert (row.box.score, row.box.source) == (1, Source.DRAWN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": [{"id": 1}, {"id": 2}]}, "holds several videos"),
        ({"videos": 3}, '"videos" should be a list'),
        ({"images": [{"id": 7}]}, '"frame_index" is missing'),
        ({"images": []}, "annotation number 1: there is no image 7"),
        ({"categories": [{"id": 4, "name": 4}]}, '"name" should be a text'),
        ({"annotations": [{"image_id": 7, "category_id": 4}]}, '"track_id" is missing'),
        ({"annotations": [3]}, '"image_id" is missing'),
        (
            {"annotations": [{"image_id": 7, "category_id": 4, "track_id": 1, "bbox": [1]}]},
            "should hold 4 numbers, not 1",
        ),
    ],
)
def test_coco_that_cannot_be_tracks(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        coco.loads(coco_file(**changes))


def test_coco_with_one_track_of_two_labels() -> None:
    old = '"id": 2, "category_id": 1'
    text = coco.dumps(two_objects(), CLIP).replace(old, old.replace("1", "2"))
    with pytest.raises(FormatError, match="annotation number 2: object 1 is called 'cat' here"):
        coco.loads(text)


# -- CVAT ------------------------------------------------------------------------------------------


def test_cvat_known_values() -> None:
    root = ElementTree.fromstring(cvat.dumps(two_objects(), CLIP))
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/size") == "30"
    assert root.findtext("meta/task/original_size/width") == "200"
    assert [of.text for of in root.iterfind("meta/task/labels/label/name")] == ["cat", "dog"]
    dog, cat = root.iterfind("track")
    assert dog.attrib == {"id": "0", "label": "dog", "source": "manual"}
    assert cat.attrib == {"id": "1", "label": "cat", "source": "auto"}
    marks = [(of.get("frame"), of.get("outside"), of.get("occluded")) for of in dog]
    assert marks == [
        ("0", "0", "0"),
        ("1", "0", "1"),
        ("2", "1", "1"),  # ends the span
        ("3", "0", "0"),
        ("4", "1", "0"),
    ]
    assert [dog[1].get(name) for name in ("xtl", "ytl", "xbr", "ybr")] == [
        "12.5",
        "20.0",
        "52.5",
        "60.0",
    ]
    assert {of.get("keyframe") for of in root.iter("box")} == {"1"}
    assert [(of.get("frame"), of.get("outside")) for of in cat] == [("0", "0"), ("1", "1")]


def cvat_file(boxes: str, head: str = "", track: str = 'id="4" label="hen"') -> str:
    return f"<annotations>{head}<track {track}>{boxes}</track></annotations>"


def listed(frame: int, x: float, *marks: str) -> str:
    return (
        f'<box frame="{frame}" xtl="{x}" ytl="0" xbr="{x + 10}" ybr="10" {" ".join(marks)}></box>'
    )


SIZE = "<meta><task><size>9</size></task></meta>"


def test_cvat_is_linear_between_keyframes_and_absent_while_outside() -> None:
    """As CVAT does; its own files list each frame, others only the keyframes."""
    boxes = listed(0, 0, 'occluded="1"') + listed(2, 8) + listed(3, 8, 'outside="1"')
    boxes += listed(5, 20, 'keyframe="0"') + listed(6, 20, 'outside="1"')
    tracks = cvat.loads(cvat_file(boxes, SIZE))
    assert tracks.object_ids == [5]
    assert tracks.frames(5) == [0, 1, 2, 5]
    middle = tracks.get(5, 1)
    assert middle.box_xyxy.tolist() == [4, 0, 14, 10]
    assert (middle.source, middle.occluded) == (Source.INTERPOLATED, True)
    assert tracks.keyframes(5) == [0, 2]
    assert tracks.get(5, 5).source is Source.INTERPOLATED
    assert tracks.absent_spans(5) == [range(3, 5), range(6, 9)]


def test_cvat_of_a_part_of_a_video_counts_in_the_frames_of_the_video() -> None:
    head = SIZE.replace(
        "</size>", "</size><start_frame>20</start_frame><stop_frame>28</stop_frame>"
    )
    tracks = cvat.loads(cvat_file(listed(24, 0) + listed(25, 0, 'outside="1"'), head))
    assert tracks.absent_spans(5) == [range(25, 29)]


def test_cvat_reads_what_a_person_drew_and_what_a_tracker_made() -> None:
    made = cvat.loads(cvat_file(listed(0, 0), track='id="0" label="hen" source="auto"'))
    assert made.get(1, 0).source is Source.TRACKED
    assert cvat.loads(cvat_file(listed(0, 0))).keyframes(5) == [0]


@given(annotations())
def test_cvat_gives_back_certain_boxes_and_is_absent_after_them(tracks: Tracks) -> None:
    back = cvat.loads(cvat.dumps(tracks, CLIP))
    for object_id in tracks.object_ids:
        want = {
            frame: tracks.get(object_id, frame)
            for frame in tracks.frames(object_id)
            if not is_guess(tracks.get(object_id, frame))
        }
        if not want:
            assert object_id not in back.object_ids
            continue
        assert back.label(object_id) == tracks.label(object_id)
        assert back.frames(object_id) == sorted(want)
        for frame, box in want.items():
            read = back.get(object_id, frame)
            assert read.box_xyxy.tolist() == box.box_xyxy.tolist()
            assert read.occluded == box.occluded
        absent = {frame for span in back.absent_spans(object_id) for frame in span}
        assert absent == set(range(min(want), CLIP.length)) - set(want)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations>", "line 1: not XML"),
        ("<annotation/>", 'is not "CVAT for video 1.1"'),
        ('<annotations><image id="0"/></annotations>', 'is not "CVAT for video 1.1"'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "document type"),
        (cvat_file("<polygon/>"), "track number 1: holds a polygon; only boxes are read"),
        (cvat_file("<box/>"), 'a box has no "frame"'),
        (cvat_file(listed(0, 0, 'rotation="30"')), "rotated box"),
        (cvat_file(listed(-1, 0)), "-1 is no frame"),
        (cvat_file(listed(1, 0) * 2), "second box or mark|second box on frame 1"),
        (cvat_file(listed(1, 0), track='id="-1" label="a"'), "positive integer"),
        (cvat_file("", SIZE.replace("9", "9" * 9)), "is no number of frames"),
    ],
)
def test_cvat_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        cvat.loads(text)


@pytest.mark.parametrize("module", [cvat, voc])
def test_a_label_that_xml_cannot_hold(module: Any) -> None:
    tracks = two_objects()
    tracks.rename(1, "a\x00b")
    with pytest.raises(FormatError, match=r"XML cannot hold the name 'a\\x00b'; change it"):
        module.dumps(tracks, CLIP)


# -- names of images -------------------------------------------------------------------------------


FOLDER = replace(CLIP, images=tuple(f"shot {k}.PNG" for k in range(CLIP.length)))


def test_images_that_are_files_keep_their_names() -> None:
    tracks = two_objects()
    images = stdlib_json.loads(coco.dumps(tracks, FOLDER))["images"]
    assert [of["file_name"] for of in images] == list(FOLDER.images)
    labels = unpacked(yolo.dumps(tracks, FOLDER))
    texts = [f"labels/shot {k}.txt" for k in (0, 1, 3)]
    assert list(labels) == [*texts, "classes.txt", "data.yaml"]
    documents = unpacked(voc.dumps(tracks, FOLDER))
    listed = documents.pop("ImageSets/Main/default.txt")
    assert listed == "shot 0\nshot 1\nshot 3\n"
    del documents["labelmap.txt"]
    assert list(documents) == [f"Annotations/shot {k}.xml" for k in (0, 1, 3)]
    first = ElementTree.fromstring(documents["Annotations/shot 0.xml"])
    assert first.findtext("filename") == "shot 0.PNG"
    assert_same(coco.loads(coco.dumps(tracks, FOLDER)), coco.loads(coco.dumps(tracks, CLIP)))


def test_labels_of_two_images_never_share_a_name(tmp_path: Path) -> None:
    clip = replace(CLIP, images=("a.jpg", "a.png", *FOLDER.images[2:]))
    for ending in (".yolo.zip", ".voc.zip"):
        with pytest.raises(FormatError, match=r"labels of a\.jpg and a\.png would have one name"):
            formats.check(tmp_path / f"boxes{ending}", two_objects(), clip)
    formats.check(tmp_path / "boxes.coco.json", two_objects(), clip)


# -- YOLO and Pascal VOC ---------------------------------------------------------------------------


def test_yolo_known_values() -> None:
    files = unpacked(yolo.dumps(two_objects(), CLIP))
    assert files == {
        "labels/000000.txt": "0 0.15000000 0.40000000 0.20000000 0.40000000\n"
        "1 0.50000000 0.50000000 1.00000000 1.00000000\n",
        "labels/000001.txt": "0 0.16250000 0.40000000 0.20000000 0.40000000\n",
        "labels/000003.txt": "0 0.07500000 0.90000000 0.15000000 0.20000000\n",  # cut at two edges
        "classes.txt": "dog\ncat\n",
        "data.yaml": 'train: images\nval: images\nnames:\n  0: "dog"\n  1: "cat"\n',
    }


def test_yolo_classes_are_lines() -> None:
    tracks = two_objects()
    tracks.rename(1, "big\r\ndog")
    tracks.rename(2, " ")
    assert unpacked(yolo.dumps(tracks, CLIP))["classes.txt"] == "big dog\nobject\n"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3))
@example(['say "no": \\n # [it]', "null", "\x7f\ufffe\N{BEETLE}"])
@example([])
def test_yolo_tells_ultralytics_every_class_and_where_the_images_are(labels: list[str]) -> None:
    tracks = Tracks()
    for label in labels:
        tracks.draw(tracks.add_object(label), 0, (10, 20, 50, 60))
    files = unpacked(yolo.dumps(tracks, CLIP))
    classes = dict(enumerate(files["classes.txt"].split("\n")[:-1]))
    assert len(classes) == len({" ".join(label.split()) or "object" for label in labels})
    data = yaml.safe_load(files["data.yaml"])
    assert data == {"train": "images", "val": "images", "names": classes}


@given(annotations())
def test_yolo_shares_lie_in_the_frame(tracks: Tracks) -> None:
    files = unpacked(yolo.dumps(tracks, CLIP))
    classes = files.pop("classes.txt").count("\n")
    del files["data.yaml"]
    for text in files.values():
        for line in text.splitlines():
            number, *shares = line.split()
            x, y, width, height = map(float, shares)
            assert 0 <= int(number) < classes
            assert width / 2 - 2e-8 <= x <= 1 - width / 2 + 2e-8
            assert height / 2 - 2e-8 <= y <= 1 - height / 2 + 2e-8


def corners(document: ElementTree.Element) -> list[list[int]]:
    names = ("xmin", "ymin", "xmax", "ymax")
    return [[int(of.findtext(name)) for name in names] for of in document.iter("bndbox")]


def test_voc_known_values() -> None:
    files = unpacked(voc.dumps(two_objects(), CLIP))
    assert files.pop("ImageSets/Main/default.txt") == "000000\n000001\n000003\n"
    assert files.pop("labelmap.txt") == "background:::\ndog:::\ncat:::\n"
    assert list(files) == [f"Annotations/00000{frame}.xml" for frame in (0, 1, 3)]
    first, second, fourth = map(ElementTree.fromstring, files.values())
    assert first.findtext("filename") == "000000.jpg"
    assert [first.findtext(f"size/{name}") for name in ("width", "height", "depth")] == [
        "200",
        "100",
        "3",
    ]
    assert [of.text for of in first.iterfind("object/name")] == ["dog", "cat"]
    assert corners(first) == [[11, 21, 50, 60], [1, 1, 200, 100]]  # the cat fills the frame
    assert (first.findtext("object/truncated"), second.findtext("object/occluded")) == ("0", "1")
    assert corners(fourth) == [[1, 81, 30, 100]]
    assert fourth.findtext("object/truncated") == "1"


def test_voc_labels_are_lines_and_the_background_is_one_of_them_once() -> None:
    tracks = two_objects()
    tracks.rename(1, "big\r\ndog")
    tracks.rename(2, "background")
    files = unpacked(voc.dumps(tracks, CLIP))
    assert files["labelmap.txt"] == "background:::\nbig dog:::\n"
    first = ElementTree.fromstring(files["Annotations/000000.xml"])
    assert [of.text for of in first.iterfind("object/name")] == ["big dog", "background"]


@given(annotations())
def test_voc_pixels_lie_in_the_frame(tracks: Tracks) -> None:
    files = unpacked(voc.dumps(tracks, CLIP))
    for text in (of for name, of in files.items() if name.endswith(".xml")):
        for xmin, ymin, xmax, ymax in corners(ElementTree.fromstring(text)):
            assert 1 <= xmin <= xmax <= CLIP.width
            assert 1 <= ymin <= ymax <= CLIP.height


# -- VIA -------------------------------------------------------------------------------------------


def test_via_known_values() -> None:
    head, *lines = csv.reader(io.StringIO(via.dumps(two_objects(), CLIP)))
    assert tuple(head) == via.COLUMNS
    assert [(line[0], stdlib_json.loads(line[2])["frame"], *line[3:5]) for line in lines] == [
        ("000000.jpg", 0, "2", "0"),
        ("000000.jpg", 0, "2", "1"),
        ("000001.jpg", 1, "1", "0"),
        ("000003.jpg", 3, "1", "0"),
    ]
    shapes = [stdlib_json.loads(line[5]) for line in lines]
    assert shapes[0] == {"name": "rect", "x": 10.0, "y": 20.0, "width": 40.0, "height": 40.0}
    about = [stdlib_json.loads(line[6]) for line in lines]
    assert about[1] == {"track": 2, "label": "cat", "confidence": 0.75}


def test_movement_loads_via_tracks(tmp_path: Path) -> None:
    load_bboxes = pytest.importorskip("movement.io.load_bboxes", reason="needs movement")
    path = tmp_path / "clip.via.csv"
    formats.write(path, two_objects(), CLIP)
    loaded = load_bboxes.from_via_tracks_file(path, use_frame_numbers_from_file=True)
    first = loaded.sel(individuals="id_1")
    np.testing.assert_allclose(first.position.sel(time=0), [30, 40])
    np.testing.assert_allclose(first.shape.sel(time=3), [40, 40])
    assert float(loaded.sel(individuals="id_2").confidence.sel(time=0)) == 0.75


@pytest.mark.parametrize("module", [yolo, voc])
def test_the_same_boxes_give_the_same_zip_without_those_out_of_the_frame(module: Any) -> None:
    tracks = two_objects()
    before = module.dumps(tracks, CLIP)
    tracks.draw(1, 9, (300, 0, 340, 40))
    assert module.dumps(tracks, CLIP) == before


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mot.txt", ".coco.json", ".cvat.xml"])
def test_a_file_is_told_by_its_content_when_its_name_is_short(tmp_path: Path, suffix: str) -> None:
    long, short = tmp_path / f"a{suffix}", tmp_path / f"a.{suffix.split('.')[-1]}"
    formats.write(long, two_objects(), CLIP)
    long.rename(short)
    back = formats.read(short)
    assert back.object_ids == [1, 2]
    assert back.get(1, 1).box_xyxy.tolist() == [12.5, 20, 52.5, 60]


def test_ids_that_count_from_0_become_one_higher() -> None:
    lines = mot.loads("1,1,1,1,9,9,1,1,1\n\n1,0,1,1,9,9,1,1,1\n2,1,1,1,9,9,1,1,1\n")
    assert {k: lines.frames(k) for k in lines.object_ids} == {1: [0], 2: [0, 1]}
    given_ids = [{"instance_id": 1}, {"instance_id": 0}, {"track_id": 2}]
    box = {"image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4]}
    assert coco.loads(coco_file(annotations=[box | of for of in given_ids])).object_ids == [1, 2, 3]
    with pytest.raises(FormatError, match="line 2: An object id is a positive integer"):
        mot.loads("1,0,1,1,9,9,1,1,1\n1,-1,1,1,9,9,1,1,1\n")


def test_ids_of_many_digits_stay_apart() -> None:
    """As floats both would be 90071992547409936, and two objects one."""
    ids = [90071992547409931, 90071992547409932]
    tracks = Tracks()
    for object_id in ids:
        tracks.draw(tracks.add_object("dog", object_id), object_id % 2, (10, 20, 50, 60))
    texts = {of: of.dumps(tracks) for of in (formats.csv, json, mot)}
    texts |= {of: of.dumps(tracks, CLIP) for of in (coco, cvat)}
    for module, text in texts.items():
        assert module.loads(text).object_ids == ids
    assert mot.loads("1,3.0,1,2,3,4,1,1,1\n").object_ids == [3]


def test_reading_takes_no_longer_a_line_the_more_objects_there_are(monkeypatch) -> None:
    """Cells of a microscope are thousands; to list them all at each line took minutes."""
    tracks = two_objects()
    texts = {of: of.dumps(tracks) for of in (formats.csv, mot)} | {coco: coco.dumps(tracks, CLIP)}
    listed: list[Tracks] = []
    every = Tracks.object_ids.fget
    monkeypatch.setattr(Tracks, "object_ids", property(lambda of: listed.append(of) or every(of)))
    for module, text in texts.items():
        assert len(module.loads(text)) == len(tracks)
    assert listed == []


def test_our_own_files_are_never_taken_for_others() -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object('"annotations": ["x"]'), 0, (0, 0, 9, 9))
    assert not coco.recognises(json.dumps(tracks))
    assert not mot.recognises(otb.dumps(tracks))


@pytest.mark.parametrize("suffix", OF_CLIP)
def test_formats_that_have_to_know_the_clip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for act in (formats.write, formats.check):
        with pytest.raises(FormatError, match=rf"\{suffix} needs the video's name, size and"):
            act(path, two_objects())
    short = Clip(name="clip.mp4", width=200, height=100, length=3)
    with pytest.raises(FormatError, match=r"a box on frame 3, but clip\.mp4 has 3"):
        formats.write(path, two_objects(), short)
    assert list(tmp_path.iterdir()) == []
    formats.write(path, two_objects(), CLIP)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("suffix", [".json", ".coco.json"])
def test_half_a_character_is_kept_where_json_has_a_word_for_it(tmp_path: Path, suffix: str) -> None:
    tracks = two_objects()
    tracks.rename(1, "dog \ud83d")
    formats.write(tmp_path / f"a{suffix}", tracks, replace(CLIP, name="caf\udce9.mp4"))
    assert formats.read(tmp_path / f"a{suffix}").label(1) == "dog \ud83d"


@pytest.mark.parametrize("suffix", [".cvat.xml", ".yolo.zip", ".voc.zip"])
def test_a_label_that_utf8_lacks(tmp_path: Path, suffix: str) -> None:
    tracks = two_objects()
    tracks.rename(1, "\ud800")
    with pytest.raises(FormatError, match="UTF-8 lacks"):
        formats.write(tmp_path / f"a{suffix}", tracks, CLIP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".yolo.zip", ".voc.zip", ".via.csv"])
def test_formats_that_are_only_written_are_not_read(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match="is only written, not read"):
        formats.read(tmp_path / f"a{suffix}")
    assert suffix in formats.supported()
    assert suffix not in formats.readable()


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.COCO.json", ".coco.json"),
        ("a.json", ".json"),
        ("coco.json", ".json"),
        (".coco.json", ".json"),
        ("a.mot.txt", ".mot.txt"),
        ("a.zip", None),
        ("a.XML", ".cvat.xml"),
        ("a.b", None),
        ("a", None),
    ],
)
def test_the_longest_suffix_counts(name: str, suffix: str | None) -> None:
    assert formats.suffix_of(name) == suffix


TEXTS = {
    mot: mot.dumps(two_objects()),
    coco: coco.dumps(two_objects(), Clip(name="c", width=9, height=9, length=4)),
    cvat: cvat.dumps(two_objects(), CLIP),
}


@pytest.mark.parametrize("module", TEXTS, ids=lambda of: of.SUFFIX)
@given(data=st.data())
def test_damaged_text_gives_tracks_or_a_format_error(module: Any, data: st.DataObject) -> None:
    text = TEXTS[module]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 60)) | st.just(len(text)))
    odd = ["1e999", "-", "nan", '"', ",", "<!--", "&#0;", "&a;", "[]", "null", "<?xml?>"]
    inserted = data.draw(st.text(max_size=2) | st.sampled_from(odd))
    try:
        tracks = module.loads(text[:start] + inserted + text[stop:])
    except FormatError:
        return
    assert all(math.isfinite(v) for row in tracks.rows() for v in row.box.box_xyxy)


odd_json = st.sampled_from([None, True, -1, 1e300, "", "x", [], {}, [[1]], {"id": 1}, "9" * 400])


def nodes(value: object) -> list[tuple[Any, Any]]:
    """Every place in a JSON document, as its container and key."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value if isinstance(value, dict) else range(len(value)))
    return [(value, key) for key in keys] + [node for key in keys for node in nodes(value[key])]


@given(data=st.data())
def test_coco_with_any_value_exchanged(data: st.DataObject) -> None:
    content = stdlib_json.loads(TEXTS[coco])
    container, key = data.draw(st.sampled_from(nodes(content)))
    container[key] = data.draw(odd_json)
    try:
        tracks = coco.loads(stdlib_json.dumps(content))
    except FormatError:
        return
    assert all(math.isfinite(v) for row in tracks.rows() for v in row.box.box_xyxy)


@given(data=st.data())
def test_cvat_with_any_attribute_exchanged(data: st.DataObject) -> None:
    root = ElementTree.fromstring(TEXTS[cvat])
    element = data.draw(st.sampled_from([*root.iter("track"), *root.iter("box")]))
    name = data.draw(st.sampled_from(sorted(element.attrib)))
    odd = st.sampled_from(["", "x", "-1", "nan", "1e999", "1e300", "0.5", "9" * 400])
    element.set(name, data.draw(odd))
    try:
        tracks = cvat.loads(ElementTree.tostring(root, "unicode"))
    except FormatError:
        return
    assert all(math.isfinite(v) for row in tracks.rows() for v in row.box.box_xyxy)
