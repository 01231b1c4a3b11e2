"""The annotation workflow without its windows: edits, undo, interpolation, review and autosave.

All of it works on :class:`napari_ocean.tracks.Tracks`, with numpy and the standard library only.
"""
