"""A training between two steps: network, average, optimiser, and the step it has reached."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_ocean.errors import ConfigError, WeightsError
from napari_ocean.formats import put_in_place
from napari_ocean.network import TEMPLATE_PX, OceanNet, resized
from napari_ocean.training.settings import TrainSettings


class Training:
    """A network with its average, its optimiser and the step it has reached."""

    def __init__(self, settings: TrainSettings, device: torch.device | str = "cpu") -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(device)
        self.step = 0
        self.seconds = 0.0
        self.provenance: dict[str, Any] = {}
        self.net = OceanNet(resized(settings.preset, settings.size))
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
            "provenance": json.dumps(self.provenance),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        put_in_place(partial, path)

    def load(self, path: Path) -> None:
        """Go on where :meth:`save` left off.

        Raises
        ------
        WeightsError
            If the file is damaged or of something else.
        ConfigError
            If it is of a training with other settings.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            settings = json.loads(state["settings"])
        except (
            *(pickle.UnpicklingError, EOFError, OSError),
            *(RuntimeError, LookupError, TypeError, ValueError),
        ) as error:
            raise WeightsError(
                f"{path} is not a checkpoint of a training, or damaged; "
                "give another --out to start anew."
            ) from error
        if settings != asdict(self.settings):
            raise ConfigError(
                f"{path} is of a training with other settings; give another --out to start anew."
            )
        self.step, self.seconds = state["step"], state["seconds"]
        self.provenance = json.loads(state["provenance"])
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
