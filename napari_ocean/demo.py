"""A short clip that the package draws itself, with known truth: a ladybird on the forest floor.

The ladybird walks, turns and grows (it climbs towards the camera), passes behind blades of grass
and meets an orange cousin that looks much like it. Everything is drawn from one seed, so the clip
is the same on every computer and needs no download.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray

Image = NDArray[np.uint8]

_SPRITE: Final = 240
"""Side of the square that a beetle is drawn on before it is shrunk into a frame, in px."""

_STRIDE: Final = 8
"""Drawings of one step of the six legs."""

_BODY: Final = ((0.0, 0.0, 0.335, 0.26), (0.33, 0.0, 0.1, 0.16), (0.43, 0.0, 0.06, 0.09))
"""Wing cases, neck shield and head: ellipses ``(x, y, half length, half width)`` in sprite sides,
seen from above and facing right. Their outline is the truth; legs and feelers do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClip:
    """Frames with the truth about the ladybird in them.

    Attributes
    ----------
    frames : ndarray of uint8, shape (T, H, W, 3)
        RGB.
    truth_xyxy : ndarray of float64, shape (T, 4)
        Tight box of the whole body in edge coordinates, hidden parts included.
    visible : ndarray of float64, shape (T,)
        Part of the body that no grass covers, in ``[0, 1]``.
    fps : float
        Frames per second at which the walk looks natural.
    """

    frames: Image
    truth_xyxy: FloatArray
    visible: FloatArray
    fps: float = 25.0


@dataclass(frozen=True, slots=True)
class _Pose:
    center_xy: FloatArray
    heading_rad: float
    side_px: float
    step: int


def demo_clip(
    n_frames: int = 120, *, height: int = 480, width: int = 640, seed: int = 7
) -> DemoClip:
    """Draw the clip; the default one takes about a second.

    Parameters
    ----------
    n_frames : int
        Length; the whole walk is spread over it, so fewer frames mean larger steps.
    height, width : int
        Frame size in pixels; the scene scales along with the width.
    seed : int
        Another number draws other leaves and grass, on the same walk.

    Returns
    -------
    DemoClip
    """
    rng = np.random.default_rng(seed)
    scale = width / 640
    margin = round(24 * scale)
    ground = _forest_floor(rng, height + 2 * margin, width + 2 * margin, scale)
    grass = _grass(rng, height + 2 * margin, width + 2 * margin, scale)
    grain = rng.normal(0, 3.0, (height + 64, width + 64, 1)).repeat(3, axis=2).astype(np.int16)
    red = [_beetle((196, 26, 18), _SEVEN_SPOTS, step) for step in range(_STRIDE)]
    orange = [_beetle((222, 120, 24), _FOUR_SPOTS, step) for step in range(_STRIDE)]

    frames = np.empty((n_frames, height, width, 3), np.uint8)
    truth_xyxy, visible = np.empty((n_frames, 4)), np.empty(n_frames)
    for index, time in enumerate(np.linspace(0, 1, n_frames)):
        sway = np.array([np.sin(5 * time), 0.5 * np.cos(4 * time)])
        frame = _window(ground, margin + 0.6 * margin * sway, (height, width))
        cousin, hero = _cousin(time, height, width), _hero(time, height, width)
        _paste(frame, orange[cousin.step], cousin)
        _paste(frame, red[hero.step], hero)
        cover = _window(grass, margin + 0.95 * margin * sway, (height, width))
        _blend(frame, cover)
        row, column = rng.integers(0, 64, 2)
        noise = grain[row : row + height, column : column + width]
        frames[index] = cv2.add(frame, noise, dtype=cv2.CV_8U)
        truth_xyxy[index], visible[index] = _truth(hero, cover[..., 3])
    return DemoClip(frames=frames, truth_xyxy=truth_xyxy, visible=visible)


# --------------------------------------------------------------------------------------- the walk


def _hero(time: float, height: int, width: int) -> _Pose:
    """Walk across the picture from left to right, round two bends, nearer and nearer."""
    scale = width / 640

    def at(t: float) -> FloatArray:
        y = 0.60 - 0.20 * np.sin(2.2 * np.pi * t + 0.3) + 0.06 * t
        return np.array([(0.13 + 0.70 * t) * width, y * height])

    side_px = (84 + 76 * time**1.3) * scale
    return _pose(at(time), at(time + 1e-3) - at(time - 1e-3), side_px, time)


