"""``napari-ocean train``."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from napari_ocean.errors import ConfigError
from napari_ocean.network import PRESETS
from napari_ocean.training.settings import PairSettings, TrainSettings
from napari_ocean.training.train import look, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``napari-ocean train``."""
    parser.add_argument(
        "data", type=Path, help="folder of image shards (*.zip), and their silhouettes.npz"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of this run; resumes in it")
    parser.add_argument("--preset", choices=list(PRESETS), help="default: lite, or the config's")
    parser.add_argument("--config", type=Path, help="JSON file of settings")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--backbone", type=Path, help="ImageNet weights to start from")
    parser.add_argument("--init", type=Path, help="trained weights to start from instead")
    parser.add_argument("--minutes", type=float, help="end in time, if not by steps before")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument(
        "--look", action="store_true", help="only write pairs.png and data.md: what it would see"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pairs")


def run(args: argparse.Namespace) -> int:
    """Train as the options say; 0 when the weights are written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name, least in (("threads", 1), ("workers", 0)):
        if (value := getattr(args, name)) < least:
            raise ConfigError(f"--{name} is {value}; it must be at least {least}.")
    torch.set_num_threads(args.threads)
    settings = _settings(args)
    if args.look:
        look(settings, args.data, args.out)
        return 0
    weights = train(
        settings,
        args.data,
        args.out,
        backbone=args.backbone,
        init=args.init,
        device=args.device,
        workers=args.workers,
    )
    logging.getLogger(__name__).info("wrote %s", weights)
    return 0


def _settings(args: argparse.Namespace) -> TrainSettings:
    values: dict[str, Any] = {}
    if args.config is not None:
        try:
            values = json.loads(args.config.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{args.config} is not a readable JSON file: {error}.") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{args.config} holds no settings: it must be a JSON object.")
    pairs = _known(PairSettings, values.pop("pairs", {}))
    settings = TrainSettings(**_known(TrainSettings, values))
    named = {name: getattr(args, name) for name in ("preset", "steps", "minutes", "seed")}
    chosen = {name: value for name, value in named.items() if value is not None}
    return replace(settings, pairs=PairSettings(**pairs), **chosen)


def _known(kind: type[TrainSettings | PairSettings], values: Any) -> dict[str, Any]:
    """Settings by name, each of its default's type (a whole number will do for a float)."""
    defaults = {field.name: getattr(kind(), field.name) for field in fields(kind)}
    if not isinstance(values, dict) or (unknown := sorted(set(values) - set(defaults))):
        named = "pairs, which must be an object" if not isinstance(values, dict) else unknown[0]
        raise ConfigError(f"Unknown setting {named}; known: {', '.join(sorted(defaults))}.")
    for name, value in values.items():
        wanted = type(defaults[name])
        number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        if not number and type(value) is not wanted:
            raise ConfigError(
                f"The setting {name} is {value!r}; its type must be {wanted.__name__}."
            )
    return values
