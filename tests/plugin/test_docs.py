"""The table of what the plugin can do names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "plugin.md").read_text().partition("## What it can do")[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)


def test_every_yes_names_a_test_and_every_test_exists() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 29
    for row in rows:
        assert "::" in row or "| no |" in row, row
    for path, name in NAMED:
        assert f"def {name}(" in (ROOT / path).read_text(), (path, name)
