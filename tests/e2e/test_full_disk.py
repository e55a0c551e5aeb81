"""A disk that is full at the start, or fills up while a run is at work: nothing is lost, doubled, missing or left."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
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
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a disk of 24 MB, or of the size that the test names."""
    place = tmp_path / "disk"
    place.mkdir()
    size = getattr(request, "param", "24m")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
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
        wait_for(lambda: engine.poll() is not None, "the end of the engine")  # noqa: B023
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
    assert [reason for reason in failures if "no space left" not in reason.lower()] == []
    check_complete(run, 60)
    assert not list(run.work.glob("*"))
    assert not processes_of(str(run.folder))
    measured = [(e.node, e.data.stage, e.data.repeat) for e in events(run) if isinstance(e.data, ev.EvalStageDone)]
    assert len(measured) == len(set(measured))


def evolve(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("evolve")), *arguments]
    return subprocess.run(
        command, env={**os.environ, "EVOLVE_HOME": str(home)}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("disk", "home", "why", "left"),
    [
        ("8k", "disk", "the priors of circle_packing cannot be copied to .*: .*No space left on device", set()),
        ("8k", "home", "new.db cannot be created: database or disk is full", set()),
        ("512k", "home", "a cannot be written: No space left on device", {"a"}),
    ],
    indirect=["disk"],
    ids=["priors", "journal", "reserve"],
)
def test_start_on_full_disk_ends_in_one_sentence(
    tmp_path: Path, disk: Path, home: str, why: str, left: set[str]
) -> None:
    arguments = ("circle_packing", "--headless", "--rounds", "0", "--name", "a", "--runs", str(disk / "runs"))
    found = evolve("run", *arguments, home=tmp_path / home)
    assert found.returncode == 1
    assert re.search(rf"^error: .*{why}\n  Free some space", found.stderr, re.MULTILINE), found.stderr
    assert "Traceback" not in found.stderr and len(found.stderr) < 1000
    assert {path.name for path in (disk / "runs").glob("*")} == left
    assert list(disk.glob("priors/.*")) == []
    if left:
        subprocess.run(["mount", "-o", "remount,size=24m", disk], check=True)
        found = evolve("resume", "a", "--headless", "--runs", str(disk / "runs"), home=tmp_path / home)
        assert found.returncode == 0 and "finished" in found.stderr, found.stderr