def _cousin(time: float, height: int, width: int) -> _Pose:
    """Walk the other way, above, at a distance."""
    center = np.array([(0.98 - 0.80 * time) * width, (0.14 + 0.05 * np.sin(7 * time)) * height])
    toward = np.array([-0.80 * width, 0.35 * np.cos(7 * time) * height])
    return _pose(center, toward, 92 * width / 640, time)


def _pose(center_xy: FloatArray, toward_xy: FloatArray, side_px: float, time: float) -> _Pose:
    wobble = 0.07 * np.sin(2 * np.pi * 13 * time)
    heading = float(np.arctan2(toward_xy[1], toward_xy[0]) + wobble)
    return _Pose(center_xy, heading, side_px, int(time * 17 * _STRIDE) % _STRIDE)


def _truth(pose: _Pose, cover: Image) -> tuple[FloatArray, float]:
    """Measure the body's box and the part of it in sight under a covering layer's alpha."""
    cos, sin = np.cos(pose.heading_rad), np.sin(pose.heading_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    body = np.zeros_like(cover)
    points = []
    for x, y, length, thickness in _BODY:
        outline = (np.array([x, y]) + ring * [length, thickness]) * pose.side_px @ turn.T
        points.append(outline + pose.center_xy)
        cv2.fillPoly(body, [np.round(points[-1] * 16 - 8).astype(np.int32)], 255, shift=4)
    every = np.concatenate(points)
    box_xyxy = np.concatenate([every.min(axis=0), every.max(axis=0)])
    inside = cover[body > 0]
    return box_xyxy, float(1 - inside.mean() / 255) if inside.size else 0.0


# ------------------------------------------------------------------------------------- the beetle

_SEVEN_SPOTS: Final = (
    (0.2, 0.0, 0.055), (0.06, 0.11, 0.06), (0.06, -0.11, 0.06), (-0.1, 0.15, 0.05),
    (-0.1, -0.15, 0.05), (-0.22, 0.07, 0.045), (-0.22, -0.07, 0.045),
)  # fmt: skip
_FOUR_SPOTS: Final = (
    (0.1, 0.12, 0.06),
    (0.1, -0.12, 0.06),
    (-0.13, 0.1, 0.055),
    (-0.13, -0.1, 0.055),
)


def _beetle(rgb: tuple[int, int, int], spots: Any, step: int) -> Image:
    """Premultiplied RGBA drawing, facing right."""
    sprite = np.zeros((_SPRITE, _SPRITE, 4), np.uint8)
    _legs(sprite, 2 * np.pi * step / _STRIDE)
    for (x, y, length, thickness), color in zip(
        reversed(_BODY), ((14, 12, 14), (20, 18, 20), rgb), strict=True
    ):
        _ellipsoid(sprite, (x, y), (length, thickness), color)
    for side in (-1, 1):
        _spot(sprite, 0.36, 0.085 * side, 0.032, (240, 236, 222))
        _spot(sprite, 0.45, 0.055 * side, 0.014, (235, 230, 215))
    for x, y, radius in spots:
        _spot(sprite, x, y, radius, (16, 10, 10))
    start, stop = _sprite_px(np.array([[-0.325, 0.0], [0.27, 0.0]]))
    cv2.line(sprite, start, stop, (40, 6, 6, 255), 2, cv2.LINE_AA)
    _shine(sprite)
    return sprite


def _legs(sprite: Image, phase: float) -> None:
    dark = (24, 18, 16, 255)
    for side in (-1, 1):
        for number, x in enumerate((0.2, 0.02, -0.16)):
            # Insects walk on tripods: the middle leg moves with the outer two of the other side.
            swing = 0.07 * np.sin(phase + np.pi * ((number + (side > 0)) % 2))
            reach = (0.12, 0.0, -0.12)[number] + swing
            knee, foot = (x + 0.6 * reach, 0.32 * side), (x + 1.3 * reach, 0.42 * side)
            path = _sprite_px(np.array([(x, 0.15 * side), knee, foot]))
            cv2.polylines(sprite, [path], False, dark, 7, cv2.LINE_AA)
        feeler = _sprite_px(np.array([(0.46, 0.04 * side), (0.485, 0.09 * side)]))
        cv2.polylines(sprite, [feeler], False, dark, 3, cv2.LINE_AA)


def _ellipsoid(
    sprite: Image, center: tuple[float, float], half: tuple[float, float], rgb: tuple[int, ...]
) -> None:
    """Draw a dome lit from the upper left of its own frame."""
    axis = (np.arange(_SPRITE) + 0.5) / _SPRITE - 0.5
    u, v = (axis[None, :] - center[0]) / half[0], (axis[:, None] - center[1]) / half[1]
    square = u**2 + v**2
    dome = np.sqrt(np.clip(1 - square, 0, 1))
    light = 0.40 + 0.60 * dome
    edge = np.clip((1 - np.sqrt(square)) * min(half) * _SPRITE + 0.5, 0, 1)
    layer = np.empty((_SPRITE, _SPRITE, 4))
    layer[..., :3] = light[..., None] * np.array(rgb) * edge[..., None]
    layer[..., 3] = 255 * edge
    _blend(sprite, layer.astype(np.uint8))


def _spot(sprite: Image, x: float, y: float, radius: float, rgb: tuple[int, int, int]) -> None:
    point = _sprite_px(np.array([[x, y]]))[0]
    cv2.circle(sprite, point, round(radius * _SPRITE), (*rgb, 255), -1, cv2.LINE_AA)


def _shine(sprite: Image) -> None:
    """Mirror the sky in the varnish of the wing cases."""
    glow = np.zeros(sprite.shape[:2], np.float32)
    for x, y, angle in ((0.1, -0.085, -8), (0.07, 0.1, 8)):
        point = _sprite_px(np.array([[x, y]]))[0]
        cv2.ellipse(glow, point, (30, 8), angle, 0, 360, 1.0, -1, cv2.LINE_AA)
    glow = 120 * cv2.GaussianBlur(glow, (0, 0), 7) * (sprite[..., 3] == 255)
    sprite[..., :3] = np.clip(sprite[..., :3] + glow[..., None], 0, 255)


def _sprite_px(points: FloatArray) -> Any:
    return np.round((points + 0.5) * _SPRITE - 0.5).astype(np.int32)


# ------------------------------------------------------------------------------------ the meadow


def _noise(rng: np.random.Generator, height: int, width: int, cell_px: float) -> FloatArray:
    """Smooth noise in ``[0, 1]`` whose bumps are about ``cell_px`` wide."""
    rows, columns = int(height / cell_px) + 3, int(width / cell_px) + 3
    coarse = rng.random((rows, columns)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _forest_floor(rng: np.random.Generator, height: int, width: int, scale: float) -> Image:
    """Lay soil, then leaves upon leaves, then light falling through the trees."""
    soil = sum(
        w * _noise(rng, height, width, c * scale) for w, c in ((0.5, 40), (0.3, 9), (0.2, 2))
    )
    picture = (np.asarray(soil)[..., None] * [120, 94, 64] + 24).astype(np.uint8)
    palette = np.array([(96, 118, 46), (70, 98, 40), (128, 122, 58), (134, 98, 52), (104, 70, 40)])
    for depth in np.linspace(0, 1, 170):
        color = palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.2) * (0.6 + 0.4 * depth)
        center = rng.uniform((0, 0), (width, height))
        length_px = rng.uniform(46, 110) * scale
        _leaf(picture, center, length_px, rng.uniform(0, 2 * np.pi), color, rng)
    fine = 0.8 + 0.4 * _noise(rng, height, width, 2.2 * scale)
    sun = 0.8 + 0.6 * _noise(rng, height, width, 150 * scale)
    return np.clip(picture * (fine * sun)[..., None], 0, 255).astype(np.uint8)


def _leaf(
    picture: Image,
    center_xy: FloatArray,
    length_px: float,
    angle_rad: float,
    rgb: FloatArray,
    rng: np.random.Generator,
) -> None:
    along = np.linspace(-0.5, 0.5, 17)
    bend = rng.uniform(-0.25, 0.25) * (along**2 - 0.25)
    half = rng.uniform(0.16, 0.24) * np.cos(np.pi * along) ** 0.7
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]]) * length_px

    def px(x: Any, y: Any, shift: float = 0.0) -> Any:
        points = np.stack([x, y], axis=-1) @ turn + center_xy + shift * length_px
        return np.round(points * 16 - 8).astype(np.int32)

    outline = (
        np.concatenate([along, along[::-1]]),
        np.concatenate([bend + half, (bend - half)[::-1]]),
    )
    soft: dict[str, Any] = {"lineType": cv2.LINE_AA, "shift": 4}
    cv2.fillPoly(picture, [px(*outline, 0.035)], (24, 20, 12), **soft)
    cv2.fillPoly(picture, [px(*outline)], rgb.tolist(), **soft)
    lower = np.concatenate([along, along[::-1]]), np.concatenate([bend, (bend - half)[::-1]])
    cv2.fillPoly(picture, [px(*lower)], (0.86 * rgb).tolist(), **soft)
    vein = np.minimum(1.3 * rgb + 8, 255).tolist()
    cv2.polylines(picture, [px(along, bend)], False, vein, 1, **soft)
    for index in range(3, 14, 2):
        for side in (-0.75, 0.75):
            x = along[[index, index + 1]] + [0.0, 0.03]
            y = np.array([bend[index], bend[index] + side * half[index]])
            cv2.polylines(picture, [px(x, y)], False, vein, 1, **soft)


