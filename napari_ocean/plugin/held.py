"""The sessions that one widget works with: found, begun, and let go of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Image, Shapes
from psygnal import Signal

from napari_ocean.plugin import sessions
from napari_ocean.plugin.session import Session


class Held:
    """One session for each image that has boxes.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    begun = Signal(Session)
    """Connect to it."""

    ending = Signal(Session)
    """Disconnect from it."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._sessions: dict[Image, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        """All sessions."""
        return iter(list(self._sessions.values()))

    def get(self, image: Image | None) -> Session | None:
        """Session of an image, None before there is one."""
        return None if image is None else self._sessions.get(image)

    def find(self, image: Image) -> Session | None:
        """Session of an image; it takes up a boxes layer that is already in the viewer."""
        if image not in self._sessions and image.ndim > 2:
            layer = sessions.boxes_layer_of(image, self._viewer.layers)
            if layer is not None:
                self.begin(image, layer)
        return self._sessions.get(image)

    def begin(self, image: Image, layer: Shapes | None) -> Session:
        """Begin a session, or join the one that another widget has begun."""
        session = self._sessions[image] = sessions.join(image, layer)
        self.begun.emit(session)
        return session

    def show(self, session: Session) -> None:
        """Make sure that the session's layer is in the viewer."""
        if session.layer not in self._viewer.layers:
            self._viewer.add_layer(session.layer)

    def take_over(self, by: Callable[[Session], None]) -> list[Session]:
        """Bring all sessions in step with their layers; return those where a person drew.

        Parameters
        ----------
        by : callable
            ``Session.pull``, or ``Session.flush``, which reads no layer that was left alone.
        """
        drawn = [session for session in self if session.view.touched]
        for session in self:
            by(session)
        return drawn

    def forget(self, session: Session) -> None:
        """Let go of a session; its layer stays as it is."""
        del self._sessions[session.image]
        self.ending.emit(session)
        sessions.leave(session)
