"""Rules for all commands, checked by walking the command tree, so that a new command is checked too."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

import engine.cli.acts
import engine.cli.bench
import engine.cli.campaign
import engine.cli.compare
import engine.cli.control
import engine.cli.digest
import engine.cli.distil
import engine.cli.doctor
import engine.cli.export
import engine.cli.fork
import engine.cli.imports
import engine.cli.look
import engine.cli.priors
import engine.cli.replay
import engine.cli.run_list
import engine.cli.steer
import engine.cli.tasks
import engine.cli.verify
import engine.cli.web  # noqa: F401
from engine.cli.app import app
from engine.cli.group import SECTIONS
from tests.conftest import COMMAND, Evolve

ROOT: Any = get_command(app)

STEERS = {
    "pause", "step", "stop", "set", "inject", "rerun", "pin", "unpin", "prune", "restore", "star", "comment", "rename",
    "delete", "new", "undo", "archive",
}  # fmt: skip
"""Commands that ask an engine for something and print its answer on one line."""
SHOWS = {"attach", "replay", "web"}
"""Commands that open the application; `events` prints the same as text."""


def walk(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that is not a group, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(walk())
GROUPS = [(), *{path[:-1] for path in EVERY if len(path) > 1}]


def options(command: Any) -> set[str]:
    """Return the options of a command."""
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def test_commands_are_found_recursively() -> None:
    assert {("show",), ("priors", "search"), ("fork",)} <= set(EVERY)
    assert {(name,) for name in STEERS | SHOWS} <= set(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_reading_command_accepts_json(path: tuple[str, ...]) -> None:
    assert path[-1] in STEERS | SHOWS or "--json" in options(EVERY[path])


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_on_runs_accepts_runs_option(path: tuple[str, ...]) -> None:
    command = EVERY[path]
    source = inspect.getsource(inspect.unwrap(command.callback))
    names = any(parameter.metavar == "RUN" for parameter in command.params)
    finds = names or any(call in source for call in ("pick(", "all_runs(", "folder_of(", "existing_folder("))
    assert finds == ("--runs" in options(command)), f"{' '.join(path)} finds runs: {finds}"


def test_list_of_runs_accepts_runs_option() -> None:
    assert "--runs" in options(ROOT)


def test_every_command_has_one_heading() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(ROOT.commands)


@pytest.mark.parametrize("path", [*EVERY, *GROUPS], ids=" ".join)
def test_help_is_not_cut_at_80_columns(path: tuple[str, ...], evolve: Evolve) -> None:
    done = evolve(*path, "--help", COLUMNS="80")
    assert done.code == 0, done.err
    usage, *rest = done.out.splitlines()
    assert usage.startswith(f"Usage: {' '.join(('evolve', *path))} ")
    cut = [line for line in rest if line.endswith(("...", "…")) or len(line) > 80]
    assert not cut
    # It is the same in every encoding.
    assert done.out.isascii()


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_parameter_has_help(path: tuple[str, ...]) -> None:
    for parameter in EVERY[path].params:
        assert parameter.help, f"{' '.join(path)} {parameter.name}"
        flag = getattr(parameter, "is_flag", False)
        assert flag or parameter.metavar, f"{' '.join(path)} {parameter.name} shows its type in the place of a word"


def test_version(evolve: Evolve) -> None:
    from importlib.metadata import version

    assert evolve("--version").out == f"evolve {version('asi-evolve-tui')}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shwo"], "Did you mean 'show'?"),
        (["priors", "serch"], "Did you mean 'search'?"),
        (["circle_packing"], "'evolve run circle_packing' starts a run of it"),
        (["sample_runs/circle_packing_llm"], "'evolve attach sample_runs/circle_packing_llm' watches it"),
        (["run", "circle_packin"], "Did you mean 'circle_packing'?"),
        (["run", "circl"], "Did you mean 'circle_packing'?"),
        (["run", "sample_runs/circle_packing_llm"], "is a run, not a task folder"),
        (["run", "docs"], "it has no task.toml; brief.md, evaluate.py, seed.py are missing too"),
        (["run", "engine/tasks"], "It holds task folders: autocorrelation, "),
        (["run", "engine/tasks/circle_packing/seed.py"], "Name the folder: 'engine/tasks/circle_packing'"),
        (["--runs", "sample_runs", "show"], "--runs belongs after the command"),
        (["--runs", "sample_runs"], "'evolve runs' prints it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistyped_command_is_answered_with_advice(evolve: Evolve, words: list[str], told: str) -> None:
    done = evolve(*words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "Traceback" not in done.err


def complete(line: str) -> list[str]:
    """Return the completions that bash offers for the last word of a line."""
    asked = {"_EVOLVE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=True, env={**os.environ, **asked})
    return done.stdout.split()


def test_shell_completes_commands_tasks_runs_and_presets() -> None:
    assert sorted(complete("evolve re")) == ["rename", "replay", "rerun", "restore", "resume"]
    assert complete("evolve run circle") == ["circle_packing"]
    assert complete("evolve check rl") == ["rl_algorithm"]
    assert complete("evolve show --runs sample_runs rl") == ["rl_algorithm_recombine"]
    assert complete("evolve compare --runs sample_runs data rl") == ["rl_algorithm_recombine"]
    assert complete("evolve run circle_packing --preset p") == ["paper"]
    assert complete("evolve priors list --task drug") == ["drug_target"]
