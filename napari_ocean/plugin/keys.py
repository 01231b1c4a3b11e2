"""What can be done from the keyboard, the command palette and the Layers menus, in one list.

napari ignores the key bindings of a manifest, so they are bound here, while a widget is open, and
taken back when it closes. All of them are bound to the viewer, where the keys of napari's layers go
before ours; only T is bound to the layers that boxes are drawn in too, in the place of a tool that
draws open lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import napari
from app_model import Application
from app_model.types import Action, MenuRule, OperatingSystem
from napari._app_model import get_app_model  # the one way to the command palette
from napari.layers import Shapes
from napari.utils.key_bindings import coerce_keybinding

TRACK, MARK, REVIEW, EDIT, FILE = "Track", "Mark", "Review", "Edit", "File"


@dataclass(frozen=True, slots=True)
class Command:
    """Something a person can do by its name, and mostly with one key.

    Attributes
    ----------
    name : str
        Its name in code; with ``napari-ocean.`` before it, that in the command palette.
    group : str
        Its part of the cheat-sheet.
    key : str
        As napari writes keys, outside of a Mac (:func:`native`); empty for none.
    title : str
        What it does, for menus, palette and cheat-sheet.
    """

    name: str
    group: str
    key: str
    title: str


COMMANDS = (
    Command("draw", TRACK, "W", "Draw a box"),
    Command("forward", TRACK, "T", "Track forwards"),
    Command("backward", TRACK, "Shift+T", "Track backwards"),
    Command("both", TRACK, "G", "Track in both directions"),
    Command("to_keyframe", TRACK, "U", "Track up to the next keyframe"),
    Command("between", TRACK, "J", "Join the keyframes on both sides: fuse two runs"),
    Command("interpolate", TRACK, "Shift+J", "Interpolate between the keyframes on both sides"),
    Command("pause", TRACK, "H", "Hold the run, or let it go on"),
    Command("stop", TRACK, "Q", "Stop the run; what was found stays"),
    Command("keyframe", MARK, "K", "Take the box as it is for a keyframe"),
    Command("absent", MARK, "O", "Out of view on this frame; again: in view from here on"),
    Command("absent_on", MARK, "Alt+O", "Out of view from here up to the next box of yours"),
    Command("occluded", MARK, "Shift+O", "Hidden by something on this frame, or not"),
    Command("start_here", MARK, "[", "Begin the object on this frame"),
    Command("end_here", MARK, "]", "End the object on this frame"),
    Command("delete_box", MARK, "Shift+K", "Delete the object's box on this frame"),
    Command(
        "clear_on",
        MARK,
        "Alt+K",
        "Delete the tracked boxes after this frame, up to the next box of yours",
    ),
    Command("next_flag", REVIEW, "N", "Go to the next flagged frame"),
    Command("previous_flag", REVIEW, "Shift+N", "Go to the flagged frame before"),
    Command("fine", REVIEW, "M", "Mark as fine and go to the next flagged frame"),
    Command("next_keyframe", REVIEW, ".", "Go to the next keyframe"),
    Command("previous_keyframe", REVIEW, ",", "Go to the keyframe before"),
    Command("middle", REVIEW, "Alt+J", "Go to the middle between the keyframes on both sides"),
    Command("ahead", REVIEW, "Alt+Right", "Go ten frames ahead"),
    Command("back", REVIEW, "Alt+Left", "Go ten frames back"),
    Command("undo", EDIT, "Ctrl+Z", "Undo"),
    Command("redo", EDIT, "Ctrl+Shift+Z", "Redo"),
    Command("split", EDIT, "", "Split the object: the boxes from this frame on are a new one's"),
    Command("join", EDIT, "", "Merge the selected objects into the first of them"),
    Command("delete", EDIT, "", "Delete the object with all its boxes"),
    Command("keys", EDIT, "F1", "Show all keys"),
    Command("load", FILE, "", "Open boxes…"),
    Command("export", FILE, "", "Save boxes…"),
)
"""All commands; the order is that of the cheat-sheet."""

BY_NAME = {command.name: command for command in COMMANDS}

_MENUS = {TRACK: "napari/layers/track"}
_OTHER_MENU = "napari/layers/annotate"

_open: WeakKeyDictionary[Shortcuts, None] = WeakKeyDictionary()
"""Everybody whose keys are bound, the newest last; the commands go to the newest of a viewer."""

_offered: list[tuple[Application, Callable[[], None]]] = []
"""The application whose palette and menus have the commands, and what takes them out again."""


class Shortcuts:
    """The keys, menu entries and palette commands of one widget.

    Parameters
    ----------
    viewer : napari.Viewer
    run : callable
        Gets the name of the command.
    """

    def __init__(self, viewer: Any, run: Callable[[str], None]) -> None:
        self.viewer = viewer
        self.run = run
        self._layers: list[Shapes] = []  # one may be claimed twice
        self._drawn_in: Shapes | None = None

    def bind(self) -> None:
        """Bind all keys and offer all commands; the newest widget of a viewer gets them."""
        for command in COMMANDS:
            if command.key:
                act = partial(_call, self.viewer, command.name)
                self.viewer.bind_key(native(command.key), _ignoring_owner(act), overwrite=True)
        _open[self] = None
        _offer()

    def unbind(self) -> None:
        """Take everything back that nobody else uses."""
        for layer in list(self._layers):
            self.release(layer)
        _open.pop(self, None)
        if not any(other.viewer is self.viewer for other in _open):
            for command in COMMANDS:
                if command.key:
                    self.viewer.bind_key(native(command.key), None)
        if not len(_open):
            _withdraw()

    def claim(self, layer: Shapes) -> None:
        """Give the commands' keys priority over napari's tools in a layer."""
        self._layers.append(layer)
        for command in _shadowing():
            act = partial(_call, self.viewer, command.name)
            layer.bind_key(command.key, _ignoring_owner(act), overwrite=True)

    def draw_in(self, layer: Shapes | None) -> None:
        """Claim the layer that a person has chosen to draw in, in the place of the one before."""
        before, self._drawn_in = self._drawn_in, layer
        if layer is not None:
            self.claim(layer)
        if before is not None:
            self.release(before)

    def release(self, layer: Shapes) -> None:
        """Give a layer napari's keys back, unless it is claimed by somebody else too."""
        if layer in self._layers:
            self._layers.remove(layer)
            if not any(layer in other._layers for other in _open):
                for command in _shadowing():
                    layer.bind_key(command.key, None)


