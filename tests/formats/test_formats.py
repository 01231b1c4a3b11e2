from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean import formats
from napari_ocean.errors import FormatError
from napari_ocean.formats import csv, json, otb
from napari_ocean.tracks import ABSENT, ObjectInfo, Source, State, TrackBox, Tracks
from tests.systems import refuse, refuse_new_files

ALL = [csv, json, otb]
NAMES = [of.SUFFIX for of in ALL]

coordinates = st.floats(-1e5, 1e5, allow_subnormal=False)
labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def track_boxes(draw: st.DrawFn, *, plain: bool = False) -> TrackBox:
    x0, y0 = draw(coordinates), draw(coordinates)
    width, height = draw(st.floats(0.5, 1e4)), draw(st.floats(0.5, 1e4))
    box_xyxy = np.array([x0, y0, x0 + width, y0 + height])
    if plain:
        return TrackBox(box_xyxy)
    return TrackBox(
        box_xyxy,
        draw(st.floats(0, 1)),
        draw(st.sampled_from(State)),
        draw(st.sampled_from(Source)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def annotations(draw: st.DrawFn) -> Tracks:
    tracks = Tracks()
    for object_id in draw(st.sets(st.integers(1, 10**6), max_size=4)):
        tracks.add_object(draw(labels), object_id)
        for frame in draw(st.sets(st.integers(0, 10**6), max_size=5)):
            tracks.put(object_id, frame, draw(track_boxes()))
        for span in draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=3)):
            for frame in range(span[0], sum(span)):
                tracks.put(object_id, frame, ABSENT)
        color = draw(st.none() | st.from_regex("#[0-9a-f]{6}", fullmatch=True))
        hidden, locked = draw(st.booleans()), draw(st.booleans())
        tracks.set_object(object_id, color=color, hidden=hidden, locked=locked)
    return tracks


def one_object() -> Tracks:
    tracks = Tracks()
    dog = tracks.add_object("dog")
    tracks.draw(dog, 1, (10.25, 10, 50.5, 40))
    box_xyxy = np.array([1 / 3, 2.0, 30.1, 40.7])
    tracks.put(dog, 3, TrackBox(box_xyxy, 0.1 + 0.2, State.LOST, Source.TRACKED))
    return tracks


def assert_same(a: Tracks, b: Tracks, atol: float = 0) -> None:
    rows_a, rows_b = list(a.rows()), list(b.rows())
    assert [(r.object_id, r.label, r.frame) for r in rows_a] == [
        (r.object_id, r.label, r.frame) for r in rows_b
    ]
    for of_a, of_b in zip(rows_a, rows_b, strict=True):
        np.testing.assert_allclose(of_a.box.box_xyxy, of_b.box.box_xyxy, rtol=0, atol=atol)
        for name in ("score", "state", "source", "occluded", "fine"):
            assert getattr(of_a.box, name) == getattr(of_b.box, name)
    for object_id in b.object_ids:
        if b.absent_spans(object_id):
            assert a.absent_spans(object_id) == b.absent_spans(object_id)


@given(annotations())
def test_json_gives_back_everything(tracks: Tracks) -> None:
    back = json.loads(json.dumps(tracks))
    assert_same(back, tracks)
    assert back.object_ids == tracks.object_ids
    assert [back.info(i) for i in back.object_ids] == [tracks.info(i) for i in tracks.object_ids]


