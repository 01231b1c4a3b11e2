"""Ocean in napari: the only folder that knows napari, Qt and magicgui.

Without Qt: ``layers.py`` reads and makes layers; ``session.py`` keeps an annotation and its layer
in step, with ``view.py`` as the layer's side and ``prompts.py`` for layers of the user's own;
``sessions.py`` says which session an image has, ``pending.py`` which boxes wait for a run, and
``plan.py`` what a press on Track means.
With Qt: ``widget.py`` puts everything together: the sessions of a viewer (``held.py``), the runs
(``runner.py``; ``run.py`` is one of them, ``worker.py`` its thread), what the commands do
(``commands.py``), how they are reached from the keyboard (``keys.py``), and the offer to resume
(``recovery.py``). The form is ``controls.py`` with ``choices.py``, ``naming.py`` and ``elided.py``;
its panels know plain data only (``strip.py``, ``objects.py``, ``review_panel.py``) and are filled
by ``dashboard.py``. ``files.py`` saves and opens boxes, ``preferences.py`` what napari keeps for
us. ``reader.py`` and ``sample.py`` are napari's way to videos and to the demo clip.
"""

from __future__ import annotations


def open_demo() -> None:
    """Open napari on the demo clip with a box drawn and tracking started; return when closed."""
    import napari

    from napari_ocean.plugin.demo import start_demo

    start_demo()
    napari.run()
