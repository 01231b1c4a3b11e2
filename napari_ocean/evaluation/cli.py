"""``napari-ocean evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from napari_ocean.errors import ConfigError, VideoError
from napari_ocean.evaluation import effort, failures, plots, report
from napari_ocean.evaluation.datasets import DATASETS, find_sequences
from napari_ocean.evaluation.datasets import Sequence as Clip
from napari_ocean.evaluation.datasets.textfiles import write_lines
from napari_ocean.evaluation.provenance import identity
from napari_ocean.evaluation.runs import in_processes, missing, start_up
from napari_ocean.evaluation.runs import run as run_job
from napari_ocean.evaluation.store import Store
from napari_ocean.evaluation.trackers import ABLATIONS, TRACKERS, TrackerSpec

Number = bool | float | int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``napari-ocean evaluate``."""
    parser.add_argument("root", type=Path, help="folder of the dataset")
    parser.add_argument(
        "--dataset", default="folder", choices=list(DATASETS), help="its layout (default: folder)"
    )
    parser.add_argument(
        "--tracker",
        action="append",
        choices=list(TRACKERS),
        metavar="NAME",
        help=f"again for more, side by side: {', '.join(TRACKERS)} (default: ocean)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep results, report and curves")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="sequences at a time")
    parser.add_argument("--no-curves", action="store_true", help="do without matplotlib")
    parser.add_argument(
        "--effort", action="store_true", help="measure the work of labelling instead"
    )
    parser.add_argument(
        "--way",
        action="append",
        choices=effort.WAYS,
        metavar="NAME",
        help=f"with --effort: only this way, again for more: {', '.join(effort.WAYS)}",
    )
    ours = parser.add_argument_group("the tracker ocean")
    ours.add_argument(
        "--model",
        action="append",
        help="preset or weights file, again for more rows (default: lite)",
    )
    ours.add_argument("--device", default="auto")
    ours.add_argument("--settings", metavar="NAME", help="the released settings, such as VOT2019")
    ours.add_argument(
        "--online",
        action="append",
        choices=["default", "official", "off"],
        help="how the online update works, again for more rows",
    )
    ours.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting"
    )
    ours.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PART",
        help=f"one more row, without a part: {', '.join(ABLATIONS)}",
    )
    parser.add_argument("--nano", default="", metavar="DIR", help="folder of NanoTrack's files")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print a report; with ``--out``, what is done already is not done again."""
    specs = _specs(args)
    if args.way and not args.effort:
        raise ConfigError("--way is a way to label; add --effort.")
    if args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}; it must be at least 1.")
    if args.out is not None and not args.no_curves:
        plots.require_matplotlib()
    plans = effort.plans_for(specs.values(), args.way) if args.effort else []
    sequences = find_sequences(args.root, args.dataset)
    identities = {label: identity(spec) for label, spec in specs.items()}
    with _folder(args.out) as folder:
        store = Store(folder, args.dataset)
        for label, what in identities.items():
            store.claim(label, what)
        if args.effort:
            text = _effort(args, plans, sequences, store)
        else:
            text = _one_pass(args, specs, identities, sequences, store)
    sys.stdout.write(text)
    return 0


def _one_pass(
    args: argparse.Namespace,
    specs: Mapping[str, TrackerSpec],
    identities: Mapping[str, Mapping[str, Any]],
    sequences: Sequence[Clip],
    store: Store,
) -> str:
    scored = [s for s in sequences if np.isfinite(s.truth_xyxy[1:]).all(axis=1).any()]
    if not scored and args.out is None:
        raise ConfigError(
            f"{args.root} has no true boxes to score by; add --out to keep the results."
        )
    peers = _peers(args.root)  # before hours of tracking: the file may be wrong
    start_ups = {label: start_up(label, spec, sequences[0], store) for label, spec in specs.items()}
    _track(specs, sequences, store, args.processes)
    if not scored:
        return f"The results are in {store.folder}; there are no true boxes to score them by.\n"
    whole = report.collect(args.dataset, str(args.root), identities, start_ups, scored, store)
    text = report.as_markdown(whole, peers)
    if args.out is not None:
        write_lines(args.out / "report.md", text.splitlines())
        write_lines(args.out / "report.json", [report.as_json(whole)])
        runs = [record.run for record in report.finished(next(iter(specs)), scored, store)]
        with suppress(VideoError):  # results are reported where their frames are gone, too
            failures.write(failures.worst(scored, runs), args.out / "failures.png")
        if not args.no_curves:
            plots.write_curves(whole, args.out)
    return text


def _track(
    specs: Mapping[str, TrackerSpec], sequences: Sequence[Clip], store: Store, processes: int
) -> None:
    jobs = missing(specs, sequences, store)
    total = sum(len(sequence) for sequence in sequences) * len(specs)
    left = sum(len(sequence) * len(trackers) for trackers, sequence, _ in jobs)
    with tqdm(
        total=total, initial=total - left, unit=" frames", desc="tracked", file=sys.stderr
    ) as bar:
        for tracked in in_processes(run_job, jobs, processes):
            bar.update(tracked)


def _effort(
    args: argparse.Namespace,
    plans: Sequence[effort.Plan],
    sequences: Sequence[Clip],
    store: Store,
) -> str:
    sequences = [s for s in sequences if np.isfinite(s.truth_xyxy).all(axis=1).sum() > 1]
    if not sequences:
        raise ConfigError(f"{args.root} has no sequence with two true boxes to label.")
    peers = _peers(args.root)  # before hours of tracking: the file may be wrong
    jobs = effort.missing(plans, sequences, store)
    total, left = len(plans) * len(effort.BOUNDS) * len(sequences), sum(len(j[0]) for j in jobs)
    with tqdm(total=total, initial=total - left, desc="labelled", file=sys.stderr) as bar:
        for done in in_processes(effort.run, jobs, args.processes):
            bar.update(done)
    efforts = [
        effort.Effort.read(store.kept(effort.kind(bound), plan.label, sequence) or {})
        for sequence in sequences
        for plan in plans
        for bound in effort.BOUNDS
    ]
    text = effort.as_markdown(efforts) + "\n"
    if peers:
        text += "\n" + report.peers_corrections(peers, [s.name for s in sequences]) + "\n"
    if args.out is not None:
        write_lines(args.out / "effort.md", text.splitlines())
        write_lines(args.out / "effort.json", [json.dumps([asdict(e) for e in efforts])])
        if not args.no_curves:
            plots.write_effort(effort.points(efforts), args.out)
    return text


def _peers(root: Path) -> report.Peers:
    """What trackers reached elsewhere on the sequences of a folder, where it says so."""
    path = root / "peers.json"
    return report.read_peers(path) if path.is_file() else {}


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Where results go: a folder that stays, or one that goes when the report is printed."""
    if out is not None:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file; choose another --out.")
        yield out
        return
    with TemporaryDirectory(prefix="napari-ocean-") as folder:
        yield Path(folder)


