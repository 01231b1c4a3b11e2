"""Reading and writing weights: official TracKit files, the SOTS re-release, and our safetensors.

Files are told apart by what is in them, never by their name, and no pickle is ever run
(``torch.load(weights_only=True)`` or safetensors). Key names of the released files are in
``ocean_keys.json`` of the reference; :data:`_OFFICIAL_PREFIXES` maps them to our modules.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_ocean.errors import WeightsError
from napari_ocean.network.ocean import OceanNet
from napari_ocean.network.presets import OCEAN, Preset, resized, sizes

FORMAT = "napari-ocean"
"""Mark of our own files, in the safetensors metadata under ``format``."""

_WRAPPERS = ("module.", "feature_extractor.")
_SOTS_PREFIXES = {
    "backbone.": "features.features.",
    "head.": "connect_model.",
}
_OFFICIAL_PREFIXES = {
    "features.features.": "backbone.",
    "neck.downsample.": "neck.",
    "connect_model.cls_encode.": "regular_combination.",
    "connect_model.cls_dw.weight": "regular_combination.mix",
    "connect_model.cls_tower.": "regular_head.tower.",
    "connect_model.cls_pred.": "regular_head.predict.",
    "connect_model.reg_encode.": "box_combination.",
    "connect_model.reg_dw.weight": "box_combination.mix",
    "connect_model.bbox_tower.": "box_head.tower.",
    "connect_model.bbox_pred.": "box_head.predict.",
    "connect_model.adjust": "box_head.adjust",
    "connect_model.bias": "box_head.bias",
    "align_head.rpn_conv.conv.weight": "aware_head.sample.weight",
    "align_head.rpn_cls.": "aware_head.predict.",
}
_BRANCHES = ("matrix11", "matrix12", "matrix21")
_SIDES = {"k": "template", "s": "search"}

_ONLINE_MARK = "backbone.layeronline.0.conv1.weight"
_AWARE_MARK = "aware_head.sample.weight"

CLASSIFIER_SHAPES: Mapping[str, tuple[int, ...]] = {
    "feature_extractor.0.weight": (512, 1024, 3, 3),
    "filter_initializer.filter_conv.weight": (512, 512, 3, 3),
    "filter_initializer.filter_conv.bias": (512,),
    "filter_optimizer.log_step_length": (1,),
    "filter_optimizer.filter_reg": (1,),
    "filter_optimizer.label_map_predictor.weight": (1, 100, 1, 1),
    "filter_optimizer.target_mask_predictor.0.weight": (1, 100, 1, 1),
    "filter_optimizer.spatial_weight_predictor.weight": (1, 100, 1, 1),
}
"""What a released online file holds beside the network, under ``classifier.``."""


@dataclass(frozen=True)
class Checkpoint:
    """A file's content, sorted but not yet in a network.

    Attributes
    ----------
    preset : Preset
        Size of the network.
    network : dict of str to Tensor
        State of :class:`OceanNet`, under our key names, float32.
    classifier : dict of str to Tensor
        State of the online classifier (Sec. 4.2) under the released key names; empty when the
        file holds none.
    metadata : dict of str to str
        Provenance, for our own files.
    """

    preset: Preset
    network: dict[str, Tensor]
    classifier: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read any supported weights file.

    Raises
    ------
    WeightsError
        If there is no such file, it is of another kind, or it would have to run a pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; check the path.")
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        return _read_torch(path)
    raise WeightsError(
        f"{path} is neither a PyTorch checkpoint nor a safetensors file; "
        "give an official Ocean .pth or a file written by napari-ocean."
    )


def load_network(path: str | Path, device: torch.device | str = "cpu") -> OceanNet:
    """Build the network that a weights file is for, and load it completely.

    Parameters
    ----------
    path : str or Path
        Official TracKit file (with or without alignment, offline or online), SOTS re-release,
        or our own safetensors.
    device : torch.device or str

    Returns
    -------
    OceanNet
        In evaluation mode, float32.

    Raises
    ------
    WeightsError
        If the file cannot be read, or keys are missing, unexpected or of another shape.
    """
    return build_network(read_checkpoint(path), path).to(device)


def build_network(checkpoint: Checkpoint, path: str | Path = "The checkpoint") -> OceanNet:
    """Put a checkpoint into the network it is for, completely; `path` names it in errors.

    Raises
    ------
    WeightsError
        If keys are missing, unexpected or of another shape.
    """
    net = OceanNet(
        checkpoint.preset,
        aware=_AWARE_MARK in checkpoint.network,
        online=_ONLINE_MARK in checkpoint.network,
    )
    wanted = net.state_dict()
    state = {
        **{k: torch.zeros_like(v) for k, v in wanted.items() if k.endswith("num_batches_tracked")},
        **checkpoint.network,
    }
    _check_keys(path, wanted, state)
    if checkpoint.classifier:
        expected = {key: torch.empty(shape) for key, shape in CLASSIFIER_SHAPES.items()}
        _check_keys(path, expected, checkpoint.classifier)
    net.load_state_dict(state)
    return net.eval()


def save_network(net: OceanNet, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a network as safetensors, its preset and provenance in the metadata.

    Kernels are stored as float16, what is one number a channel (biases, norms) as float32.

    Parameters
    ----------
    net : OceanNet
    path : str or Path
        Replaced when it exists.
    metadata : mapping
        Provenance; values that are not text are written as JSON.
    """
    state = {
        key: value.detach().to("cpu", torch.float16 if value.ndim > 1 else None).contiguous()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise WeightsError("The network holds values that do not fit float16; it was not saved.")
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    size = json.dumps(sizes(net.preset))
    save_file(state, path, {**texts, "format": FORMAT, "preset": net.preset.name, "size": size})


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
    except SafetensorError as error:
        raise WeightsError(f"{path} is a damaged safetensors file: {error}.") from error
    if metadata.get("format") != FORMAT:
        return _from_official(path, state)
    try:
        preset = resized(metadata.get("preset", ""), json.loads(metadata.get("size", "{}")))
    except (ValueError, AttributeError) as error:  # ConfigError is one
        raise WeightsError(
            f"{path} is for a network that this version does not know; update napari-ocean. {error}"
        ) from error
    network = {key: _float32(value) for key, value in state.items()}
    return Checkpoint(preset, network, metadata=metadata)


def _read_torch(path: Path) -> Checkpoint:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and unpickling it could run code; "
            "save its state_dict alone and load that."
        ) from error
    except Exception as error:  # what reads a damaged pickle raises anything
        raise WeightsError(f"{path} is a damaged PyTorch file; copy it again.") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise WeightsError(f"{path} holds no state_dict of tensors; give an Ocean checkpoint.")
    return _from_official(path, content)


