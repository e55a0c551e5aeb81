"""run.db: appended events are read in order; damage, foreign files and crashes have different errors."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import engine.journal.writer
from engine.errors import JournalBusy, JournalError
from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import (
    connect_writer,
    create_journal,
    insert_event,
    send_command,
    sha256_of,
    to_row,
)
from engine.journal.live import LIVE_BYTES, LIVE_KEPT, LIVE_TRIMMED, add_live
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter


def event(seq: int, data: ev.Data, round: int | None = None, node: int | None = None) -> ev.Event:
    return ev.Event(seq, 1_000 + seq, round, node, data)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    create_journal(path).close()
    return path


def writer(db: Path, commands: list[object] | None = None, troubles: list[JournalError] | None = None) -> JournalWriter:
    return JournalWriter(
        db,
        asyncio.get_running_loop(),
        (commands if commands is not None else []).append,
        (troubles if troubles is not None else []).append,
    )


async def test_clock_step_adds_no_time_between_live_rows(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pen = writer(db)
    pen.live("stream", 1, b"{}")
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    pen.live("stream", 1, b"{}")
    await pen.close()
    with JournalReader(db) as reader:
        first, second = reader.live_after(0)
    assert 0 <= second.at - first.at < 60_000


async def test_appended_events_are_read_in_order(db: Path) -> None:
    pen = writer(db)
    written = [event(n, ev.RoundStarted(worker=n % 3), round=n) for n in range(1, 1201)]
    content = b"print('x')\n" * 200
    pen.append(map(to_row, written[:1]), [content, b"small"])
    pen.append(map(to_row, written[1:]))
    await pen.durable()
    with JournalReader(db) as reader:
        assert list(reader.events()) == written
        assert list(reader.events(after=500, upto=503)) == written[500:503]
        assert reader.blob(sha256_of(content)) == content
        assert reader.text(sha256_of("small")) == "small"
        assert reader.last_seq() == 1200
    await pen.close()
    assert not (db.parent / "run.db-wal").exists(), "a run that ended is one plain file"
    assert not (db.parent / "reserve").exists()


async def test_only_durable_appends_are_flushed_to_disk(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def connect(path: Path) -> sqlite3.Connection:
        connection = connect_writer(path)
        connection.set_trace_callback(said.append)
        return connection

    def modes() -> list[str]:
        """How each transaction with an event was committed."""
        mode, wrote, found = "FULL", False, []
        for statement in list(said):
            if statement.startswith("PRAGMA synchronous"):
                mode = statement.partition("=")[2]
            wrote = wrote or "INTO events" in statement or "flushed" in statement
            if statement == "COMMIT":
                found += [mode] if wrote else []
                wrote = False
        return found

    monkeypatch.setattr(engine.journal.writer, "connect_writer", connect)
    pen = writer(db)
    pen.append([to_row(event(1, ev.RunResumed()))])
    async with asyncio.timeout(90):
        while not modes():
            await asyncio.sleep(0.01)
    assert modes() == ["NORMAL"], "nobody waits for it"
    log = db.with_name(db.name + "-wal")
    before = log.read_bytes()
    await pen.durable()
    assert modes() == ["NORMAL", "FULL"], "it was committed before, and is flushed now"
    flushed = log.read_bytes()
    assert flushed != before, "what writes nothing to the log flushes nothing"
    await pen.durable()
    assert modes() == ["NORMAL", "FULL"] and log.read_bytes() == flushed, "there is nothing new"
    pen.append([to_row(event(2, ev.RunResumed()))])
    await pen.durable()
    assert modes()[2:] == ["FULL"]
    pen.append([to_row(event(3, ev.RunResumed()))])
    await pen.committed()
    with JournalReader(db) as reader:
        assert reader.last_seq() == 3
    assert modes()[3:] == ["NORMAL"]
    await pen.close()
    with JournalReader(db) as reader:
        assert [(e.seq, e.at) for e in reader.events()] == [(1, 1_001), (2, 1_002), (3, 1_003)]


async def test_reader_notices_commits_of_others(db: Path) -> None:
    pen = writer(db)
    with JournalReader(db) as reader:
        assert reader.changed()
        assert not reader.changed()
        pen.append([to_row(event(1, ev.RunResumed()))])
        await pen.durable()
        assert reader.changed()
        assert [e.seq for e in reader.events()] == [1]
    await pen.close()


async def test_commands_are_passed_on_once_and_answered_with_their_events(db: Path) -> None:
    heard: list[object] = []
    pen = writer(db, heard)
    number = send_command(db, "pause", {"now": True})
    while not heard:
        await asyncio.sleep(0.01)
    assert (heard[0].id, heard[0].kind, heard[0].data) == (number, "pause", {"now": True})  # type: ignore[attr-defined]
    pen.append([to_row(event(1, ev.CommandDone(number, "pause", True, "paused")))], answer=(number, "paused"))
    await pen.durable()
    with JournalReader(db) as reader:
        command = reader.command(number)
        assert command is not None
        assert (command.done, command.result) == (True, "paused")
    await pen.close()
    assert len(heard) == 1


class FullOnce(sqlite3.Connection):
    """A connection whose first commit finds no space: SQLite itself has rolled back then."""

    full = True

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.full:
            self.full = False
            super().execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)


async def test_blobs_can_be_read_if_their_first_commit_found_no_space(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, factory=FullOnce)

    monkeypatch.setattr(engine.journal.writer, "connect_writer", connect)
    (db.parent / "reserve").write_bytes(b"space")
    troubles: list[JournalError] = []
    pen = writer(db, troubles=troubles)
    # Enough for the dictionary, and more that is stored by it, in one transaction.
    contents = [f"{number} {random.Random(number % 3).randbytes(5000).hex()}" for number in range(6)]
    pen.append([to_row(event(1, ev.RunResumed()))], [content.encode() for content in contents])
    await pen.durable()
    await pen.close()
    assert "no space" in str(troubles[0])
    with JournalReader(db) as reader:
        assert [reader.text(sha256_of(content)) for content in contents] == contents


@pytest.mark.needs("unshare", "mount")
async def test_full_disk_is_reported_and_queue_is_written(tmp_path: Path) -> None:
    """A real file system of 8 MB, mounted in a user namespace of the child."""
    script = textwrap.dedent(
        """
        import asyncio, sys, os
        from pathlib import Path
        from engine.journal import events as ev
        from engine.journal.database import create_journal, to_row
        from engine.journal.reader import JournalReader
        from engine.journal.writer import JournalWriter
        from engine.errors import JournalError

        async def main():
            folder = Path(sys.argv[1])
            create_journal(folder / "run.db").close()
            troubles = []
            pen = JournalWriter(folder / "run.db", asyncio.get_running_loop(), lambda c: None, troubles.append)
            (folder / "ballast").write_bytes(b"x" * (3 << 20))
            seq = 0
            while not troubles and seq < 200:
                seq += 1
                pen.append([to_row(ev.Event(seq, seq, None, None, ev.NodeCommented(text="c")))], [os.urandom(100_000)])
                await pen.durable()
                await asyncio.sleep(0)
            pen.append([to_row(ev.Event(seq + 1, 1, None, None, ev.RunFailed("no space")))])
            await pen.durable()
            await pen.close()
            with JournalReader(folder / "run.db") as reader:
                kinds = [e.data.KIND for e in reader.events()]
            assert len(kinds) == seq + 1 and kinds[-1] == "run.failed", (len(kinds), seq)
            print("told:", troubles[0])

        asyncio.run(main())
        """
    )
    (tmp_path.parent / "full.py").write_text(script)
    mount = f"mount -t tmpfs -o size=8m tmpfs '{tmp_path}' && exec \"$@\""
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mount,
            "sh",
            sys.executable,
            str(tmp_path.parent / "full.py"),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert "told: no space left" in done.stdout


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_file_that_is_no_journal_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(content)
    for open_it in (JournalReader, connect_writer):
        with pytest.raises(JournalError, match=r"no journal of a run|of another program"):
            open_it(path)


def test_reading_run_keeps_locks_of_its_engine(db: Path) -> None:
    """A log that is in use must outlive whoever else opens and closes the file."""
    engine = connect_writer(db)
    JournalReader(db).close()
    insert_event(engine, event(1, ev.RunResumed()))
    code = (
        "import sys; from pathlib import Path; from engine.journal.database import send_command\n"
        "send_command(Path(sys.argv[1]), 'pause')"
    )
    subprocess.run([sys.executable, "-c", code, str(db)], check=True, cwd=Path(__file__).parents[2])
    assert Path(f"{db}-wal").exists()
    insert_event(engine, event(2, ev.RunResumed()))
    with JournalReader(db) as reader:
        assert reader.last_seq() == 2
    engine.close()


def test_locked_journal_is_busy_not_damaged(db: Path) -> None:
    with JournalReader(db) as reader, closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalBusy, match="cannot be read"):
            reader.last_seq()
        other.execute("ROLLBACK")


def test_foreign_and_newer_files_have_different_errors(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE events (seq)")
    connection.commit()
    with pytest.raises(JournalError, match="of another program"):
        JournalReader(foreign)
    connection.execute("PRAGMA application_id = 0x45564F4C")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer version"):
        JournalReader(foreign)
    with pytest.raises(JournalError, match="does not exist"):
        JournalReader(tmp_path / "none.db")


def test_unknown_kinds_are_skipped_and_damaged_rows_are_named(db: Path) -> None:
    connection = connect_writer(db)
    insert_event(connection, event(1, ev.RunResumed()))
    connection.execute("INSERT INTO events VALUES (2, 2, 'from.the.future', 3, 4, '{\"a\": 1}')")
    insert_event(connection, event(3, ev.RunPaused()))
    with JournalReader(db) as reader:
        assert [e.seq for e in reader.events()] == [1, 3]
        assert len(list(reader.rows())) == 3
    connection.execute("INSERT INTO events VALUES (4, 2, 'best.crowned', 3, 4, '{\"score\": \"high\"}')")
    connection.close()
    with JournalReader(db) as reader, pytest.raises(JournalError, match=r"event 4: best\.crowned: "):
        list(reader.events())


def test_altered_blob_is_detected(db: Path) -> None:
    connection = connect_writer(db)
    insert_blob(connection, b"honest")
    connection.execute("UPDATE blobs SET bytes = ?", (b"forged",))
    connection.close()
    with JournalReader(db) as reader:
        with pytest.raises(JournalError, match="does not match its name"):
            reader.blob(sha256_of("honest"))
        with pytest.raises(JournalError, match="has no blob"):
            reader.blob(sha256_of("other"))


@pytest.mark.needs("unshare", "mount")
def test_crashed_run_in_read_only_folder_is_read_in_full(tmp_path: Path, db: Path) -> None:
    """What is committed but not yet checkpointed stands in the -wal file; `immutable` alone would hide it."""
    connection = connect_writer(db)
    insert_event(connection, event(1, ev.RunResumed()))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):
        (crashed / f"run.db{suffix}").write_bytes(Path(f"{db}{suffix}").read_bytes())
    connection.close()
    script = (
        "import sys; from pathlib import Path; from engine.journal.reader import JournalReader\n"
        "r = JournalReader(Path(sys.argv[1])); print([e.seq for e in r.events()]); r.close()"
    )
    # Root writes through permissions, so a read-only bind mount makes the folder what it is to others.
    mount = f"mount --bind -o ro '{crashed}' '{crashed}' && mount -o remount,bind,ro '{crashed}' && exec \"$@\""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", script,
         str(crashed / "run.db")],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1]"
    assert sorted(path.name for path in crashed.iterdir()) == ["run.db", "run.db-wal"]


def test_newest_event_of_node_is_read_alone(db: Path) -> None:
    connection = connect_writer(db)
    for seq, node in enumerate((0, 1, 0, 2), start=1):
        insert_event(connection, event(seq, ev.EvalDone("ok", float(seq)), 0, node))
    insert_event(connection, event(5, ev.AnalyzeDone("lesson"), 0, 0))
    connection.close()
    with JournalReader(db) as reader:
        newest = reader.newest_of(0, ev.EvalDone)
        assert newest is not None and newest.score == 3.0
        assert reader.newest_of(1, ev.AnalyzeDone) is None and reader.newest_of(9, ev.EvalDone) is None


@pytest.mark.parametrize("length", [10, 1000])
def test_live_rows_stay_within_bounds(tmp_path: Path, length: int) -> None:
    connection = create_journal(tmp_path / "run.db")
    connection.execute("BEGIN")
    for number in range(LIVE_KEPT // 3 + LIVE_TRIMMED):
        add_live(connection, [(number, "stream", 1, "x" * length)] * 3)
    rows, size, newest = connection.execute("SELECT count(*), sum(length(data)), max(at) FROM live").fetchone()
    connection.close()
    assert newest == number
    assert rows < LIVE_KEPT + LIVE_TRIMMED + 3 and size < LIVE_BYTES + (LIVE_TRIMMED + 3) * length
    assert rows >= LIVE_KEPT or size >= LIVE_BYTES - length, "no more is dropped than has to be"
