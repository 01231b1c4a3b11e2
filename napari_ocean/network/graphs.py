"""Search passes recorded as CUDA graphs where sizes come again.

A GPU has done the layers of a small network before the CPU has launched the next ones; a graph
launches them all at once. It reads and writes fixed tensors, which are kept here and nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from napari_ocean.network.ocean import OceanNet, TemplateState
from napari_ocean.network.search import Answer, ask

GRAPHS = 8
"""Graphs kept, each for one number and size of crops; the one not used for longest goes first."""

PASSES_BEFORE = 3
"""Ordinary passes of a size before it is recorded: recording takes as long as some of them."""

_log = logging.getLogger(__name__)


Work = Callable[[], Answer]
Recorder = Callable[[Work], Work]
"""Makes work on fixed tensors cheap to repeat; each repetition overwrites the one answer."""


class Graphs:
    """A `Search` that replays recorded passes of one network.

    Parameters
    ----------
    net : OceanNet
    recorder : Recorder
    """

    def __init__(self, net: OceanNet, recorder: Recorder) -> None:
        self._net = net
        self._recorder: Recorder | None = recorder
        self._recorded: OrderedDict[torch.Size, _Recorded] = OrderedDict()
        self._passes: Counter[torch.Size] = Counter()
        self._lock = threading.Lock()

    def __call__(self, crops: Tensor, state: TemplateState) -> Answer:
        """Answer for crops ``(N, 3, S, S)`` and the states of N targets; it may be kept."""
        if self._recorder is None:
            return ask(self._net, crops, state)
        with self._lock:
            size = crops.shape
            if size not in self._recorded:
                self._passes[size] += 1
                if self._passes[size] <= PASSES_BEFORE:
                    return ask(self._net, crops, state)
                try:
                    self._record(self._recorder, crops, state)
                except RuntimeError as error:
                    _log.warning("No CUDA graphs here, tracking is slower without: %s", error)
                    self._recorder = None
                    return ask(self._net, crops, state)
            self._recorded.move_to_end(size)
            return self._recorded[size](crops, state)

    def _record(self, recorder: Recorder, crops: Tensor, state: TemplateState) -> None:
        if len(self._recorded) == GRAPHS:
            oldest, _ = self._recorded.popitem(last=False)
            del self._passes[oldest]
        self._recorded[crops.shape] = _Recorded(self._net, recorder, crops, state)


class _Recorded:
    """A pass over crops of one shape, with the tensors that it reads."""

    def __init__(
        self, net: OceanNet, recorder: Recorder, crops: Tensor, state: TemplateState
    ) -> None:
        # a state that all crops share is read as it is
        fixed_crops = crops.clone()
        fixed_state = TemplateState.of([tensor.clone() for tensor in state.tensors()])
        self._inputs = [fixed_crops, *fixed_state.tensors()]
        self._repeat = recorder(lambda: ask(net, fixed_crops, fixed_state))

    def __call__(self, crops: Tensor, state: TemplateState) -> Answer:
        for fixed, given in zip(self._inputs, [crops, *state.tensors()], strict=True):
            fixed.copy_(given, non_blocking=True)
        answer = self._repeat()
        return Answer(*(tensor.clone() for tensor in answer))


def cuda_recorder(device: torch.device) -> Recorder:
    """Record CUDA graphs; those of one recorder share their memory, so one runs at a time."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Work) -> Work:
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                work()  # what libraries set up on first use is not to be recorded
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                answer = work()

        def repeat() -> Answer:
            with torch.cuda.device(device):
                graph.replay()
            return answer

        return repeat

    return record
