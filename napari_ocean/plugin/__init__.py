"""Ocean in napari: the only folder that knows napari, Qt and magicgui.

``layers.py`` reads and makes layers, ``session.py`` keeps a layer and the annotation in step,
``plan.py`` says what a press on Track means (all three without Qt); ``worker.py`` tracks in a
thread, ``run.py`` is one such run, ``controls.py`` the form and ``widget.py`` what it does.
``reader.py`` and ``sample.py`` are napari's way to videos and to the demo clip.
"""

from __future__ import annotations


def open_demo() -> None:
    """Open napari on the demo clip with a box drawn and tracking started; return when closed."""
    import napari

    from napari_ocean.plugin.demo import start_demo

    start_demo()
    napari.run()
