"""Settings of a training, from a file and from the command line."""

from __future__ import annotations

import argparse
import shutil

import pytest
import torch

from napari_ocean.cli import main
from napari_ocean.training import cli


def test_file_and_options_become_settings(tmp_path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"batch": 8, "learning_rate": 1, "pairs": {"video_share": 0.5}}')
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    args = parser.parse_args(
        ["shards", "--out", "run", "--config", str(config), "--steps", "7", "--seed", "3"]
    )
    settings = cli._settings(args)
    assert (settings.batch, settings.steps, settings.seed) == (8, 7, 3)
    assert settings.learning_rate == 1
    assert settings.pairs.video_share == 0.5
    config.write_text('{"preset": "ocean", "size": {"tower_depth": 2}}', "utf-16")  # PowerShell
    given = ["shards", "--out", "run", "--config", str(config)]
    assert cli._settings(parser.parse_args(given)).preset == "ocean"
    assert cli._settings(parser.parse_args([*given, "--preset", "lite"])).preset == "lite"
    assert cli._settings(parser.parse_args(["shards", "--out", "run"])).preset == "lite"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[1, 2]", "JSON object"),
        ("no json", "not a readable JSON"),
        ('{"bacth": 8}', "Unknown setting bacth"),
        ('{"size": {"blocks": 3}}', "blocks is 3; it must be 6 to 11"),
        ('{"size": [8]}', "size is [8]; its type must be dict"),
        ('{"batch": "x"}', "batch is 'x'; its type must be int"),
        ('{"unseen_videos": -1}', "unseen_videos is -1; it must be at least 0"),
        ('{"learning_rate": -1}', "learning_rate is -1; it must be at least 0"),
        ('{"weight_decay": NaN}', "weight_decay is nan; it must be at least 0"),
        (
            '{"learning_rate": Infinity}',
            "learning_rate is inf; it must be at least 0 and finite",
        ),
        ('{"seed": 18446744073709551616}', "seed is 18446744073709551616; torch takes none"),
        ('{"pairs": {"mosaics": -1}}', "pairs.mosaics is -1; it must be finite and at least 0"),
        ('{"ema": 1.5}', "ema is 1.5; it must lie in [0, 1]"),
        ('{"clip": -1}', "clip is -1; it must be more than 0"),
        ('{"pairs": 3}', "pairs, which must be an object"),
        ('{"pairs": {"color": true}}', "color is True"),
    ],
)
def test_bad_files_are_one_line_errors(tmp_path, capsys, content: str, says: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(content)
    arguments = ["train", str(tmp_path), "--out", str(tmp_path / "run"), "--config", str(config)]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert says in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--threads", "0"], "--threads is 0; it must be at least 1"),
        (["--workers", "-1"], "--workers is -1; it must be at least 0"),
        (["--minutes", "-1"], "minutes is -1.0; it must be at least 0"),
        (["--device", "gpu"], "no device 'gpu' here; use auto or cpu"),
        (["--device", "cuda:99"], "no device 'cuda:99' here"),
        (["--backbone", "text"], "text does not fit the backbone; give the .pth file of eff"),
        (["--backbone", "foreign.pth"], "foreign.pth does not fit the backbone"),
        (["--backbone", "list.pth"], "list.pth does not fit the backbone"),
        (["--preset", "ocean", "--backbone", "text"], "text does not fit the backbone; give lay"),
        (["--preset", "ocean", "--backbone", "foreign.pth"], "torchvision's ResNet-50 as safetens"),
        (["--out", "text-run"], "checkpoint.pt is not a checkpoint of a training, or damaged"),
        (["--out", "foreign-run"], "checkpoint.pt is not a checkpoint of a training, or damaged"),
    ],
    ids=str,
)
def test_bad_options_are_one_line_errors(
    shards, tmp_path, capsys, monkeypatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("not weights")
    torch.save({"a": torch.zeros(2)}, "foreign.pth")
    torch.save([1, 2], "list.pth")
    for name, file in (("text-run", "text"), ("foreign-run", "foreign.pth")):
        (tmp_path / name).mkdir()
        shutil.copy(file, tmp_path / name / "checkpoint.pt")
    assert main(["train", str(shards), "--out", "run", "--steps", "1", *options]) == 1
    message = capsys.readouterr().err
    assert says in message
    assert len(message.splitlines()) == 1
