"""Annotation files: one module per format, one door for all.

A format is a module with ``SUFFIX``, ``NAME``, ``dumps(tracks)`` and, if it can be read,
``loads(text) -> Tracks``; one that has to know the video's name, size or length has
``dumps(tracks, clip)`` instead. Adding one is one file and one entry in the tables below. Reading
never returns half an annotation, and writing never leaves half a file. docs/formats.md tells what
each format keeps.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from napari_ocean.errors import FormatError
from napari_ocean.formats import coco, csv, cvat, json, mot, otb, via, voc, yolo
from napari_ocean.formats.clip import Clip, inside
from napari_ocean.formats.parsing import certain_rows
from napari_ocean.tracks import Tracks

__all__ = [
    "Clip",
    "check",
    "check_writable",
    "clip_of",
    "endings",
    "kinds",
    "left_out",
    "probe",
    "put_in_place",
    "read",
    "readable",
    "replace_bytes",
    "replace_text",
    "suffix_of",
    "supported",
    "write",
]


class _Format(Protocol):
    SUFFIX: str
    NAME: str


class _Plain(_Format, Protocol):
    def dumps(self, tracks: Tracks) -> str: ...


class _OfClip(_Format, Protocol):
    def dumps(self, tracks: Tracks, clip: Clip) -> str | bytes: ...


class _Readable(_Format, Protocol):
    def loads(self, text: str) -> Tracks: ...


_ALL_PLAIN: tuple[_Plain, ...] = (csv, json, otb, mot)
_ALL_OF_CLIP: tuple[_OfClip, ...] = (coco, cvat, yolo, voc, via)
_ALL_READABLE: tuple[_Readable, ...] = (csv, json, otb, mot, coco, cvat)

_WITHOUT_GUESSES = frozenset(of.SUFFIX for of in (yolo, voc, cvat, via))
_INSIDE_ALONE = frozenset(of.SUFFIX for of in (yolo, voc))

_WAITS_S = (0, 0.01, 0.02, 0.05, 0.1)
"""Before each try to replace a file that another program looks at."""

_PLAIN = {of.SUFFIX: of for of in _ALL_PLAIN}
_OF_CLIP = {of.SUFFIX: of for of in _ALL_OF_CLIP}
_READABLE = {of.SUFFIX: of for of in _ALL_READABLE}


def kinds() -> dict[str, str]:
    """Name of each format by its suffix, the default one first."""
    return {suffix: of.NAME for suffix, of in (_PLAIN | _OF_CLIP).items()}


def endings() -> list[str]:
    """Last parts of the names of files that can be read: their content tells the format."""
    return list(dict.fromkeys(Path(f"boxes{suffix}").suffix for suffix in _READABLE))


def supported() -> str:
    """Tell the formats and their suffixes, for help texts and error messages."""
    return ", ".join(f"{suffix} ({name})" for suffix, name in kinds().items())


def readable() -> str:
    """Tell the formats that can be read, and their suffixes."""
    return ", ".join(f"{suffix} ({of.NAME})" for suffix, of in _READABLE.items())


def suffix_of(path: str | os.PathLike[str]) -> str | None:
    """Suffix of the format that a file of this name is written in, the longest that fits.

    ``boxes.coco.json`` is COCO, any other ``.json`` the native format, any ``.xml`` CVAT's. None
    where nothing fits, or an ending is of several formats.
    """
    name = Path(path).name.lower()
    fitting = [of for of in kinds() if name.endswith(of) and len(name) > len(of)]
    alike = [of for of in kinds() if of.endswith(Path(name).suffix)]
    return max(fitting, key=len, default=alike[0] if len(alike) == 1 else None)


def left_out(path: str | os.PathLike[str], tracks: Tracks, clip: Clip) -> int:
    """Number of boxes that a file of this name has no place for.

    Where the tracker is lost and nobody has marked its guess as fine, or outside the picture.
    """
    suffix = suffix_of(path)
    if suffix not in _WITHOUT_GUESSES:
        return 0
    kept = certain_rows(tracks)
    if suffix in _INSIDE_ALONE:
        kept = [row for row in kept if inside(row.box.box_xyxy, clip) is not None]
    return len(tracks) - len(kept)


def check(path: str | os.PathLike[str], tracks: Tracks, clip: Clip | None = None) -> None:
    """Fail early, before hours of tracking, if these tracks could not be written there.

    Parameters
    ----------
    path : path-like
        A file to be.
    tracks : Tracks
        The objects with at least one box each; later boxes make no difference.
    clip : Clip, optional
        As for :func:`write`.

    Raises
    ------
    FormatError
        If the suffix is unknown, the format cannot hold these objects, or no file can be written
        there.
    """
    path = Path(path)
    _dumps(path, tracks, clip)
    check_writable(path)


def check_writable(path: Path) -> None:
    """Fail early if no file could be written there; one that exists stays as it is.

    Raises
    ------
    FormatError
        If there is no such folder, or the system refuses.
    """
    try:
        target = path.resolve()
        if not target.parent.is_dir():
            raise FormatError(f"{path} cannot be written: there is no folder {path.parent}.")
        target.exists()  # refuses a name that is too long
        probe(_part(target))
    except OSError as error:
        raise FormatError(f"{path} cannot be written: {error.strerror or error}.") from error


def read(path: str | os.PathLike[str]) -> Tracks:
    """Read an annotation file; the format follows from the suffix.

    Parameters
    ----------
    path : path-like
        A file of a format in :func:`readable`. The content tells COCO from the native ``.json``
        and MOTChallenge from an OTB ``.txt``, whatever the name.

    Raises
    ------
    FormatError
        If the file is missing, of an unknown kind or malformed; the message names the line.
    """
    path = Path(path)
    named = _reader(path)
    text = _text(path)
    try:
        return _by_content(named, text).loads(text)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def clip_of(path: str | os.PathLike[str]) -> Clip | None:
    """Clip that a native file says its boxes are of; None where it does not, and of other files.

    Raises
    ------
    FormatError
        If it cannot be read; the message names it.
    """
    path = Path(path)
    if suffix_of(path) != json.SUFFIX:
        return None
    text = _text(path)
    try:
        if _by_content(json, text) is not json:
            return None
        return json.clip_of(json.document(text))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        hint = "; Excel saves one as 'CSV UTF-8'" if path.suffix.lower() == csv.SUFFIX else ""
        raise FormatError(
            f"{path} is not a text file in UTF-8 (byte {error.start}){hint}."
        ) from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}.") from error


def write(path: str | os.PathLike[str], tracks: Tracks, clip: Clip | None = None) -> None:
    """Write an annotation file; the format follows from the suffix.

    The content goes to a temporary file in the same folder, which then takes the place of the old
    one in one step, so that a crash or a full disk leaves the old file whole.

    Parameters
    ----------
    path : path-like
        A file of a format in :func:`supported`; one that exists is replaced.
    tracks : Tracks
        What to write.
    clip : Clip, optional
        The video; COCO, CVAT, YOLO, Pascal VOC and VIA need it, the native format keeps its name,
        size and length.

    Raises
    ------
    FormatError
        If the suffix is unknown, the format cannot hold these tracks or needs the clip, or the
        folder is not writable.
    """
    path = Path(path)
    content = _dumps(path, tracks, clip)
    try:
        replace_bytes(path, content)
    except OSError as error:
        raise FormatError(f"{path} cannot be written: {error.strerror or error}.") from error


def _reader(path: Path) -> _Readable:
    """Format that a file's name stands for."""
    suffix = suffix_of(path)
    if suffix in _READABLE:
        return _READABLE[suffix]
    if suffix is not None:
        raise FormatError(f"{path}: {suffix} is only written, not read.")
    raise _unknown(path, readable())


