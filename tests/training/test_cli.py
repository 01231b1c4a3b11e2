"""Settings of a training, from a file and from the command line."""

from __future__ import annotations

import argparse

import pytest

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
    config.write_text('{"preset": "ocean", "size": {"tower_depth": 2}}')
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
