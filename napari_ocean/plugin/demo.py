"""The demo: a viewer on the built-in clip, a box drawn, tracking running."""

from __future__ import annotations

import napari

from napari_ocean.demo import demo_clip
from napari_ocean.plugin import layers
from napari_ocean.plugin.plan import Direction
from napari_ocean.plugin.widget import OceanWidget


def start_demo(viewer: napari.Viewer | None = None) -> OceanWidget:
    """Show the demo clip, draw a box on its first frame and begin to track it forwards.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        Viewer to show it in; a new one by default.

    Returns
    -------
    OceanWidget
        The docked widget, its run started.
    """
    viewer = napari.Viewer() if viewer is None else viewer
    clip = demo_clip()
    image = viewer.add_image(clip.frames, name="Ocean demo", rgb=True, axis_labels=("t", "y", "x"))
    widget = _dock(viewer)
    viewer.dims.set_current_step(0, 0)
    widget.draw()
    session = widget.session
    if session is not None:
        session.choose_next(0, "ladybird")
        session.layer.add_rectangles([layers.rectangle(0, clip.truth_xyxy[0], image)])
    widget.track(Direction.FORWARD)
    return widget


def _dock(viewer: napari.Viewer) -> OceanWidget:
    """Dock the widget as the menu does, so that the menu finds it and makes no second one."""
    try:
        _, widget = viewer.window.add_plugin_dock_widget("napari-ocean", "Ocean")
    except KeyError:  # napari does not know the plugin: it runs from a folder, not installed
        widget = OceanWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Ocean", area="right")
    docked: OceanWidget = widget
    return docked
