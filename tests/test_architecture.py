"""The house of docs/architecture.md; the arrows between rooms are checked by lint-imports."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "napari_ocean"
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        pytest.skip("not a git checkout, so untracked files cannot be told apart")
    return done.stdout.splitlines()


def test_the_top_level_is_as_told() -> None:
    top = {name.split("/")[0] for name in tracked()}
    shown = {name for name in top if not name.startswith(".")}
    assert shown == {"napari_ocean", "tests", "docs", "pyproject.toml", "setup.cfg", "README.md"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_can_be_read_in_one_go(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                assert (body[-1].end_lineno or 0) - body[0].lineno < 60, node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_every_folder_of_the_package_is_one() -> None:
    folders = {path.parent for path in MODULES}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    assert (PACKAGE / "py.typed").is_file()
    assert "MIT License" in (PACKAGE / "LICENSE").read_text()
