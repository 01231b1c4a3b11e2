"""The mean of several rounds' weights, and of those that all of them began from (docs/models.md).

    mean.py OUT BEGINNING ROUND...

The metadata hold those of the beginning once, and of each round its SHA-256 and what is its own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from napari_ocean.network import load_network, read_checkpoint, save_network


def main(out: Path, beginning: Path, *rounds: Path) -> None:
    began = read_checkpoint(beginning).metadata
    own = []
    for file in rounds:
        metadata = read_checkpoint(file).metadata
        if json.loads(metadata["init"]) != began:
            sys.exit(f"{file} did not begin from {beginning}.")
        kept = {name: metadata[name] for name in ("commit", "date", "torch", "steps")}
        parsed = {name: json.loads(metadata[name]) for name in ("recipe", "data")}
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        own.append({"sha256": digest, **kept, **parsed})
    net = load_network(beginning)
    states = [load_network(file).state_dict() for file in (beginning, *rounds)]
    net.load_state_dict({key: _mean([state[key] for state in states]) for key in states[0]})
    save_network(net, out, {"init": began, "mean": own, "date": own[-1]["date"]})


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([value.double() for value in values]).mean(dim=0).to(values[0].dtype)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
