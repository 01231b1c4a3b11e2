"""A table of results, ours beside what others reached on the same frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_ocean.errors import DataError

Peers = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Results of other trackers: ``peers[sequence][tracker]["auc" | "corrections" | "frames"]``."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one tracker reached on one sequence; the first frame does not count."""

    sequence: str
    frames: int
    auc: float
    ao: float
    sr50: float
    corrections: int
    fps: float


def read_peers(path: Path) -> Peers:
    """Read a ``peers.json``.

    Raises
    ------
    DataError
        If it is not one.
    """
    try:
        peers = json.loads(path.read_text())
        return {s: {t: dict(of) for t, of in by.items()} for s, by in peers.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is not a file of peers' results: {error}.") from error


def as_json(results: Sequence[Result]) -> str:
    """Every number, for programs."""
    return json.dumps([asdict(result) for result in results], indent=1)


def as_markdown(results: Sequence[Result], peers: Peers | None = None) -> str:
    """Table of area under the success curve / corrections, a row per sequence.

    The last row holds the mean area over sequences and the corrections per 1000 frames.
    """
    peers = peers or {}
    names = list(dict.fromkeys(t for r in results for t in peers.get(r.sequence, {})))
    head = ["sequence", "frames", "napari-ocean", "frames/s", *names]
    rows: list[list[Any]] = []
    for result in results:
        others = [peers.get(result.sequence, {}).get(name, {}) for name in names]
        rows.append(
            [
                result.sequence,
                result.frames,
                _cell(result.auc, result.corrections),
                f"{result.fps:.0f}",
                *(_cell(of.get("auc"), of.get("corrections")) for of in others),
            ]
        )
    total = [
        "**mean AUC / corrections per 1000**",
        sum(r.frames for r in results),
        _summary([asdict(r) for r in results]),
        f"{sum(r.frames for r in results) / sum(r.frames / r.fps for r in results):.0f}",
        *(_summary([peers.get(r.sequence, {}).get(name, {}) for r in results]) for name in names),
    ]
    lines = [head, ["---"] * len(head), *rows, total]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(auc: float | None, corrections: float | None) -> str:
    first = "-" if auc is None else f"{auc:.3f}"
    return f"{first} / {'-' if corrections is None else int(corrections)}"


def _summary(of: Sequence[Mapping[str, Any]]) -> str:
    areas = [row["auc"] for row in of if "auc" in row]
    counted = [row for row in of if "corrections" in row]
    area = f"{sum(areas) / len(areas):.3f}" if areas else "-"
    frames = sum(row["frames"] for row in counted)
    per_1000 = f"{1000 * sum(r['corrections'] for r in counted) / frames:.1f}" if counted else "-"
    return f"{area} / {per_1000}"
