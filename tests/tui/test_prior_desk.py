"""The desk that the screens of priors work at: what it posts, and when it reads."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cognition.sync import Report, Sync
from engine.priors.place import PriorPlace, open_collection
from tui.feed import priors
from tui.feed.priors import PriorDesk, Shelf

_SECONDS = 60.0


class Posted:
    """Lists and failures that a desk posted."""

    def __init__(self) -> None:
        self.shelves: queue.SimpleQueue[Shelf] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[str] = queue.SimpleQueue()

    def wait_for(self, *titles: str) -> None:
        """Wait for a list in which these are the titles of the priors that are shown to designs."""
        seen: tuple[str, ...] | None = None
        while seen != titles:  # one may be read between the making of a file and its text
            shelf = self.shelves.get(timeout=_SECONDS)
            seen = tuple(row.entry.prior.title for row in shelf.rows if row.entry.prior.enabled)


@contextmanager
def desk_at(place: PriorPlace) -> Iterator[tuple[PriorDesk, Posted]]:
    posted = Posted()
    desk = PriorDesk(
        lambda: place, place.base.parent / "runs", lambda call: call(), posted.shelves.put, posted.failures.put
    )
    desk.start()
    try:
        yield desk, posted
    finally:
        desk.stop()


@pytest.fixture
def place(tmp_path: Path) -> PriorPlace:
    (tmp_path / "priors").mkdir()
    (tmp_path / "priors" / "a.md").write_text("# One\n")
    return PriorPlace(tmp_path / "cognition.db", "demo", "demo", tmp_path / "priors")


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> queue.SimpleQueue[None]:
    """An item for each sync."""
    done: queue.SimpleQueue[None] = queue.SimpleQueue()
    run: Callable[[Sync], Report] = Sync.run

    def counted(self: Sync) -> Report:
        done.put(None)
        return run(self)

    monkeypatch.setattr(Sync, "run", counted)
    return done


def test_desk_posts_outside_changes_and_reads_nothing_while_idle(
    place: PriorPlace, syncs: queue.SimpleQueue[None]
) -> None:
    with desk_at(place) as (_, posted):
        posted.wait_for("One")
        (place.folder / "b.md").write_text("# Two\n")
        posted.wait_for("One", "Two")
        # A proposal has no file: only the base changes.
        with open_collection(place).store, closing(sqlite3.connect(place.base)) as connection, connection:
            connection.execute("UPDATE priors SET status = 'removed' WHERE id = 'b'")
            connection.execute("UPDATE collections SET generation = generation + 1")
        posted.wait_for("One")
        while True:
            try:
                syncs.get(timeout=2)
            except queue.Empty:
                break
        with pytest.raises(queue.Empty):
            syncs.get(timeout=3)


def test_unreadable_base_is_tried_again(place: PriorPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priors, "_POLL_SECONDS", 0.1)
    place.base.mkdir()
    with desk_at(place) as (_, posted):
        assert "cannot be used" in posted.failures.get(timeout=_SECONDS)
        place.base.rmdir()
        posted.wait_for("One")
