"""What it costs to import the package and to begin, each time in a fresh interpreter."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial

import numpy as np

from tests.benchmarks.measure import interleaved, table

PROGRAMS = {
    "python itself": "pass",
    "import numpy": "import numpy",
    "import torch": "import torch",
    "import napari_ocean": "import napari_ocean",
    "import napari_ocean.tracking": "import napari_ocean.tracking",
    "load_tracker()": "from napari_ocean.tracking import load_tracker; load_tracker({model!r})",
    "napari-ocean --help": "import napari_ocean.cli as c, sys; sys.argv[1:] = ['--help']; c.main()",
}


def run(args: argparse.Namespace) -> None:
    """Print the wall time of each program and what it adds to an empty one."""

    def fresh(code: str) -> None:
        command = [sys.executable, "-c", code.format(model=args.model)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    works = {name: partial(fresh, code) for name, code in PROGRAMS.items()}
    rounds = max(args.rounds // 10, 3)
    taken = interleaved(works, rounds)
    bare, torch = (np.median(taken[name]) for name in ("python itself", "import torch"))
    table(
        f"Start-up, fresh interpreters, {rounds} interleaved rounds",
        ["program", "median s", "without Python's own, s", "against torch alone"],
        [
            [
                name,
                f"{np.median(ms) / 1e3:.2f}",
                f"{(np.median(ms) - bare) / 1e3:.2f}",
                f"{np.median(ms) / torch:.2f}",
            ]
            for name, ms in taken.items()
        ],
    )
