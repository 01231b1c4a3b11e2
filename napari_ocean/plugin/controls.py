"""What the dock widget looks like: forms, buttons, progress. What they do is in ``widget.py``."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from magicgui.widgets.bases import Widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_ocean.plugin.layers import DRAWN
from napari_ocean.plugin.plan import RULE

MODEL_FILE = "file"
"""Choice of the model box that takes a weights file."""


class Controls(QWidget):
    """The controls of the dock widget, each with an ``objectName`` equal to its attribute.

    Attributes
    ----------
    image, shapes, next_object, model, device : magicgui.widgets.ComboBox
    label : magicgui.widgets.LineEdit
    first, last : magicgui.widgets.SpinBox
    follow : magicgui.widgets.CheckBox
    model_file : magicgui.widgets.FileEdit
    draw, backward, both, forward, stop, export : QPushButton
    progress : QProgressBar
    status : QLabel
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ocean")
        self.setMinimumWidth(280)
        self.image = ComboBox(name="image", label="Video", tooltip="Image layer with the frames.")
        self.shapes = ComboBox(
            name="shapes",
            label="Boxes",
            tooltip="Layer you draw in: one of your own (its shapes are read, never changed) or "
            "the boxes layer itself. Rectangles, ellipses and polygons count by their extent.",
        )
        self.next_object = ComboBox(
            name="next_object",
            label="Next box",
            tooltip="Object of the box you draw next. Choose an object that exists to add a "
            "missing box, or to replace its box on this frame.",
        )
        self.label = LineEdit(
            name="label",
            label="Label",
            value=str(DRAWN["label"]),
            tooltip="Label of the selected box's object; with none selected, of new objects.",
        )
        self._make_buttons()
        self._make_options()
        self._make_progress()
        self._arrange()

    def _make_buttons(self) -> None:
        self.draw = _button("draw", "Draw a box", "Draw a rectangle around an object.")
        self.draw.setCheckable(True)
        self.backward = _button("backward", "◀ Track", f"Track towards the first frame. {RULE}")
        self.both = _button("both", "◀ Track ▶", f"Track in both directions. {RULE}")
        self.forward = _button("forward", "Track ▶", f"Track towards the last frame. {RULE}")
        self.stop = _button("stop", "■ Stop", "Stop; all boxes found so far stay.")
        self.export = _button(
            "export", "Save boxes…", "Save all boxes of this video as csv, json or txt."
        )
        self.tracking = QStackedWidget()
        self.tracking.addWidget(_row(self.backward, self.both, self.forward))
        self.tracking.addWidget(_row(self.stop))
        self.tracking.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def _make_options(self) -> None:
        self.first = SpinBox(name="first", label="From frame", tooltip="First frame to track.")
        self.last = SpinBox(name="last", label="To frame", tooltip="Last frame to track.")
        self.follow = CheckBox(
            name="follow",
            text="Follow",
            value=True,
            tooltip="Show each frame as it is tracked; moving the slider ends this.",
        )
        self.model = ComboBox(
            name="model",
            label="Model",
            choices=[("lite (built in)", "lite"), ("ocean", "ocean"), ("file…", MODEL_FILE)],
            tooltip="Network: lite is made for CPUs, ocean is the paper's (needs its weights).",
        )
        self.model_file = FileEdit(
            name="model_file",
            label="Weights",
            filter="Weights (*.safetensors *.pth *.pt)",
            tooltip="Weights file of the model.",
        )
        self.device = ComboBox(
            name="device",
            label="Device",
            choices=["auto", "cpu", "cuda", "mps"],
            tooltip="Where the network runs; auto takes a GPU when there is one.",
        )

    def _make_progress(self) -> None:
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.status = QLabel()
        self.status.setObjectName("status")
        self.status.setWordWrap(True)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())

    def _arrange(self) -> None:
        layer_form = _form(self.image, self.shapes, self.next_object, self.label)
        self._model_form = _form(self.model, self.model_file, self.device)
        self.range_part = _collapsible("Range", _form(self.first, self.last, self.follow))
        self.model_part = _collapsible("Model and device", self._model_form)
        self.model.changed.connect(self._show_model_file)
        self._show_model_file(self.model.value)
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        for part in (
            layer_form,
            self.draw,
            self.tracking,
            self.progress,
            self.status,
            self.range_part,
            self.model_part,
            self.export,
        ):
            layout.addWidget(part)
        layout.addStretch(1)

    def _show_model_file(self, model: str) -> None:
        layout = self._model_form.layout()
        row = self.model_file.native
        for part in (row, layout.labelForField(row) if isinstance(layout, QFormLayout) else None):
            if part is not None:
                part.setVisible(model == MODEL_FILE)

    def set_running(self, running: bool) -> None:
        """Show Stop instead of the Track buttons, and lock what a run depends on."""
        self.tracking.setCurrentIndex(1 if running else 0)
        self.stop.setEnabled(running)
        for part in (self.image, self.shapes, self.model, self.model_file, self.device):
            part.enabled = not running
        for spin in (self.first, self.last):
            spin.enabled = not running


def _button(name: str, text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part, 1)
    return row


def _form(*parts: Widget) -> QWidget:
    """Labelled magicgui widgets below each other, their fields in line."""
    form = QWidget()
    layout = QFormLayout(form)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for part in parts:
        part.native.setObjectName(part.name)
        if isinstance(part, ComboBox):  # a long layer name must not widen the dock
            part.native.setMinimumContentsLength(8)
            part.native.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        label = "" if isinstance(part, CheckBox) else part.label
        layout.addRow(label, part.native)
    return form


def _collapsible(title: str, content: QWidget) -> QCollapsible:
    """Return a collapsed part."""
    part = QCollapsible(title)
    part.setDuration(0)
    part.addWidget(content)
    for layout in (part.layout(), part.content().layout()):
        if layout is not None:
            layout.setContentsMargins(0, 0, 0, 0)
    return part