def _grass(rng: np.random.Generator, height: int, width: int, scale: float) -> Image:
    """Premultiplied RGBA layer of blades near the lens, out of focus."""
    layer = np.zeros((height, width, 4), np.uint8)
    up = np.linspace(0, 1, 24)
    for foot, lean, thick in (
        (0.02, 0.05, 20), (0.47, 0.02, 24), (0.49, -0.04, 10), (0.97, -0.04, 24)
    ):  # fmt: skip
        color = np.array([92, 138, 44]) * rng.uniform(0.75, 1.15)
        x = (foot + lean * up + 0.03 * rng.uniform(-1, 1) * up**2) * width
        y = (1 - (0.93 + 0.1 * rng.random()) * up) * height
        half = 0.5 * thick * scale * (1 - up**3)
        left, right = np.stack([x - half, y], axis=1), np.stack([x + half, y], axis=1)
        middle = np.stack([x, y], axis=1)
        for edges, tone in (((left, right), 1.0), ((middle, right), 0.8)):
            outline = np.concatenate([edges[0], edges[1][::-1]]).round().astype(np.int32)
            cv2.fillPoly(layer, [outline], (*(tone * color).tolist(), 255), cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.6 * scale), np.uint8)


# --------------------------------------------------------------------------------------- painting


def _window(picture: Image, corner_xy: FloatArray, size_hw: tuple[int, int]) -> Image:
    """Cut a frame-sized view out of a larger picture, from a corner between pixels."""
    shift = np.array([[1, 0, -corner_xy[0]], [0, 1, -corner_xy[1]]])
    return np.asarray(cv2.warpAffine(picture, shift, size_hw[::-1]), np.uint8)


