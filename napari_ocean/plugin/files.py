"""Boxes to files and back: the file dialogs, the ending that people leave out, what is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_ocean import formats
from napari_ocean.annotation import edits, sidecar
from napari_ocean.errors import TracksError
from napari_ocean.plugin import layers
from napari_ocean.plugin.saving import path_of
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.words import counted
from napari_ocean.video import (
    IMAGE_SUFFIXES,
    SUFFIXES,
    FrameArray,
    files_of,
    image_names,
    natural_key,
)


class Told(NamedTuple):
    """What a person is told: what was done, and what could not be."""

    done: str
    left_out: str = ""

    @property
    def text(self) -> str:
        """All of it, the unexpected first: napari cuts long texts."""
        return f"{self.left_out} {self.done}".strip()


def ask_path(parent: QWidget, image: Image | None) -> Path | None:
    """Ask for a file name, which gets the ending of the chosen kind unless it has a known one.

    Parameters
    ----------
    parent : QWidget
    image : napari.layers.Image or None
        The clip, whose name is proposed.

    Returns
    -------
    Path or None
        None when the person has thought better of it.
    """
    endings = list(formats.kinds())
    offered = ";;".join(
        f"{title[0].upper()}{title[1:]} (*{ending})" for ending, title in formats.kinds().items()
    )
    name = "boxes" if image is None else image.name
    typed, kind = QFileDialog.getSaveFileName(parent, "Save boxes", name, offered)
    if not typed:
        return None
    chosen = next((ending for ending in endings if f"(*{ending})" in kind), endings[0])
    path = _with_ending(Path(typed), chosen)
    if path != Path(typed) and path.exists():  # of what was typed the dialog has asked
        question = f"{path.name} exists already. Replace it?"
        answer = QMessageBox.question(parent, "Save boxes", question)
        if answer != QMessageBox.StandardButton.Yes:
            return None
    return path


def _with_ending(path: Path, chosen: str) -> Path:
    """Path whose ending tells the kind: its own if it is that of a format, else the chosen one.

    One that is only the end of the chosen one becomes that: ``boxes.json`` with COCO is
    ``boxes.coco.json``. One of several formats, none of them chosen, stays for the error to tell.
    """
    tail = formats.suffix_of(path) or path.suffix.lower()
    if not tail or not any(ending.endswith(tail) for ending in formats.kinds()):
        return path.with_name(path.name + chosen)
    if tail != chosen and chosen.endswith(tail):
        return path.with_name(path.name[: -len(tail)] + chosen)
    return path


def ask_file(parent: QWidget, image: Image | None) -> Path | None:
    """Ask for an annotation file, beside the clip at first; None for none."""
    clip = None if image is None else path_of(image)
    folder = "" if clip is None else str(clip.parent)
    offered = f"Boxes ({' '.join(f'*{ending}' for ending in formats.endings())});;All files (*)"
    chosen, _ = QFileDialog.getOpenFileName(parent, "Open boxes", folder, offered)
    return Path(chosen) if chosen else None


def save(session: Session | None, path: Path) -> Told:
    """Write all boxes and say so; the ending of the path says how.

    Raises
    ------
    OceanError
        If there are none, or they cannot be written.
    """
    if session is None or not len(session.tracks):
        raise TracksError("There are no boxes to save yet; draw one and track it.")
    if session.place is not None and path.resolve() == session.place.path.resolve():
        raise TracksError(f"{path.name} is where your work is kept by itself; choose another name.")
    clip = clip_of(session.image)
    formats.write(path, session.tracks, clip)
    missing = formats.left_out(path, session.tracks, clip)
    saved = counted(len(session.tracks) - missing, "box", "es")
    left = (
        f"{counted(missing, 'box', 'es')} left out, where the tracker is lost or outside "
        "the picture: correct them, or mark them as fine (M)."
    )
    return Told(f"Saved {saved} to {path}.", left if missing else "")


def load(path: Path, image: Image, open_session: Callable[[], Session]) -> Told:
    """Add the objects of a file to those of a clip, as far as they fit, and say so.

    The session is opened when it is known that there is something to add.

    Raises
    ------
    OceanError
        If the file cannot be read, or nothing in it fits the clip; nothing is changed.
    """
    n_frames, (height, width) = layers.n_frames(image), layers.frame_hw(image)
    others = sidecar.read(path)
    part, left_out = edits.fitting(others, n_frames, (height, width))
    if not others.object_ids:
        raise TracksError(f"There are no boxes in {path.name}.")
    if not part.object_ids:
        raise TracksError(
            f"No box in {path.name} lies in this clip, which has {n_frames} frames of {width} x "
            f"{height} px; is the file another clip's?"
        )
    other_clip = _other_clip(path, image)
    ids = open_session().take_in(part, f"Open {path.name}")
    added = f"{counted(len(part.object_ids), 'object')} with {counted(len(part), 'box', 'es')}"
    anew = "" if ids == part.object_ids else "; ids that were taken are numbered anew"
    left = f"{other_clip} {edits.told(left_out, path.name, n_frames)}".strip()
    return Told(f"Added {added} from {path.name}{anew}.", left)


def _other_clip(path: Path, image: Image) -> str:
    """Say so where a file says that it was saved with another clip."""
    said, here = formats.clip_of(path), clip_of(image)
    if said is None:
        return ""
    alike = (said.length, said.width, said.height) == (here.length, here.width, here.height)
    if alike and _plain(said.name) == _plain(here.name):
        return ""
    return (
        f"{path.name} was saved with {said.name}, {said.length} frames of {said.width} x "
        f"{said.height} px; this is {here.name}. Undo if that is wrong."
    )


def _plain(name: str) -> str:
    """Name of a clip without a film's or stack's ending, and without what napari adds to a twin."""
    name = re.sub(r" \[\d+\]$", "", name)
    ending = Path(name).suffix.lower()
    known = {*SUFFIXES, *IMAGE_SUFFIXES, ".npy", ".zarr"}
    return name.removesuffix(Path(name).suffix) if ending in known else name


def clip_of(image: Image) -> formats.Clip:
    """Tell formats what they have to know of an image layer's clip."""
    height, width = layers.frame_hw(image)
    return formats.Clip(
        name=image.name,
        width=width,
        height=height,
        length=layers.n_frames(image),
        images=_image_names(image),
    )


def _image_names(image: Image) -> tuple[str, ...]:
    """Names of the files that a layer's frames are; none where that is not certain.

    napari reads all files of a folder, and puts capitals before small letters.
    """
    if isinstance(image.data, FrameArray):
        return files_of(image.data.source)
    folder = path_of(image)
    names = image_names(folder) if folder is not None and folder.is_dir() else []
    if len(names) != layers.n_frames(image):
        return ()
    return tuple(sorted(names, key=partial(natural_key, fold=False)))
