"""What the dock widget looks like: forms, buttons, progress. What they do is in ``widget.py``."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from magicgui.widgets.bases import Widget
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_ocean.annotation.interpolate import Curve
from napari_ocean.plugin.elided import Elided
from napari_ocean.plugin.focus import KeysPass
from napari_ocean.plugin.keys import cheat_sheet, tip
from napari_ocean.plugin.layers import DRAWN
from napari_ocean.plugin.objects import ObjectsPanel
from napari_ocean.plugin.plan import RULE, Who
from napari_ocean.plugin.review_panel import ReviewPanel
from napari_ocean.plugin.strip import ScoreStrip, legend
from napari_ocean.plugin.view import ColorBy

MODEL_FILE = "file"
"""Choice of the model box that takes a weights file."""

WIDTH_PX = 280
"""The dock can be made as narrow as this."""


class Controls(QWidget):
    """The controls of the dock widget, each with an ``objectName`` equal to its attribute.

    Attributes
    ----------
    image, shapes, next_object, who, curve, color_by, model, device : magicgui.widgets.ComboBox
    label : magicgui.widgets.LineEdit
    first, last, at_most : magicgui.widgets.SpinBox
    follow, fast : magicgui.widgets.CheckBox
    model_file : magicgui.widgets.FileEdit
    draw, backward, both, forward, to_keyframe, between, interpolate, stop, pause : QPushButton
    undo, redo, keyframe, absent, occluded, resume, decline, keys, load, export : QPushButton
    progress : QProgressBar
    status, saved_text : QLabel
    strip : ScoreStrip
    objects : ObjectsPanel
    review : ReviewPanel
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ocean")
        self.setMinimumWidth(WIDTH_PX)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._make_fields()
        self._make_buttons()
        self._make_options()
        self._make_progress()
        self.strip = ScoreStrip()
        self.objects = ObjectsPanel()
        self.review = ReviewPanel()
        self._arrange()
        self._review_shown = False
        self._keys_pass = KeysPass(self)

    def _make_fields(self) -> None:
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

    def _make_buttons(self) -> None:
        self.draw = _button("draw", "Draw a box", "Draw a rectangle around an object.")
        self.undo = _button("undo", "↶ Undo", "Take the last step back.")
        self.redo = _button("redo", "↷ Redo", "Make the step undone last again.")
        self.backward = _button("backward", "◀ Track", f"Track towards the first frame. {RULE}")
        self.both = _button("both", "◀ Track ▶", f"Track in both directions. {RULE}")
        self.forward = _button("forward", "Track ▶", f"Track towards the last frame. {RULE}")
        self.to_keyframe = _button(
            "to_keyframe",
            "Track to ◆",
            "Track to the next box of yours only: the objects selected on this frame, from here; "
            "with none selected, what waits.",
        )
        self.between = _button(
            "between",
            "◆ Fuse ◆",
            "Track from your boxes before and after this frame towards each other, and fuse the "
            "two runs.",
        )
        self.interpolate = _button(
            "interpolate",
            "Interpolate",
            "Interpolate between your boxes before and after this frame, without looking at the "
            "pixels.",
        )
        self.stop = _button("stop", "■ Stop", "Stop; all boxes found so far stay.")
        self.pause = _button("pause", "❚❚ Hold", "Hold the run, or let it go on.")
        self.keyframe = _button("keyframe", "◆ Keep", "Take the box as it is for one of yours.")
        self.absent = _button(
            "absent",
            "Out of view",
            "The object is not in this frame. Where it is marked so already: it is in view again "
            "from this frame to the end of the marked stretch.",
        )
        self.occluded = _button(
            "occluded",
            "Hidden",
            "Something hides the object here, or not: a box of yours shows no looks then.",
        )
        self.resume = QPushButton("Go on with them")
        self.resume.setObjectName("resume")
        self.decline = QPushButton("Start anew")
        self.decline.setObjectName("decline")
        self.decline.setToolTip("Begin without them; the file is kept under another name.")
        self.keys = _button("keys", "Keys", "Show all keys.")
        self.load = _button(
            "load",
            "Open boxes…",
            "Add the objects of a file to those of this video: a table, json, MOT, COCO or CVAT.",
        )
        self.export = _button(
            "export",
            "Save boxes…",
            "Save all boxes of this video as a table or as what trainers read.",
        )

    def _make_options(self) -> None:
        self.first = SpinBox(name="first", label="From frame", tooltip="First frame to track.")
        self.last = SpinBox(name="last", label="To frame", tooltip="Last frame to track.")
        self.at_most = SpinBox(
            name="at_most",
            label="Either side",
            max=1_000_000,
            tooltip="Frames to track on either side of the one in view; 0 for the range above.",
        )
        self.who = ComboBox(
            name="who",
            label="Objects",
            choices=[(str(who), who) for who in Who],
            tooltip=f"Objects to track. {RULE}",
        )
        self.curve = ComboBox(
            name="curve",
            label="Interpolate",
            choices=[("in a straight line", Curve.LINEAR), ("smoothly", Curve.SMOOTH)],
            tooltip="How boxes go from one of yours to the next when they are interpolated.",
        )
        self.follow = CheckBox(
            name="follow",
            text="Follow the run",
            value=True,
            tooltip="Show each frame as it is tracked; moving the slider ends this.",
        )
        self.color_by = ComboBox(
            name="color_by",
            label="Colour by",
            choices=[(str(of), of) for of in ColorBy],
            tooltip="Box colours.",
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
            tooltip="Where the network runs; auto: an NVIDIA GPU if there is one, else the CPU.",
        )
        self.fast = CheckBox(
            name="fast",
            text="Fast",
            tooltip="Lite: look at each frame once, not a second time in the mirror: one and a "
            "half times as quick, boxes a little less exact (always so on a CPU without OpenVINO).",
        )

    def _make_progress(self) -> None:
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.status = _text("status")
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())
        self.saved_text = _text("saved_text")
        self.saved = _column(self.saved_text, _row(self.resume, self.decline))
        self.saved.setObjectName("saved")
        self.saved.hide()

    def _arrange(self) -> None:
        track = _row(self.backward, self.both, self.forward)
        fix = _row(self.to_keyframe, self.between, self.interpolate)
        self.tracking = QStackedWidget()
        self.tracking.addWidget(_column(track, fix))
        self.tracking.addWidget(_column(_row(self.stop, self.pause)))
        self.tracking.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        colors = QLabel(legend())
        colors.setObjectName("legend")
        colors.setWordWrap(True)
        options = _form(self.who, self.first, self.last, self.at_most, self.curve)
        self._model_form = _form(self.model, self.model_file, self.device, self.fast)
        self.model.changed.connect(self._show_model_file)
        self._show_model_file(self.model.value)
        self.review_part = _collapsible("Review", self.review)
        self.objects_part = _collapsible("Objects", self.objects)
        self.range_part = _collapsible("What to track", options)
        view = _form(self.color_by, self.follow)
        self.model_part = _collapsible("Model and view", _column(self._model_form, view))
        content = _column(
            self.saved,
            _form(self.image, self.shapes, self.next_object, self.label),
            _row(self.draw, self.undo, self.redo),
            self.tracking,
            self.progress,
            self.status,
            self.strip,
            colors,
            _row(self.keyframe, self.absent, self.occluded),
            self.review_part,
            self.objects_part,
            self.range_part,
            self.model_part,
            _row(self.load, self.export, self.keys),
            margin=8,
            stretch=True,
        )
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)

    def _show_model_file(self, model: str) -> None:
        layout = self._model_form.layout()
        row = self.model_file.native
        for part in (row, layout.labelForField(row) if isinstance(layout, QFormLayout) else None):
            if part is not None:
                part.setVisible(model == MODEL_FILE)

    def set_running(self, running: bool) -> None:
        """Show Stop instead of the Track buttons, and lock what a run depends on."""
        self.tracking.setCurrentIndex(1 if running else 0)
        self.progress.setRange(0, 0 if running else 1)  # without an end it moves to and fro
        self.progress.reset()
        self.stop.setEnabled(running)
        self.pause.setEnabled(running)
        self.show_held(False)
        network = (self.model, self.model_file, self.device, self.fast)
        reach = (self.first, self.last, self.at_most, self.who)
        for part in (self.image, self.shapes, *network, *reach):
            part.enabled = not running

    def show_review(self) -> None:
        """Open the review part, once: after that the person has seen it."""
        if not self._review_shown:
            self._review_shown = True
            self.review_part.expand()

    def show_held(self, held: bool) -> None:
        """Show whether the run is held."""
        self.pause.setText("▶ Go on" if held else "❚❚ Hold")

    def show_history(self, undo: str | None, redo: str | None, why_not: str = "") -> None:
        """Say what Undo and Redo would do; None where there is nothing."""
        for button, word, label in ((self.undo, "undo", undo), (self.redo, "redo", redo)):
            enabled = label is not None and not why_not
            button.setEnabled(enabled)
            text = f"{word.title()}: {label}" if label else f"There is nothing to {word}"
            button.setToolTip(tip(text, word) if enabled else f"{text}. {why_not}".strip())

    def say_whose_label(self, object_id: int | None) -> None:
        """Name the object whose label the field shows; None for the next new one."""
        field = self.label.native
        form = field.parentWidget().layout()
        name, longest = form.labelForField(field), "Label of new"
        name.setMinimumWidth(name.fontMetrics().horizontalAdvance(longest))  # the form stands still
        name.setText(longest if object_id is None else f"Label of {object_id}")

    def allow(self, button: QPushButton, why_not: str = "") -> None:
        """Enable a button, or disable it and say why in its tool tip."""
        what = button.property("what")
        button.setEnabled(not why_not)
        button.setToolTip(f"{what} {why_not}" if why_not else tip(what, button.objectName()))


