"""What light, lens, sensor and compression do to crops, on the device they are on.

Crops are ``(N, H, W, 3)``; every function changes them by parameters of one row a crop.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.boxes import FloatArray

_BLUR_PX = 13
_BLOCK = 8
_JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of the 8x8 frequencies at quality 50 (ITU-T T.81, table K.1)."""


def color_levels(rng: np.random.Generator, count: int, strength: float) -> FloatArray:
    """Drawn changes of brightness, contrast, gamma and colour balance.

    Returns
    -------
    ndarray of float64, shape (count, 5)
        Logarithmic gain of each channel, offset in levels, logarithmic gamma.
    """
    common, own = rng.uniform(-1, 1, (count, 1)), rng.uniform(-1, 1, (count, 3)) / 3
    others = rng.uniform(-1, 1, (count, 2)) * (100, 1)
    return np.asarray(np.hstack([common + own, others]) * strength)


def recolor(levels: Tensor, change: Tensor) -> Tensor:
    """Levels 0..255 ``(N, K, 3)`` after the changes ``(N, 5)`` of :func:`color_levels`."""
    gain, offset, gamma = change[:, None, :3].exp(), change[:, 3], change[:, 4].exp()
    curved = 255 * (levels.clamp(0, 255) / 255) ** gamma[:, None, None]
    return (curved - 128) * gain + 128 + offset[:, None, None]


def look_up(crops: Tensor, table: Tensor) -> Tensor:
    """Each level of uint8 crops replaced by that of a table ``(N, 256, 3)``, float32."""
    levels = crops.flatten(1, 2).long()
    return table.gather(1, levels).reshape(crops.shape)


def gray(crops: Tensor) -> Tensor:
    """Without colour (ITU-R BT.601 weights)."""
    weights = crops.new_tensor([0.114, 0.587, 0.299])
    return (crops @ weights)[..., None].expand_as(crops)


def coarsen(crops: Tensor, factor: float) -> Tensor:
    """As from a sensor of `factor` times fewer pixels a side."""
    planes = crops.permute(0, 3, 1, 2)
    few = round(planes.shape[-1] / factor)
    small = F.interpolate(planes, (few, few), mode="area")
    large = F.interpolate(small, planes.shape[-2:], mode="bilinear", align_corners=False)
    return large.permute(0, 2, 3, 1)


def blur(crops: Tensor, along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """Gaussian blur of two widths: defocus where they agree, motion where they do not.

    Parameters
    ----------
    crops : Tensor, shape (N, H, W, 3)
    along, across : Tensor, shape (N,)
        Standard deviations, px.
    angle : Tensor, shape (N,)
        Direction of the first, radians.
    """
    reach = torch.arange(_BLUR_PX, device=crops.device) - _BLUR_PX // 2
    y, x = torch.meshgrid(reach, reach, indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    power = (u / along[:, None, None]) ** 2 + (v / across[:, None, None]) ** 2
    kernels = torch.exp(-power / 2)
    kernels = kernels / kernels.sum(dim=(1, 2), keepdim=True)
    n, height, width = crops.shape[:3]
    planes = crops.permute(3, 0, 1, 2)  # colours as the batch, crops as channels
    padded = F.pad(planes, [_BLUR_PX // 2] * 4, mode="replicate")
    blurred = F.conv2d(padded, kernels[:, None], groups=n)
    return blurred.reshape(3, n, height, width).permute(1, 2, 3, 0)


def add_noise(crops: Tensor, field: Tensor, corner: NDArray[np.int64], sigma: Tensor) -> Tensor:
    """Sensor noise: a window of a field of unit noise, ``(F, F, 3)``, times `sigma` ``(N,)``."""
    height, width = crops.shape[1:3]
    windows = [field[y : y + height, x : x + width] for y, x in corner.tolist()]
    return crops + torch.stack(windows) * sigma[:, None, None, None]


def compress(crops: Tensor, quality: Tensor) -> Tensor:
    """What JPEG keeps of each channel at a quality ``(N,)`` of 1 to 100 (ITU-T T.81, annex A)."""
    table = crops.new_tensor(_JPEG_LUMINANCE)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    steps = (table * percent[:, None, None] / 100).clamp_min(1)[:, None, None, :, None, :]
    n, height, width = crops.shape[:3]
    rows, columns = (math.ceil(side / _BLOCK) for side in (height, width))
    extra = (0, columns * _BLOCK - width, 0, rows * _BLOCK - height)
    planes = F.pad(crops.permute(0, 3, 1, 2), extra, mode="replicate")
    blocks = planes.reshape(n, 3, rows, _BLOCK, columns, _BLOCK) - 128
    basis = _cosines().to(crops)
    frequencies = torch.einsum("ki,ncribj,lj->ncrkbl", basis, blocks, basis)
    kept = (frequencies / steps).round() * steps
    pixels = torch.einsum("ki,ncrkbl,lj->ncribj", basis, kept, basis) + 128
    pixels = pixels.reshape(n, 3, rows * _BLOCK, columns * _BLOCK)[..., :height, :width]
    return pixels.permute(0, 2, 3, 1)


def _cosines() -> Tensor:
    """Orthonormal cosine basis ``(8, 8)``, a frequency a row."""
    place = torch.arange(_BLOCK)
    angles = (2 * place[None] + 1) * place[:, None] * math.pi / (2 * _BLOCK)
    basis = angles.cos() * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return basis
