"""An engine sees changed files at once, and looks at none while nothing changes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.loop.engine import Engine
from engine.loop.file_watch import FileWatch
from engine.priors.place import PriorPlace, open_collection
from engine.priors.watch import PriorWatch
from engine.runs.create import create_run
from engine.runs.folder import lock_run
from engine.settings.model import Settings
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.load import load_task
from engine.task.snapshot import TaskWatch, read_copy
from tests.conftest import TaskMaker


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def paused(run_folder: Path, task: Path) -> AsyncIterator[Callable[[], RunState]]:
    """Have an engine pause, and yield what reads its run's state."""
    run = create_run(load_task(task), Settings(rounds=1000), run_folder)

    def state() -> RunState:
        with JournalReader(run.db) as reader:
            return fold_run(reader)

    with lock_run(run):
        working = asyncio.create_task(Engine(run).work())
        await until(lambda: state().nodes)
        send_command(run.db, "pause", {})
        await until(lambda: state().status == "paused")
        yield state
        await asyncio.to_thread(send_command, run.db, "stop", {})
        await working


class Looks:
    """Counts what is asked of the file system below some folders."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
        self.asked: list[str] = []
        self._below = tuple(map(str, folders))
        for name in ("stat", "lstat", "scandir", "listdir", "open"):
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(path: object = ".", *args: object, **kwargs: object) -> object:
            if isinstance(path, str | Path) and str(path).startswith(self._below):
                self.asked.append(f"{function.__name__} {path}")
            return function(path, *args, **kwargs)

        return call


async def test_idle_engine_looks_at_no_file(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    (task / "priors").mkdir(exist_ok=True)
    looks = Looks(monkeypatch, task)
    async with paused(tmp_path / "runs", task) as state:

        async def quiet() -> None:
            """Wait until there was no look for a second."""
            while looks.asked:
                looks.asked.clear()
                await asyncio.sleep(1)

        await until(lambda: looks.asked)
        await quiet()
        await asyncio.sleep(5)
        assert looks.asked == []

        (task / "priors" / "new.md").write_text("# New\n\nSomething is known.\n")
        await until(lambda: "new" in state().prior_revisions)
        (task / "evaluate.py").write_text((task / "evaluate.py").read_text() + "\n# edited\n")
        await until(lambda: state().task_changes == {"evaluate.py": "edited"})
        (task / "data").mkdir()
        await quiet()
        (task / "data" / "table.csv").write_text("1")
        await until(lambda: state().task_changes.get("data/table.csv") == "added")


async def test_failed_look_is_repeated_without_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.loop.file_watch._POLL_SECONDS", 0.05)
    looks = 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        return looks < 5

    watching = asyncio.create_task(FileWatch(lambda: [tmp_path], look).run())
    await until(lambda: looks >= 5)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


def test_look_at_priors_says_whether_the_base_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "priors").mkdir()
    place = PriorPlace(tmp_path / "cognition.db", "demo", "demo", tmp_path / "priors")
    watch = PriorWatch(place, "run")
    assert not watch.read().incomplete
    (place.folder / "broken.md").write_bytes(b"\0")
    assert not watch.read().incomplete, "that file is wrong until it changes"
    with open_collection(place).store as store, store.writing():
        (place.folder / "late.md").write_text("# Late\n\nSaved while the base is locked.\n")
        assert watch.read().incomplete
    watch.close()


def test_task_watch_names_folders_and_linked_files(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    (task / "empty").mkdir()
    (task / ".git").mkdir()
    (tmp_path / "shared.txt").write_text("one")
    (task / "shared.txt").symlink_to(tmp_path / "shared.txt")
    copy = read_copy(task)
    watch = TaskWatch(task, copy.files, copy.large_files, {})
    assert watch.look() is None
    assert {task, task / "empty", task / "shared.txt"} <= watch.paths
    assert task / ".git" not in watch.paths
    (tmp_path / "shared.txt").write_text("two")
    assert watch.look() == {"shared.txt": "edited"}
    shutil.rmtree(task)
    assert watch.look() is None
    assert task in watch.paths
