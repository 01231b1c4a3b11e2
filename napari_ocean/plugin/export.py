"""Where to save the boxes: the file dialog, and the ending that people leave out."""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

FILE_KINDS = "Table (*.csv);;JSON (*.json);;Text (*.txt)"


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
    typed, kind = QFileDialog.getSaveFileName(parent, "Save boxes", name, FILE_KINDS)
    if not typed:
        return None
    path = Path(typed)
    if path.suffix.lower() in _endings(FILE_KINDS):
        return path  # the dialog has asked already whether to replace it
    path = path.with_name(path.name + (_endings(kind) or _endings(FILE_KINDS))[0])
    if path.exists():
        question = f"{path.name} exists already. Replace it?"
        answer = QMessageBox.question(parent, "Save boxes", question)
        if answer != QMessageBox.StandardButton.Yes:
            return None
    return path


def _endings(kinds: str) -> list[str]:
    return re.findall(r"\*(\.\w+)", kinds)
