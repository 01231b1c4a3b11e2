"""A small shard of drawn training images."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_ocean.training.imagenet import convert_lite0


def _drawn(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, list[float]]:
    image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
    x0, y0 = rng.integers(4, width // 2), rng.integers(4, height // 2)
    x1, y1 = x0 + width // 3, y0 + height // 3
    image[y0:y1, x0:x1] = rng.integers(130, 256, 3)
    return image, [float(v) for v in (x0, y0, x1, y1)]


def _line(name: str, image: np.ndarray, boxes: list[list[float]], **more: object) -> str:
    height, width = image.shape[:2]
    line = {"file": name, "width": width, "height": height, "boxes": boxes, **more}
    return json.dumps(line)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one shard: 6 photos (one without boxes), 4 of 64 px, one video of 5 frames."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    lines = []
    with zipfile.ZipFile(folder / "shard-00.zip", "w") as archive:

        def add(name: str, side: tuple[int, int], *, empty: bool = False, **more: object) -> None:
            image, box = _drawn(rng, *side)
            buffer = io.BytesIO()
            iio.imwrite(buffer, image, extension=".png")
            archive.writestr(name, buffer.getvalue())
            lines.append(_line(name, image, [] if empty else [box], **more))

        for i in range(6):
            add(f"toys/{i}.png", (90, 130), empty=i == 0)
        for i in range(4):
            add(f"tiny/{i}.png", (64, 64))
        for i in reversed(range(5)):
            add(f"film/{i}.png", (100, 100), video="film", frame=i, track_ids=[0])
        archive.writestr("boxes.jsonl", "\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def lite0_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the key names of the ``efficientnet_lite_pytorch`` package."""
    from napari_ocean.network.backbone import EfficientNetLite0

    torch.manual_seed(0)
    backbone = EfficientNetLite0()
    state: dict[str, torch.Tensor] = {}

    def conv_and_norm(conv: str, norm: str, weight: torch.Tensor) -> None:
        channels = weight.shape[0]
        state[f"{conv}.weight"] = weight.detach().clone()
        state[f"{norm}.weight"] = torch.rand(channels) + 0.5
        state[f"{norm}.bias"] = torch.randn(channels) * 0.1
        state[f"{norm}.running_mean"] = torch.randn(channels) * 0.1
        state[f"{norm}.running_var"] = torch.rand(channels) + 0.5

    conv_and_norm("_conv_stem", "_bn0", backbone.stem.weight)
    for i, block in enumerate(backbone.blocks):
        for part, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            if (conv := getattr(block, part)) is not None:
                conv_and_norm(f"_blocks.{i}._{part}_conv", f"_blocks.{i}.{norm}", conv.weight)
    assert convert_lite0(state, backbone)
    path = tmp_path_factory.mktemp("imagenet") / "lite0.pth"
    torch.save(state, path)
    return path