def _by_content(named: _Readable, text: str) -> _Readable:
    """Format of a file with a suffix that two formats share."""
    if named is json and coco.recognises(text):
        return coco
    return mot if named is otb and mot.recognises(text) else named


def _dumps(path: Path, tracks: Tracks, clip: Clip | None) -> bytes:
    suffix = suffix_of(path)
    if suffix is None:
        raise FormatError(f"{path}: {_unknown(path, supported())}")
    try:
        if suffix == json.SUFFIX and clip is not None:
            content: str | bytes = json.dumps(tracks, {"clip": json.clip_record(clip)})
        elif suffix in _PLAIN:
            content = _PLAIN[suffix].dumps(tracks)
        else:
            content = _OF_CLIP[suffix].dumps(tracks, _fitting(clip, tracks, suffix))
        return content if isinstance(content, bytes) else content.encode()
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except UnicodeEncodeError as error:
        raise FormatError(
            f"{path}: a label, or the video's name, holds a character that UTF-8 lacks."
        ) from error


def _fitting(clip: Clip | None, tracks: Tracks, suffix: str) -> Clip:
    """Clip, if it is there and no box is beyond its end."""
    if clip is None:
        raise FormatError(f"{suffix} needs the video's name, size and length; pass clip=Clip(...).")
    last = max((frame for of in tracks.object_ids for frame in tracks.frames(of)), default=-1)
    if last >= clip.length:
        raise FormatError(f"there is a box on frame {last}, but {clip.name} has {clip.length}.")
    return clip


def _unknown(path: Path, known: str) -> FormatError:
    kind = f"the suffix {path.suffix!r}" if path.suffix else "a name without a suffix"
    return FormatError(f"{kind} is not a format; supported are {known}.")


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 as :func:`replace_bytes` does."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk and move it there in one step."""
    target = path.resolve()  # through a symbolic link, so that the link stays one
    part = _part(target)
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)


def put_in_place(part: Path, target: Path) -> None:
    """Move a whole file to its name in one step; an ``OSError`` says why that cannot be done.

    Windows refuses as long as a program has the old file open: a virus scanner or an indexer for
    some milliseconds, which are waited for, a spreadsheet until it is closed.
    """
    for wait_s in _WAITS_S:
        time.sleep(wait_s)
        try:
            part.replace(target)
            return
        except PermissionError as error:
            if not hasattr(error, "winerror"):  # another system, which means it
                raise
    reason = "it is open in another program, or protected"
    raise PermissionError(errno.EACCES, reason, str(target))


def probe(path: Path) -> None:
    """Make a file and take it away again; an ``OSError`` says why that cannot be done.

    Python's ``tempfile`` would try for hours in a Windows folder that refuses (gh-66305).
    """
    path.open("xb").close()
    path.unlink()


def _part(target: Path) -> Path:
    return target.with_name(f".{token_hex(8)}.part")
