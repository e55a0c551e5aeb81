"""End every engine with the test that started it; make evaluations that wait for a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TaskMaker
from tests.e2e.runs import WAITING, started


@pytest.fixture(autouse=True)
def end_engines() -> Iterator[None]:
    """Kill engines that a failed test left running."""
    yield
    while started:
        engine = started.pop()
        if engine.poll() is None:
            engine.kill()
        engine.wait()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that waiting evaluations wait for, in a folder that they may read."""
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder / "go"


@pytest.fixture
def waiting(make_task: TaskMaker, go: Path) -> Path:
    """A task whose evaluator waits for that file."""
    task = make_task("waiting", evaluate=WAITING.replace("@GO@", str(go)), seconds=600)
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(f'mounts = ["{go.parent}"]\n{text}')
    return task
