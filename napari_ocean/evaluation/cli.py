"""``napari-ocean evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from napari_ocean.errors import ConfigError
from napari_ocean.evaluation.metrics import success_auc, success_rate
from napari_ocean.evaluation.protocols import annotate, one_pass
from napari_ocean.evaluation.report import Result, as_json, as_markdown, read_peers
from napari_ocean.evaluation.sequences import Sequence, find_sequences

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``napari-ocean evaluate``."""
    parser.add_argument("root", type=Path, help="folder of sequences: img/ and groundtruth.txt")
    parser.add_argument("--model", default="lite", help="preset or weights file")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting"
    )
    parser.add_argument("--json", type=Path, help="also write every number here")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a Markdown table; ``peers.json`` in the folder adds columns."""
    from napari_ocean.tracking import Tracker, load_tracker, settings_from

    sequences = find_sequences(args.root)
    tracker = load_tracker(args.model, device=args.device)
    changes = dict(_assignment(text) for text in args.set)
    tracker = Tracker(tracker.net, settings_from(changes, tracker.settings))
    results = [
        evaluate(tracker, sequence)
        for sequence in tqdm(sequences, desc="sequences", file=sys.stderr)
    ]
    peers = args.root / "peers.json"
    sys.stdout.write(as_markdown(results, read_peers(peers) if peers.is_file() else None) + "\n")
    if args.json is not None:
        args.json.write_text(as_json(results))
    return 0


def evaluate(tracker: Tracker, sequence: Sequence) -> Result:
    """Run both protocols over one sequence."""
    with sequence.open() as video:
        once = one_pass(tracker.start, video, sequence.truth_xyxy)
        helped = annotate(tracker.start, video, sequence.truth_xyxy)
    return Result(
        sequence=sequence.name,
        frames=len(once.ious),
        auc=success_auc(once.ious),
        ao=float(once.ious.mean()),
        sr50=success_rate(once.ious, 0.5),
        corrections=helped.corrections,
        fps=once.fps,
    )


def _assignment(text: str) -> tuple[str, bool | float | int]:
    name, _, value = text.partition("=")
    words = {"true": True, "false": False}
    try:
        number = float(value) if value not in words else words[value]
    except ValueError as error:
        raise ConfigError(f"--set takes NAME=NUMBER (or true, false), not {text!r}.") from error
    whole = isinstance(number, float) and number.is_integer() and name.startswith("search")
    return name, int(number) if whole else number
