"""LaSOT (Fan et al., CVPR 2019).

::

    <root>/airplane/airplane-1/groundtruth.txt        x,y,width,height of each frame
    <root>/airplane/airplane-1/full_occlusion.txt     0,0,1,...
    <root>/airplane/airplane-1/out_of_view.txt        0,0,1,...
    <root>/airplane/airplane-1/img/00000001.jpg ...
    <root>/testing_set.txt                            names, if only those shall be taken

The folders of the classes may be missing. The target is absent where either flag is 1; these
frames do not count in the benchmark's own evaluation. Coordinates count from 1, by its author's
word (https://github.com/HengLan/LaSOT_Evaluation_Toolkit/issues/14), and TracKit takes the 1 too;
the later extension seems to mix both.
"""

from __future__ import annotations

from pathlib import Path

from napari_ocean.evaluation.datasets.resultfiles import OneFileLayout
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import hide, read_flags, read_lines, read_truth

_RESULTS = OneFileLayout(origin=1)
write_result, read_result = _RESULTS.write, _RESULTS.read


def find(root: Path) -> list[Sequence]:
    """All sequences of `root`, or those that its ``testing_set.txt`` names."""
    folders = {
        path.parent.name: path.parent
        for pattern in ("*/groundtruth.txt", "*/*/groundtruth.txt")
        for path in root.glob(pattern)
    }
    chosen = root / "testing_set.txt"
    names = set(read_lines(chosen)) & set(folders) if chosen.is_file() else folders
    return [_sequence(folders[name]) for name in sorted(names)]


def _sequence(folder: Path) -> Sequence:
    truth = read_truth(folder / "groundtruth.txt", origin=1)
    for name in ("full_occlusion.txt", "out_of_view.txt"):
        path = folder / name
        if path.is_file():
            truth = hide(truth, read_flags(path), path)
    return Sequence(folder.name, truth, folder / "img")
