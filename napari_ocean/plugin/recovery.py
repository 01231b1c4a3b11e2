"""Offers in the dock what was saved of a clip, when the clip is opened again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from weakref import ReferenceType, WeakKeyDictionary, WeakSet, ref

import numpy as np
import platformdirs
from napari.layers import Image
from psygnal import Signal

from napari_ocean.annotation import sidecar
from napari_ocean.annotation.sidecar import Place
from napari_ocean.errors import OceanError, TracksError
from napari_ocean.plugin import saving
from napari_ocean.plugin.controls import Controls
from napari_ocean.plugin.layers import SAME_PX
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.words import counted
from napari_ocean.tracks import Tracks


def user_folder() -> Path:
    """Where autosaves go that cannot lie beside their video."""
    return platformdirs.user_data_path("napari-ocean", appauthor=False) / "annotations"


class Recovery:
    """A bar at the top of the form with two buttons; it is there only when it is needed.

    Parameters
    ----------
    controls : Controls
    on : bool
        Whether a person wants autosave at all.
    open_session : callable
        Returns the session of the image in view, beginning it if there is none.
    """

    warned = Signal(str)
    """A sentence for the user."""

    resumed = Signal(dict)
    """Where the person was, as it was noted."""

    def __init__(
        self, controls: Controls, *, on: bool, open_session: Callable[[], Session]
    ) -> None:
        self._bar = controls.saved
        self._text = controls.saved_text
        self._on = on
        self._open_session = open_session
        self._looked_at: WeakSet[Image] = WeakSet()
        self._offers: WeakKeyDictionary[Image, Place] = WeakKeyDictionary()
        self._in_view: ReferenceType[Image] | None = None
        controls.resume.clicked.connect(self.resume)
        controls.decline.clicked.connect(self.decline)

    def look(self, image: Image | None) -> None:
        """See whether there is something to go on with; once for each image."""
        self._in_view = image and ref(image)
        self._show()
        if image is None:
            return
        if not self._on or image in self._looked_at or saving.is_kept(image):
            return
        self._looked_at.add(image)
        try:
            place = saving.locate(image, saving.clip_of(image), user_folder())
        except OceanError as error:
            self.warned.emit(str(error))
            return
        if place.problem:
            self.warned.emit(place.problem)
        self._ask(image, place)

    def begin(self, session: Session) -> None:
        """Have a session autosaved from now on.

        If the layer shows nothing but what was saved, the person has only closed the window in
        between, and goes on without being asked.
        """
        session.saving = self._on
        if not self._on or session.place is not None:  # found by another widget
            return
        self._looked_at.add(session.image)
        try:
            place = session.find_saved(user_folder())
        except OceanError as error:
            self.warned.emit(str(error))
            return
        session.changed.connect(partial(self._withdraw, session.image))
        if place.saved is not None and _holds(place.saved.tracks, session.tracks):
            session.resume()
        else:
            self._ask(session.image, place)

    def forget(self, session: Session) -> None:
        """Look again for what was saved of a clip whose boxes have left the viewer."""
        self._looked_at.discard(session.image)
        self._offers.pop(session.image, None)

    def resume(self) -> None:
        """Go on where the person was; what is on the screen and was not saved is kept beside it."""
        self._answer(self._go_on)

    def decline(self) -> None:
        """Begin anew; what was saved is kept under another name."""
        self._answer(lambda session: session.decline())

    def _go_on(self, session: Session) -> None:
        if session.in_run:
            raise TracksError("This video is being tracked; stop that run first.")
        place = self._offers.get(session.image)
        if place and place.saved and not _contains(place.saved.tracks, session.tracks):
            copy = sidecar.keep_copy(place.path, session.tracks)
            self.warned.emit(f"The boxes that stood here are kept as {copy.name}.")
        self.resumed.emit(session.resume())

    def _ask(self, image: Image, place: Place) -> None:
        """Offer what was saved of an image, if there is anything."""
        self._offers.pop(image, None)
        if place.saved is not None and place.saved.tracks.object_ids:
            self._offers[image] = place
        self._show()

    def _answer(self, act: Callable[[Session], object]) -> None:
        try:
            session = self._open_session()
            act(session)
        except OceanError as error:
            self.warned.emit(str(error))
        else:
            self._withdraw(session.image)

    def _withdraw(self, image: Image, _ids: object = None) -> None:
        """Ask no longer: what was saved is in use, or set aside by the first change."""
        self._offers.pop(image, None)
        self._show()

    def _show(self) -> None:
        """Have the bar there if something is offered of the image in view."""
        image = self._in_view and self._in_view()
        place = None if image is None else self._offers.get(image)
        if place is not None and place.path in saving.in_use(image):
            place = None  # another layer shows the same clip, and goes on with it
        if place is not None and place.saved is not None:
            tracks = place.saved.tracks
            boxes = counted(len(tracks), "box", "es")
            objects = counted(len(tracks.object_ids), "object")
            self._text.setText(f"There is earlier work on this video: {boxes} of {objects}.")
            self._text.setToolTip(str(place.path))
        self._bar.setVisible(place is not None)


def _holds(saved: Tracks, shown: Tracks) -> bool:
    """Whether there are boxes on the screen, and all of them were saved."""
    return len(shown) == len(saved) > 0 and _contains(saved, shown)


def _contains(saved: Tracks, shown: Tracks) -> bool:
    """Whether all boxes on the screen were saved as they are."""
    for row in shown.rows():
        known = saved.get(row.object_id, row.frame) if row.object_id in saved.object_ids else None
        if known is None or not np.allclose(known.box_xyxy, row.box.box_xyxy, atol=SAME_PX):
            return False
    return True