def test_the_native_format_says_whose_boxes_they_are(tmp_path: Path) -> None:
    clip = formats.Clip(name="walk", width=64, height=48, length=9, images=tuple("abcdefghi"))
    path = tmp_path / "boxes.json"
    formats.write(path, one_object(), clip)
    assert formats.clip_of(path) == replace(clip, images=())
    assert_same(formats.read(path), one_object())
    formats.write(path, one_object())
    assert formats.clip_of(path) is None
    for odd in (
        '"clip": 1',
        '"clip": {"name": "walk", "width": true, "height": 48, "length": 9}',
        '"clip": {"name": "walk", "width": "64", "height": 48, "length": 9}',
    ):
        path.write_text('{"format": "napari-ocean", "version": 2, ' + odd + ', "objects": []}')
        assert formats.clip_of(path) is None
    for name in ("boxes.csv", "boxes.coco.json"):
        formats.write(tmp_path / name, one_object(), clip)
        assert formats.clip_of(tmp_path / name) is None
    path.write_text("{")
    with pytest.raises(FormatError, match=r"boxes.json: line 1"):
        formats.clip_of(path)
    assert formats.clip_of(tmp_path / "gone.yolo.zip") is None
    (tmp_path / "coco.json").write_bytes((tmp_path / "boxes.coco.json").read_bytes())
    assert formats.clip_of(tmp_path / "coco.json") is None


@given(annotations())
def test_csv_gives_back_every_box(tracks: Tracks) -> None:
    assert_same(csv.loads(csv.dumps(tracks)), tracks, atol=1e-10)


@given(st.dictionaries(st.integers(0, 60), track_boxes(plain=True), max_size=9))
def test_otb_gives_back_the_boxes_of_one_object(of: dict[int, TrackBox]) -> None:
    tracks = Tracks()
    if of:
        tracks.add_object()
    for frame, box in of.items():
        tracks.put(1, frame, box)
    assert_same(otb.loads(otb.dumps(tracks)), tracks, atol=1e-10)


@pytest.mark.parametrize("suffix", [*NAMES, ".JSON"])
def test_a_file_gives_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"boxes{suffix}"
    formats.write(path, one_object())
    back = formats.read(str(path))
    assert back.frames(1) == [1, 3]
    np.testing.assert_allclose(back.get(1, 3).box_xyxy, [1 / 3, 2.0, 30.1, 40.7], rtol=1e-15)


def test_an_absent_mark_in_the_third_day_of_a_film_is_read() -> None:
    tracks = one_object()
    late = range(5_000_001, 5_000_004)
    for frame in late:
        tracks.put(1, frame, ABSENT)
    assert json.loads(json.dumps(tracks)).absent_spans(1) == [late]


def test_line_ends_in_a_label_survive_the_file(tmp_path: Path) -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object('a\r\nb\r"c",\n'), 0, (0, 0, 9, 9))
    tracks.draw(tracks.add_object("\r"), 0, (0, 0, 9, 9))
    for suffix in (".csv", ".json"):
        formats.write(tmp_path / f"a{suffix}", tracks)
        back = formats.read(tmp_path / f"a{suffix}")
        assert (back.label(1), back.label(2)) == ('a\r\nb\r"c",\n', "\r")


def test_csv_columns_and_numbers_are_plain() -> None:
    lines = csv.dumps(one_object()).splitlines()
    assert lines[0] == "frame,object_id,label,x,y,width,height,score,state,source,occluded,fine"
    assert lines[1] == "1,1,dog,10.25,10.0,40.25,30.0,1.0,found,drawn,0,0"
    assert lines[2].endswith("0.30000000000000004,lost,tracked,0,0")


def test_csv_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "\ufefflabel,object_id,frame,height,width,y,x,note\r\ncat,7,2.0,4,3,2,1,hm\r\n"
    (tmp_path / "a.csv").write_bytes(f"{text},,,,,,,\r\n\r\n".encode())
    tracks = formats.read(tmp_path / "a.csv")
    assert tracks.get(7, 2).box_xyxy.tolist() == [1, 2, 4, 6]
    assert tracks.get(7, 2).source is Source.DRAWN


