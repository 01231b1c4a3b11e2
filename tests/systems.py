"""What Windows and macOS do where Linux does not, imitated."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LONGEST = 259
"""Characters of a path on Windows."""


class Refusal(PermissionError):
    """A file that another program has open on Windows."""

    winerror = 32


def refuse(times: int, act: Callable[..., Any], error: OSError | None = None) -> Any:
    """A function that fails so many times before it does what `act` does."""
    left = [error or Refusal(13, "used by another process")] * times

    def tried(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return act(*args, **kwargs)

    return tried


class _Nt:
    """The module ``os`` as ``tempfile`` sees it on Windows, for a folder that cannot be written."""

    name = "nt"
    tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def access(self, *_: object) -> bool:
        return True

    def open(self, *_: object) -> int:
        self.tried += 1
        assert self.tried < 100, "it would try for hours"
        raise PermissionError(13, "Access is denied")


def refuse_new_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have Windows refuse new files in a folder, as a server does that others may only read."""
    monkeypatch.setattr(tempfile, "_os", _Nt())
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
    opened = Path.open

    def open_unless_new(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if path.parent == folder and mode[0] in "xwa" and not path.exists():
            raise PermissionError(13, "Access is denied")
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_unless_new)


def shorten_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no path over :data:`LONGEST`, as on a Windows that was not told otherwise."""
    for name in ("open", "lstat", "stat", "replace"):
        act = getattr(Path, name)

        def limited(path: Path, *args: Any, act: Any = act, **kwargs: Any) -> Any:
            if len(str(path)) > LONGEST:
                raise FileNotFoundError(2, "No such file or directory")
            return act(path, *args, **kwargs)

        monkeypatch.setattr(Path, name, limited)
