"""Where a frame's time goes, and what tracking costs beside the bare network."""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from napari_ocean import boxes
from napari_ocean.demo import DemoClip, demo_clip
from napari_ocean.network import TemplateState, ordinary
from napari_ocean.network.grid import decode, score_size
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.features import Cells
from napari_ocean.online.model import TargetModel
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.tracking import Tracker, load_tracker, propagate, siamese
from napari_ocean.tracking.crop import context_side, crop_patch
from napari_ocean.tracks import ObjectPrediction, State, Tracks
from napari_ocean.video import FrameSource, open_video
from tests.benchmarks.measure import Work, clock, interleaved, table

LAYER_BATCH = 12
"""Boxes that the plugin writes at once: what it finds in 0.4 s."""


def run(args: argparse.Namespace) -> None:
    """Print the stages, then a step and the whole way from the film against the bare forward."""
    tracker = load_tracker(args.model, device=args.device)
    if tracker.device.type == "cpu" and tracker.net.preset.cpu_threads is not None:
        torch.set_num_threads(tracker.net.preset.cpu_threads)
    clip = demo_clip()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        film = _encode(Path(folder) / "clip.mp4", clip)
        with open_video(film) as video, open_video(film) as other:
            works = {
                **_network(tracker, clip),
                **_around(tracker, clip),
                **_learning(tracker),
                "decode": _decoding(video),
                f"layer, {LAYER_BATCH} boxes": _layer(clip),
                "WHOLE STEP, Siamese only": _stepping(_siamese(tracker), clip),
                "WHOLE STEP": _stepping(tracker, clip),
                "FROM THE FILM": _from_film(tracker, clip, other),
            }
            taken = interleaved(works, args.rounds, clock(tracker.device.type))
    taken["layer, per box"] = taken.pop(f"layer, {LAYER_BATCH} boxes") / LAYER_BATCH
    bare = np.median(taken["NETWORK"])
    table(
        f"Where a {clip.frames.shape[2]}x{clip.frames.shape[1]} frame's time goes "
        f"({args.model}, {tracker.device}, {args.rounds} interleaved rounds)",
        ["stage", "median ms", "p95 ms", "of the bare network"],
        [
            [
                name,
                f"{np.median(ms):.2f}",
                f"{np.percentile(ms, 95):.2f}",
                f"{100 * np.median(ms) / bare:.1f} %",
            ]
            for name, ms in taken.items()
        ],
    )
    rows = [
        [name, f"{100 * np.median(taken[name] / taken['NETWORK'] - 1):+.1f} %"] for name in taken
    ]
    table(
        "Over the bare network, median of the rounds (aim: at most +10 %)",
        ["", "overhead"],
        [row for row in rows if row[0].startswith(("WHOLE STEP", "FROM THE FILM"))],
    )
    share = np.median(taken["WHOLE STEP, Siamese only"] / taken["WHOLE STEP"])
    print(f"\nWith the online update {100 * share:.0f} % of the frame rate without (aim: 70 %).")
    began = [_first_frame(tracker, clip) for _ in range(5)]
    print(f"First frame with it: {np.median(began):.0f} ms (aim: under 1000).")


def _siamese(tracker: Tracker) -> Tracker:
    return Tracker(tracker.net, tracker.settings, search=tracker.search)


def _network(tracker: Tracker, clip: DemoClip) -> dict[str, Work]:
    """The bare network on what a step asks of it, and its parts on one crop in PyTorch."""
    net = tracker.net
    x = _tensor(tracker, _crop(tracker, clip)[0])
    asked = torch.cat([x, x.flip(-1)]) if tracker.settings.mirrored else x
    states = net.template(asked[..., :127, :127])
    state = TemplateState.of([own[:1] for own in states.tensors()])
    plain = ordinary(net)
    raw = net.backbone(x)
    features = net.neck(raw)
    matched = net.box_combination(features, state.box)
    ltrb, box_features = net.box_head(matched, state.sides)
    parts: dict[str, Work] = {
        "NETWORK": lambda: tracker.search(asked, states).maps.cpu(),
        "the same in PyTorch": lambda: plain(asked, states).maps.cpu(),
        "one crop in PyTorch": lambda: plain(x, state).maps.cpu(),
        "backbone": lambda: net.backbone(x),
        "neck": lambda: net.neck(raw),
        "combination (each of two)": lambda: net.box_combination(features, state.box),
        "box head": lambda: net.box_head(matched, state.sides),
        "regular head": lambda: net.regular_head(matched),
    }
    if (aware := net.aware_head) is not None:
        parts["object-aware head"] = lambda: aware(box_features, ltrb)
    return parts


