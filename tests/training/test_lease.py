"""What fills and empties a lent machine (``.ci/lease/lease.py``)."""

from __future__ import annotations

import os
from argparse import Namespace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture
def lease(tmp_path, monkeypatch) -> ModuleType:
    spec = spec_from_file_location("lease", ROOT / ".ci" / "lease" / "lease.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PIECES", tmp_path / "pieces")
    monkeypatch.setattr(module, "PLACE", tmp_path / "place")
    return module


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_files_arrive_and_those_that_would_be_one_are_refused(lease, tmp_path) -> None:
    one, other = (write(tmp_path / name / "clips.zip", name) for name in ("a", "b"))
    lease.pack(Namespace(files=[one], piece_mib=1, packages=[]))
    lease.receive(Namespace(number=1))
    assert (tmp_path / "place" / "data" / "clips.zip").read_text() == "a"
    large = write(tmp_path / "c" / "large.zip", "c" * (lease.MIB + 1))
    for files, told in (([one, other], "called clips.zip"), ([one, large], "larger than a piece")):
        with pytest.raises(SystemExit, match=told):
            lease.pack(Namespace(files=files, piece_mib=1, packages=[]))
        assert (tmp_path / "pieces" / "1" / "clips.zip").is_file()


def test_a_training_that_runs_is_not_started_again(lease, tmp_path) -> None:
    config = write(tmp_path / "lite.json", "{}")
    write(tmp_path / "place" / "lite" / "pid", str(os.getpid()))
    with pytest.raises(SystemExit, match="lite is training"):
        lease.start(Namespace(runs=[f"lite={config}"], device="cpu"))
    with pytest.raises(SystemExit, match="No piece with ImageNet weights"):
        lease.start(Namespace(runs=[f"other={config}"], device="cpu"))


def test_parts_are_joined_unless_one_is_missing(lease, tmp_path) -> None:
    for number in (0, 1, 2):
        write(tmp_path / "parts" / f"lite.safetensors.{number:02d}", f"{number}")
    given = Namespace(folder=tmp_path / "parts", to=tmp_path)
    lease.join(given)
    assert (tmp_path / "lite.safetensors").read_text() == "012"
    (tmp_path / "parts" / "lite.safetensors.01").unlink()
    with pytest.raises(SystemExit, match="a part is missing"):
        lease.join(given)
