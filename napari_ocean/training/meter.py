"""How a training goes, as JSON lines."""

from __future__ import annotations

import json
import logging
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from napari_ocean.errors import DataError
from napari_ocean.formats import replace_text
from napari_ocean.training import processes
from napari_ocean.training.losses import Losses
from napari_ocean.training.state import Training
from napari_ocean.training.unseen import Unseen

_log = logging.getLogger(__name__)


PARTS = ("data", "forward", "backward")
"""What a step does, in this order; the optimiser's work is part of the last."""


class Meter:
    """Means of the losses over all processes, and what the time went into, as JSON lines."""

    def __init__(self, training: Training, path: Path) -> None:
        self.training = training
        self.path = path
        self._forget_after(training.step)
        self.started = time.perf_counter() - training.seconds
        self._restart()
        self.begin()

    def _restart(self) -> None:
        self.sums = torch.zeros(4, device=self.training.device)
        self.began = time.perf_counter()
        self._steps: list[list[Any]] = []

    def _forget_after(self, step: int) -> None:
        """Take away lines of steps that a stopped training had done but not saved."""
        if processes.place()[0] > 0 or not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        if len(kept) < len(lines):
            replace_text(self.path, "".join(f"{line}\n" for line in kept))

    def begin(self) -> None:
        """Note that the next step begins: its pairs are waited for."""
        self._steps.append([self._now()])

    def next_part(self) -> None:
        """Note that a part of the step is done and the next of :data:`PARTS` begins."""
        self._steps[-1].append(self._now())

    def _now(self) -> Any:
        """A moment of the device, which a GPU reaches later than Python does."""
        if self.training.device.type != "cuda":
            return time.perf_counter()
        moment = torch.cuda.Event(enable_timing=True)
        moment.record()
        return moment

    def _shares(self) -> dict[str, float]:
        """Share of the steps' time that each part took, once the device has done them."""
        if self.training.device.type == "cuda":
            torch.cuda.synchronize(self.training.device)
            took = [[a.elapsed_time(b) for a, b in pairwise(step)] for step in self._steps]
        else:
            took = [[b - a for a, b in pairwise(step)] for step in self._steps]
        of_parts = torch.tensor(took).sum(dim=0)
        shares = (of_parts / of_parts.sum()).tolist()
        return {f"{part}_share": share for part, share in zip(PARTS, shares, strict=True)}

    def add(self, losses: Losses) -> None:
        """Count a step that is done; every ``log_every`` steps write a line.

        Raises
        ------
        DataError
            If the loss is no number any more.
        """
        training, settings = self.training, self.training.settings
        self.next_part()
        training.seconds = time.perf_counter() - self.started
        self.sums += torch.stack([losses.total, *losses]).detach()
        every = settings.log_every
        if training.step % every:
            return
        count = len(self._steps)  # fewer than `every` where a stopped training went on
        means = (processes.average(self.sums) / count).tolist()
        if not math.isfinite(means[0]):
            raise DataError(f"The loss is {means[0]} at step {training.step}; stopped.")
        took = time.perf_counter() - self.began
        self._write(
            {
                "step": training.step,
                **dict(zip(("loss", *losses._fields), means, strict=True)),
                "rate": training.optimizer.param_groups[0]["lr"],
                "pairs_per_s": settings.batch * count / took,
                **self._shares(),
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
        if processes.place()[0] > 0:
            return
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        _log.info("%s", " ".join(f"{name} {value:.4g}" for name, value in record.items()))
