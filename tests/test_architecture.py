"""The house of docs/architecture.md; the arrows between rooms are checked by lint-imports."""

from __future__ import annotations

import ast
import re
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


OPENCV_FILES = {"imread", "imwrite", "imreadmulti", "VideoCapture", "VideoWriter", "FileStorage"}
"""What OpenCV opens by name, in which it knows no accents on Windows."""


def differs_by_system(call: ast.Call) -> bool:
    """Whether a call opens a text file in the system's own encoding, or a file by OpenCV."""
    what = ast.unparse(call.func)
    name = what.rpartition(".")[2]
    if what.startswith("cv2."):
        return name in OPENCV_FILES
    if any(of.arg == "encoding" for of in call.keywords) or what == "av.open":
        return False
    words = [of.value for of in call.args if isinstance(of, ast.Constant)]
    modes = [of for of in words if isinstance(of, str) and re.fullmatch(r"[rwax][bt+]*", of)]
    if name == "open":
        return any("b" not in mode for mode in modes)
    return name in ("read_text", "write_text")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_opened_alike_on_every_system(path: Path) -> None:
    calls = [of for of in ast.walk(ast.parse(path.read_text())) if isinstance(of, ast.Call)]
    assert [ast.unparse(call) for call in calls if differs_by_system(call)] == []


def test_commands_of_the_readme_can_be_copied_into_any_shell() -> None:
    """On a Mac and in Windows' command prompt a comment would be taken for arguments."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(?:bash|bat)\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 3
    assert not [line for block in blocks for line in block.splitlines() if "#" in line]
