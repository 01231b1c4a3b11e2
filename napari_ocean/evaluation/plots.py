"""Curves as PNG and SVG in one plain style; needs matplotlib (extra ``evaluate``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean.errors import ConfigError
from napari_ocean.evaluation.confidence import BINS, RIGHT_IOU
from napari_ocean.evaluation.metrics import (
    NORMALIZED_THRESHOLDS,
    PRECISION_THRESHOLDS_PX,
    SUCCESS_THRESHOLDS,
)
from napari_ocean.evaluation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours that stay apart for colour-blind readers (Okabe and Ito)."""

_STYLES = ("-", "--", ":")
_INCHES = (6.4, 4.4)


def require_matplotlib() -> None:
    """Say now, not after hours of tracking, that curves cannot be drawn.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise ConfigError(
            'Curves need matplotlib: pip install "napari-ocean[evaluate]", or give --no-curves.'
        ) from error


def write_curves(report: Report, folder: Path) -> list[Path]:
    """Draw success, precision, normalised precision and reliability of all trackers.

    Returns
    -------
    list of Path
        ``success.png``, ``success.svg`` and so on.
    """
    ranked = sorted(report.trackers, key=lambda t: t.overall.auc, reverse=True)
    return [
        *draw_curves(
            folder / "success",
            SUCCESS_THRESHOLDS,
            {f"{t.name} [{t.overall.auc:.3f}]": t.overall.success_curve for t in ranked},
            axes=("overlap threshold", "share of frames above it"),
        ),
        *draw_curves(
            folder / "precision",
            PRECISION_THRESHOLDS_PX,
            {f"{t.name} [{t.overall.precision:.3f}]": t.overall.precision_curve for t in ranked},
            axes=("centre error threshold, px", "share of frames within it"),
        ),
        *draw_curves(
            folder / "normalized-precision",
            NORMALIZED_THRESHOLDS,
            {
                f"{t.name} [{t.overall.normalized_precision:.3f}]": t.overall.normalized_curve
                for t in ranked
            },
            axes=("centre error threshold, target sizes", "share of frames within it"),
        ),
        *draw_curves(
            folder / "reliability",
            (np.arange(BINS) + 0.5) / BINS,
            {
                "ideal": tuple((np.arange(BINS) + 0.5) / BINS),
                **{
                    f"{t.name} [{t.confidence.calibration_error:.3f}]": t.confidence.share_right
                    for t in ranked
                },
            },
            axes=("score", f"share of frames with an overlap of {RIGHT_IOU}"),
        ),
    ]


def write_effort(points: Mapping[str, Sequence[tuple[float, float]]], folder: Path) -> list[Path]:
    """Draw the work of labelling against its quality, as ``effort.png`` and ``effort.svg``.

    Parameters
    ----------
    points : mapping
        Per method, drawn boxes per 1000 frames and mean overlap, one point per bound.
    folder : Path
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, ax = new_figure(("boxes drawn by hand per 1000 frames", "mean overlap of the result"))
    for i, (name, of) in enumerate(points.items()):
        x, y = zip(*of, strict=True)
        ax.plot(x, y, marker="o", color=COLORS[i % len(COLORS)], linestyle=_style(i), label=name)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    return save(figure, folder / "effort")


def draw_curves(
    stem: Path, x: ArrayLike, lines: Mapping[str, Sequence[float]], axes: tuple[str, str]
) -> list[Path]:
    """Draw one line per entry, named in a legend, as ``stem.png`` and ``stem.svg``.

    Parameters
    ----------
    stem : Path
        Without suffix.
    x : array-like, shape (N,)
    lines : mapping of str to sequence of float
        Values in ``[0, 1]``, N each.
    axes : tuple of str
        Names of the x and y axis.
    """
    figure, ax = new_figure(axes)
    for i, (name, y) in enumerate(lines.items()):
        ax.plot(x, y, color=COLORS[i % len(COLORS)], linestyle=_style(i), label=name)
    ax.set_ylim(0, 1)
    ax.margins(x=0)
    return save(figure, stem)


def new_figure(axes: tuple[str, str]) -> tuple[Figure, Axes]:
    """Make an empty figure in this package's style; no window is involved."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    ax = figure.add_subplot()
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    ax.grid(visible=True, color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg`` with a legend beside the axes."""
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _style(i: int) -> str:
    """Another line style once all colours are taken."""
    return _STYLES[i // len(COLORS) % len(_STYLES)]
