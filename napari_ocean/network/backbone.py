"""Feature extraction (Sec. 4.1): two backbones with the same geometry, stride 8.

Both turn a 127 px template crop into 15x15 cells and a 223 / 255 / 271 / 287 px search crop into
27 / 31 / 33 / 35 cells, so that all that follows is one piece of code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """Residual block 1x1 - 3x3 - 1x1 (x4); the stride sits on the 3x3.

    Strided 3x3 convolutions are unpadded, dilated ones padded by their dilation, and every
    shortcut but that of the first stage is a 3x3 convolution: the layout of the released weights.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        shortcut_px: int | None = None,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        padding = dilation if dilation > 1 else 2 - stride
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if shortcut_px is not None:
            pad = 0 if shortcut_px == 1 else 2 - stride
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, shortcut_px, stride, pad, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features at the block's stride."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(y + shortcut)


def _stage(
    in_channels: int, width: int, blocks: int, *, stride: int, dilation: int, shortcut_px: int
) -> nn.Sequential:
    # The first block of a dilated stage runs at half its dilation.
    first = Bottleneck(
        in_channels,
        width,
        stride=stride,
        dilation=max(dilation // 2, 1),
        shortcut_px=shortcut_px,
    )
    out_channels = width * Bottleneck.expansion
    rest = [Bottleneck(out_channels, width, dilation=dilation) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNet50(nn.Module):
    """ResNet-50 up to ``layer3`` at stride 8 (last stage dilated), first convolution unpadded.

    Takes BGR 0..255 as it is: the released weights expect no normalisation.

    Parameters
    ----------
    online : bool
        Add ``layeronline``, the stride-16 branch of the online classifier (Sec. 4.2).
    """

    channels = 1024

    def __init__(self, *, online: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 3, stride=1, dilation=1, shortcut_px=1)
        self.layer2 = _stage(256, 128, 4, stride=2, dilation=1, shortcut_px=3)
        self.layer3 = _stage(512, 256, 6, stride=1, dilation=2, shortcut_px=3)
        self.layeronline: nn.Sequential | None = None
        if online:
            self.layeronline = _stage(512, 256, 6, stride=2, dilation=1, shortcut_px=3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Features of the Siamese branch, ``(N, 1024, 31, 31)`` for a 255 px crop."""
        return self.deep(self.shallow(x))

    def deep(self, features: Tensor) -> Tensor:
        """The last stage of the Siamese branch."""
        deep: Tensor = self.layer3(features)
        return deep

    def deep_parameters(self) -> Iterator[nn.Parameter]:
        """Weights of :meth:`deep`."""
        return self.layer3.parameters()

    def shallow_parameters(self) -> Iterator[nn.Parameter]:
        """Weights of :meth:`shallow` but for the first convolution, which stays ImageNet's."""
        return chain(self.layer1.parameters(), self.layer2.parameters())

    def online_features(self, x: Tensor) -> Tensor:
        """Features of the online branch, ``(N, 1024, 13, 13)`` for a 224 px sample."""
        if self.layeronline is None:
            raise ValueError("this network was built without the online branch")
        features: Tensor = self.layeronline(self.shallow(x))
        return features

    def shallow(self, x: Tensor) -> Tensor:
        """The stages that both branches share."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        features: Tensor = self.layer2(self.layer1(x))
        return features


class InvertedResidual(nn.Module):
    """Expand 1x1 - depth-wise kxk - project 1x1, with ReLU6 and the identity where shapes agree."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_px: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, width, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(width, width, kernel_px, stride, kernel_px // 2, groups=width)
        self.project = nn.Conv2d(width, out_channels, 1)
        self.identity = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Features at the block's stride."""
        # in place: fresh memory for these large maps takes a fifth of the backbone's time
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = F.relu6(self.depthwise(y), inplace=True)
        y = self.project(y)
        out: Tensor = x + y if self.identity else y
        return out


class EfficientNetLite0(nn.Module):
    """The first blocks of EfficientNet-Lite0, two depths brought together at stride 8.

    Batch norm does not appear: its statistics stay those of ImageNet, so it is folded into the
    convolutions when the ImageNet weights are imported. Takes BGR 0..255.

    Parameters
    ----------
    used : int
        How many blocks: more than :attr:`blocks_stride8`, 11 at most.
    """

    # (repeats, out channels, kernel, stride, expansion) of each stage
    stages = (
        (1, 16, 3, 1, 1),
        (2, 24, 3, 2, 6),
        (2, 40, 5, 2, 6),
        (3, 80, 3, 2, 6),
        (3, 112, 5, 1, 6),
    )
    blocks_stride8 = 5

    def __init__(self, used: int = 11) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        blocks: list[InvertedResidual] = []
        channels = 32
        for repeats, out_channels, kernel_px, stride, expansion in self.stages:
            for i in range(repeats):
                blocks.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        kernel_px=kernel_px,
                        stride=stride if i == 0 else 1,
                        expansion=expansion,
                    )
                )
                channels = out_channels
        self.blocks = nn.ModuleList(blocks[:used])
        depths = (blocks[self.blocks_stride8 - 1], blocks[used - 1])
        self.channels = sum(block.project.out_channels for block in depths)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, 152, 31, 31)`` for a 255 px crop: 40 at stride 8, 112 from stride 16.

        Cell ``j`` of the padded convolutions sits at pixel ``8 j``; dropping the first row and
        column leaves Ocean's grid (:mod:`napari_ocean.network.grid`) exactly.
        """
        return self.deep(self.shallow(x))

    def shallow(self, x: Tensor) -> Tensor:
        """Stem and blocks up to stride 8."""
        x = F.relu6(self.stem((x - 127) / 128), inplace=True)
        for block in self.blocks[: self.blocks_stride8]:
            x = block(x)
        return x

    def deep(self, fine: Tensor) -> Tensor:
        """The deeper blocks, and both depths together."""
        x = fine
        for block in self.blocks[self.blocks_stride8 :]:
            x = block(x)
        coarse = F.interpolate(x, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, coarse], dim=1)[..., 1:, 1:]

    def deep_parameters(self) -> Iterator[nn.Parameter]:
        """Weights of :meth:`deep`."""
        return self.blocks[self.blocks_stride8 :].parameters()

    def shallow_parameters(self) -> Iterator[nn.Parameter]:
        """Weights of :meth:`shallow` but for the first convolution, which stays ImageNet's."""
        return self.blocks[: self.blocks_stride8].parameters()