def test_csv_with_the_unnamed_index_of_pandas_is_read() -> None:
    head, *lines = csv.dumps(one_object()).splitlines()
    table = [f",{head}", *(f"{number},{line}" for number, line in enumerate(lines))]
    assert_same(csv.loads("\n".join(table)), one_object(), atol=1e-10)
    with pytest.raises(FormatError, match="line 2: has more or fewer values"):
        csv.loads("\n".join([table[0], f"{table[1]},9"]))


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", " ; "])
def test_otb_separators(separator: str) -> None:
    tracks = otb.loads(f"{separator.join('1234')}\n{separator.join(['nan'] * 4)}\n0,0,0,0\n5,6,7,8")
    assert tracks.frames(1) == [0, 3]
    assert tracks.get(1, 0).box_xyxy.tolist() == [1, 2, 4, 6]


def test_otb_marks_frames_without_a_box() -> None:
    assert otb.dumps(one_object()).splitlines()[::2] == ["NaN,NaN,NaN,NaN"] * 2


def test_otb_refuses_two_objects_and_says_where_to_go() -> None:
    tracks = one_object()
    tracks.draw(tracks.add_object("cat"), 0, (0, 0, 9, 9))
    with pytest.raises(FormatError, match=r"one object; write \.csv or \.json, or a file for each"):
        otb.dumps(tracks)


def test_real_ground_truth_is_read(shared_data: Path) -> None:
    folder = shared_data / "data/dev/OTB/David"
    tracks = formats.read(folder / "groundtruth.txt")
    assert tracks.frames(1) == list(range(len(list((folder / "img").iterdir()))))


def test_files_of_version_1_are_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        """{"format": "napari-ocean", "version": 1, "objects": [
          {"id": 2, "label": "dog", "boxes": [
            {"frame": 4, "box_xyxy": [1.0, 2.0, 30.0, 40.0], "score": 0.5, "state": "uncertain",
             "source": "tracked"}
          ]}
        ]}"""
    )
    (tmp_path / "a.csv").write_text(
        "frame,object_id,label,x,y,width,height,score,state,source\n"
        "4,2,dog,1.0,2.0,29.0,38.0,0.5,uncertain,tracked\n"
    )
    for name in ("a.json", "a.csv"):
        tracks = formats.read(tmp_path / name)
        (row,) = tracks.rows()
        assert row[:3] == (2, "dog", 4)
        assert row.box.box_xyxy.tolist() == [1, 2, 30, 40]
        assert (row.box.score, row.box.state, row.box.source) == (0.5, "uncertain", "tracked")
        assert tracks.absent_spans(2) == []
        assert (row.box.occluded, row.box.fine) == (False, False)
        assert tracks.info(2) == ObjectInfo(label="dog")


def test_absent_frames_in_each_format() -> None:
    tracks = one_object()  # boxes on 1 and 3
    tracks.put(1, 2, ABSENT)
    tracks.put(1, 4, ABSENT)
    assert '"absent": [[2, 3], [4, 5]]' in json.dumps(tracks)
    assert csv.dumps(tracks).splitlines()[2] == "2,1,dog,,,,,,absent,drawn,0,0"
    assert otb.dumps(tracks).count("NaN,NaN,NaN,NaN\n") == 2  # frames 0 and 2; 3 is the last box


