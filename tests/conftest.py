"""Fixtures for all tests: a workspace per test, task folders, the `evolve` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.needs import Needs, require
from tests.warm_command import WarmCommand, read_at_start

# No deadline: a busy machine must not fail a property.
settings.register_profile("evolve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("evolve")

SEED = '''\
"""A point in the plane, to be moved."""

X = 0.5
Y = 0.25
Z = 2.0


def left():
    return X * Z


def right():
    return Y + Z


def point():
    return [left(), right()]
'''

EVALUATE = """\
import evolve_task


def evaluate(program_path, report):
    x, y = evolve_task.call("point")
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2, "x": x, "y": y}
"""

OPEN_EVALUATE = """\
import runpy


def evaluate(program_path):
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2, "x": x}
"""

TASK_TOML = """\
name = "point"
direction = "maximize"
guarded = {guarded}

[interface]
functions = ["point"]

[limits]
seconds = {seconds}
memory_mb = 512
"""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Needs(config))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set `$EVOLVE_HOME` to a folder of the test's own."""
    home = tmp_path / "workspace"
    monkeypatch.setenv("EVOLVE_HOME", str(home))
    return home


TaskMaker = Callable[..., Path]


@pytest.fixture
def make_task(tmp_path: Path) -> TaskMaker:
    """Write a task folder; by default a small one whose evaluator takes no time."""

    def make(
        name: str = "point",
        evaluate: str = OPEN_EVALUATE,
        seed: str = SEED,
        toml: str = "",
        guarded: bool = False,
        seconds: float = 20,
        priors: dict[str, str] | None = None,
    ) -> Path:
        folder = tmp_path / "tasks" / name
        folder.mkdir(parents=True)
        text = TASK_TOML.format(guarded=str(guarded).lower(), seconds=seconds) + toml
        (folder / "task.toml").write_text(text)
        (folder / "brief.md").write_text("Move the point to (3, 1).\n")
        (folder / "seed.py").write_text(seed)
        (folder / "evaluate.py").write_text(evaluate)
        for file, body in (priors or {}).items():
            (folder / "priors").mkdir(exist_ok=True)
            (folder / "priors" / file).write_text(body)
        return folder

    return make


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return the last line of stdout, decoded from JSON."""
        return json.loads(self.out.splitlines()[-1])


Evolve = Callable[..., Result]

COMMAND = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.fixture(scope="session")
def warm_command() -> Iterator[WarmCommand]:
    """The process that forks the `evolve` commands."""
    command = WarmCommand()
    yield command
    command.close()


@pytest.fixture
def evolve(warm_command: WarmCommand) -> Evolve:
    """Run the `evolve` command in a process of its own and wait for it."""

    def call(*arguments: object, timeout: float = 90, **environment: str) -> Result:
        words, variables = [*map(str, arguments)], {**os.environ, **environment}
        if read_at_start(variables) == warm_command.start:
            return Result(*warm_command(words, variables, timeout))
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, timeout=timeout, env=variables, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a fake libnvidia-ml.so.1 and return its folder."""
    require("gcc")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).parent / "fake_nvml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(folder / "libnvidia-ml.so.1"), str(source)], check=True)
    return folder


@pytest.fixture(scope="session")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a library to preload: it moves the wall clock ahead by the seconds in the file `$CLOCK_SHIFT`."""
    require("gcc")
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = Path(__file__).parent / "shifted_clock.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library
