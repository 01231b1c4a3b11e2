"""The command line: ``napari-ocean track | demo | info | shard | train | tune | evaluate``.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> int``, loaded only when it
is chosen, so that ``--help`` answers at once. Exit codes: 0 done, 1 an error that a user can mend
(one line, ``error: ...``), 2 wrong usage, 130 stopped with Ctrl-C, 141 nobody reads the output.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from napari_ocean.errors import OceanError

COMMANDS = {
    "track": ("napari_ocean.cli.track", "track a box through a video and write the boxes"),
    "demo": ("napari_ocean.cli.demo", "watch it work on a short clip that needs no download"),
    "info": ("napari_ocean.cli.info", "versions, devices, presets and where their weights are"),
    "shard": ("napari_ocean.cli.shard", "cut training images out of a clip you annotated"),
    "train": ("napari_ocean.training.cli", "train a network"),
    "tune": ("napari_ocean.evaluation.search", "search settings on annotated sequences"),
    "evaluate": ("napari_ocean.evaluation.cli", "measure a tracker on annotated sequences"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default: those of the process.

    Returns
    -------
    int
        The exit code; wrong usage leaves through ``SystemExit(2)``, as argparse does.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    args = _parser(chosen).parse_args(argv)
    if chosen is None:
        return 0
    if isinstance(sys.stdout, TextIOWrapper):  # a file's name may hold what it cannot print
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = import_module(COMMANDS[chosen][0]).run(args)
        print(end="", flush=True)
    except OceanError as error:
        return _told(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 141
        name = "" if error.filename is None else f"{error.filename} cannot be used: "
        return _told(f"{name}{error.strerror or error}.")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return code


def _nobody_reads() -> bool:
    """Whether the pipe that broke is that of the output; what is left for it goes nowhere then."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        return True
    return False


def _told(error: OceanError | str) -> int:
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return 1


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-ocean",
        description="Draw a box on one frame of a video and get a box on every other frame.",
        epilog="napari-ocean COMMAND --help tells more about a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{name}: {summary}.")
        if name == chosen:
            import_module(module).add_arguments(command)
    return parser


class _Version(argparse.Action):
    """Print the version; looking it up is left until somebody asks."""

    def __call__(self, *_: object) -> None:
        from napari_ocean import __version__

        print(f"napari-ocean {__version__}")
        raise SystemExit(0)
