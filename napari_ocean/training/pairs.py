"""Training pairs: a template crop and a search crop that does or does not hold the target.

What is drawn depends on ``(seed, step)`` alone, so a training that goes on after a stop, or on
another number of processes, sees the same pairs. The matching has to be learnt, not the category:
look-alikes and strangers are pasted beside the target, things in front of it, and some search
crops do not hold it at all. Numbers are drawn with numpy; pixels are read, mixed and distorted on
the device that trains (:mod:`napari_ocean.training.album`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.network.presets import TEMPLATE_PX
from napari_ocean.tracking.crop import context_side
from napari_ocean.training import photometry
from napari_ocean.training.album import Album
from napari_ocean.training.images import TrainingImages, mosaics
from napari_ocean.training.objects import Indices, Objects
from napari_ocean.training.settings import PairSettings
from napari_ocean.training.silhouettes import turned_boxes

Plan = dict[str, NDArray[Any]]

_NOISE_PX = 512
_PLACES = 8
"""Places tried for an object beside the target."""
_PART_SIZE = (0.35, 1.35)
"""Sides of a part, in sides of its object; over 1 it is the object with what surrounds it."""
_MIN_PART_PX = 12.0
"""Shorter side under which a part holds too little to learn from; its object is taken whole."""


class PairBatch(NamedTuple):
    """Training examples of one step; crops are BGR uint8."""

    templates: Tensor
    """Shape (N, 127, 127, 3)."""
    searches: Tensor
    """Shape (N, S, S, 3)."""
    boxes: Tensor
    """Targets in the search crops, counted from the middle of the first pixel, float32 (N, 4)."""
    present: Tensor
    """Whether the search crop holds the target, bool (N,)."""


class PairSource:
    """Makes the pairs of each step, or a process's share of them.

    Parameters
    ----------
    images : TrainingImages
    settings : PairSettings
    seed : int
    batch : int
        Pairs of a step, over all processes.
    device : torch.device
    share : slice
        Those of them that are made here.

    Raises
    ------
    DataError
        If there is nothing to follow in the images.
    """

    def __init__(
        self,
        images: TrainingImages,
        settings: PairSettings,
        seed: int,
        *,
        batch: int,
        device: torch.device | str = "cpu",
        share: slice = slice(None),
    ) -> None:
        self._settings, self._seed, self._batch, self._share = settings, seed, batch, share
        laid = mosaics(images.tiny, settings.mosaics, seed) if settings.mosaic_share else []
        self._objects = Objects(images, laid)
        frames = [frame for video in images.videos for frame in video]
        self._album = Album([*images.photos, *laid, *frames], torch.device(device))
        self._photos = len(images.photos)
        self._grids = torch.from_numpy(self._objects.grids).to(device)
        self._outlined = np.asarray((self._objects.grids > 127).any(axis=(1, 2)))
        field = np.random.default_rng(seed).standard_normal((_NOISE_PX, _NOISE_PX, 3), np.float32)
        self._noise = torch.from_numpy(field).to(device)

    def __getitem__(self, step: int) -> PairBatch:
        rng = np.random.default_rng([self._seed, step])
        plan = {name: values[self._share] for name, values in self._plan(rng).items()}
        template, drawn = self._crop(plan, "template", TEMPLATE_PX)
        self._paste(template, plan, drawn, "cover")
        search, box = self._crop(plan, "search", self._settings.search_px)
        self._paste(search, plan, box, "beside")
        self._paste(search, plan, box, "over")
        return PairBatch(
            self._distort(template, plan, "template"),
            self._distort(search, plan, "search"),
            self._tensor(box - 0.5),
            self._tensor(plan["present"]),
        )

    # ---------------------------------------------------------------------------- what is drawn

    def _plan(self, rng: np.random.Generator) -> Plan:
        """All that is drawn for a step, a row a pair."""
        settings, n = self._settings, self._batch
        first, second = self._views(rng)
        stranger = self._strangers(rng, second, first_views=True)
        present = (rng.random(n) >= settings.negative_share) | (stranger < 0)
        scale = rng.uniform(-1, 1, (n, 1)) * settings.search_scale
        aspect = rng.uniform(-1, 1, (n, 1)) * settings.search_aspect * (0.5, -0.5)
        plan: Plan = {
            "present": present,
            "flip": rng.random(n) < 0.5,
            "template": np.where(present, first, stranger),
            "template_shift": rng.uniform(-1, 1, (n, 2)) * settings.template_shift_px,
            "template_scale": 1 + rng.uniform(-1, 1, (n, 2)) * settings.template_scale,
            "search": second,
            "search_shift": rng.uniform(-1, 1, (n, 2)) * settings.search_shift_px,
            "search_scale": np.exp(scale + aspect),
            "ground": rng.integers(self._photos or len(self._objects.film), size=n),  # or films
            "continued": rng.random(n) < settings.background_share,
            "transplanted": rng.random(n) < settings.transplant_share,
            **self._stranger_plan(rng, second, "beside", settings.paste_share, (0.6, 1.4)),
            **self._stranger_plan(rng, second, "over", settings.occlusion_share, (0.3, 0.7)),
            "places": rng.uniform(0, settings.search_px, (n, _PLACES, 2)),
            "over_offset": rng.choice([-1, 1], (n, 2)) * rng.uniform(0.2, 0.6, (n, 2)),
            "gray": rng.random(n) < settings.gray_share,
            "coarse": rng.random(n) < settings.coarse_share,
            "coarse_factor": np.full(n, rng.uniform(1.5, 4.5)),
            "color": photometry.color_levels(rng, n, settings.color),
            **self._photometric_plan(rng, "template"),
            **self._photometric_plan(rng, "search"),
        }
        # last, so that a seed of before there were parts and covers gives the pairs that it gave
        parted = present & (first == second) & (rng.random(n) < settings.part_share)
        rolled = (rng.random(n) < settings.roll_share) & self._outlined[second] & ~parted
        plan |= {
            "part": self._parts(rng, second, parted),
            "roll": np.where(rolled, rng.uniform(-1, 1, n) * settings.roll, 0.0),
            **self._stranger_plan(rng, second, "cover", settings.cover_share, (0.3, 0.7)),
            "cover_offset": rng.uniform(-0.6, 0.6, (n, 2)),
            "cover_bar": rng.random(n) < 0.5,
            "bar_size": np.stack([rng.uniform(0.1, 0.4, n), rng.uniform(2, 4, n)], axis=1),
        }
        stays = (plan["cover"] >= 0) & (rng.random(n) < 0.7)  # before another part of the target
        plan["over"] = np.where(stays, plan["cover"], plan["over"])
        plan["over_bar"] = stays & plan["cover_bar"]
        foreign = self._keep_absent(plan)
        plan["continued"] &= foreign
        plan["transplanted"] &= foreign & ~parted
        return plan

    def _keep_absent(self, plan: Plan) -> NDArray[np.bool_]:
        """Paste nothing that may show what is sought in vain; say whose ground does not either."""
        targets, template = self._objects, plan["template"]
        for name in ("beside", "over", "cover"):
            shows = ~plan["present"] & targets.are_together(plan[name], template)
            plan[name] = np.where(shows, -1, plan[name])
        ground, film = targets.film[plan["ground"]], targets.film[targets.image]
        return np.asarray((ground != film[plan["search"]]) & (ground != film[template]))

    def _views(self, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Two looks at one object, for each pair."""
        settings, n, targets = self._settings, self._batch, self._objects
        draw = rng.random(n)
        first = targets.photo(rng, n)
        if len(targets.mosaics):
            tiled = draw < settings.video_share + settings.mosaic_share
            first = np.where(tiled, rng.choice(targets.mosaics, n), first)
        second = first.copy()
        if len(targets.video_starts):
            # a film twice as long does not show twice as much
            chances = np.sqrt(targets.video_lengths)
            video = rng.choice(len(chances), n, p=chances / chances.sum())
            start, length = targets.video_starts[video], targets.video_lengths[video]
            reach = np.maximum((length * settings.video_reach).astype(int), 1)
            i = rng.integers(length)
            j = np.clip(i + rng.integers(-reach, reach + 1), 0, length - 1)
            filmed = (draw < settings.video_share) | (not targets.has_photos)
            first, second = np.where(filmed, start + i, first), np.where(filmed, start + j, second)
        return first, second

    def _parts(
        self, rng: np.random.Generator, target: Indices, parted: NDArray[np.bool_]
    ) -> FloatArray:
        """What to take of some targets, in shares of their boxes; all where it were too small."""
        size = rng.uniform(*_PART_SIZE, (len(target), 2))
        corner = rng.random((len(target), 2)) * (1 - size)
        large = (boxes.size(self._objects.box[target]) * size).min(axis=1) >= _MIN_PART_PX
        part = np.hstack([corner, corner + size])
        return np.where((parted & large)[:, None], part, (0.0, 0.0, 1.0, 1.0))

    def _strangers(
        self, rng: np.random.Generator, target: Indices, *, first_views: bool = False
    ) -> Indices:
        """Other objects, some of the same kind as the target; -1 where one would be the target.

        As `first_views` none that may be seen near the target.
        """
        targets, n = self._objects, len(target)
        any_kind = self._views(rng)[0] if first_views else targets.photo(rng, n)
        alike = targets.alike(rng, target)
        usable = targets.image[alike] != targets.image[target]
        chosen = np.where(usable & (rng.random(n) < self._settings.alike_share), alike, any_kind)
        clash = targets.are_together if first_views else targets.are_one
        return np.where(clash(chosen, target), -1, chosen)

    def _stranger_plan(
        self,
        rng: np.random.Generator,
        target: Indices,
        name: str,
        share: float,
        sizes: tuple[float, float],
    ) -> Plan:
        n = self._batch
        chosen = self._strangers(rng, target)
        return {
            f"{name}_size": rng.uniform(*sizes, n),
            name: np.where(rng.random(n) < share, chosen, -1),
        }

    def _photometric_plan(self, rng: np.random.Generator, crop: str) -> Plan:
        settings, n = self._settings, self._batch
        moved = rng.random(n) < 0.5
        along = np.where(moved, rng.uniform(0.8, 3.5, n), rng.uniform(0.5, 2.0, n))
        noise = rng.random(n)
        return {
            f"{crop}_color": photometry.color_levels(rng, n, settings.crop_color),
            f"{crop}_blurred": rng.random(n) < settings.blur_share,
            f"{crop}_blur": np.stack(
                [along, np.where(moved, 0.4, along), rng.uniform(0, np.pi, n)], axis=1
            ),
            f"{crop}_noisy": noise < settings.noise_share / 2,
            f"{crop}_sigma": rng.uniform(2, 12, n),
            f"{crop}_corner": rng.integers(_NOISE_PX - settings.search_px, size=(n, 2)),
            f"{crop}_compressed": noise > 1 - settings.noise_share / 2,
            f"{crop}_quality": rng.uniform(15, 60, n),
        }

    # ------------------------------------------------------------------------------- its pixels

    def _crop(self, plan: Plan, name: str, out_px: int) -> tuple[Tensor, FloatArray]:
        """Crops around targets whose context, unshifted and unscaled, fills 127 px.

        Outside the image is another one, or its mean colour; around a transplanted target
        everywhere. Returns the crops, float32, and the boxes in them (edge coordinates).
        """
        whole = self._objects.box[plan[name]]
        image = self._objects.image[plan[name]]
        target = np.tile(whole[:, :2], 2) + plan["part"] * np.tile(boxes.size(whole), 2)
        size = boxes.size(target)
        scale = plan[f"{name}_scale"] * TEMPLATE_PX / context_side(size)[:, None]
        middle = out_px / 2 + plan[f"{name}_shift"]
        pixel = np.arange(out_px) + 0.5
        along = self._tensor((pixel - middle[..., None]) / scale[..., None])  # (N, 2, out_px)
        x, y = along[:, 0, None, :], along[:, 1, :, None]
        around = np.hstack([-size / 2, size / 2])
        if name == "search" and plan["roll"].any():
            roll = self._tensor(plan["roll"])[:, None, None]
            x, y = roll.cos() * x - roll.sin() * y, roll.sin() * x + roll.cos() * y
            turned = np.flatnonzero(plan["roll"])
            grids = self._objects.grids[plan["search"][turned]]
            how = plan["roll"][turned], plan["flip"][turned]
            around[turned] = turned_boxes(grids, size[turned], *how)
        x = torch.where(self._tensor(plan["flip"])[:, None, None], -x, x)
        chosen = self._tensor(image)
        center = self._tensor(boxes.center(target) - 0.5)[..., None, None]
        crops, inside = self._album.read(chosen, center[:, 0] + x, center[:, 1] + y)
        fill = self._album.mean_colors[chosen][:, None, None]
        crops = torch.where(inside[..., None], crops, fill)
        if name == "search":
            extent = self._tensor(size)[..., None, None]
            self._lay_on_ground(crops, inside, plan, x / extent[:, 0], y / extent[:, 1])
        return crops, np.tile(middle, 2) + around * np.tile(scale, 2)

    def _lay_on_ground(
        self, crops: Tensor, inside: Tensor, plan: Plan, share_x: Tensor, share_y: Tensor
    ) -> None:
        """Put another photo where the target's own ends, in place."""
        rows = np.flatnonzero(plan["continued"] | plan["transplanted"])
        if not len(rows):
            return
        index = self._tensor(rows)
        own = inside[index].float()
        cut = self._tensor(plan["transplanted"][rows])[:, None, None]
        outline = self._outline(plan["search"][rows], share_x[index], share_y[index])
        own = torch.where(cut, own * outline, own)
        ground = self._stretched(plan["ground"][rows], crops.shape[1])
        crops[index] = torch.lerp(ground, crops[index], own[..., None].expand_as(ground))

    def _stretched(self, image: Indices, out_px: int) -> Tensor:
        """Whole images as squares."""
        chosen = self._tensor(image)
        along = (torch.arange(out_px, device=self._album.device) + 0.5) / out_px
        places = along * self._album.sizes(chosen)[..., None] - 0.5  # (N, 2, out_px)
        return self._album.read(chosen, places[:, 0][:, None, :], places[:, 1][:, :, None])[0]

    def _paste(self, crops: Tensor, plan: Plan, box: FloatArray, name: str) -> None:
        """Lay strangers beside or over the targets, cut out or as bars, in place."""
        rows = np.flatnonzero(plan[name] >= 0)
        longest = boxes.size(box).max(axis=1, keepdims=True)
        stranger = self._objects.box[plan[name]]
        shape = boxes.size(stranger)
        side = np.clip(longest * plan[f"{name}_size"][:, None], 8, 140)
        size = shape / shape.max(axis=1, keepdims=True) * side
        bar = np.zeros(len(box), bool)
        if name == "beside":
            tried = boxes.from_center(plan["places"], size[:, None])
            free = np.less(boxes.iou(tried, box[:, None]), 0.02)
            center = plan["places"][np.arange(len(box)), np.argmax(free, axis=1)]
            rows = rows[np.any(free, axis=1)[rows]]
        else:
            # from the middle to just past an edge, so that something stays to be seen
            center = boxes.center(box) + plan[f"{name}_offset"] * boxes.size(box)
            bar = plan[f"{name}_bar"]
            size = np.where(bar[:, None], longest * plan["bar_size"], size)
        if not len(rows):
            return
        pixel = np.arange(crops.shape[1]) + 0.5
        share = self._tensor((pixel - center[rows][..., None]) / size[rows][..., None])
        share_x, share_y = share[:, 0, None, :], share[:, 1, :, None]
        middle = self._tensor(boxes.center(stranger)[rows] - 0.5)[..., None, None]
        extent = self._tensor(shape[rows])[..., None, None]
        x, y = middle[:, 0] + share_x * extent[:, 0], middle[:, 1] + share_y * extent[:, 1]
        image = self._tensor(self._objects.image[plan[name][rows]])
        colors, _ = self._album.read(image, x, y)
        alpha = self._outline(plan[name][rows], share_x, share_y)
        if bar[rows].any():
            whole = ((share_x.abs() <= 0.5) & (share_y.abs() <= 0.5)).float()
            alpha = torch.where(self._tensor(bar[rows])[:, None, None], whole, alpha)
        index = self._tensor(rows)
        crops[index] = torch.lerp(crops[index], colors, alpha[..., None].expand_as(colors))

    def _outline(self, target: Indices, x: Tensor, y: Tensor) -> Tensor:
        """How much of each pixel is the object's, ``(N, S, S)``; unknown, a soft-edged ellipse.

        The pixels' places in the object's box are given along both axes, -0.5 to 0.5 inside,
        ``(N, 1 or S, S)`` and ``(N, S, 1 or S)``.
        """
        outline = _ellipse(x, y)
        known = np.flatnonzero(self._outlined[target])
        if len(known):
            rows = self._tensor(known)
            grids = self._grids[self._tensor(target[known])][:, None].float() / 255
            places = 2 * torch.stack(torch.broadcast_tensors(x[rows], y[rows]), dim=-1)
            outline[rows] = functional.grid_sample(grids, places, align_corners=False)[:, 0]
        return outline

    def _distort(self, crops: Tensor, plan: Plan, name: str) -> Tensor:
        """Crops as another camera would show them, uint8."""

        def some(mask: NDArray[Any], change: Callable[..., Tensor], *values: NDArray[Any]) -> None:
            if (rows := np.flatnonzero(mask)).size:
                index = self._tensor(rows)
                given = [self._tensor(value[rows]) for value in values]
                crops[index] = change(crops[index], *given)

        some(plan["gray"], photometry.gray)
        factor = float(plan["coarse_factor"][0])
        some(plan["coarse"], lambda these: photometry.coarsen(these, factor))
        levels = torch.arange(256.0, device=crops.device)[None, :, None].expand(len(crops), -1, 3)
        table = photometry.recolor(levels, self._tensor(plan["color"]))
        table = photometry.recolor(table, self._tensor(plan[f"{name}_color"])).clamp(0, 255)
        crops = photometry.look_up(crops.round().to(torch.uint8), table)
        some(
            plan[f"{name}_blurred"],
            lambda these, how: photometry.blur(these, *how.unbind(dim=1)),
            plan[f"{name}_blur"],
        )
        noisy = np.flatnonzero(plan[f"{name}_noisy"])
        corner = plan[f"{name}_corner"][noisy]
        some(
            plan[f"{name}_noisy"],
            lambda these, sigma: photometry.add_noise(these, self._noise, corner, sigma),
            plan[f"{name}_sigma"],
        )
        some(plan[f"{name}_compressed"], photometry.compress, plan[f"{name}_quality"])
        return crops.clamp(0, 255).round().to(torch.uint8)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._album.device)


def _ellipse(x: Tensor, y: Tensor) -> Tensor:
    """Soft-edged ellipse in a box, of places in it, -0.5 to 0.5 inside."""
    radius = torch.hypot(2 * x, 2 * y)
    return ((1.15 - radius) * 5).clamp(0, 1) * ((x.abs() <= 0.5) & (y.abs() <= 0.5))
