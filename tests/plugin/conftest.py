"""A viewer with the dock widget on a short, small clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Shapes
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from numpy.typing import NDArray

from napari_ocean.demo import DemoClip, demo_clip
from napari_ocean.plugin import layers

N_FRAMES = 20


@pytest.fixture(scope="session")
def clip() -> DemoClip:
    """The first frames of the built-in clip at half its size."""
    whole = demo_clip(height=240, width=320)
    return DemoClip(
        frames=whole.frames[:N_FRAMES],
        truth_xyxy=whole.truth_xyxy[:N_FRAMES],
        visible=whole.visible[:N_FRAMES],
    )


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for the autosaves of clips that are no files; never the real one."""
    from napari_ocean.plugin import recovery

    folder = tmp_path_factory.mktemp("annotations")
    monkeypatch.setattr(recovery, "user_folder", lambda: folder)
    return folder


@dataclass
class Desk:
    """The viewer, the widget and shorthands for what a person does with them."""

    viewer: Any
    widget: Any
    clip: DemoClip
    qtbot: Any
    errors: list[str]
    warnings: list[str]

    @property
    def image(self) -> Image:
        return self.widget.image

    @property
    def boxes(self) -> Shapes:
        """The results layer."""
        return self.widget.session.layer

    def go_to(self, frame: int) -> None:
        layers.show_frame(self.image, self.viewer.dims, frame)

    def draw(self, frame: int, box: NDArray[np.float64] | None = None) -> None:
        """Draw a box (the truth unless given) in the results layer, on that frame."""
        self.go_to(frame)
        self.widget.controls.draw.click()
        box = self.clip.truth_xyxy[frame] if box is None else box
        self.boxes.add_rectangles([layers.rectangle(frame, box, self.image)])
        self.qtbot.wait(20)

    def press(self, button: str) -> None:
        getattr(self.widget.controls, button).click()

    def wait(self) -> None:
        """Wait for the end of the run."""
        self.qtbot.waitUntil(lambda: not self.widget.running, timeout=60_000)

    def track(self, button: str = "forward") -> None:
        self.press(button)
        self.wait()

    def shown(self) -> dict[tuple[int, int], NDArray[np.float64]]:
        """Boxes that the results layer shows, by object and frame."""
        found = layers.read_boxes(self.boxes, self.image)
        ids = self.boxes.features["object_id"]
        return {
            (int(o), int(f)): box
            for o, f, box in zip(ids, found.frames, found.boxes_xyxy, strict=True)
        }

    def frames(self, object_id: int, source: str | None = None) -> list[int]:
        """Frames on which the results layer shows the object, optionally by source."""
        found = layers.read_boxes(self.boxes, self.image)
        table = self.boxes.features
        of = (table["object_id"] == object_id) & ((table["source"] == source) | (source is None))
        return sorted(found.frames[of.to_numpy()].tolist())


@pytest.fixture
def open_desk(
    make_napari_viewer: Any, qtbot: Any, clip: DemoClip, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Desk]:
    """Open a viewer with an image layer of the clip (or of other pixels) and the widget."""
    from napari_ocean.plugin import widget as module

    def make(pixels: Any = None, **settings: Any) -> Desk:
        errors: list[str] = []
        warnings: list[str] = []
        monkeypatch.setattr(module, "show_error", errors.append)
        monkeypatch.setattr(module, "show_warning", warnings.append)
        viewer = make_napari_viewer()
        viewer.add_image(clip.frames if pixels is None else pixels, name="clip", **settings)
        widget = module.OceanWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Ocean")
        viewer.dims.set_current_step(0, 0)
        return Desk(viewer, widget, clip, qtbot, errors, warnings)

    return make


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    """A desk with the clip as it is."""
    return open_desk()


MOUSE = {
    "mouse_press": mouse_press_callbacks,
    "mouse_move": mouse_move_callbacks,
    "mouse_release": mouse_release_callbacks,
    "mouse_double_click": mouse_double_click_callbacks,
}


def mouse(layer: Shapes, kind: str, at: tuple[float, ...]) -> None:
    """One mouse event at (t, y, x) of a shapes layer."""
    event = SimpleNamespace(
        type=kind,
        position=at,
        pos=np.array(at[:0:-1]),
        is_dragging=kind == "mouse_move",
        button=1,
        modifiers=[],
        dims_displayed=[1, 2],
        dims_point=[at[0], 0, 0],
        view_direction=None,
        handled=False,
    )
    MOUSE[kind](layer, ReadOnlyWrapper(event, exceptions=("handled",)))


def drag(
    desk: Desk,
    *path: tuple[float, float],
    pause: Callable[[], None] = lambda: None,
    layer: Shapes | None = None,
) -> None:
    """Press the mouse, move it along (y, x) points of the frame shown, pause half way, release."""
    layer = desk.boxes if layer is None else layer

    def do(kind: str, at: tuple[float, float]) -> None:
        mouse(layer, kind, (layers.current_frame(desk.image, desk.viewer.dims), *at))

    do("mouse_press", path[0])
    for at in path[1:-1]:
        do("mouse_move", at)
    pause()
    do("mouse_move", path[-1])
    do("mouse_release", path[-1])
    desk.qtbot.wait(20)
