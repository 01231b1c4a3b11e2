"""Where to save the boxes: the file dialog, and the ending that people leave out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_ocean import formats


def ask_path(parent: QWidget, name: str) -> Path | None:
    """Ask for a file name; one without a known ending gets that of the chosen kind.

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
    if path.suffix.lower() in endings:
        return path  # the dialog has asked already whether to replace it
    chosen = next((ending for ending in endings if f"(*{ending})" in kind), endings[0])
    path = path.with_name(path.name + chosen)
    if path.exists():
        question = f"{path.name} exists already. Replace it?"
        answer = QMessageBox.question(parent, "Save boxes", question)
        if answer != QMessageBox.StandardButton.Yes:
            return None
    return path