def _paste(frame: Image, sprite: Image, pose: _Pose) -> None:
    """Shrink, turn and set down a sprite with its shadow, in place."""
    side = max(8, round(pose.side_px))
    small = cv2.resize(sprite, (side, side), interpolation=cv2.INTER_AREA)
    reach = side  # the turned square fits in 1.42 sides, its shadow in 2
    left, top = np.floor(pose.center_xy).astype(int) - reach
    stretch = pose.side_px / side
    cos, sin = stretch * np.cos(pose.heading_rad), stretch * np.sin(pose.heading_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    # Edge coordinates on both sides; OpenCV's are those of pixel centres, half a pixel less.
    offset = pose.center_xy - (left, top) - 0.5 + turn @ np.full(2, 0.5 - side / 2)
    layer = cv2.warpAffine(small, np.column_stack([turn, offset]), (2 * reach, 2 * reach))
    shadow = np.zeros_like(layer)
    aside = np.roll(layer[..., 3], (side // 14, side // 20), (0, 1))
    shadow[..., 3] = 0.6 * cv2.GaussianBlur(aside, (0, 0), side / 22)
    rows = slice(max(top, 0), min(top + 2 * reach, frame.shape[0]))
    columns = slice(max(left, 0), min(left + 2 * reach, frame.shape[1]))
    for of in (shadow, layer):
        part = np.asarray(of, np.uint8)[rows.start - top :, columns.start - left :]
        seen = frame[rows, columns]
        _blend(seen, part[: seen.shape[0], : seen.shape[1]])


def _blend(below: Image, above: Image) -> None:
    """Lay a premultiplied RGBA layer over RGB or premultiplied RGBA, in place."""
    channels = below.shape[-1]
    rest = cv2.merge([255 - above[..., 3]] * channels)
    below[:] = cv2.add(above[..., :channels], cv2.multiply(below, rest, scale=1 / 255))