def show_keys(parent: QWidget) -> None:
    """Show the cheat-sheet, beside the work and not in front of it; one is enough."""
    there = parent.findChildren(QDialog, "cheat_sheet")
    if there:
        there[0].raise_()
        return
    box = QDialog(parent)
    box.setObjectName("cheat_sheet")
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle("Keys of Ocean")
    sheet = QLabel(
        f"{cheat_sheet()}<p>They work wherever you are not typing. While a layer of another kind "
        "is selected, napari's own keys for it go first.</p>"
    )
    sheet.setWordWrap(True)
    scrolled = QScrollArea()
    scrolled.setWidgetResizable(True)
    scrolled.setWidget(sheet)
    done = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok)
    done.accepted.connect(box.accept)
    layout = QVBoxLayout(box)
    layout.addWidget(scrolled)
    layout.addWidget(done)
    box.resize(640, sheet.sizeHint().height() + 80)
    screen = parent.screen()
    if screen is not None:
        box.resize(box.size().boundedTo(0.9 * screen.availableSize()))
    box.show()


def _button(name: str, text: str, what: str) -> QPushButton:
    """Make a button that a command belongs to."""
    button = QPushButton(text)
    button.setObjectName(name)
    button.setProperty("what", what)
    button.setToolTip(tip(what, name))
    return button


def _text(name: str) -> QLabel:
    text = QLabel()
    text.setObjectName(name)
    text.setWordWrap(True)
    text.setTextFormat(Qt.TextFormat.PlainText)  # labels may look like anything
    text.setAlignment(Qt.AlignmentFlag.AlignTop)
    return text


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part, 1)
    return row


def _column(*parts: QWidget, margin: int = 0, stretch: bool = False) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(6)
    for part in parts:
        layout.addWidget(part)
    if stretch:
        layout.addStretch(1)
    return column


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
            Elided(part.native)
        label = "" if isinstance(part, CheckBox) else part.label
        layout.addRow(label, part.native)
    return form


def _collapsible(title: str, content: QWidget) -> QCollapsible:
    """Return a collapsed part; its arrow is text, which has the colour of the theme."""
    part = QCollapsible(f"▸  {title}", expandedIcon=QIcon(), collapsedIcon=QIcon())
    part.toggled.connect(lambda on: part.setText(f"{'▾' if on else '▸'}  {title}"))
    part.setDuration(0)
    part.addWidget(content)
    for layout in (part.layout(), part.content().layout()):
        if layout is not None:
            layout.setContentsMargins(0, 0, 0, 0)
    return part
