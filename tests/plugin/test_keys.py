"""Keys and palette commands in a real viewer: there while a widget is open, gone afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from app_model.types import OperatingSystem
from app_model.types import _constants as constants
from napari._app_model import get_app_model
from napari.components.viewer_model import ViewerModel
from napari.layers import Shapes
from napari.utils.key_bindings import _vispy2appmodel, coerce_keybinding
from vispy.util import keys

from napari_ocean.plugin.keys import COMMANDS, Shortcuts, cheat_sheet, native, tip

KEYED = [command for command in COMMANDS if command.key]
KEYS = {coerce_keybinding(command.key): command for command in KEYED}


class Rig:
    """A viewer, and what the shortcuts ask for."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.asked: list[str] = []
        self.shortcuts = Shortcuts(viewer, self.asked.append)

    def press(self, key: str) -> None:
        self.viewer.window._qt_viewer._key_map_handler.press_key(key)


@pytest.fixture
def rig(make_napari_viewer: Any) -> Any:
    rig = Rig(make_napari_viewer())
    yield rig
    rig.shortcuts.unbind()


def palette() -> dict[str, Any]:
    menus = get_app_model().menus
    items = menus.get_menu(menus.COMMAND_PALETTE_ID)
    return {item.command.id: item.command for item in items if "ocean." in item.command.id}


def test_no_key_is_given_twice() -> None:
    assert len(KEYS) == len(KEYED)
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.usefixtures("rig")  # napari binds its keys with the first viewer
def test_only_t_takes_the_place_of_a_key_of_napari() -> None:
    taken = {**ViewerModel.class_keymap, **Shapes.class_keymap}
    taken |= {kb.keybinding: kb for kb in get_app_model().keybindings}
    assert {str(key) for key in KEYS} & {str(key) for key in taken} == {"T"}
    assert len(taken) > 40


def test_keys_live_as_long_as_the_widget(rig: Rig) -> None:
    before = dict(rig.viewer.keymap)
    rig.press("N")
    rig.shortcuts.bind()
    for command in KEYED:
        rig.press(command.key)
    assert rig.asked == [command.name for command in KEYED]
    rig.shortcuts.unbind()
    rig.press("N")
    assert rig.asked[-1] == KEYED[-1].name
    assert dict(rig.viewer.keymap) == before


def test_t_tracks_in_a_claimed_layer_and_draws_paths_in_others(rig: Rig) -> None:
    boxes, own = rig.viewer.add_shapes(ndim=3), rig.viewer.add_shapes(ndim=3)
    rig.shortcuts.bind()
    rig.shortcuts.claim(boxes)
    rig.press("T")
    assert (rig.asked, own.mode) == ([], "add_path")
    rig.viewer.layers.selection.active = boxes
    rig.press("T")
    assert (rig.asked, boxes.mode) == (["forward"], "pan_zoom")
    rig.shortcuts.release(boxes)
    rig.press("T")
    assert (rig.asked, boxes.mode) == (["forward"], "add_path")


def test_layers_keep_their_own_undo(rig: Rig) -> None:
    import numpy as np

    rig.shortcuts.bind()
    labels = rig.viewer.add_labels(np.zeros((5, 5), dtype=int))
    labels.fill((0, 0), 3)
    rig.press("Ctrl+Z")
    assert rig.asked == []
    assert labels.data[0, 0] == 0


def test_the_palette_and_the_menus_have_every_command(rig: Rig) -> None:
    assert not any(f"napari-ocean.{command.name}" in palette() for command in COMMANDS)
    rig.shortcuts.bind()
    for command in COMMANDS:
        assert command.title in palette()[f"napari-ocean.{command.name}"].title
    get_app_model().commands.execute_command("napari-ocean.next_flag").result()
    assert rig.asked == ["next_flag"]
    menus = get_app_model().menus
    track = [item.command.id for item in menus.get_menu("napari/layers/track")]
    annotate = [item.command.id for item in menus.get_menu("napari/layers/annotate")]
    assert "napari-ocean.forward" in track
    assert {"napari-ocean.absent", "napari-ocean.load", "napari-ocean.export"} <= set(annotate)
    rig.shortcuts.unbind()
    assert "napari-ocean.next_flag" not in palette()


def test_of_two_widgets_the_newer_one_gets_the_keys(rig: Rig) -> None:
    asked: list[str] = []
    second = Shortcuts(rig.viewer, asked.append)
    rig.shortcuts.bind()
    second.bind()
    rig.press("K")
    assert (rig.asked, asked) == ([], ["keyframe"])
    second.unbind()
    rig.press("K")
    assert (rig.asked, asked) == (["keyframe"], ["keyframe"])
    assert "napari-ocean.keyframe" in palette()


def test_on_a_mac_keys_are_those_of_a_mac(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "_CURRENT", OperatingSystem.MACOS)
    rig.shortcuts.bind()
    for modifiers, key in (([keys.CONTROL], "Z"), ([keys.CONTROL, keys.SHIFT], "Z")):
        pressed = SimpleNamespace(key=SimpleNamespace(name=key), modifiers=modifiers)
        rig.press(_vispy2appmodel(pressed))  # Qt says Control where a Mac has Cmd
    rig.press("Option+O")
    assert rig.asked == ["undo", "redo", "absent_on"]
    assert tip("Undo: Draw dog", "undo") == "Undo: Draw dog (Cmd + Z)"
    assert "Option + O" in cheat_sheet()
    assert native("Ctrl + click") == "Cmd + click"
    rig.shortcuts.unbind()
    assert not [key for key in rig.viewer.keymap if "Meta" in str(key)]


def test_the_cheat_sheet_and_the_tips_name_the_keys() -> None:
    sheet = cheat_sheet()
    for command in KEYED:
        assert command.key.replace("+", " + ") in sheet
    assert tip("Undo: Draw dog", "undo") == "Undo: Draw dog (Ctrl + Z)"
    assert tip("Open a file.", "load") == "Open a file."
