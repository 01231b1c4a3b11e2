"""Search passes compiled by OpenVINO, which takes less than half of PyTorch's time on a CPU.

The answers are PyTorch's up to rounding (1e-4 px). OpenVINO is optional; docs/performance.md says
what it is worth.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_ocean.network.ocean import OceanNet, TemplateState
from napari_ocean.network.search import Answer, ask

CROPS_BEFORE = 60
"""Crops of a side that take ordinary passes before it is compiled, which lasts as long as they do.
The first side that is asked for, that of the ordinary search crop, is compiled at once."""

THREADS = 2
"""Threads of a pass. Unlike PyTorch's they do not wait for each other when cores are busy."""

_log = logging.getLogger(__name__)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


class Compiled:
    """A `Search` by compiled passes, one crop at a time: on a CPU a batch saves nothing.

    Parameters
    ----------
    net : OceanNet
        On the CPU, float32, as it is when the first crop comes.
    """

    def __init__(self, net: OceanNet) -> None:
        self._net = net
        self._compiles = True
        self._requests: dict[int, Any] = {}
        self._seen: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, crops: Tensor, state: TemplateState) -> Answer:
        """Answer for crops ``(N, 3, S, S)`` and the states of N targets, or of one for all."""
        with self._lock:
            request = self._request(crops, state)
            if request is None:
                return ask(self._net, crops, state)
            kernels = [kernel.contiguous().numpy() for kernel in (*state.regular, *state.box)]
            answers = []
            for i, crop in enumerate(crops.contiguous().numpy()):
                own = [kernel[[min(i, len(kernel) - 1)]] for kernel in kernels]
                said = request.infer([crop[None], *own], share_inputs=True)
                answers.append([said[0], said[1]])
        raw, maps = (
            torch.from_numpy(np.concatenate(parts)) for parts in zip(*answers, strict=True)
        )
        return Answer(raw, maps)

    def _request(self, crops: Tensor, state: TemplateState) -> Any:
        """What answers a crop of this side; None where an ordinary pass shall."""
        side = crops.shape[-1]
        if self._compiles and side not in self._requests:
            self._seen[side] += len(crops)
            if not self._requests or self._seen[side] > CROPS_BEFORE:
                try:
                    self._requests[side] = _compile(self._net, crops[:1], state)
                except Exception as error:  # noqa: BLE001  # whatever it cannot do, PyTorch can
                    _log.warning("OpenVINO fails here, tracking is slower without: %s", error)
                    self._compiles = False
        return self._requests.get(side)


class _Pass(nn.Module):
    """A pass as a function of plain tensors, which is what can be traced."""

    def __init__(self, net: OceanNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crop: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        half = len(kernels) // 2
        return tuple(ask(self.net, crop, TemplateState(kernels[:half], kernels[half:])))


def _compile(net: OceanNet, crop: Tensor, state: TemplateState) -> Any:
    """What answers one crop of this side."""
    # OpenVINO tells its makers over the network when it is imported, unless this part is missing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # no such module
    import openvino

    with torch.inference_mode(False), torch.no_grad():
        shown = [part[:1].clone() for part in (crop, *state.regular, *state.box)]
        traced = torch.jit.trace(_Pass(net).eval(), shown, check_trace=False)
        model = openvino.convert_model(
            traced, example_input=shown, input=[tuple(part.shape) for part in shown]
        )
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": min(THREADS, os.cpu_count() or 1),
        "ENABLE_CPU_PINNING": False,  # other programs have the cores, too
    }
    return openvino.compile_model(model, "CPU", settings).create_infer_request()
