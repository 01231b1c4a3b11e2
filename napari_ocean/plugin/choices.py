"""What the fields of the form offer (images, layers, frames), and what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from napari.layers import Image, Layer, Shapes

from napari_ocean.errors import TracksError
from napari_ocean.plugin import layers, sessions
from napari_ocean.plugin.controls import Controls
from napari_ocean.plugin.plan import Direction, Leg, Reach, plan
from napari_ocean.plugin.session import Session

NEW_LAYER = "new boxes layer"
"""Choice of the boxes field while the image has no boxes layer yet."""


class Choices:
    """Keeps the fields of a form in step with the layers of a viewer.

    Parameters
    ----------
    controls : Controls
    """

    def __init__(self, controls: Controls) -> None:
        self._on = controls
        self._set_for: tuple[Image, int] | None = None

    def offer_images(self, there: Sequence[Layer]) -> None:
        """Offer all images; what was chosen stays, else the last film is taken."""
        combo = self._on.image
        images = [layer for layer in there if isinstance(layer, Image)]
        films = [layer for layer in images if layer.ndim > 2] or images
        before = combo.value
        combo.choices = [(layer.name, layer) for layer in images]
        if images:
            combo.value = before if before in images else films[-1]

    def offer_parts(
        self, image: Image, session: Session | None, there: Sequence[Layer], added: Any
    ) -> None:
        """Offer the layers to draw in and the frames of an image.

        Layers with the boxes of another image are left out. What was chosen stays as long as the
        image does. Another image has its own boxes layer or none; on the first one, all that was
        drawn before counts.

        Parameters
        ----------
        image : napari.layers.Image
            The chosen one.
        session : Session, optional
            Its session, if it has one.
        there : sequence of napari.layers.Layer
            All layers of the viewer.
        added : object
            The layer that has just been added, if one was.
        """
        shapes = [
            layer
            for layer in there
            if isinstance(layer, Shapes) and not sessions.belongs_elsewhere(layer, image, there)
        ]
        before, self._set_for = self._set_for, (image, layers.n_frames(image))
        if before is None:
            added = shapes[-1] if shapes else None
        kept = self._on.shapes.value if before is not None and before[0] is image else None
        if kept not in shapes:
            kept = session.layer if session is not None else added if added in shapes else None
        new = [(NEW_LAYER, None)] if session is None else []
        self._on.shapes.choices = [*new, *((layer.name, layer) for layer in shapes)]
        self._on.shapes.value = kept
        if before != self._set_for:
            last = layers.n_frames(image) - 1
            for spin, value in ((self._on.first, 0), (self._on.last, last)):
                spin.max = last
                spin.value = value

    def offer_nothing(self) -> None:
        """There is no clip: nothing to draw in."""
        self._on.shapes.choices = []
        self._set_for = None

    def frames(self, frame: int) -> tuple[int, int]:
        """Frames to track, in ``range`` manner, as seen from the frame in view.

        Raises
        ------
        TracksError
            If there are none.
        """
        start, stop, at_most = self._on.first.value, self._on.last.value + 1, self._on.at_most.value
        if start >= stop:
            raise TracksError("The range is empty: its last frame lies before its first one.")
        if at_most:
            start, stop = max(start, frame - at_most), min(stop, frame + at_most + 1)
        if start >= stop:
            raise TracksError(
                f"Frame {frame} lies outside the range by more than the {at_most} frames to track "
                "on either side; go to a frame of the range, or widen it."
            )
        return start, stop

    def legs(
        self,
        session: Session,
        direction: Direction,
        reach: Reach,
        frame: int,
        chosen: Collection[int],
    ) -> list[Leg]:
        """What to track, as the form says it (:func:`~.plan.plan`), from the frame in view.

        Parameters
        ----------
        session : Session
        direction : Direction
        reach : Reach
        frame : int
        chosen : collection of int
            Objects selected in the list.
        """
        start, stop = self.frames(frame)
        who, selected = self._on.who.value, session.selected(frame)
        return plan(
            session.tracks,
            direction,
            frame=frame,
            start=start,
            stop=stop,
            pending=session.pending,
            selected=selected or chosen,
            who=who,
            reach=reach,
        )