def _specs(args: argparse.Namespace) -> dict[str, TrackerSpec]:
    """The trackers to measure, by the name of their row and folder."""
    names = list(dict.fromkeys(args.tracker or ["ocean"]))
    ours = (args.model, args.settings, args.set, args.without, args.online)
    if "ocean" not in names and any(ours):
        raise ConfigError(
            "--model, --settings, --set, --online and --without are for the tracker ocean."
        )
    specs: list[TrackerSpec] = []
    for name in names:
        if name == "ocean":
            plain = TrackerSpec(device=args.device, settings=_settings(args))
            models = dict.fromkeys(args.model or ["lite"])
            ways = dict.fromkeys(args.online or ["default"])
            whole = [replace(plain, model=model, online=way) for model in models for way in ways]
            parts = dict.fromkeys(tuple(part.split(",")) for part in args.without)
            specs += [*whole, *(replace(whole[0], without=part) for part in parts)]
        else:
            specs.append(TrackerSpec(name=name, nano_folder=args.nano))
    labelled = {spec.label: spec for spec in specs}
    if len(labelled) < len(specs):
        raise ConfigError("Two rows would have the same name; rename one of the files of --model.")
    return labelled


def _settings(args: argparse.Namespace) -> dict[str, Number]:
    released: dict[str, Number] = {}
    if args.settings is not None:
        from napari_ocean.tracking import RELEASED

        if args.settings not in RELEASED:
            raise ConfigError(
                f"There is no --settings {args.settings}; known: {', '.join(RELEASED)}."
            )
        released = asdict(RELEASED[args.settings])
    return {**released, **dict(_assignment(text) for text in args.set)}


def _whole_numbers() -> set[str]:
    """Settings that are counts."""
    from napari_ocean.tracking import OnlineSettings, SiameseSettings

    both = (*fields(SiameseSettings), *fields(OnlineSettings))
    return {f.name for f in both if f.type == "int"}


def _assignment(text: str) -> tuple[str, Number]:
    name, _, value = text.partition("=")
    words = {"true": True, "false": False}
    try:
        number = float(value) if value not in words else words[value]
    except ValueError as error:
        raise ConfigError(f"--set takes NAME=NUMBER (or true, false), not {text!r}.") from error
    if name not in _whole_numbers():
        return name, number
    if isinstance(number, bool) or not number.is_integer():
        raise ConfigError(f"--set {name} takes a whole number, not {value!r}.")
    return name, int(number)
