"""The ways into the application that the command line's library does not read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.cli.way_in import way_in


@pytest.mark.parametrize(
    "words",
    [
        "", "--runs folder", "attach", "attach name --mouse", "attach --runs folder name",
        "replay name --at 12 --speed 2.5 --mouse",
    ],
)  # fmt: skip
def test_taken(words: str) -> None:
    assert way_in(words.split()) is not None


@pytest.mark.parametrize(
    "words",
    [
        "--help", "--runs", "--runs folder show", "--mouse",
        "runs", "run circle_packing", "attach --help", "attach -h", "attach one two", "attach --at 3",
        "replay name --at", "replay name --at many", "replay name --at 0", "replay name --speed=2", "attach --unknown",
    ],
)  # fmt: skip
def test_left_to_those_who_can_say_what_is_wrong(words: str) -> None:
    assert way_in(words.split()) is None


def test_they_load_no_command_line_library() -> None:
    code = "import sys, engine.cli.way_in, tui.textual_app\nprint(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"typer", "click", "pydantic"}.intersection(modules)
