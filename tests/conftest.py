"""Fixtures for all tests: a workspace per test, task folders, the `evolve` command."""

from __future__ import annotations

import gc
import json
import locale
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from engine.errors import EvolveError
from engine.runs.configure import own_layers, task_settings
from engine.runs.reach import NO_SANDBOX, reach_of_task
from engine.runs.trust import own
from engine.task.load import load_task
from tests.needs import Needs, require
from tests.warm_command import WarmCommand, read_at_start

_CI = os.environ.get("CI") == "true"
# No deadline: a busy machine must not fail a property. In CI the examples are the same each time, as no commit may fail
# for what another one could have failed for, and so a few are enough; everywhere else, and in tests.fuzz, new ones are
# tried.
settings.register_profile(
    "evolve", max_examples=25 if _CI else 60, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize=_CI,
)  # fmt: skip
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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no cycles among what is only imported: that takes longer than to import it. Tests leave it out, too."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _process() -> dict[str, Any]:
    """Return what every later test of this process rests on."""
    # Not SIGINT: a shell that starts tests behind itself has it ignored, and an event loop that ends sets it anew.
    watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
    os.umask(mask := os.umask(0))
    return {
        "time zone": (os.environ.get("TZ"), time.tzname),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "umask": mask,
        "signal handlers": [signal.getsignal(one) for one in watched],
    }


@pytest.fixture(autouse=True)
def process_unchanged() -> Iterator[None]:
    """Fail the test that leaves its process another one: else a test that comes later would fail, and only at times."""
    before = _process()
    yield
    assert _process() == before


@pytest.fixture(autouse=True)
def workspace(process_unchanged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set `$EVOLVE_HOME` to a folder of the test's own."""
    home = tmp_path / "workspace"
    monkeypatch.setenv("EVOLVE_HOME", str(home))
    return home


TaskMaker = Callable[..., Path]


def call_own(folder: Path) -> Path:
    """Let the test's workspace know a task folder as one that its user edits, with all that it may do now."""
    try:
        task = load_task(folder)
        reach = reach_of_task(task, task_settings(task), own_layers(()))
    except EvolveError:
        reach = frozenset()  # nothing of a broken task runs
    own(folder, {*reach, NO_SANDBOX})
    return folder


@pytest.fixture
def make_task(tmp_path: Path) -> TaskMaker:
    """Write a task folder of the user's own; by default a small one whose evaluator takes no time."""

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
        return call_own(folder)

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

    def call(*arguments: object, timeout: float = 240, **environment: str) -> Result:
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
