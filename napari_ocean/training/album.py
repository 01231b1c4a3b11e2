"""All training images on one device, decoded, and read by coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ocean.training.images import LabelledImage


class Album:
    """Images of any sizes as one row of packed pixels: a look-up takes one gather.

    Parameters
    ----------
    images : sequence of LabelledImage
    device : torch.device
    """

    def __init__(self, images: Sequence[LabelledImage], device: torch.device) -> None:
        sizes = np.array([image.pixels.shape[1::-1] for image in images])
        starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
        self._pixels = torch.empty(int(starts[-1]), dtype=torch.int32, device=device)
        for image, start, end in zip(images, starts, starts[1:], strict=False):
            self._pixels[start:end] = torch.from_numpy(_packed(image.pixels)).to(device)
        self._starts = torch.from_numpy(starts[:-1]).to(device)
        self._sizes = torch.from_numpy(sizes).to(device)
        means = np.stack([image.pixels[::4, ::4].mean(axis=(0, 1)) for image in images])
        self.mean_colors = torch.from_numpy(means).float().to(device)
        """Mean of each image, ``(N, 3)`` float32 BGR."""

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self._pixels.device

    def sizes(self, image: Tensor) -> Tensor:
        """Width and height ``(N, 2)`` of images ``(N,)``."""
        return self._sizes[image]

    def read(self, image: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Colours on a grid of places, bilinear, as the tracker's crops are.

        Parameters
        ----------
        image : Tensor of int64, shape (N,)
        x : Tensor of float32, shape (N, 1 or H, W)
            Columns, counted from the middle of the first pixel.
        y : Tensor of float32, shape (N, H, 1 or W)
            Rows, likewise.

        Returns
        -------
        colors : Tensor of float32, shape (N, H, W, 3)
            BGR 0..255; outside the image those of its border.
        inside : Tensor of bool, shape (N, H, W)
        """
        width, height = self._sizes[image][:, None, None].unbind(dim=-1)
        left, across, x_inside = _neighbours(x, width)
        top, down, y_inside = _neighbours(y, height)
        first = self._starts[image][:, None, None]

        def row(offset: int) -> Tensor:
            line = first + (top + offset).minimum(height - 1) * width
            one = self._unpack(line + left)
            two = self._unpack(line + (left + 1).minimum(width - 1))
            return torch.lerp(one, two, across[..., None].expand_as(one))

        upper = row(0)
        colors = torch.lerp(upper, row(1), down[..., None].expand_as(upper))
        return colors, y_inside & x_inside

    def _unpack(self, index: Tensor) -> Tensor:
        packed = self._pixels[index]
        return packed.view(torch.uint8).reshape(*index.shape, 4)[..., :3].float()


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One int32 a pixel of ``(H, W, 3)``."""
    four = np.zeros((*pixels.shape[:2], 4), np.uint8)
    four[..., :3] = pixels
    return four.view(np.int32).reshape(-1)


def _neighbours(places: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel before each place, the share of the one after it, and whether it is inside.

    Outside, both are the border's.
    """
    last = (length - 1).float()
    inside = (places >= -0.5) & (places <= last + 0.5)
    held = places.clamp_min(0).minimum(last)
    whole = held.floor()
    return whole.long(), held - whole, inside
