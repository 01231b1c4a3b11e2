"""``napari-ocean shard``: cut training images out of an annotated clip."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_ocean import formats
from napari_ocean.annotation import sidecar
from napari_ocean.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``napari-ocean shard``."""
    parser.add_argument("clip", help="film (mp4, avi, mov, mkv ...), folder of images or stack")
    parser.add_argument(
        "boxes", type=Path, nargs="+", help=f"its annotation files: {formats.readable()}"
    )
    parser.add_argument("--out", type=Path, required=True, help="file for the shard, .zip")
    parser.add_argument(
        "--every",
        type=int,
        metavar="N",
        default=3,
        help="frames from one image of an object to its next, at least (default: %(default)s)",
    )
    parser.add_argument(
        "--side",
        type=int,
        metavar="PX",
        default=352,
        help="longest side of an image (default: %(default)s)",
    )
    parser.add_argument(
        "--context",
        type=float,
        metavar="SIZES",
        default=7,
        help="side of what is cut out, in object sizes (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace a shard that exists already")


def run(args: argparse.Namespace) -> int:
    """Cut as the options say; 0 when the shard is written."""
    from napari_ocean.training.shards import ShardSettings, cut_outs, joined, write_shard
    from napari_ocean.video import open_video

    settings = ShardSettings(every=args.every, side=args.side, context=args.context)
    _check_out(args.out, force=args.force)
    tracks = joined([sidecar.read(path) for path in args.boxes])
    with open_video(args.clip) as source:
        # shards of one folder differ in name, so their videos do too
        name = f"{args.out.stem}/{Path(source.name).stem}"
        count = write_shard(args.out, cut_outs(source, tracks, settings, name))
    print(f"Wrote {count} images of {len(tracks.object_ids)} objects to {args.out}")
    return 0


def _check_out(out: Path, *, force: bool) -> None:
    """Fail before any work if the shard could not be found, or would replace something."""
    if out.suffix != ".zip":
        raise ConfigError(f"{out} is not named .zip, which is what a training looks for.")
    if out.exists() and not out.is_file():
        raise ConfigError(f"{out} cannot be replaced; choose another name.")
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; choose another name or add --force.")
