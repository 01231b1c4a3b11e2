"""Settings of the plugin in napari's Preferences."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from npe2 import PluginManifest

import napari_ocean
from napari_ocean.plugin import preferences
from napari_ocean.plugin.preferences import Preferences, weights_of


def test_the_manifest_has_the_same_settings_and_defaults() -> None:
    manifest = PluginManifest.from_file(Path(napari_ocean.__file__).parent / "napari.yaml")
    declared = {
        name: of.default
        for part in manifest.contributions.configurations.values()
        for name, of in part.properties.items()
    }
    default = Preferences()
    assert declared == {name: getattr(default, name) for name in Preferences.__slots__}


@pytest.mark.parametrize("error", [AttributeError, KeyError])
def test_without_napari_s_settings_the_defaults_hold(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(name: str) -> object:
        raise error(name)

    monkeypatch.setattr(preferences, "import_module", fail)
    assert preferences.load() == Preferences()


def test_what_a_person_has_set_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    of = SimpleNamespace(
        tracking=SimpleNamespace(device="cpu", model="ocean", weights_folder="/w"),
        saving=SimpleNamespace(autosave=False),
    )
    settings = SimpleNamespace(get_plugin_settings={"napari-ocean": of}.__getitem__)
    monkeypatch.setattr(preferences, "import_module", lambda name: settings)
    want = Preferences(device="cpu", model="ocean", weights_folder="/w", autosave=False)
    assert preferences.load() == want


def test_weights_in_the_folder_come_first(tmp_path: Path) -> None:
    assert weights_of("ocean", str(tmp_path)) == "ocean"
    (tmp_path / "ocean.pth").write_bytes(b"weights")
    assert weights_of("ocean", str(tmp_path)) == str(tmp_path / "ocean.pth")
    assert weights_of("ocean", "") == "ocean"
