"""Annotation files: one module per format, one door for all.

A format is a module with ``SUFFIX``, ``NAME``, ``loads(text) -> Tracks`` and
``dumps(tracks) -> str``; adding one is one file and one line in ``_FORMATS``. Reading never returns
half an annotation, and writing never leaves half a file.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from napari_ocean.errors import FormatError
from napari_ocean.formats import csv, json, otb
from napari_ocean.tracks import Tracks

__all__ = ["check", "kinds", "read", "replace_text", "supported", "write"]


class _Format(Protocol):
    SUFFIX: str
    NAME: str

    def loads(self, text: str) -> Tracks: ...

    def dumps(self, tracks: Tracks) -> str: ...


_ALL: tuple[_Format, ...] = (csv, json, otb)
_FORMATS = {of.SUFFIX: of for of in _ALL}


def kinds() -> dict[str, str]:
    """Name of each format by its suffix, the default one first."""
    return {suffix: of.NAME for suffix, of in _FORMATS.items()}


def supported() -> str:
    """Tell the formats and their suffixes, for help texts and error messages."""
    return ", ".join(f"{suffix} ({name})" for suffix, name in kinds().items())


def check(path: str | os.PathLike[str], tracks: Tracks) -> None:
    """Fail early, before hours of tracking, if these tracks could not be written there.

    Parameters
    ----------
    path : path-like
        A file to be.
    tracks : Tracks
        The objects with at least one box each; later boxes make no difference.

    Raises
    ------
    FormatError
        If the suffix is unknown, the format cannot hold these objects, or there is no such
        folder.
    """
    path = Path(path)
    _dumps(path, tracks)
    if not path.resolve().parent.is_dir():
        raise FormatError(f"{path} cannot be written: there is no folder {path.parent}.")


def read(path: str | os.PathLike[str]) -> Tracks:
    """Read an annotation file; the format follows from the suffix.

    Parameters
    ----------
    path : path-like
        A ``.csv``, ``.json`` or ``.txt`` (OTB) file.

    Raises
    ------
    FormatError
        If the file is missing, of an unknown kind or malformed; the message names the line.
    """
    path = Path(path)
    module = _format_of(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not a text file in UTF-8 (byte {error.start}).") from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return module.loads(text)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write(path: str | os.PathLike[str], tracks: Tracks) -> None:
    """Write an annotation file; the format follows from the suffix.

    The text goes to a temporary file in the same folder, which then takes the place of the old
    one in one step, so that a crash or a full disk leaves the old file whole.

    Parameters
    ----------
    path : path-like
        A ``.csv``, ``.json`` or ``.txt`` (OTB) file; one that exists is replaced.
    tracks : Tracks
        What to write.

    Raises
    ------
    FormatError
        If the suffix is unknown, the format cannot hold these tracks or the folder is not
        writable.
    """
    path = Path(path)
    text = _dumps(path, tracks)
    try:
        replace_text(path, text)
    except OSError as error:
        raise FormatError(f"{path} cannot be written: {error.strerror or error}.") from error
    except UnicodeEncodeError as error:
        raise FormatError(f"{path}: a label holds a character that UTF-8 lacks.") from error


def _format_of(path: Path) -> _Format:
    module = _FORMATS.get(path.suffix.lower())
    if module is None:
        kind = f"the suffix {path.suffix!r}" if path.suffix else "a name without a suffix"
        raise FormatError(f"{kind} is not a format; supported are {supported()}.")
    return module


def _dumps(path: Path, tracks: Tracks) -> str:
    try:
        return _format_of(path).dumps(tracks)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` beside ``path``, flush it to disk and move it there in one step."""
    target = path.resolve()  # through a symbolic link, so that the link stays one
    part = target.with_name(f".{token_hex(8)}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
