"""Results on disk: in the dataset's own layout, and what that layout cannot hold beside it.

``results/`` holds what the benchmark's own programs read, ``details/TRACKER/SEQUENCE.json`` scores,
times, frame size, machine and the sequence's digests, ``trackers/TRACKER.json`` what the tracker
is. A sequence is finished when its details are there: they are written last, and at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation import provenance
from napari_ocean.evaluation.datasets import Dataset, Run, Sequence, dataset_named
from napari_ocean.evaluation.datasets.textfiles import write_lines

DETAILS = "details"
"""Kind of the files that make a sequence finished."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A finished run, with the frames' ``(H, W)`` and the machine that took the times."""

    run: Run
    frame_hw: tuple[int, int]
    machine: str


class Store:
    """Results of any number of trackers on the sequences of one dataset.

    Parameters
    ----------
    folder : Path
        Made when something is first written.
    dataset : str
        One of :data:`napari_ocean.evaluation.datasets.DATASETS`.
    """

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder = folder
        self.dataset = dataset

    def claim(self, tracker: str, identity: Mapping[str, Any]) -> None:
        """Say what a tracker's name stands for in this folder, the first time and ever after.

        Parameters
        ----------
        tracker : str
            Name of a folder.
        identity : mapping
            Whatever changes the results (settings, weights, versions), fit for JSON.

        Raises
        ------
        ConfigError
            If the name stands for something else here, or the folder for something else than
            results.
        """
        known = self.folder / "trackers"
        if not known.is_dir() and any(self.folder.glob("[!.]*")):  # Finder leaves .DS_Store
            raise ConfigError(
                f"{self.folder} is neither empty nor a folder of results; choose another --out."
            )
        path = known / f"{tracker}.json"
        mine = {"dataset": self.dataset, **json.loads(json.dumps(identity))}
        if not path.is_file():
            write_json(path, mine)
        elif differences := _differences(_read_json(path), mine):
            raise ConfigError(
                f"{self.folder} holds results of {tracker} with {differences}; "
                "choose another --out."
            )

    def kept(self, kind: str, name: str, sequence: Sequence) -> dict[str, Any] | None:
        """What :meth:`keep` kept, or None.

        Raises
        ------
        DataError
            If it was kept for another ground truth or other frames, or is damaged.
        """
        path = self._path(kind, name, sequence)
        if not path.is_file():
            return None
        value = _read_json(path)
        if differing := _differing(value, sequence):
            raise DataError(
                f"{self.folder} holds a result of {name} on another {sequence.name} (its "
                f"{differing} differ); choose another --out."
            )
        return value

    def keep(self, kind: str, name: str, sequence: Sequence, value: Mapping[str, Any]) -> None:
        """Keep something that a tracker or method gave on a sequence, fit for JSON."""
        path = self._path(kind, name, sequence)
        write_json(path, {**provenance.sequence_digests(sequence), **value})

    def write(self, tracker: str, sequence: Sequence, run: Run, frame_hw: tuple[int, int]) -> None:
        """Keep a finished run.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        self._layout.write_result(self.folder / "results", tracker, sequence, run)
        details = {
            "frame_hw": frame_hw,
            "machine": provenance.machine(),
            "scores": run.scores.tolist(),
            "seconds": run.seconds.tolist(),
        }
        self.keep(DETAILS, tracker, sequence, details)

    def read(self, tracker: str, sequence: Sequence) -> Record | None:
        """Get a finished run back, or None; boxes are as exact as the dataset's layout keeps them.

        Raises
        ------
        DataError
            If a file is missing or damaged.
        """
        details = self.kept(DETAILS, tracker, sequence)
        if details is None:
            return None
        try:
            run = self._layout.read_result(self.folder / "results", tracker, sequence)
            if run is None:
                raise ValueError("the boxes are gone")
            height, width = details["frame_hw"]
            scores, seconds = np.array(details["scores"]), np.array(details["seconds"])
            if not len(scores) == len(seconds) == len(sequence):
                raise ValueError("the number of frames differs")
            run = replace(run, scores=scores, seconds=seconds)
            return Record(run, (height, width), details["machine"])
        except (KeyError, TypeError, ValueError) as error:
            path = self._path(DETAILS, tracker, sequence)
            raise DataError(f"{path} cannot be used ({error}); delete it to run again.") from error

    @property
    def _layout(self) -> Dataset:
        return dataset_named(self.dataset)

    def _path(self, kind: str, name: str, sequence: Sequence) -> Path:
        return self.folder / kind / name / f"{sequence.name}.json"


def _differing(kept: Mapping[str, Any], sequence: Sequence) -> str | None:
    """What of a sequence is not as it was for a result; earlier results know no frames."""
    now = provenance.sequence_digests(sequence)
    if kept.get("truth_sha256") != now["truth_sha256"]:
        return "true boxes"
    videos = {kept.get("video_digest"), now["video_digest"]} - {None}
    return "frames" if len(videos) > 1 else None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs, as ``a.b 1 (now 2)``; empty where nothing does."""
    before, now = dict(_flat(old)), dict(_flat(new))
    return ", ".join(
        f"{key} {before.get(key, '-')} (now {now.get(key, '-')})"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in tree.items():
        nested = isinstance(value, Mapping)
        pairs += _flat(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return pairs


def write_json(path: Path, value: Any) -> None:
    """Write a file at once: whoever looks sees all of it or none.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    write_lines(path, [json.dumps(value)])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it to run again.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a result of this program; delete it to run again.")
    return value
