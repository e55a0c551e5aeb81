"""A disk that fills up while a run is at work, and is freed: nothing is lost, doubled, missing or left."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import events as ev
from tests.conftest import TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    make_run,
    processes_of,
    slow_evaluate,
    start_engine,
    wait_for,
)

SLOW = slow_evaluate(0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")  # a right cannot be installed, so CI does not fail for want of it
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> None:
    """Take all the space that is left."""
    with (disk / "filler").open("ab", buffering=0) as file:
        size = 1 << 20
        while size >= 512:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


@pytest.mark.timeout(240)
def test_disk_fills_up_and_is_freed(make_task: TaskMaker, disk: Path) -> None:
    rng = random.Random("disk")
    run = make_run(make_task(evaluate=SLOW), disk / "runs", rounds=60, workers=4)
    for _ in range(2):
        known = [(e.seq, e.data) for e in events(run)]
        engine = start_engine(run)
        target = len(known) + rng.randint(15, 60)
        wait_for(lambda: engine.poll() is not None or len(events(run)) >= target, "progress")  # noqa: B023
        time.sleep(rng.random() * 0.05)
        fill(disk)
        # What ends it is a commit or the folder of the next evaluation.
        wait_for(lambda: engine.poll() is not None, "the end of the engine", timeout=30)  # noqa: B023
        (disk / "filler").unlink()
        wait_for(lambda: not processes_of(str(run.folder)), "the end of all")
        assert [(e.seq, e.data) for e in events(run)][: len(known)] == known
        assert "Traceback" not in run.log.read_text()
        check_integrity(run)
    engine = start_engine(run)
    assert engine.wait(120) == 0, run.log.read_text()
    check_integrity(run)
    failures = [e.data.reason for e in events(run) if isinstance(e.data, ev.RunFailed)]
    assert len(failures) == 2
    assert [reason for reason in failures if "no space left" not in reason] == []
    check_complete(run, 60)
    assert not list(run.work.glob("*"))
    assert not processes_of(str(run.folder))
    measured = [(e.node, e.data.stage, e.data.repeat) for e in events(run) if isinstance(e.data, ev.EvalStageDone)]
    assert len(measured) == len(set(measured))
