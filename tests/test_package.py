from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from importlib import metadata

import pytest
from packaging.requirements import Requirement

import napari_ocean
from napari_ocean import errors
from tests.conftest import ROOT


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it printed; it must not warn."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_import_is_light() -> None:
    code = "import sys, napari_ocean; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = set(fresh(code).split())
    assert loaded.isdisjoint({"torch", "napari", "qtpy", "magicgui", "cv2", "numpy", "av"})


def test_import_is_fast() -> None:
    code = (
        "import time; t = time.perf_counter(); import napari_ocean; print(time.perf_counter() - t)"
    )
    assert min(float(fresh(code)) for _ in range(3)) < 0.3


def test_annotations_and_files_need_neither_torch_nor_napari() -> None:
    code = """
import sys, napari_ocean as no
no.Tracks, no.read, no.write, no.__version__
import napari_ocean.cli, napari_ocean.demo
print([name for name in ("torch", "napari", "qtpy", "magicgui") if name in sys.modules])
"""
    assert fresh(code) == "[]"


def test_public_names_are_there_and_nothing_else() -> None:
    assert set(napari_ocean.__all__) <= set(dir(napari_ocean))
    for name in napari_ocean.__all__:
        assert getattr(napari_ocean, name) is getattr(napari_ocean, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_ocean.nothing  # noqa: B018  # the access is what is tested


def test_the_version_is_that_of_the_installed_package() -> None:
    assert napari_ocean.__version__ == metadata.version("napari-ocean")


def test_entry_points() -> None:
    points = {(point.group, point.value) for point in metadata.entry_points(name="napari-ocean")}
    assert ("console_scripts", "napari_ocean.cli:main") in points
    assert ("napari.manifest", "napari_ocean:napari.yaml") in points


def test_no_qt_binding_is_required() -> None:
    requires = metadata.requires("napari-ocean") or []
    bindings = [line for line in requires if line.lower().startswith(("pyqt", "pyside"))]
    assert bindings
    assert all("extra ==" in line for line in bindings)


def test_every_error_is_an_ocean_error() -> None:
    classes = [of for of in vars(errors).values() if isinstance(of, type)]
    assert len(classes) > 5
    assert all(issubclass(of, errors.OceanError) for of in classes)


@pytest.mark.parametrize(
    ("extra", "old", "new"),
    [("gui", "6.10.2", "6.11.0"), ("pyqt6", "6.10.2", "6.11.0"), ("pyside6", "6.8.3", "6.9.3")],
)
def test_qt_on_windows_is_none_that_hinders_torch(extra: str, old: str, new: str) -> None:
    """Wheels of the old ones hold msvcp140.dll 14.26 or 14.39; PyTorch from 2.9 on needs 14.40."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options.extras_require"][extra].strip().splitlines()
    wanted = [Requirement(line) for line in lines]

    def allowed(version: str, platform: str) -> bool:
        of = [
            one
            for one in wanted
            if not one.marker or one.marker.evaluate({"sys_platform": platform})
        ]
        return all(one.specifier.contains(version) for one in of)

    assert allowed(new, "win32")
    assert not allowed(old, "win32")
    assert allowed(old, "linux")
