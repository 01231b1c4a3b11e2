"""DAVIS 2016 (Perazzi et al.) and 2017 (Pont-Tuset et al.): masks become boxes, one per object.

::

    <root>/ImageSets/2017/val.txt                       names of the sequences
    <root>/Annotations/480p/dogs-jump/00000.png ...     number of the object at each pixel
    <root>/JPEGImages/480p/dogs-jump/00000.jpg ...

The first list there is of ``ImageSets/2017/val.txt``, ``ImageSets/2016/val.txt`` and
``ImageSets/480p/val.txt`` (DAVIS 2016: paths of images) is taken, else every folder of
annotations; and 480p, else the first resolution there is.

The box of an object is the smallest around its pixels; NaN where it has none. A sequence begins
where its object does. Objects are called ``dogs-jump_1``, ``dogs-jump_2``; a sequence with a
single object has no number. The value 255 is the object where it is the only one (DAVIS 2016), and
means "void" beside others, as in the evaluation code of DAVIS 2017.

The benchmark's results are masks, which boxes cannot give; ours are kept as
:class:`~napari_ocean.evaluation.datasets.resultfiles.OneFileLayout`, counted from 0.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import OneFileLayout
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import read_lines

_RESULTS = OneFileLayout(origin=0)
write_result, read_result = _RESULTS.write, _RESULTS.read

_VOID = 255


def find(root: Path) -> list[Sequence]:
    """One sequence for each object of each sequence that the list names."""
    annotations = _annotations(root)
    found = []
    for name in _names(root, annotations):
        images = root / "JPEGImages" / annotations.name / name
        tracks = _object_boxes(annotations / name)
        for label, truth in tracks.items():
            title = name if len(tracks) == 1 else f"{name}_{label}"
            first = int(np.flatnonzero(np.isfinite(truth[:, 0]))[0])
            found.append(Sequence(title, truth[first:], images, first))
    return found


def _annotations(root: Path) -> Path:
    folder = root / "Annotations"
    if (folder / "480p").is_dir():
        return folder / "480p"
    resolutions = sorted(path for path in folder.glob("*") if path.is_dir())
    if not resolutions:
        raise DataError(f"{root} holds no folder Annotations/480p with masks.")
    return resolutions[0]


def _names(root: Path, annotations: Path) -> list[str]:
    for year in ("2017", "2016", "480p"):
        path = root / "ImageSets" / year / "val.txt"
        if path.is_file():
            lines = read_lines(path)  # a name, or /JPEGImages/480p/<name>/00000.jpg and its mask
            names = [Path(line.split()[0]) for line in lines if line]
            return list(dict.fromkeys(n.parent.name or n.name for n in names))
    return sorted(path.name for path in annotations.iterdir() if path.is_dir())


def _object_boxes(folder: Path) -> dict[int, FloatArray]:
    """Boxes of each object on each frame, shape (T, 4), by its number; NaN where it is not."""
    masks = sorted(folder.glob("*.png"))
    if not masks:
        raise DataError(
            f"{folder} is missing or holds no masks; fetch it, or take it off the list."
        )
    found: dict[int, FloatArray] = {}
    for frame, path in enumerate(masks):
        labels = _read_labels(path)
        for label in np.unique(labels[labels > 0]).tolist():
            boxes_xyxy = found.setdefault(label, np.full((len(masks), 4), np.nan))
            boxes_xyxy[frame] = _tight_box(labels == label)
    if len(found) > 1:
        found.pop(_VOID, None)
    return dict(sorted(found.items()))


def _tight_box(mask: NDArray[np.bool_]) -> FloatArray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def _read_labels(path: Path) -> NDArray[np.uint8]:
    """Number of the object at each pixel, uint8 of shape (H, W); 255 all over in a grey mask."""
    try:
        if iio.immeta(path, plugin="pillow")["mode"] == "P":  # numbers, with colours to look at
            return np.asarray(iio.imread(path, plugin="pillow", mode="P"))
        grey = iio.imread(path, plugin="pillow", mode="L")
    except (OSError, ValueError) as error:
        raise DataError(f"The mask {path} cannot be read: {error}.") from error
    return np.where(grey > 0, _VOID, 0).astype(np.uint8)
