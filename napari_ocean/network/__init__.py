"""The paper's network (Sec. 3 and 4.1) and its weights; tensors in, tensors out, no state."""

from napari_ocean.network.checkpoint import (
    Checkpoint,
    build_network,
    load_network,
    read_checkpoint,
    save_network,
)
from napari_ocean.network.compiled import Compiled, openvino_version
from napari_ocean.network.graphs import Graphs, cuda_recorder
from napari_ocean.network.ocean import (
    OceanNet,
    OceanOutput,
    TemplateState,
    blend,
    fold_batch_norm,
    lower_precision,
    stack,
)
from napari_ocean.network.presets import (
    LITE,
    OCEAN,
    PRESETS,
    SEARCH_PX,
    TEMPLATE_PX,
    Preset,
    resized,
)
from napari_ocean.network.search import Answer, Search, ordinary
from napari_ocean.network.threads import inference

__all__ = [
    "LITE",
    "OCEAN",
    "PRESETS",
    "SEARCH_PX",
    "TEMPLATE_PX",
    "Answer",
    "Checkpoint",
    "Compiled",
    "Graphs",
    "OceanNet",
    "OceanOutput",
    "Preset",
    "Search",
    "TemplateState",
    "blend",
    "build_network",
    "cuda_recorder",
    "fold_batch_norm",
    "inference",
    "load_network",
    "lower_precision",
    "openvino_version",
    "ordinary",
    "read_checkpoint",
    "resized",
    "save_network",
    "stack",
]