def _around(tracker: Tracker, clip: DemoClip) -> dict[str, Work]:
    """What a step does before and after the network."""
    patch, size_wh = _crop(tracker, clip)
    x = _tensor(tracker, patch)
    ltrb, regular, aware, _ = tracker.net.search(x, tracker.net.template(x[..., :127, :127]))

    def post_processing() -> None:
        scores = [
            s[0, 0].sigmoid().cpu().double().numpy() for s in (regular, aware) if s is not None
        ]
        fused = siamese.fuse_scores(scores[0], scores[-1], tracker.settings.aware_weight)
        cells = decode(ltrb)[0].cpu().double().numpy()
        best = siamese.select(cells, fused, size_wh, tracker.settings)
        siamese.smooth_size(size_wh, boxes.size(best.box_xyxy), best.score, twice=True)

    return {
        "crop": lambda: _crop(tracker, clip),
        "patch to tensor": lambda: _tensor(tracker, patch),
        "post-processing": post_processing,
    }


def _learning(tracker: Tracker) -> dict[str, Work]:
    """What the online update does once every few frames, with its memory full."""
    settings = OnlineSettings()
    channels = tracker.net.preset.channels
    cells = score_size(tracker.settings.search_px) + 6  # a kernel of 7 x 7 leaves the score's
    features = torch.rand(settings.memory, channels, cells, cells, device=tracker.device)
    middle = (cells - 1) / 2
    corners = [middle - 4, middle - 4, middle + 4, middle + 4]
    boxes_in_cells = torch.tensor(corners, device=tracker.device)
    classifier = Classifier.default(8)
    first = Cells(1, 0).samples(
        classifier.features(features), boxes_in_cells.expand(settings.memory, 4)
    )
    model = TargetModel(classifier, settings, first, dilation=2)
    return {
        "online: scores of a frame": lambda: model.scores(first.features[:1]).cpu(),
        f"online: one training, every {settings.every} frames": lambda: _train(model, settings),
    }


def _train(model: TargetModel, settings: OnlineSettings) -> None:
    model.train(settings.iterations)
    model.filter.cpu()


def _first_frame(tracker: Tracker, clip: DemoClip) -> float:
    """Wall time to take a target in, ms."""
    began = time.perf_counter()
    tracker.start(clip.frames[0], clip.truth_xyxy[0])
    return 1e3 * (time.perf_counter() - began)


def _crop(tracker: Tracker, clip: DemoClip) -> tuple[np.ndarray, np.ndarray]:
    """Search crop of the first frame, and the target's size in it."""
    box_xyxy, out_px = clip.truth_xyxy[0], tracker.settings.search_px
    context_px = context_side(boxes.size(box_xyxy), tracker.settings.context)
    side_px = round(context_px * out_px / 127)
    fill = (90, 90, 90)
    patch, transform = crop_patch(clip.frames[0], boxes.center(box_xyxy), side_px, out_px, fill)
    return patch, boxes.size(box_xyxy) * transform.scale


def _tensor(tracker: Tracker, patch: np.ndarray) -> torch.Tensor:
    bgr = torch.from_numpy(patch[..., ::-1].copy()).to(tracker.device)
    return bgr.permute(2, 0, 1)[None].to(tracker.net.dtype)


def _stepping(tracker: Tracker, clip: DemoClip) -> Work:
    """One step of a session per call, through the clip and through it again."""
    session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
    frames = itertools.cycle(clip.frames)
    return lambda: session.step(next(frames))


def _decoding(video: FrameSource) -> Work:
    frames = itertools.cycle(range(len(video)))
    return lambda: video.frame(next(frames))


def _from_film(tracker: Tracker, clip: DemoClip, video: FrameSource) -> Work:
    """One frame per call of :func:`propagate` over a film, begun anew at its end."""
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, clip.truth_xyxy[0])
    endless = itertools.chain.from_iterable(
        propagate(video, tracks, tracker=tracker) for _ in itertools.count()
    )
    return lambda: next(endless)


def _layer(clip: DemoClip) -> Work:
    """Write a batch of boxes into the layer of the plugin; drawing on the screen is not in it."""
    from napari.layers import Image

    from napari_ocean.plugin import layers
    from napari_ocean.plugin.view import BoxesView

    image = Image(np.broadcast_to(clip.frames[:1], (10**5, *clip.frames.shape[1:])), rgb=True)
    tracks = Tracks()
    object_id = tracks.add_object()
    view = BoxesView(layers.boxes_layer(image), image, tracks)
    frames = itertools.count()

    def write() -> None:
        keys = {(object_id, next(frames)) for _ in range(LAYER_BATCH)}
        for _, frame in keys:
            tracks.merge(
                ObjectPrediction(
                    object_id=object_id,
                    frame=frame,
                    box_xyxy=clip.truth_xyxy[frame % len(clip.truth_xyxy)],
                    score=1.0,
                    state=State.FOUND,
                )
            )
        view.update(keys)

    return write


def _encode(path: Path, clip: DemoClip) -> Path:
    """Write the clip as most cameras would: H.264, a keyframe a second."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width = clip.frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 25
        for picture in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
