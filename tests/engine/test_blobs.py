"""Blobs: each is read back as it was, at a fraction of its size, in journals of both formats."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.journal.blobs import WITH_DICTIONARY, insert_blob
from engine.journal.database import connect_writer, create_journal, insert_event, sha256_of
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.fork import fork_run
from tests.engine.test_fork import script_with_programs

OLD = """
BEGIN;
DROP TABLE blobs;
CREATE TABLE blobs (sha256 BLOB PRIMARY KEY, codec TEXT NOT NULL, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""


def make(folder: Path, contents: Iterable[bytes], old: bool = False) -> Path:
    """Write a journal that holds these blobs."""
    path = folder / "run.db"
    create_journal(path).close()
    connection = connect_writer(path)
    if old:
        connection.executescript(OLD)
    for content in contents:
        insert_blob(connection, content)
    connection.close()
    return path


def prompts(count: int) -> list[bytes]:
    """Return texts of 4 KB that share most of their words and differ in some."""
    rng = random.Random(1)
    shared = " ".join(f"{rng.random():.6f}" for _ in range(440))
    return [f"{shared} {' '.join(f'{rng.random():.6f}' for _ in range(20))}".encode() for _ in range(count)]


def codecs(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT codec FROM blobs ORDER BY rowid")]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=300) | st.sampled_from(prompts(9)) | st.sampled_from([b"x" * 20_000, b""])))
def test_every_content_is_read_back(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder, JournalReader(make(Path(folder), contents)) as reader:
        assert [reader.blob(sha256_of(content)) for content in contents] == contents


def test_prompts_that_share_their_words_take_a_fraction_of_their_size(tmp_path: Path) -> None:
    contents = prompts(60)
    path = make(tmp_path, contents)
    assert codecs(path).count(WITH_DICTIONARY) > 50
    assert path.stat().st_size < 0.4 * sum(map(len, contents))
    with JournalReader(path) as reader:
        assert [reader.blob(sha256_of(content)) for content in contents] == contents


def test_journal_of_first_format_stays_what_it_is(tmp_path: Path) -> None:
    contents = prompts(20)
    path = make(tmp_path, contents, old=True)
    with closing(sqlite3.connect(path)) as connection:
        assert {row[0] for row in connection.execute("SELECT codec FROM blobs")} == {"zlib"}
        assert connection.execute("SELECT count(*) FROM meta").fetchone() == (0,)
    with JournalReader(path) as reader:
        assert [reader.blob(sha256_of(content)) for content in contents] == contents


@pytest.mark.parametrize("old", [False, True])
def test_fork_takes_along_what_its_blobs_need(tmp_path: Path, old: bool) -> None:
    script, blobs = script_with_programs()
    (tmp_path / "source").mkdir()
    path = make(tmp_path / "source", [*prompts(20), *(b * 40 for b in blobs), *blobs], old)
    connection = connect_writer(path)
    for event in script.events:
        insert_event(connection, event)
    connection.close()
    made = fork_run(Run(tmp_path / "source"), tmp_path / "runs").run
    connection = connect_writer(made.db)
    for content in prompts(30):
        insert_blob(connection, content)
    connection.close()
    assert WITH_DICTIONARY in codecs(made.db)
    with JournalReader(made.db) as reader:
        for content in [*blobs, *prompts(30)]:
            assert reader.blob(sha256_of(content)) == content


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE meta SET value = ''",
        "UPDATE meta SET value = 'no name'",
        "DELETE FROM meta",
        "DELETE FROM blobs WHERE codec = 'zlib'",
        "UPDATE blobs SET codec = 'zlib+dictionary'",
        "UPDATE blobs SET bytes = x'00' WHERE codec = 'zlib'",
    ],
)
def test_damaged_dictionary_is_an_error_in_words(tmp_path: Path, damage: str) -> None:
    contents = prompts(20)
    path = make(tmp_path, contents)
    connection = connect_writer(path)
    connection.execute(damage)
    insert_blob(connection, b"one more " * 100)
    connection.close()
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match=r"blob|is not the name"):
            reader.blob(sha256_of(contents[-1]))
        assert reader.blob(sha256_of(b"one more " * 100)) == b"one more " * 100
