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

import torch
from torch import Tensor, nn

from napari_ocean.network.ocean import OceanNet, TemplateState
from napari_ocean.network.search import Answer, ask

CROPS_BEFORE = 60
"""Crops of a side that take ordinary passes before it is compiled, which lasts as long as they do.
The first side that is asked for, that of the ordinary search crop, is compiled at once."""

THREADS = 2
"""Threads of all passes together; unlike PyTorch's they lose nothing when cores are busy."""

_log = logging.getLogger(__name__)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


class Compiled:
    """A `Search` by compiled passes, each of one crop: on a CPU a batch saves nothing.

    Several crops take turns on as many threads as one crop has for itself.

    Parameters
    ----------
    net : OceanNet
        On the CPU, float32, as it is when the first crop comes.
    """

    def __init__(self, net: OceanNet) -> None:
        self._net = net
        self._compiles = True
        self._models: dict[int, Any] = {}
        self._queues: dict[tuple[int, int], Any] = {}
        self._seen: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, crops: Tensor, state: TemplateState) -> Answer:
        """Answer for crops ``(N, 3, S, S)`` and the states of N targets, or of one for all."""
        with self._lock:
            queue = self._queue(crops, state)
            if queue is None:
                return ask(self._net, crops, state)
            answers: dict[int, list[Tensor]] = {}

            def keep(request: Any, index: int) -> None:
                said = (torch.from_numpy(tensor.data.copy()) for tensor in request.output_tensors)
                answers[index] = list(said)

            queue.set_callback(keep)
            parts = (crops, *state.regular, *state.box)
            given = [part.contiguous().numpy() for part in parts]  # alive until all is answered
            for i in range(len(crops)):
                own = [part[min(i, len(part) - 1)][None] for part in given]
                queue.start_async(own, i, share_inputs=True)
            queue.wait_all()
        ordered = [answers[i] for i in range(len(crops))]
        return Answer(*(torch.cat(parts) for parts in zip(*ordered, strict=True)))

    def _queue(self, crops: Tensor, state: TemplateState) -> Any:
        """What answers crops of this side; None where an ordinary pass shall."""
        side = crops.shape[-1]
        at_once = min(len(crops), _threads())
        if self._compiles and (side, at_once) not in self._queues:
            self._seen[side] += len(crops)
            if not self._models or side in self._models or self._seen[side] > CROPS_BEFORE:
                try:
                    if side not in self._models:
                        self._models[side] = _convert(self._net, crops, state)
                    self._queues[side, at_once] = _compile(self._models[side], at_once)
                except Exception as error:  # noqa: BLE001  # whatever it cannot do, PyTorch can
                    _log.warning("OpenVINO fails here, tracking is slower without: %s", error)
                    self._compiles = False
        return self._queues.get((side, at_once))


class _Pass(nn.Module):
    """A pass as a function of plain tensors, which is what can be traced."""

    def __init__(self, net: OceanNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crop: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        half = len(kernels) // 2
        return tuple(ask(self.net, crop, TemplateState(kernels[:half], kernels[half:])))


def _convert(net: OceanNet, crops: Tensor, state: TemplateState) -> Any:
    """A pass over one crop of this side, as OpenVINO reads it."""
    # OpenVINO tells its makers over the network when it is imported, unless this part is missing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # no such module
    import openvino

    with torch.inference_mode(False), torch.no_grad():
        shown = [part[:1].clone() for part in (crops, *state.regular, *state.box)]
        traced = torch.jit.trace(_Pass(net).eval(), shown, check_trace=False)
        return openvino.convert_model(
            traced, example_input=shown, input=[tuple(part.shape) for part in shown]
        )


def _compile(model: Any, at_once: int) -> Any:
    """What answers so many crops at once."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": _threads(),
        "NUM_STREAMS": at_once,
        "ENABLE_CPU_PINNING": False,  # other programs have the cores, too
    }
    return openvino.AsyncInferQueue(openvino.compile_model(model, "CPU", settings), at_once)


def _threads() -> int:
    return min(THREADS, os.cpu_count() or 1)
