"""How a training goes, as JSON lines."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path

import torch
from torch import distributed

from napari_ocean.errors import DataError
from napari_ocean.training.losses import Losses
from napari_ocean.training.state import Training
from napari_ocean.training.unseen import Unseen

_log = logging.getLogger(__name__)


class Meter:
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
