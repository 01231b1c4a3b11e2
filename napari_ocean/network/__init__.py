"""The paper's network (Sec. 3 and 4.1) and its weights; tensors in, tensors out, no state."""

from napari_ocean.network.checkpoint import (
    Checkpoint,
    build_network,
    load_network,
    read_checkpoint,
    save_network,
)
from napari_ocean.network.ocean import OceanNet, OceanOutput, TemplateState, fold_batch_norm, stack
from napari_ocean.network.presets import LITE, OCEAN, PRESETS, SEARCH_PX, TEMPLATE_PX, Preset

__all__ = [
    "LITE",
    "OCEAN",
    "PRESETS",
    "SEARCH_PX",
    "TEMPLATE_PX",
    "Checkpoint",
    "OceanNet",
    "OceanOutput",
    "Preset",
    "TemplateState",
    "build_network",
    "fold_batch_norm",
    "load_network",
    "read_checkpoint",
    "save_network",
    "stack",
]
