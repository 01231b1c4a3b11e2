"""What napari learns about the plugin from its manifest, and the reader and sample it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image
from npe2 import PluginManifest

from napari_ocean.demo import demo_clip
from napari_ocean.plugin import reader
from napari_ocean.plugin.sample import sample_clip


@pytest.fixture
def manifest() -> PluginManifest:
    import napari_ocean

    return PluginManifest.from_file(Path(napari_ocean.__file__).parent / "napari.yaml")


def test_every_command_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert {widget.display_name for widget in manifest.contributions.widgets} == {"Ocean"}
    assert set(manifest.contributions.menus) == {"napari/layers/track", "napari/layers/annotate"}


def test_the_reader_takes_what_the_manifest_promises(manifest: PluginManifest) -> None:
    (contribution,) = manifest.contributions.readers
    for pattern in contribution.filename_patterns:
        assert reader.get_reader(pattern.replace("*", "clip")) is not None
    assert reader.get_reader("clip.png") is None
    assert reader.get_reader(["a.mp4", "b.mp4"]) is None


def test_a_film_becomes_a_lazy_image_layer(tmp_path: Path) -> None:
    import imageio.v3 as iio

    frames = demo_clip(n_frames=10, height=120, width=160).frames
    path = tmp_path / "walk.mp4"
    iio.imwrite(path, frames, plugin="pyav", codec="libx264", fps=25)
    read = reader.get_reader(str(path))
    assert read is not None
    ((data, settings, kind),) = read(str(path))
    layer = Image(data, **settings)
    assert (kind, layer.name, layer.rgb, layer.data.shape) == ("image", "walk", True, frames.shape)
    assert not isinstance(data, np.ndarray)
    error = np.abs(np.asarray(data[7]).astype(int) - frames[7]).mean()
    assert error < 12


def test_a_broken_film_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(reader, "show_error", told.append)
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film")
    assert reader.read_film(str(path)) == [(None,)]
    assert "broken.mp4" in told[0]


def test_sample_data() -> None:
    ((frames, settings, kind),) = sample_clip()
    assert kind == "image"
    assert Image(frames, **settings).ndim == 3