HEAD = "frame,object_id,label,x,y,width,height,score,state,source\n"
GOOD = "0,1,a,1,2,3,4,1,found,drawn\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "line 1: the first line does not name the columns frame, object_id"),
        ("a.csv", "frame,label\n", "does not name the columns object_id, x, y"),
        ("a.csv", HEAD + GOOD + "1,1,a,1,2\n", "line 3: has more or fewer values"),
        ("a.csv", HEAD + GOOD.replace("\n", ",9\n"), "line 2: has more or fewer values"),
        ("a.csv", HEAD + GOOD + GOOD, "line 3: object 1 has a second box on frame 0"),
        ("a.csv", HEAD + GOOD + "1,1,b,1,2,3,4,1,found,drawn\n", "line 3: .* 'b' here and 'a'"),
        ("a.csv", HEAD + GOOD.replace("found", "gone"), "line 2: state .* found, uncertain, lost"),
        ("a.csv", HEAD + GOOD.replace("4,1", "4,1.5"), "line 2: score should lie between 0 and 1"),
        ("a.csv", HEAD + GOOD.replace("2,3", "2,nan"), "line 2: width should be a finite number"),
        ("a.csv", HEAD + GOOD.replace("2,3", "2,-3"), "line 2: .* is not a box"),
        ("a.csv", HEAD + GOOD.replace("0,1", "0.5,1"), "line 2: frame should be a whole number"),
        ("a.csv", HEAD + GOOD.replace("0,1", "-1,1"), "line 2: Frames count from 0"),
        ("a.csv", HEAD + GOOD.replace("0,1", "0,0"), "line 2: An object id is a positive integer"),
        ("a.csv", HEAD + GOOD.replace("found", "absent"), "line 2: an absent object has no box"),
        ("a.csv", HEAD[:-1] + ",fine\n" + GOOD[:-1] + ",2\n", "line 2: fine should be 0 or 1"),
        ("a.csv", HEAD + '0,1,"a', "line 2: unexpected end of data"),
        ("a.txt", "1,2,3,4\n1,2,3\n", "line 2: should hold 4 numbers, not 3"),
        ("a.txt", "1,2,3,4,5,6,7,8\n", "rotated boxes"),
        ("a.txt", "1,2,3,4\n\n1,2,3,4\n", "line 2: should hold 4 numbers"),
        ("a.txt", "1,2,3,x\n", "line 1: height should be a finite number, not 'x'"),
        ("a.json", "{\n\n", "line 3: not JSON"),
        ("a.json", "[]", '"format" should be "napari-ocean"'),
        ("a.json", "[" * 10**5, "not an annotation"),
        ("a.json", '{"format": "napari-ocean", "version": 3}', "version 3, .* reads 1 to 2"),
        ("a.json", '{"format": "napari-ocean", "version": 1}', '"objects" is missing'),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        formats.read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"id": 1', '"id": true', "object number 1: id should be a finite number"),
        ('"label": "dog"', '"label": 3', "object number 1: .label. should be a text"),
        ("10.25", "NaN", "object number 1: box number 1: x0 should be a finite number"),
        ("10.25", "1" * 400, "x0 should be a finite number"),
        ("10.25", "99", "is not a box"),
        ("10.25, ", "", "should hold 4 numbers, not 3"),
        ('"lost"', "[]", "box number 2: state should be one of"),
        ('"frame": 3', '"frame": 1', "second box on frame 1"),
        ('"id": 1', '"id": 1, "color": 3', "object number 1: .color. should be a text"),
        ('"id": 1', '"id": 1, "color": "red"', "object number 1: A colour is written #rrggbb"),
        ('"id": 1', '"id": 1, "locked": 1', "object number 1: .locked. should be true or false"),
        ('"id": 1', '"id": 1, "absent": [[3, 4]]', "second box or mark on frame 3"),
        ('"id": 1', '"id": 1, "absent": [3]', "should list pairs of frames, not 3"),
        ('"id": 1', '"id": 1, "absent": [[4, 4]]', "lists 4 to 4, which is no range"),
        ('"id": 1', '"id": 1, "absent": [[0, 1e15]]', "which is no range"),
    ],
)
def test_a_bad_value_in_json_is_named(old: str, new: str, message: str) -> None:
    text = json.dumps(one_object())
    assert old in text
    with pytest.raises(FormatError, match=message):
        json.loads(text.replace(old, new, 1))


@pytest.mark.parametrize("module", ALL, ids=NAMES)
@given(data=st.data())
def test_damaged_text_gives_tracks_or_a_format_error(module: object, data: st.DataObject) -> None:
    text = module.dumps(one_object())
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    inserted = data.draw(st.text(max_size=3) | st.sampled_from(["1e999", "-", "nan", '"', ","]))
    try:
        tracks = module.loads(text[:start] + inserted + text[stop:])
    except FormatError:
        return
    assert all(math.isfinite(v) for row in tracks.rows() for v in row.box.box_xyxy)
    assert len(module.loads(module.dumps(tracks))) == len(tracks)


