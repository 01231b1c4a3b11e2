"""The field's benchmarks: how their sequences lie on disk, and how results for them do.

A dataset is a module with ``find(root) -> list[Sequence]``, ``write_result`` and ``read_result``;
adding one is one file and one entry of :data:`DATASETS`. Each module says what its benchmark's
coordinates count from, which frames do not count, and whose word that is. Frames are read when
they are asked for, and results are written in one step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import davis, folder, got10k, lasot, otb, uav, vot
from napari_ocean.evaluation.datasets.run import Run
from napari_ocean.evaluation.datasets.sequence import Sequence

__all__ = ["DATASETS", "Dataset", "Run", "Sequence", "dataset_named", "find_sequences"]


class Dataset(Protocol):
    """One benchmark."""

    def find(self, root: Path, /) -> list[Sequence]:
        """All sequences below a folder, in a fixed order."""

    def write_result(
        self, folder: Path, tracker_name: str, sequence: Sequence, run: Run, /
    ) -> None:
        """Write a tracker's boxes and times on a sequence as the benchmark's own tools do."""

    def read_result(self, folder: Path, tracker_name: str, sequence: Sequence, /) -> Run | None:
        """Read what was written, without what the layout cannot hold; None if it is not there."""


DATASETS: dict[str, Dataset] = {
    "folder": folder,
    "otb": otb,
    "lasot": lasot,
    "got10k": got10k,
    "uav": uav,
    "vot": vot,
    "davis": davis,
}


def dataset_named(name: str) -> Dataset:
    """Return the benchmark of a name, or say which there are."""
    if name not in DATASETS:
        raise DataError(f"There is no dataset {name!r}; known are {', '.join(DATASETS)}.")
    return DATASETS[name]


def find_sequences(root: Path, dataset: str = "folder") -> list[Sequence]:
    """All sequences below `root`, which is laid out as `dataset` (a name of ``DATASETS``).

    Raises
    ------
    DataError
        If there is no such dataset or folder, no sequence, or a file that cannot be read.
    """
    layout = dataset_named(dataset)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.")
    sequences = layout.find(root)
    if not sequences:
        doc = f"see napari_ocean/evaluation/datasets/{dataset}.py"
        raise DataError(f"There is no sequence laid out as {dataset!r} below {root}; {doc}.")
    return sequences
