from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.evaluation.datasets import find_sequences
from napari_ocean.evaluation.runs import run_once
from napari_ocean.evaluation.toolkits.vot import polygon_box

KINDS = ("rectangle", "polygon", "mask")
ADAPTER = [sys.executable, "-m", "napari_ocean.evaluation.toolkits.vot"]


def test_a_rotated_square_keeps_its_area() -> None:
    # Sides 5 * sqrt(2): area 50; the smallest box has area 100, so its sides shrink by sqrt(0.5).
    side = 10 * np.sqrt(0.5) + 1
    expected = boxes.from_center((10, 20), (side, side))
    np.testing.assert_allclose(polygon_box([(5, 20), (10, 15), (15, 20), (10, 25)]), expected)


def test_an_upright_rectangle_grows_by_one_pixel() -> None:
    found = polygon_box([(0, 0), (4, 0), (4, 8), (0, 8)])
    np.testing.assert_allclose(found, [-0.5, -0.5, 4.5, 8.5])


@pytest.mark.parametrize(
    "corners", [[(0, 2), (4, 0), (5, 9)], [(0, 0), (5, 0), (5, 9), (2, 11), (0, 9)]]
)
def test_other_polygons_become_their_smallest_box(corners: list[tuple[int, int]]) -> None:
    points = np.array(corners)
    np.testing.assert_array_equal(polygon_box(corners), [*points.min(axis=0), *points.max(axis=0)])


def test_a_flat_polygon_is_left_to_the_tracker_to_refuse() -> None:
    np.testing.assert_array_equal(polygon_box([(0, 3), (4, 3), (6, 3), (2, 3)]), [0, 3, 6, 3])


def test_four_corners_agree_with_the_got10k_toolkit() -> None:
    datasets = pytest.importorskip("got10k.datasets", reason="needs the got10k toolkit")
    corners = np.array([[257.3, 163.1], [165.9, 273.2], [76.1, 198.7], [167.5, 88.6]])
    rect = datasets.VOT._corner2rect(None, corners.reshape(1, 8))[0]
    np.testing.assert_allclose(polygon_box(corners), boxes.from_xywh(rect))


def test_without_trax_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['trax'] = None\n"
        "from napari_ocean.evaluation.toolkits.vot import main\n"
        "sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "The VOT toolkit needs TraX: pip install vot-trax.\n",
    )


