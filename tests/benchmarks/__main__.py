"""``python -m tests.benchmarks [NAME ...]``: run the programs, each in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2

from napari_ocean.evaluation import provenance

NAMES = ("stages", "scale", "startup", "peers", "memory")
"""Run when none is named."""

BY_NAME = ("sizes", "gpu", "annotation", "layer", "gui")
"""Run by name only: they are about networks that do not ship, need a GPU, or are about the window,
of which the last two need a display (``xvfb-run -a``)."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(NAMES)}, or by name only {', '.join(BY_NAME)}",
    )
    parser.add_argument("--model", help="preset or weights file (default: lite; of gpu: both)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=50, help="repetitions of a timing")
    parser.add_argument("--frames", type=int, default=50_000, help="frames of the memory run")
    parser.add_argument("--nano", type=Path, help="folder of NanoTrack's ONNX files")
    parser.add_argument("--sections", nargs="*", help="of gpu: those wanted (default: all)")
    parser.add_argument("--seconds", type=float, default=98, help="after which gpu ends")
    parser.add_argument("--json", type=Path, help="file that gpu writes its rows to")
    args = parser.parse_args()
    args.presets = [args.model] if args.model else ["ocean", "lite"]
    args.model = args.model or "lite"
    names = args.names or NAMES
    known = (*NAMES, *BY_NAME)
    if unknown := set(names) - set(known):
        parser.error(f"no program {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if len(names) == 1:
        importlib.import_module(f"tests.benchmarks.{names[0]}").run(args)
        return 0
    versions = ", ".join(_version(name) for name in ("torch", "numpy", "napari"))
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    print(f"{provenance.machine()}, OpenCV {cv2.__version__}, {versions}; {load}", flush=True)
    options = [option for option in sys.argv[1:] if option not in args.names]
    command = [sys.executable, "-m", "tests.benchmarks"]
    return max(subprocess.call([*command, name, *options]) for name in names)


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


if __name__ == "__main__":
    raise SystemExit(main())
