"""Training on a lent GPU machine that holds nothing and reaches nothing (docs/models.md).

Here:   lease.py pack DATA...           pieces that fit a call, with digests
There:  lease.py receive NUMBER         check a piece and lay it down
        lease.py start NAME=CONFIG...   train, detached
        lease.py watch SECONDS          wait for the ends, tell how it goes
        lease.py gather OUT             weights in parts, logs
Here:   lease.py join FOLDER            put the parts together

Only the standard library, until training starts.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIECES = ROOT / ".lease"
PLACE = Path(os.environ.get("LEASE_PLACE", "/tmp/lease"))
MIB = 1 << 20
PART_MIB = 15


def pack(args: argparse.Namespace) -> None:
    names = [file.name for file in args.files]
    for file in args.files:
        if PIECES.resolve() in file.resolve().parents:
            sys.exit(f"{file} lies in {PIECES}, which packing empties; move it out first.")
        if names.count(file.name) > 1:
            sys.exit(f"Several files are called {file.name}; there they would be one.")
        if file.stat().st_size > args.piece_mib * MIB:
            sys.exit(f"{file} is larger than a piece of {args.piece_mib} MiB.")
    shutil.rmtree(PIECES, ignore_errors=True)
    files = sorted(args.files, key=lambda file: -file.stat().st_size)
    pieces: list[list[Path]] = []
    for file in files:
        size = file.stat().st_size
        fitting = [p for p in pieces if size + _bytes(p) <= args.piece_mib * MIB]
        (fitting[0] if fitting else pieces.append([]) or pieces[-1]).append(file)
    for number, piece in enumerate(pieces, 1):
        folder = PIECES / str(number)
        folder.mkdir(parents=True)
        for file in piece:
            shutil.copy(file, folder / file.name)
        digests = {file.name: _digest(file) for file in piece}
        (folder / "digests.json").write_text(json.dumps(digests, indent=1))
        for package in args.packages if number == 1 else ():
            found = importlib.util.find_spec(package).submodule_search_locations[0]
            shutil.copytree(found, folder / "site" / package)
        print(f"piece {number}: {_bytes(piece) / MIB:.1f} MiB, {', '.join(digests)}")


def receive(args: argparse.Namespace) -> None:
    folder = PIECES / str(args.number)
    data = PLACE / "data"
    data.mkdir(parents=True, exist_ok=True)
    if (folder / "site").is_dir():
        shutil.copytree(folder / "site", PLACE / "site", dirs_exist_ok=True)
    for name, digest in json.loads((folder / "digests.json").read_text()).items():
        if _digest(folder / name) != digest:
            sys.exit(f"{name} did not arrive whole.")
        is_data = name.endswith((".zip", ".npz"))
        shutil.copy(folder / name, (data if is_data else PLACE) / name)
        print(f"{name}: whole")


def start(args: argparse.Namespace) -> None:
    for item in args.runs:
        name, _, config = item.partition("=")
        if PLACE / name in _runs() and _alive(PLACE / name):
            sys.exit(f"{name} is training; two would write the same files.")
        settings = json.loads(Path(config).read_text())
        suffix = ".safetensors" if settings.get("preset") == "ocean" else ".pth"
        backbone = next(PLACE.glob(f"*{suffix}"), None)
        if backbone is None:
            sys.exit(f"No piece with ImageNet weights (*{suffix}) was received.")
        command = [
            *(sys.executable, "-m", "napari_ocean", "train", str(PLACE / "data")),
            *("--out", str(PLACE / name), "--config", str(Path(config).resolve())),
            *("--backbone", str(backbone)),
            *("--device", args.device),
        ]
        (PLACE / name).mkdir(exist_ok=True)
        paths = os.pathsep.join([str(ROOT), str(PLACE / "site")])
        with (PLACE / name / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=PLACE,
                env={**os.environ, "PYTHONPATH": paths},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (PLACE / name / "pid").write_text(str(process.pid))
        print(f"{name}: process {process.pid}")


def watch(args: argparse.Namespace) -> None:
    end = time.monotonic() + args.seconds
    while time.monotonic() < end and any(map(_alive, _runs())):
        time.sleep(2)
    for run in _runs():
        lines = (run / "log.txt").read_text().splitlines()
        print(f"--- {run.name}{'' if _alive(run) else ' (ended)'}")
        print("\n".join(lines[-args.lines :]))


def gather(args: argparse.Namespace) -> None:
    with tarfile.open(args.out / "logs.tar.gz", "w:gz") as logs:
        for run in _runs():
            for file in [*run.glob("*.jsonl"), run / "log.txt"]:
                logs.add(file, f"{run.name}-{file.name}")
            finished = [f for f in run.glob("*.safetensors") if ".step." not in f.name]
            for file in finished or run.glob("*.safetensors"):
                content = file.read_bytes()
                for number, first in enumerate(range(0, len(content), PART_MIB * MIB)):
                    part = args.out / f"{run.name}-{file.name}.{number:02d}"
                    part.write_bytes(content[first : first + PART_MIB * MIB])
                print(f"{file.name}: {number + 1} parts, whole {_digest(file)[:12]}")


def join(args: argparse.Namespace) -> None:
    for first in sorted(args.folder.glob("*.00")):
        parts = sorted(args.folder.glob(f"{first.stem}.[0-9][0-9]"))
        if int(parts[-1].suffix[1:]) != len(parts) - 1:
            sys.exit(f"Of {first.stem} a part is missing; fetch it again.")
        whole = args.to / first.stem
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        print(f"{whole}: {len(parts)} parts, {_digest(whole)[:12]}")


def _runs() -> list[Path]:
    return sorted(file.parent for file in PLACE.glob("*/pid"))


def _alive(run: Path) -> bool:
    try:
        status = Path("/proc", (run / "pid").read_text(), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def _bytes(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("pack")
    verb.add_argument("files", nargs="+", type=Path)
    verb.add_argument("--piece-mib", type=int, default=56)
    verb.add_argument("--packages", nargs="*", default=["platformdirs"], help="pure Python ones")
    verb.set_defaults(run=pack)
    verb = verbs.add_parser("receive")
    verb.add_argument("number", type=int)
    verb.set_defaults(run=receive)
    verb = verbs.add_parser("start")
    verb.add_argument("runs", nargs="+", metavar="NAME=CONFIG")
    verb.add_argument("--device", default="cuda")
    verb.set_defaults(run=start)
    verb = verbs.add_parser("watch")
    verb.add_argument("seconds", type=float)
    verb.add_argument("--lines", type=int, default=6)
    verb.set_defaults(run=watch)
    verb = verbs.add_parser("gather")
    verb.add_argument("out", type=Path)
    verb.set_defaults(run=gather)
    verb = verbs.add_parser("join")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--to", type=Path, default=Path())
    verb.set_defaults(run=join)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
