"""Ocean in napari: the only folder that knows napari, Qt and magicgui.

Without Qt: ``layers.py`` reads and makes layers; ``session.py`` keeps an annotation and its layer
in step, with ``view.py`` as the layer's side and ``prompts.py`` for layers of the user's own;
``sessions.py`` says which session an image has, ``plan.py`` what a press on Track means.
With Qt: ``worker.py`` tracks in a thread, ``run.py`` is one such run, ``controls.py`` the form,
``export.py`` the file dialog and ``widget.py`` what the form does. ``reader.py`` and ``sample.py``
are napari's way to videos and to the demo clip.
"""

from __future__ import annotations


def open_demo() -> None:
    """Open napari on the demo clip with a box drawn and tracking started; return when closed."""
    import napari

    from napari_ocean.plugin.demo import start_demo

    start_demo()
    napari.run()
