"""The report of a one-pass evaluation: every number as JSON, tables as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.evaluation.confidence import Confidence, confidence
from napari_ocean.evaluation.datasets import Sequence as Clip
from napari_ocean.evaluation.metrics import (
    CONVENTIONS,
    NUMBERS,
    Convention,
    Interval,
    Scores,
    bootstrap,
    mean,
    score,
    weights_of,
)
from napari_ocean.evaluation.runs import StartUp
from napari_ocean.evaluation.store import Record, Store

Peers = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Results of other trackers: ``peers[sequence][tracker]["auc" | "corrections" | "frames"]``."""

_HEADINGS = {
    "auc": "AUC",
    "ao": "AO",
    "sr50": "SR.50",
    "sr75": "SR.75",
    "precision": "precision 20 px",
    "normalized_precision": "norm. precision 0.2",
    "auc_true_size": "AUC, true size",
    "auc_true_center": "AUC, true centre",
}

_NOTHING_MS = 0.05  # a static box takes no time; its frames per second mean nothing
_SCORES_TEXT = (
    "## Scores\n\nIn brackets: 95 % bootstrap interval over sequences. *True size* and *true "
    "centre*: if every box had it, so that the larger gain shows what costs the most."
)
_CONFIDENCE_TEXT = (
    "## Confidence\n\nThe score as the chance of an overlap of 0.5: expected calibration error, "
    "and how well it tells wrong boxes from right ones (area under the ROC curve; 0.5 is chance)."
)
_SPEED_TEXT = (
    "## Speed\n\nThe trackers took turns on each decoded frame, on one thread, our network on two "
    "where there are two cores; start-up (to the first box taken in) and peak memory are of a "
    "process of its own."
)
_DIFFERENCES_TEXT = (
    "On the same sequences; where the 95 % interval holds 0, the order may be chance."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One tracker's results on all sequences.

    Attributes
    ----------
    name : str
    scores : dict of str to Scores
        By sequence.
    overall : Scores
        The mean that the benchmark's convention asks for.
    intervals : dict of str to Interval
        95 % bootstrap intervals over sequences of the overall numbers.
    confidence : Confidence
        Of all frames that count.
    median_ms, p95_ms : float
        Time of a frame without decoding, over all frames but the first ones.
    start_up : StartUp
    identity : dict
        What the tracker is: settings, weights, versions.
    """

    name: str
    scores: dict[str, Scores]
    overall: Scores
    intervals: dict[str, Interval]
    confidence: Confidence
    median_ms: float
    p95_ms: float
    start_up: StartUp
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """Several trackers on the same sequences; the first is the one others are compared with."""

    dataset: str
    root: str
    convention: Convention
    trackers: tuple[Measured, ...]
    machines: tuple[str, ...]


def collect(
    dataset: str,
    root: str,
    identities: Mapping[str, Mapping[str, Any]],
    start_ups: Mapping[str, StartUp],
    sequences: Sequence[Clip],
    store: Store,
) -> Report:
    """Score what is on disk.

    Parameters
    ----------
    dataset, root : str
    identities, start_ups : mapping
        By the trackers' names, in the order of the report.
    sequences : sequence of Sequence
        Those with true boxes.
    store : Store

    Raises
    ------
    DataError
        If a result is missing or cannot be scored.
    """
    records = {name: finished(name, sequences, store) for name in identities}
    convention = CONVENTIONS[dataset]
    return Report(
        dataset,
        root,
        convention,
        tuple(
            measure(name, found, sequences, convention, start_ups[name], identities[name])
            for name, found in records.items()
        ),
        tuple(sorted({r.machine for found in records.values() for r in found})),
    )


def measure(
    name: str,
    records: Sequence[Record],
    sequences: Sequence[Clip],
    convention: Convention,
    start_up: StartUp,
    identity: Mapping[str, Any],
) -> Measured:
    """Score one tracker's records of as many sequences."""
    each = [
        score(r.run.boxes_xyxy, s.truth_xyxy, convention, r.frame_hw)
        for r, s in zip(records, sequences, strict=True)
    ]
    weights = weights_of(each, convention)
    seconds = np.concatenate([r.run.seconds[1:] for r in records])
    median_ms, p95_ms = 1000 * np.percentile(seconds, [50, 95])
    return Measured(
        name=name,
        scores={s.name: scores for s, scores in zip(sequences, each, strict=True)},
        overall=mean(each, convention),
        intervals={n: bootstrap([getattr(s, n) for s in each], weights) for n in NUMBERS},
        confidence=_confidence(records, sequences),
        median_ms=float(median_ms),
        p95_ms=float(p95_ms),
        start_up=start_up,
        identity=identity,
    )


def _confidence(records: Sequence[Record], sequences: Sequence[Clip]) -> Confidence:
    """Of all frames but the first ones, whose box is given."""
    scores = [record.run.scores[1:] for record in records]
    ious = [
        boxes.iou(record.run.boxes_xyxy[1:], sequence.truth_xyxy[1:])
        for record, sequence in zip(records, sequences, strict=True)
    ]
    return confidence(np.concatenate(scores), np.concatenate(ious))


def difference(one: Measured, other: Measured, convention: Convention) -> tuple[float, Interval]:
    """How much larger the AUC of `one` is on the same sequences, with its 95 % interval."""
    weights = weights_of(list(one.scores.values()), convention)
    gaps = _areas(one) - _areas(other)
    return float(np.average(gaps, weights=weights)), bootstrap(gaps, weights)


def read_peers(path: Path) -> Peers:
    """Read a ``peers.json``.

    Raises
    ------
    DataError
        If it is not one.
    """
    try:
        peers = json.loads(path.read_bytes())
        return {
            sequence: {tracker: _peer(of) for tracker, of in by.items()}
            for sequence, by in peers.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is not a file of peers' results: {error}.") from error


def _peer(given: Mapping[str, Any]) -> dict[str, float]:
    """What is known of a peer on a sequence; `ValueError` if what is used here is no number."""
    for name, least in (("auc", 0), ("corrections", 0), ("frames", 1)):
        value = given.get(name, least)
        if not isinstance(value, int | float) or not least <= value < math.inf:
            raise ValueError(f"{name} is {value!r}; it must be a number of {least} or more")
    return dict(given)


def as_json(report: Report) -> str:
    """Every number, for programs; null where there is none (JSON knows no NaN)."""
    return json.dumps(_without_nan(asdict(report)), indent=1, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_markdown(report: Report, peers: Peers) -> str:
    """Tables of scores, speed, differences and sequences, and what they were measured with.

    Parameters
    ----------
    report : Report
    peers : mapping
        AUC of trackers that were measured elsewhere, as further columns.
    """
    parts = [_heading(report), _SCORES_TEXT, _scores(report.trackers)]
    parts += [_CONFIDENCE_TEXT, _trust(report.trackers)]
    parts += [_SPEED_TEXT, _speed(report.trackers)]
    if len(report.trackers) > 1:
        parts += [f"## AUC against {report.trackers[0].name}", _DIFFERENCES_TEXT]
        parts += [_differences(report)]
    parts += ["## AUC of each sequence", _sequences(report, peers), _provenance(report)]
    return "\n\n".join(parts) + "\n"


def peers_corrections(peers: Peers, sequences: Iterable[str]) -> str:
    """Table of how often each peer had to be corrected per 1000 frames of some sequences."""
    counted: dict[str, list[Mapping[str, float]]] = {}
    for name in sequences:
        for tracker, of in peers.get(name, {}).items():
            if "corrections" in of and "frames" in of:
                counted.setdefault(tracker, []).append(of)
    rows = [
        [name, f"{1000 * sum(o['corrections'] for o in of) / sum(o['frames'] for o in of):.1f}"]
        for name, of in counted.items()
    ]
    return table(["peers.json, overlap 0.5", "corrections per 1000 frames"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def finished(name: str, sequences: Sequence[Clip], store: Store) -> list[Record]:
    """Every run of a tracker, in the order of the sequences.

    Raises
    ------
    DataError
        If a result is missing or damaged.
    """
    records = []
    for sequence in sequences:
        record = store.read(name, sequence)
        if record is None:
            raise DataError(f"{store.folder} holds no result of {name} on {sequence.name}.")
        records.append(record)
    return records


def _heading(report: Report) -> str:
    scores = report.trackers[0].scores
    rule = report.convention
    return (
        f"# One-pass evaluation: {report.dataset} `{report.root}`\n\n"
        f"{len(scores)} sequences, {sum(s.frames for s in scores.values())} frames that count. "
        f"The first frame {'counts' if rule.first_frame else 'does not count'}, averages are over "
        f"{'all frames' if rule.pooled else 'sequences'} ({rule.source})."
    )


def _scores(trackers: Sequence[Measured]) -> str:
    return table(
        ["tracker", *_HEADINGS.values()],
        [[t.name, *(_number(t, name) for name in _HEADINGS)] for t in trackers],
    )


def _number(tracker: Measured, name: str) -> str:
    """With its interval, unless it is only for comparison with the AUC."""
    if name.startswith("auc_true"):
        return f"{getattr(tracker.overall, name):.3f}"
    return _with_interval(tracker, name)


def _with_interval(tracker: Measured, name: str) -> str:
    low, high = tracker.intervals[name]
    return f"{getattr(tracker.overall, name):.3f} [{low:.3f}, {high:.3f}]"


def _trust(trackers: Sequence[Measured]) -> str:
    rows = [
        [t.name, f"{t.confidence.calibration_error:.3f}", f"{t.confidence.roc_area:.3f}"]
        for t in trackers
    ]
    return table(["tracker", "calibration error", "ROC area"], rows)


def _speed(trackers: Sequence[Measured]) -> str:
    def row(tracker: Measured) -> list[str]:
        peak_mib = tracker.start_up.peak_mib
        return [
            tracker.name,
            f"{tracker.median_ms:.1f}",
            f"{tracker.p95_ms:.1f}",
            "-" if tracker.median_ms < _NOTHING_MS else f"{1000 / tracker.median_ms:.0f}",
            f"{tracker.start_up.seconds:.2f}",
            "-" if peak_mib is None else f"{peak_mib:.0f}",
        ]

    head = ["tracker", "median ms", "p95 ms", "frames/s (median)", "start-up s", "peak MiB"]
    return table(head, [row(tracker) for tracker in trackers])


def _differences(report: Report) -> str:
    first, *others = report.trackers
    rows = []
    for other in others:
        gap, (low, high) = difference(other, first, report.convention)
        rows.append([other.name, f"{gap:+.3f}", f"[{low:+.3f}, {high:+.3f}]"])
    return table(["tracker", "difference", "95 % interval"], rows)


def _sequences(report: Report, peers: Peers) -> str:
    names = list(report.trackers[0].scores)
    elsewhere = list(dict.fromkeys(t for n in names for t in peers.get(n, {})))
    columns = {t.name: dict(zip(names, _areas(t), strict=True)) for t in report.trackers}
    overall = {t.name: t.overall.auc for t in report.trackers}
    for tracker in elsewhere:
        known = {n: peers.get(n, {}).get(tracker, {}).get("auc") for n in names}
        areas = {n: area for n, area in known.items() if area is not None}
        if areas:
            columns[f"{tracker} (peers.json)"] = areas
            overall[f"{tracker} (peers.json)"] = sum(areas.values()) / len(areas)
    frames = [s.frames for s in report.trackers[0].scores.values()]
    rows: list[list[object]] = [
        [name, count, *(f"{by[name]:.3f}" if name in by else "-" for by in columns.values())]
        for name, count in zip(names, frames, strict=True)
    ]
    rows.append(["**overall**", sum(frames), *(f"{area:.3f}" for area in overall.values())])
    return table(["sequence", "frames", *columns], rows)


def _provenance(report: Report) -> str:
    lines = [f"- Machine: {machine}." for machine in report.machines]
    lines += [f"- {t.name}: {_in_words(t.identity)}." for t in report.trackers]
    return "## Measured with\n\n" + "\n".join(lines)


def _in_words(identity: Mapping[str, Any]) -> str:
    """Settings and versions as ``name value``, digests shortened (the JSON has them whole)."""
    words = []
    for key, value in identity.items():
        if key == "weights_sha256":
            words += [f"{file} (SHA-256 {digest[:12]})" for file, digest in value.items()]
        elif isinstance(value, Mapping):
            words.append(f"{key} {' '.join(f'{k}={v}' for k, v in value.items())}")
        elif value != [] and key != "tracker":
            words.append(f"{key} {value}")
    return "; ".join(words)


def _areas(tracker: Measured) -> FloatArray:
    return np.array([scores.auc for scores in tracker.scores.values()])
