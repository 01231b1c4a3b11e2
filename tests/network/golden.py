"""The golden numbers of the reference implementation, and the weights they were made with.

``golden.json`` holds what the released code gave for weights and inputs drawn from seeded
generators; the recipe is written out here, so that nothing but numpy is needed to make them again.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "golden.json").read_text())
KEYS: dict[str, dict[str, list[int]]] = json.loads((HERE / "official_keys.json").read_text())
RTOL = 1e-4


def fill(key: str, shape: list[int]) -> Tensor:
    """Weights of one official key, seeded by its name."""
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return torch.tensor(0)
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    if key == "connect_model.bias":
        value = 3.5 + 0.1 * noise
    elif key == "connect_model.adjust":
        value = np.full(shape, 0.02)
    elif key.endswith("_dw.weight"):
        value = 0.3 * noise
    elif leaf == "running_mean" or leaf == "bias":
        value = 0.1 * noise
    elif leaf == "running_var":
        value = 1 + 0.2 * np.abs(noise)
    elif noise.ndim == 1:
        value = 1 + 0.1 * noise
    else:
        value = noise * np.sqrt(1 / np.prod(shape[1:]))
    if key == "features.features.conv1.weight":
        value = value / 128
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def official_state(variant: str) -> dict[str, Tensor]:
    """State dict of a released layout under its official names."""
    return {key: fill(key, shape) for key, shape in KEYS[variant].items()}


def pixels(seed: int, side_px: int, batch: int = 1) -> Tensor:
    """Random crop ``(batch, 3, side, side)`` float32 0..255."""
    values = np.random.RandomState(seed).randint(0, 256, (batch, 3, side_px, side_px))
    return torch.from_numpy(values.astype(np.float32))


def assert_golden(name: str, value: Tensor) -> None:
    """Compare sums, extremes and samples of an array with the stored ones."""
    want = GOLDEN[name]
    flat = value.detach().double().flatten().numpy()
    scale = want["abs"]
    np.testing.assert_allclose(np.abs(flat).sum(), want["abs"], rtol=RTOL)
    np.testing.assert_allclose(flat.sum(), want["sum"], atol=RTOL * scale)
    np.testing.assert_allclose([flat.min(), flat.max()], [want["min"], want["max"]], rtol=RTOL)
    np.testing.assert_allclose(flat[want["idx"]], want["val"], rtol=RTOL, atol=1e-6)
