"""The autosave beside a video: what the person has done survives whatever happens to the program.

Two files lie next to the video (``clip.mp4.ocean.json`` and ``clip.mp4.ocean.journal``), or in a
folder of the user where that cannot be written. The first is an annotation in the native format,
as it was when the work began, and is replaced in one step. The second grows by one line for each
edit and batch since; it names the first by a token, so that a journal left by a kill between the
two can never be taken for the next one's. A line that was cut short counts for nothing, all before
it do. Whoever resumes goes on in these files, so that the first edit costs no more than any other.
Each line is handed to the operating system at once, which is enough for a kill -9; what a
power cut costs is what the system has not yet put on the disk, some seconds of work.

A clip is known by its content (:mod:`~.identity`), never by its path: folders may be renamed and
moved.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from napari_ocean import formats
from napari_ocean.annotation.identity import Clip
from napari_ocean.annotation.journal import changes_of, record_of, records
from napari_ocean.errors import FormatError, OceanError
from napari_ocean.formats import json, probe, replace_bytes, replace_text
from napari_ocean.tracks import Change, Tracks

SUFFIX = ".ocean.json"


class _Files(NamedTuple):
    """The files of an autosave as they were read."""

    token: str
    n_lines: int
    state: tuple[object, ...]


class Saved(NamedTuple):
    """An annotation as it was when the program ended, one way or the other.

    Attributes
    ----------
    tracks : Tracks
    place : dict
        Where the person was and what waited for a run, as given to :meth:`Autosave.note`.
    clip : Clip or None
        The video it was made for; None for an annotation file that says nothing of it.
    files : object
        For :class:`Autosave`, to go on in the same files; None where it has to begin anew.
    """

    tracks: Tracks
    place: dict[str, Any]
    clip: Clip | None
    files: _Files | None


class Place(NamedTuple):
    """Where a clip's autosave lies or shall lie.

    Attributes
    ----------
    path : Path
        Its first file.
    saved : Saved or None
        What is there to resume.
    problem : str or None
        A sentence for the user, where there is an autosave that cannot be resumed; it is kept.
    """

    path: Path
    saved: Saved | None
    problem: str | None


def locate(
    video: str | os.PathLike[str] | None,
    clip: Clip,
    user_folder: Path,
    *,
    own: Path | None = None,
    in_use: Collection[Path] = (),
) -> Place:
    """Find the autosave of a clip, or the place for a new one.

    Parameters
    ----------
    video : path-like or None
        Its file or folder; None for pixels from elsewhere.
    clip : Clip
    user_folder : Path
        For clips without a file, in a folder that cannot be written, that are a whole drive, or
        with a name or path so long that it leaves no room for an ending; named by their digest.
    own : Path, optional
        Where it was before, in this program.
    in_use : collection of Path
        Autosaves that other layers are written to, which may show the same clip; left out.
    """
    paths = _candidates(video, clip.digest[:12], user_folder, in_use)
    if own is not None and own not in in_use:
        paths = [own, *(path for path in paths if path != own)]
    problems: list[str] = []
    for path in filter(_is_there, paths):
        try:
            saved = load(path)
        except FormatError as error:
            problems.append(f"The autosave {error} It is kept as it is.")
            continue
        difference = None if saved.clip is None else clip.difference(saved.clip)
        if difference is None:
            return Place(path, saved, " ".join(problems) or None)
        problems.append(f"The autosave {path} is not this video's: {difference}. It is kept.")
    free = next(path for path in paths if not _is_there(path))
    return Place(free, None, " ".join(problems) or None)


def _candidates(
    video: str | os.PathLike[str] | None, short: str, user_folder: Path, in_use: Collection[Path]
) -> list[Path]:
    """Where an autosave may lie, the best place first; nothing lies in the last one."""
    paths = [user_folder / f"{short}{SUFFIX}"]
    file = None if video is None else Path(os.path.abspath(video))
    if file is not None and file.name:  # a whole drive has none
        named = [file.with_name(f"{file.name}{mark}{SUFFIX}") for mark in ("", f".{short}")]
        beside = [path for path in named if _writable(path)]
        read_only = [path for path in named if path not in beside and os.path.exists(path)]
        paths = [*beside, *paths, *read_only]
    paths = [path for path in paths if path not in in_use]
    further = (user_folder / f"{short}.{number}{SUFFIX}" for number in count(2))
    for path in (path for path in further if path not in in_use):
        paths.append(path)
        if not _is_there(path):
            break
    return paths


def _is_there(path: Path) -> bool:
    return path.exists() or _journal(path).exists()


def set_aside(path: Path) -> Path:
    """Rename an autosave that the person does not want to resume, and return its new name."""
    aside = _free_beside(path)
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in ((_journal(path), _journal(aside)), (path, aside)):
            if old.exists():
                old.rename(new)
                done.append((old, new))
    except OSError as error:
        for old, new in done:  # the first file is not whole without its journal
            new.rename(old)
        raise FormatError(f"{path} cannot be renamed: {error.strerror or error}.") from error
    return aside


def keep_copy(path: Path, tracks: Tracks) -> Path:
    """Write what has to make room for an autosave beside it, and return the copy's name."""
    aside = _free_beside(path)
    formats.write(aside, tracks)
    return aside


def _free_beside(path: Path) -> Path:
    return next(aside for number in count(1) if not (aside := _aside(path, number)).exists())


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.old-{number}{SUFFIX}")