def write_sequence(folder: Path, source: Path, regions: list[str]) -> None:
    (folder / "color").mkdir(parents=True)
    images = sorted((source / "img").iterdir())
    for at, image in enumerate(images[: len(regions)], start=1):
        shutil.copy(image, folder / f"color/{at:08d}.jpg")
    (folder / "groundtruth.txt").write_text("\n".join(regions) + "\n")
    (folder / "sequence").write_text("fps=30\nformat=default\nchannels.color=color/%08d.jpg\n")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A workspace of the VOT toolkit, evaluated and analysed by its own command line.

    In ``moved`` the truth jumps to the other side of the frame at frame 20, where any tracker
    fails: the toolkit starts it again 5 frames later.
    """
    pytest.importorskip("vot", reason="needs vot-toolkit")
    if version("vot-toolkit") >= "0.8":
        pytest.skip("vot-toolkit 0.8 and later refuse supervised experiments of a single target")
    folder = tmp_path_factory.mktemp("vot")
    dev = shared_data / "data/dev/OTB"
    car = np.loadtxt(dev / "Car4/groundtruth.txt", delimiter=",")[:40]
    x, y, w, h = car.T
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
    masks = [f"m{a:.0f},{b:.0f},{c:.0f},{d:.0f},0,{c * d:.0f}" for a, b, c, d in car]
    moved = car.copy()
    moved[20:, :2] = (300, 10)
    kinds = {"rectangle": car, "polygon": corners, "moved": moved}
    for name, rows in kinds.items():
        lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
        write_sequence(folder / "sequences" / name, dev / "Car4", lines)
    write_sequence(folder / "sequences/mask", dev / "Car4", masks)
    (folder / "sequences/list.txt").write_text("rectangle\npolygon\nmoved\nmask\n")
    (folder / "config.yaml").write_text("registry: [./trackers.ini]\nstack: stack.yaml\n")
    (folder / "stack.yaml").write_text(
        "experiments: {baseline: {type: supervised, repetitions: 1, skip_initialize: 5, analyses:"
        " [{type: supervised_average_ar}, {type: supervised_eao_score, low: 10, high: 30}]}}\n"
    )
    root = Path(__file__).parents[3]
    (folder / "trackers.ini").write_text(
        f"[ocean]\nlabel = ocean\nprotocol = trax\ncommand = {' '.join(ADAPTER)}\n"
        f"env_PYTHONPATH = {root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}\n"
        "env_OMP_NUM_THREADS = 1\n"
    )
    environment = os.environ | {"VOT_RESULTS_BINARY": "false"}
    for command in ("evaluate", "analysis"):
        done = subprocess.run(
            [sys.executable, "-m", "vot", command, "--workspace", str(folder), "ocean"],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert "success" in done.stdout + done.stderr, done.stdout + done.stderr
    return folder


def tracked(workspace: Path, name: str) -> list[str]:
    path = workspace / f"results/ocean/baseline/{name}/{name}_001.txt"
    return path.read_text().split()


@pytest.mark.parametrize("name", ["rectangle", "mask"])
def test_the_toolkit_gets_the_boxes_that_we_get(workspace: Path, name: str) -> None:
    from napari_ocean.tracking import load_tracker

    (sequence,) = [s for s in find_sequences(workspace / "sequences", "vot") if s.name == name]
    run = run_once(load_tracker(device="cpu").start, sequence)
    rows = tracked(workspace, name)
    assert rows[0] == "1"
    theirs = np.array([row.split(",") for row in rows[1:]], dtype=float)
    np.testing.assert_allclose(theirs, boxes.to_xywh(run.boxes_xyxy[1:]), rtol=0, atol=0.02)


def test_a_polygon_starts_from_its_own_box(workspace: Path) -> None:
    rows = {name: tracked(workspace, name)[1].split(",") for name in ("rectangle", "polygon")}
    first = {name: np.array(row, dtype=float) for name, row in rows.items()}
    difference = np.abs(first["polygon"] - first["rectangle"]).max()
    assert 0 < difference < 4  # the box that it was given is 1 px larger


def test_the_official_numbers(workspace: Path) -> None:
    """Accuracy is the overlap from 10 frames after each start on, averaged over sequences.

    The toolkit compares whole pixels inside the frame; the corners of a polygon count as pixels,
    which adds some hundredths.
    """
    (path,) = (workspace / "analysis").glob("*.json")
    ((accuracy, failures, (robustness, _), _),), ((expected_overlap,),) = json.loads(
        path.read_text()
    )["results"]["baseline"]["results"]
    overlaps = []
    for sequence in find_sequences(workspace / "sequences", "vot"):
        rows = tracked(workspace, sequence.name)
        counted = [*range(10, 20), *range(35, 40)] if sequence.name == "moved" else range(10, 40)
        found = np.array([rows[at].split(",") for at in counted], dtype=float).round()
        truth = boxes.clip(sequence.truth_xyxy[list(counted)], (240, 360))
        overlaps.append(boxes.iou(boxes.clip(boxes.from_xywh(found), (240, 360)), truth).mean())
    assert accuracy == pytest.approx(np.mean(overlaps), abs=0.006)
    assert failures == 1 / 4
    assert robustness == pytest.approx(np.exp(-30 * (1 / 4) / 40))  # sensitivity 30, 40 frames each
    assert 0.3 < expected_overlap < accuracy


def test_the_toolkit_starts_us_again_after_a_failure(workspace: Path) -> None:
    rows = tracked(workspace, "moved")
    assert [at for at, row in enumerate(rows) if row == "2"] == [20]
    assert rows[21:25] == ["0"] * 4
    assert [at for at, row in enumerate(rows) if row == "1"] == [0, 25]
    assert not {"0", "2"} & {row for name in KINDS for row in tracked(workspace, name)}
