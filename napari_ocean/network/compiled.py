"""Search passes compiled by OpenVINO, which takes less than half of PyTorch's time on a CPU.

The answers are PyTorch's up to rounding (1e-4 px). OpenVINO is optional; docs/performance.md says
what it is worth.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from napari_ocean.network.ocean import OceanNet, TemplateState
from napari_ocean.network.search import Answer, ask

CROPS_BEFORE = 60
"""Crops of a side that take ordinary passes before it is compiled, which lasts as long as they do.
The first side that is asked for, that of the ordinary search crop, is compiled at once."""

THREADS = 2
"""Threads of all passes together where layers are small (:attr:`Preset.cpu_threads`), else all
cores; and crops that are answered at once. Unlike PyTorch's they lose nothing on busy cores."""

_REPORTS = "openvino_telemetry"

_log = logging.getLogger(__name__)


def openvino_version() -> str | None:
    """Version of OpenVINO, None where it is not installed or does not work."""
    return None if (module := _openvino()) is None else str(module.__version__)


@cache
def _openvino() -> Any:
    """OpenVINO, which tells its makers that it is imported unless that part of it is missing."""
    silent = _REPORTS not in sys.modules
    if silent:
        sys.modules[_REPORTS] = None  # type: ignore[assignment]  # no such module
    try:
        module = import_module("openvino")
        return module if hasattr(module, "convert_model") else None
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  # a broken library raises what it likes
        _log.warning("OpenVINO cannot be loaded, tracking is slower without: %s", error)
        return None
    finally:
        if silent:
            del sys.modules[_REPORTS]


class Compiled:
    """A `Search` by compiled passes, each of one crop: on a CPU a batch saves nothing.

    Parameters
    ----------
    net : OceanNet
        On the CPU, float32, as it is when the first crop comes.
    """

    def __init__(self, net: OceanNet) -> None:
        cores = os.cpu_count() or 1
        self._net = net
        self._threads = cores if net.preset.cpu_threads is None else min(THREADS, cores)
        self._compiles = True
        self._models: dict[int, Any] = {}
        self._requests: dict[tuple[int, int], list[Any]] = {}
        self._seen: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, crops: Tensor, state: TemplateState) -> Answer:
        """Answer for crops ``(N, 3, S, S)`` and the states of N targets, or of one for all."""
        with self._lock:
            if self._compiles:
                try:
                    if requests := self._of(crops, state):
                        return _infer(requests, crops, state)
                except Exception as error:  # noqa: BLE001  # whatever it cannot do, PyTorch can
                    _log.warning("OpenVINO fails here, tracking is slower without: %s", error)
                    self._compiles = False
                    self._models.clear()
                    self._requests.clear()
        return ask(self._net, crops, state)

    def _of(self, crops: Tensor, state: TemplateState) -> list[Any]:
        """What answers crops of this side, some at once; nothing where ordinary passes shall."""
        side = crops.shape[-1]
        at_once = min(len(crops), THREADS, self._threads)
        if (side, at_once) not in self._requests:
            self._seen[side] += len(crops)
            if self._models and side not in self._models and self._seen[side] <= CROPS_BEFORE:
                return []
            # in a thread, where Ctrl-C is not raised: OpenVINO would make an error of its own of it
            with ThreadPoolExecutor(1, "napari-ocean-compile") as apart:
                if side not in self._models:
                    made = apart.submit(_convert, self._net, crops, state)
                    self._models[side] = made.result()
                ready = apart.submit(_compile, self._models[side], at_once, self._threads)
                self._requests[side, at_once] = ready.result()
        return self._requests[side, at_once]


def _infer(requests: Sequence[Any], crops: Tensor, state: TemplateState) -> Answer:
    """Answer as many crops at once as there are requests."""
    given = [part.contiguous().numpy() for part in (crops, *state.tensors())]
    answers = []
    for start in range(0, len(crops), len(requests)):
        with ExitStack() as busy:  # all are waited for: they read `given`
            for i, request in zip(range(start, len(crops)), requests, strict=False):
                own = [part[min(i, len(part) - 1)][None] for part in given]
                request.start_async(own, share_inputs=True)
                busy.callback(request.wait)
        for request in requests[: len(crops) - start]:
            said = request.output_tensors
            answers.append([torch.from_numpy(tensor.data.copy()) for tensor in said])
    return Answer(*(torch.cat(parts) for parts in zip(*answers, strict=True)))


class _Pass(nn.Module):
    """A pass as a function of plain tensors, which is what can be traced."""

    def __init__(self, net: OceanNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crop: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return tuple(ask(self.net, crop, TemplateState.of(state)))


def _convert(net: OceanNet, crops: Tensor, state: TemplateState) -> Any:
    """A pass over one crop of this side, as OpenVINO reads it."""
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's plans for tracing are no news for who annotates
        shown = [part[:1].clone() for part in (crops, *state.tensors())]
        traced = torch.jit.trace(_Pass(net).eval(), shown, check_trace=False)
        return _openvino().convert_model(
            traced, example_input=shown, input=[tuple(part.shape) for part in shown]
        )


def _compile(model: Any, at_once: int, threads: int) -> list[Any]:
    """What answers so many crops at once."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": at_once,
        "ENABLE_CPU_PINNING": False,  # other programs have the cores, too
    }
    compiled = _openvino().compile_model(model, "CPU", settings)
    return [compiled.create_infer_request() for _ in range(at_once)]