def _from_official(path: Path, state: Mapping[str, Tensor]) -> Checkpoint:
    network: dict[str, Tensor] = {}
    classifier: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _strip_wrappers(key)
        if name.startswith("classifier."):
            classifier[name.removeprefix("classifier.")] = _float32(value)
        else:
            network[_translate(name)] = _float32(value)
    if not any(key.startswith("backbone.") for key in network):
        raise WeightsError(
            f"{path} is not an Ocean checkpoint: none of its {len(state)} keys belongs to one."
        )
    return Checkpoint(OCEAN, network, classifier)


def _strip_wrappers(key: str) -> str:
    while key.startswith(_WRAPPERS):
        for wrapper in _WRAPPERS:
            key = key.removeprefix(wrapper)
    return key


def _translate(key: str) -> str:
    """Our name of an official or SOTS key; a key that is neither stays as it is."""
    for prefixes in (_SOTS_PREFIXES, _OFFICIAL_PREFIXES):
        for old, new in prefixes.items():
            if key.startswith(old):
                key = new + key.removeprefix(old)
                break
    for index, branch in enumerate(_BRANCHES):
        for letter, side in _SIDES.items():
            key = key.replace(f".{branch}_{letter}.", f".{side}.{index}.")
    return key


def _float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _check_keys(
    path: str | Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    problems = []
    for title, keys in (
        ("missing", [key for key in wanted if key not in found]),
        ("unexpected", [key for key in found if key not in wanted]),
        (
            "of another shape",
            [k for k in wanted if k in found and wanted[k].shape != found[k].shape],
        ),
    ):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            problems.append(f"{len(keys)} {title}: {', '.join(keys[:5])}{more}")
    if problems:
        raise WeightsError(f"{path} does not fit the network ({'; '.join(problems)}).")
