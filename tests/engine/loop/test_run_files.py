"""Files that people edit during a run, watched over a real journal without an engine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.loop.run_files import RunFiles
from engine.priors.place import open_collection, place_of_run
from engine.runs.folder import Run
from engine.task.snapshot import TaskWatch
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, measure, open_parts
from tests.engine.test_file_watch import until

PRIOR = "---\ntitle: Go far\n---\nMove the point towards (3, 1).\n"


def files_of(parts: Parts, task: Path) -> RunFiles:
    """Return the watch over a run's files."""
    start = parts.session.state.start
    return RunFiles(parts.session, TaskWatch(task, start.files, start.large_files, {}), parts.priors)


def pending(run: Run, parts: Parts) -> list[str]:
    """Return the priors of the base that wait for a decision."""
    collection = open_collection(place_of_run(run.folder, parts.session.state))
    with collection.store:
        return [entry.id for entry in collection.entries("pending")]


async def test_differences_of_the_task_are_recorded_once(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    run = make_run(task, tmp_path / "runs")
    seed = (task / "seed.py").read_text()
    async with open_parts(run) as parts:
        files = files_of(parts, task)
        await files.look_at_task()
        for text in (seed + "# edited\n", seed):
            (task / "seed.py").write_text(text)
            for _ in range(2):
                await files.look_at_task()
    assert [event.data for event in events(run, ev.TaskChanged)] == [
        ev.TaskChanged({"seed.py": "edited"}),
        ev.TaskChanged({}),
    ]


async def test_saved_files_and_proposals_wake_the_watch(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(priors={"far.md": PRIOR})
    run = make_run(task, tmp_path / "runs")
    async with open_parts(run) as parts:
        state = parts.session.state
        measure(parts.session, 0, -1.0)
        await parts.priors.look()
        watching = asyncio.create_task(files_of(parts, task).watch())
        (task / "notes.md").write_text("one\n")
        await until(lambda: state.task_changes == {"notes.md": "added"})
        (task / "priors" / "far.md").write_text(PRIOR.replace("towards", "quickly towards"))
        await until(lambda: state.prior_revisions.get("far"))

        text = "---\ntitle: Stay near\n---\nMove a little.\n"
        proposed = ev.PriorProposed("node-0-1", "Stay near", sha256_of(text.encode()), [0])
        parts.session.emit(proposed, blobs=[text.encode()])
        # The base has it although no file changed, so that people can decide on it.
        await until(lambda: pending(run, parts) == ["stay-near"])
        assert state.proposed
        parts.session.emit(ev.SettingsChanged({"retrieval": {"proposals": "auto"}}))
        await until(lambda: not state.proposed)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    assert [event.data.id for event in events(run, ev.PriorAccepted)] == ["node-0-1"]  # type: ignore[attr-defined]
    assert next(event.data.change for event in events(run, ev.PriorChanged)) == "edited"  # type: ignore[attr-defined]
