"""``napari-ocean tune``: settings of a network by seeded random search (Bergstra and Bengio, 2012).

A trial changes about a third of the settings and is judged by the mean AUC over the sequences. So
that a lucky trial is not mistaken for a good one, the search also tells what it is worth on
sequences that did not choose it: each one is scored with the trial that is best on the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation.datasets import DATASETS, find_sequences
from napari_ocean.evaluation.datasets import Sequence as Clip
from napari_ocean.evaluation.metrics import CONVENTIONS, score
from napari_ocean.evaluation.provenance import identity, sequence_digests
from napari_ocean.evaluation.report import table
from napari_ocean.evaluation.runs import in_processes, run_together
from napari_ocean.evaluation.trackers import TrackerSpec, make

SPACE: Mapping[str, tuple[float, float]] = {
    "penalty_k": (0.0, 0.2),
    "size_rate": (0.4, 1.0),
    "window_influence": (0.1, 0.5),
    "aware_weight": (0.0, 0.6),
    "aspect_share": (0.0, 1.0),
    "score_offset": (0.0, 4.0),
    "learnt_weight": (0.1, 0.5),
    "template_share": (0.0, 0.7),
    "template_rate": (0.1, 0.6),
    "extent_share": (0.0, 1.0),
}
"""Ranges that are drawn from, uniformly; those of the online update only where it is on."""

_CHANGED = 1 / 3
"""Share of the settings that a trial changes."""

_ONLINE = ("learnt_weight", "template_share", "template_rate", "extent_share")


class Trial(NamedTuple):
    """Settings, and how well each sequence was tracked with them."""

    settings: dict[str, float]
    auc: FloatArray
    """Shape (number of sequences,)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``napari-ocean tune``."""
    parser.add_argument("root", type=Path, help="folder of annotated sequences")
    parser.add_argument("--dataset", default="folder", choices=list(DATASETS), help="its layout")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; goes on in it")
    parser.add_argument("--trials", type=int, default=40, help="the first has nothing changed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="trials at a time")
    parser.add_argument("--model", default="lite", help="preset or weights file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--online", default="default", choices=("default", "off"))


def run(args: argparse.Namespace) -> int:
    """Search and print the table of the best trials."""
    if args.trials < 1 or args.processes < 1:
        raise ConfigError("--trials and --processes must be at least 1.")
    if args.seed < 0:
        raise ConfigError(f"--seed is {args.seed}; it must be at least 0.")
    sequences = find_sequences(args.root, args.dataset)
    spec = TrackerSpec(model=args.model, device=args.device, online=args.online)
    of = {
        "dataset": args.dataset,
        "sequences": {sequence.name: sequence_digests(sequence) for sequence in sequences},
        "tracker": identity(spec),
    }
    done = [trial.settings for trial in read(args.out, of)]
    wanted = [draw(args.seed, i, online=args.online != "off") for i in range(args.trials)]
    left = [settings for settings in wanted if settings not in done]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    jobs = [(replace(spec, settings=settings), sequences, args.dataset) for settings in left]
    with args.out.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write(json.dumps(of) + "\n")
        for settings, auc in tqdm(
            in_processes(_try, jobs, args.processes), total=len(jobs), desc="tried", file=sys.stderr
        ):
            file.write(json.dumps({"settings": settings, "auc": auc}) + "\n")
            file.flush()
    sys.stdout.write(as_markdown(read(args.out, of)))
    return 0


def draw(seed: int, trial: int, *, online: bool) -> dict[str, float]:
    """Settings of a trial; those of trial 0 are the model's own."""
    if trial == 0:
        return {}
    rng = np.random.default_rng([seed, trial])
    settings: dict[str, float] = {}
    while not settings:
        drawn = {name: round(float(rng.uniform(*bounds)), 3) for name, bounds in SPACE.items()}
        changed = dict(zip(SPACE, rng.random(len(SPACE)) < _CHANGED, strict=True))
        settings = {
            name: value
            for name, value in drawn.items()
            if changed[name] and (online or name not in _ONLINE)
        }
    return settings


def read(path: Path, of: Mapping[str, Any]) -> list[Trial]:
    """Trials that were done; those of another tracker or other sequences are a `DataError`."""
    if not path.is_file() or not path.stat().st_size:
        return []
    try:
        head, *records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        trials = [Trial(record["settings"], np.array(record["auc"])) for record in records]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a search of ours; give another --out.") from error
    if head != json.loads(json.dumps(of)):
        raise DataError(
            f"{path} is of other sequences, true boxes, frames, weights, settings or versions; "
            "give another --out."
        )
    return trials


def left_out(trials: Sequence[Trial]) -> float:
    """Mean AUC of each sequence under the trial that is best on the others."""
    auc = np.stack([trial.auc for trial in trials])  # (trials, sequences)
    others = auc.sum(axis=1, keepdims=True) - auc
    best = others.argmax(axis=0)
    return float(auc[best, np.arange(auc.shape[1])].mean())


def as_markdown(trials: Sequence[Trial], count: int = 10) -> str:
    """The best trials, and what the search is worth on sequences that did not take part."""
    ranked = sorted(trials, key=lambda trial: -trial.auc.mean())[:count]
    rows = [
        (f"{trial.auc.mean():.3f}", f"{trial.auc.min():.3f}", _in_words(trial.settings))
        for trial in ranked
    ]
    own = [f"{trial.auc.mean():.3f}" for trial in trials if not trial.settings]
    return (
        table(["mean AUC", "worst", "settings"], rows)
        + f"\n\n{len(trials)} trials; unchanged settings {own[0] if own else 'not tried'}; "
        f"each sequence with the trial best on the others: {left_out(trials):.3f}.\n"
    )


def _in_words(settings: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in settings.items()) or "unchanged"


def _try(
    spec: TrackerSpec, sequences: Sequence[Clip], dataset: str
) -> tuple[dict[str, float], list[float]]:
    start = make(spec)  # not kept: each trial is of other settings
    auc = []
    for sequence in sequences:
        runs, frame_hw = run_together({"": start}, sequence)
        scores = score(runs[""].boxes_xyxy, sequence.truth_xyxy, CONVENTIONS[dataset], frame_hw)
        auc.append(scores.auc)
    return dict(spec.settings), auc
