"""Watches of folders, on a real file system."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cognition.watch import Watch

_SECONDS = 90.0
"""How long a test waits for an event before it fails."""


class Calls:
    """Counts the calls of a watch."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def __call__(self) -> None:
        self._calls.put(None)

    def wait(self) -> None:
        """Wait for the next call."""
        self._calls.get(timeout=_SECONDS)

    def none_within(self, seconds: float) -> bool:
        """Return whether no call comes within this time."""
        try:
            self._calls.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def settle(self) -> None:
        """Wait until no call has come for a second."""
        while not self.none_within(1.0):
            pass


@contextmanager
def watching(*paths: Path) -> Iterator[Calls]:
    """Watch paths without an interval that could stand in for an event, from the first call on."""
    calls = Calls()
    with Watch(paths, calls, poll_seconds=3600):
        calls.wait()
        yield calls


def test_saved_file_wakes(tmp_path: Path) -> None:
    with watching(tmp_path) as calls:
        (tmp_path / "a.md").write_text("one")
        calls.wait()
        calls.settle()
        (tmp_path / ".a.md.new").write_text("two")
        (tmp_path / ".a.md.new").replace(tmp_path / "a.md")
        calls.wait()
        calls.settle()
        (tmp_path / "a.md").unlink()
        calls.wait()


def test_reading_does_not_wake(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one")
    with watching(tmp_path) as calls:
        calls.settle()
        (tmp_path / "a.md").read_text()
        list(tmp_path.iterdir())
        assert calls.none_within(1.0)


def test_missing_folder_is_watched_once_it_exists(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "priors"
    with watching(folder) as calls:
        (tmp_path / "other").mkdir()
        assert calls.none_within(0.5), "another name in the nearest ancestor is of no interest"
        for step in (folder.parent.parent, folder.parent, folder):
            step.mkdir()
            calls.wait()
        calls.settle()
        (folder / "a.md").write_text("one")
        calls.wait()


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_replaced_folder_is_watched_again(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "priors"
    folder.mkdir()
    (folder / "a.md").write_text("one")
    with watching(folder) as calls:
        calls.settle()
        shutil.rmtree(folder) if how == "deleted" else folder.rename(tmp_path / "former")
        calls.wait()
        calls.settle()
        folder.mkdir()
        calls.wait()
        calls.settle()
        (folder / "a.md").write_text("two")
        calls.wait()


def test_link_is_followed_and_may_be_replaced(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "priors").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("one")
    with watching(link / "priors") as calls:
        (tmp_path / "one" / "priors" / "a.md").write_text("one")
        calls.wait()
        calls.settle()
        (tmp_path / "new").symlink_to(tmp_path / "two")
        (tmp_path / "new").replace(link)
        calls.wait()
        calls.settle()
        (tmp_path / "two" / "priors" / "a.md").write_text("two")
        calls.wait()
        calls.settle()
        (tmp_path / "one" / "priors" / "a.md").write_text("three")
        assert calls.none_within(0.5)


def test_loop_of_links_ends(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with watching(loop / "priors") as calls:
        calls.settle()
        loop.unlink()
        calls.wait()
        calls.settle()
        (loop / "priors").mkdir(parents=True)
        calls.wait()


def test_single_file_is_watched_without_its_neighbours(tmp_path: Path) -> None:
    file = tmp_path / "cognition.db-wal"
    with watching(file) as calls:
        calls.settle()
        (tmp_path / "other").write_text("one")
        assert calls.none_within(0.5)
        file.write_bytes(b"one")
        calls.wait()
        calls.settle()
        file.write_bytes(b"two")
        calls.wait()


def test_other_paths_can_be_set(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    calls = Calls()
    with Watch([one], calls, poll_seconds=3600) as watch:
        calls.settle()
        watch.set_paths([one])
        assert calls.none_within(0.5)
        watch.set_paths([two])
        calls.wait()
        calls.settle()
        (two / "a.md").write_text("one")
        calls.wait()


def test_stopped_watch_ends_its_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with watching(tmp_path) as calls:
        calls.settle()
    (tmp_path / "a.md").write_text("one")
    assert calls.none_within(0.5)
    assert [thread for thread in threading.enumerate() if thread not in before and thread.name == "watch"] == []


def test_file_system_without_events_is_polled_and_the_reason_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    with caplog.at_level(logging.WARNING), Watch([tmp_path], calls, poll_seconds=0.05, reports=lambda kind: False):
        for _ in range(4):
            calls.wait()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and "does not report all changes" in told[0] and "every 0.05 s" in told[0], told


_WITHOUT_DESCRIPTORS = """
import logging, os, resource, sys, threading
from pathlib import Path
import watchfiles
from cognition.watch import Watch

logging.basicConfig(format="%(message)s", stream=sys.stdout)
calls = threading.Semaphore(0)
least = len(os.listdir("/proc/self/fd")) - 1
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
# As at the limit of inotify instances, the watch gets no descriptor.
resource.setrlimit(resource.RLIMIT_NOFILE, (least, limits[1]))
with Watch([Path(sys.argv[1])], calls.release, poll_seconds=0.2):
    for _ in range(3):
        assert calls.acquire(timeout=90)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    while calls.acquire(timeout=2):
        pass
    (Path(sys.argv[1]) / "a.md").write_text("one")
    assert calls.acquire(timeout=90)
print("events again")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is inotify's")
def test_watch_polls_at_the_limit_until_a_watch_is_free(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_DESCRIPTORS, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=280, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 2 and "file changes are not reported" in told[0] and told[1] == "events again", done.stdout


def test_name_that_is_not_utf8_wakes_and_ends_no_watch(tmp_path: Path) -> None:
    with watching(tmp_path) as calls:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("one")
        calls.wait()
        calls.settle()
        (tmp_path / "a.md").write_text("two")
        calls.wait()