def load(path: Path) -> Saved:
    """Read an autosave: the first file and every whole line of its journal.

    Raises
    ------
    FormatError
        If it is missing, malformed or of a newer version.
    """
    state = _state(path)
    try:
        head = json.document(path.read_text(encoding="utf-8"))
        tracks = json.tracks_of(head)
        about = head.get("autosave")
        about = about if isinstance(about, dict) else {}
        place = about.get("place", {})
        patches = list(records(_journal(path), about.get("token")))
        tracks.apply(changes_of(tracks, patches))
        for patch in patches:
            place = patch.get("place", place)
        clip = Clip(**about["clip"]) if "clip" in about else None
    except (OceanError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    token = about.get("token")
    of = _Files(token, len(patches), state) if clip and isinstance(token, str) else None
    return Saved(tracks, place, clip, of)


def read(path: Path) -> Tracks:
    """Read an annotation file of any kind; an autosave with what its journal adds.

    Raises
    ------
    FormatError
        As :func:`load` and :func:`napari_ocean.formats.read` do.
    """
    whole = path.name.endswith(SUFFIX) and _journal(path).exists()
    return load(path).tracks if whole else formats.read(path)


class Autosave:
    """Keeps an annotation safe while it is worked on.

    Beginning writes the first file anew, with all there is, unless it can go on. Of work that
    somebody else has put there a copy is kept beside it.

    Parameters
    ----------
    path : Path
        From :func:`locate`.
    clip : Clip
    tracks : Tracks
    place : mapping, optional
        Where the person is, JSON values only.
    resumed : Saved, optional
        What was read from `path`. If nobody has written there since, it stays as it is.
    changes : iterable of Change
        What leads from there to `tracks`.

    Attributes
    ----------
    aside : Path or None
        Where that work lies now.

    Raises
    ------
    FormatError
        If it cannot be written there.
    """

    def __init__(
        self,
        path: Path,
        clip: Clip,
        tracks: Tracks,
        place: Mapping[str, Any] | None = None,
        *,
        resumed: Saved | None = None,
        changes: Iterable[Change] = (),
    ) -> None:
        self.path = path
        self._clip = clip
        self._tracks = tracks
        self._place = dict(place or {})
        self._head = b""
        self._torn = False
        self.aside: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            going_on = resumed is not None and self._go_on(resumed)
            if not going_on:
                self.aside = _make_room(path)
                self._begin()
        except OSError as error:
            raise self._failed(error) from error
        if going_on:
            self._write(record_of(changes) | {"place": self._place})

    def append(self, changes: Iterable[Change]) -> None:
        """Keep the changes of one edit or batch; for :class:`~.history.History` to call.

        Raises
        ------
        FormatError
            If the disk is full or another window autosaves this video now; the next call tries
            again with everything.
        """
        self._write(record_of(changes))

    def note(self, place: Mapping[str, Any]) -> None:
        """Keep where the person is: frame, object, ...; JSON values only. Raises as append does."""
        if dict(place) != self._place:
            self._place = dict(place)
            self._write({"place": self._place})

    def close(self) -> None:
        """Write one whole file and drop the journal. Raises as append does."""
        try:
            self._check_ours()
            self._snapshot()
            _journal(self.path).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error

    def _go_on(self, resumed: Saved) -> bool:
        """Take the files over from whoever wrote them, if they are as they were read."""
        files = resumed.files
        if files is None or files.state != _state(self.path):
            return False
        lines = _journal(self.path).read_bytes().split(b"\n")[1:] if files.n_lines else []
        self._head = f"{json.dump({'token': files.token, 'window': token_hex(8)})}\n".encode()
        kept = b"".join(line + b"\n" for line in lines[: files.n_lines])
        replace_bytes(_journal(self.path), self._head + kept)
        return True

    def _begin(self) -> None:
        head = f"{json.dump({'token': self._snapshot()})}\n".encode()
        replace_bytes(_journal(self.path), head)
        self._head, self._torn = head, False

    def _snapshot(self) -> str:
        token = token_hex(8)
        about = {"token": token, "clip": asdict(self._clip), "place": self._place}
        replace_text(self.path, json.dumps(self._tracks, {"autosave": about}))
        return token

    def _write(self, record: Mapping[str, Any]) -> None:
        line = (json.dump(record) + "\n").encode()
        torn, self._torn = self._torn, True  # until the line is there; else all is written anew
        try:
            if not self._check_ours() or torn:
                self._begin()
                return
            with _journal(self.path).open("ab", buffering=0) as file:
                if file.write(line) != len(line):
                    raise OSError("the disk is full")
        except OSError as error:
            raise self._failed(error) from error
        self._torn = False

    def _check_ours(self) -> bool:
        """Whether the journal is there; an error if another window has begun its own instead."""
        try:
            with _journal(self.path).open("rb", buffering=0) as file:
                if file.read(len(self._head)) != self._head:
                    raise OSError("another window autosaves this video now")
        except FileNotFoundError:
            return False
        return True

    def _failed(self, error: OSError) -> FormatError:
        reason = error.strerror or error
        return FormatError(f"Autosave to {self.path} failed: {reason}. Save your boxes by hand.")


def _make_room(path: Path) -> Path | None:
    """Keep a copy of an autosave with anything in it, and what cannot be read under a new name.

    A copy, not the file: a kill at any moment leaves something to resume.
    """
    if not path.exists():
        return None
    try:
        tracks = load(path).tracks
    except FormatError:
        return set_aside(path)
    return keep_copy(path, tracks) if tracks.object_ids else None


def _journal(path: Path) -> Path:
    return path.with_suffix(".journal")


def _state(path: Path) -> tuple[object, ...]:
    """What tells whether somebody has written to one of the two files."""
    found = [of.stat() if of.exists() else None for of in (path, _journal(path))]
    return tuple(of and (of.st_ino, of.st_size, of.st_mtime_ns) for of in found)


def _writable(path: Path) -> bool:
    """Whether an autosave can lie there: the longest of the names that belong to it is tried."""
    try:
        probe(_journal(_aside(path, 999)))
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
