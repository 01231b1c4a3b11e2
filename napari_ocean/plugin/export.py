"""Where to save the boxes: the file dialog, and the ending that people leave out."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_ocean import formats
from napari_ocean.plugin import layers


def ask_path(parent: QWidget, name: str) -> Path | None:
    """Ask for a file name; one without a known ending gets that of the chosen kind.

    So does one whose ending is only the end of it: ``boxes.json`` becomes ``boxes.coco.json``
    where COCO was chosen.

    Parameters
    ----------
    parent : QWidget
    name : str
        Proposed file name.

    Returns
    -------
    Path or None
        None when the person has thought better of it.
    """
    endings = list(formats.kinds())
    offered = ";;".join(
        f"{title[0].upper()}{title[1:]} (*{ending})" for ending, title in formats.kinds().items()
    )
    typed, kind = QFileDialog.getSaveFileName(parent, "Save boxes", name, offered)
    if not typed:
        return None
    path = Path(typed)
    chosen = next((ending for ending in endings if f"(*{ending})" in kind), endings[0])
    known = formats.suffix_of(path)
    if known is not None and (known == chosen or not chosen.endswith(known)):
        return path  # the dialog has asked already whether to replace it
    path = path.with_name(path.name[: -len(known)] + chosen if known else path.name + chosen)
    if path.exists():
        question = f"{path.name} exists already. Replace it?"
        answer = QMessageBox.question(parent, "Save boxes", question)
        if answer != QMessageBox.StandardButton.Yes:
            return None
    return path


def clip_of(image: Image) -> formats.Clip:
    """Tell formats what they have to know of an image layer's clip."""
    height, width = layers.frame_hw(image)
    return formats.Clip(name=image.name, width=width, height=height, length=layers.n_frames(image))