@pytest.mark.parametrize("suffix", NAMES)
def test_bytes_that_are_no_text(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FormatError, match="not a text file"):
        formats.read(tmp_path / f"a{suffix}")


def test_unknown_suffixes_list_the_known(tmp_path: Path) -> None:
    for name in ("a.xlsx", "a.zip", "a"):
        with pytest.raises(FormatError, match=r"\.csv \(table\), \.json .*, \.txt"):
            formats.write(tmp_path / name, one_object())
        with pytest.raises(FormatError, match="supported are"):
            formats.check(name, one_object())


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.csv cannot be read: No such file"):
        formats.read(tmp_path / "a.csv")
    with pytest.raises(FormatError, match=r"a\.csv cannot be written: No such file"):
        formats.write(tmp_path / "none" / "a.csv", one_object())
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FormatError, match="cannot be written: Is a directory"):
        formats.write(tmp_path / "folder.csv", one_object())
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


@pytest.mark.parametrize("suffix", NAMES)
def test_values_that_cannot_be_read_back_are_not_written(tmp_path: Path, suffix: str) -> None:
    tracks = one_object()
    tracks.put(1, 5, TrackBox(np.array([0.0, 0, 1, 1]), score=np.nan))
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with pytest.raises(FormatError, match="on frame 5 that is not finite"):
        formats.write(path, tracks)
    assert path.read_text() == "old"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    formats.write(path, Tracks())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FormatError, match="No space left"):
        formats.write(path, one_object())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_a_virus_scanner_looks_at_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats.write(tmp_path / "a.csv", Tracks())
    monkeypatch.setattr(Path, "replace", refuse(2, Path.replace))
    formats.write(tmp_path / "a.csv", one_object())
    assert len(formats.read(tmp_path / "a.csv")) == len(one_object())


def test_a_file_that_is_open_in_excel_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats.write(tmp_path / "a.csv", one_object())
    before = (tmp_path / "a.csv").read_bytes()
    monkeypatch.setattr(formats, "_WAITS_S", (0, 0.001))
    monkeypatch.setattr(Path, "replace", refuse(9, Path.replace))
    with pytest.raises(FormatError, match=r"a\.csv cannot be written: it is open in another"):
        formats.write(tmp_path / "a.csv", Tracks())
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_bytes() == before


def test_what_another_system_refuses_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = refuse(1, Path.replace, PermissionError(1, "Operation not permitted"))
    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(FormatError, match="Operation not permitted"):
        formats.write(tmp_path / "a.csv", one_object())


def test_a_windows_folder_that_refuses_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_new_files(monkeypatch, tmp_path)
    with pytest.raises(FormatError, match=r"a\.csv cannot be written: Access is denied\."):
        formats.check(tmp_path / "a.csv", one_object())


def test_tables_of_excel_in_other_languages_say_what_to_do(tmp_path: Path) -> None:
    table = csv.dumps(one_object()).replace(",", ";").replace(".", ",")
    with pytest.raises(FormatError, match="with commas between them and points in numbers"):
        csv.loads(table)
    (tmp_path / "a.csv").write_bytes("frame,object_id,label\n0,1,Käfer\n".encode("cp1252"))
    with pytest.raises(FormatError, match=r"UTF-8 \(byte 27\); Excel saves one as 'CSV UTF-8'"):
        formats.read(tmp_path / "a.csv")


def test_a_label_that_utf8_lacks(tmp_path: Path) -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object("\ud800"), 0, (0, 0, 9, 9))
    with pytest.raises(FormatError, match="UTF-8 lacks"):
        formats.write(tmp_path / "a.csv", tracks)


def test_links_and_modes_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    formats.write(real, Tracks())
    real.chmod(0o640)
    link.symlink_to(real)
    formats.write(link, one_object())
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert len(formats.read(real)) == 2