def native(keys: str) -> str:
    """Keys as this system has them: Cmd and Option on a Mac, where others have Ctrl and Alt."""
    if OperatingSystem.current().is_mac:
        return keys.replace("Ctrl", "Cmd").replace("Alt", "Option")
    return keys


def tip(text: str, name: str) -> str:
    """Tool tip that names the key of a command, where it has one."""
    key = BY_NAME[name].key
    return f"{text} ({pretty(key)})" if key else text


def pretty(key: str) -> str:
    """Write a key as people read it: ``Shift + T``, ``Ctrl + Z``."""
    return native(key).replace("+", " + ")


def cheat_sheet(commands: Iterable[Command] = COMMANDS) -> str:
    """All keys as an HTML table."""
    groups: dict[str, list[Command]] = {}
    for command in (one for one in commands if one.key):
        groups.setdefault(command.group, []).append(command)
    rows = []
    for group, of in groups.items():
        rows.append(f"<tr><td colspan=2><b>{group}</b></td></tr>")
        rows += [
            f"<tr><td align=right><code>{escape(pretty(one.key))}</code>&nbsp;&nbsp;</td>"
            f"<td>{escape(one.title)}</td></tr>"
            for one in of
        ]
    return f"<table cellpadding=2>{''.join(rows)}</table>"


def _offer() -> None:
    """Put the commands into palette and menus, unless they are there."""
    app = get_app_model()
    if not any(where is app for where, _ in _offered):
        take_back = app.register_actions([_action(command) for command in COMMANDS])
        _offered[:] = [(app, take_back)]


def _withdraw() -> None:
    """Take the commands out of palette and menus."""
    app = get_app_model()
    while _offered:
        where, take_back = _offered.pop()
        if where is app:  # another one is gone, and its menus with it
            take_back()


def _shadowing() -> list[Command]:
    """Commands whose key is one of napari's in a Shapes layer."""
    taken = Shapes.class_keymap
    return [one for one in COMMANDS if one.key and coerce_keybinding(one.key) in taken]


def _ignoring_owner(act: Callable[[], None]) -> Callable[[Any], None]:
    """Make a function that napari can call with the viewer or the layer."""

    def pressed(owner: Any) -> None:
        act()

    return pressed


def _call(viewer: Any, name: str) -> None:
    """Run a command in the newest widget of a viewer."""
    mine = [one for one in _open if one.viewer is viewer or viewer is None]
    if mine:
        mine[-1].run(name)


def _action(command: Command) -> Action[[], None]:
    menu = _MENUS.get(command.group, _OTHER_MENU)
    return Action(
        id=f"napari-ocean.{command.name}",
        title=f"{command.title} (Ocean)",
        callback=partial(_call_current, command.name),
        menus=[MenuRule(id=menu, group=command.group)],
    )


def _call_current(name: str) -> None:
    _call(napari.current_viewer(), name)
