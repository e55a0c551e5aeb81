"""Files from elsewhere that are damaged or hostile end a command with one sentence, and run nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from engine.task.scaffold import write_task
from engine.workspace import workspace
from tests.conftest import Evolve

_SAMPLE = Path(__file__).parents[2] / "sample_runs" / "circle_packing_fork"


def says(evolve: Evolve, *words: str | Path) -> str:
    """Run a command that must end with a sentence, and return what it says."""
    done = evolve(*map(str, words))
    assert done.code not in (0, -6, -9, -11)
    assert "Traceback" not in done.out + done.err
    return str(done.err)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("min_gain = " + "9" * 5000, "a number or date that cannot be read"),
        ("x = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("min_gain = 99999999999999999999", "must be a number below 2^63"),
        ("min_gain = nan", "must be a finite number"),
    ],
    ids=["digits", "depth", "large", "nan"],
)
def test_task_toml_beyond_reading_is_refused(evolve: Evolve, tmp_path: Path, line: str, words: str) -> None:
    task = write_task(tmp_path / "task")
    toml = task / "task.toml"
    toml.write_text(line + "\n" + toml.read_text())
    assert words in says(evolve, "check", task)


def test_program_nested_beyond_parsing_is_refused(evolve: Evolve, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    prior = task / "priors" / "deep.md"
    prior.write_text("# Deep\n\nText.\n\n```python recipe\nPI = " + "-" * 20_000 + "1\n```\n")
    done = evolve("check", task, "--trust")
    assert done.code == 2
    assert "the recipe is nested too deeply" in done.out
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize("place", ["9223372036854775807", "9223372036854775808", "9" * 30])
def test_place_beyond_the_journal_is_refused(evolve: Evolve, tmp_path: Path, place: str) -> None:
    shutil.copytree(_SAMPLE, tmp_path / "runs" / "r")
    at = ("--runs", str(tmp_path / "runs"))
    assert f"has no event {place}" in says(evolve, "fork", "r", *at, f"--at={place}")
    assert f"has no node {place}" in says(evolve, "show", "r", place, *at)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("CREATE VIEW v AS SELECT 1", "it holds a view"),
        ("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM blobs; END", "it holds a trigger"),
        ("ALTER TABLE events ADD COLUMN more INTEGER", "other columns"),
        ("DROP TABLE meta", "it has no table 'meta'"),
        (
            "ALTER TABLE events RENAME TO e; CREATE VIEW events AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL "
            "SELECT n + 1 FROM r) SELECT n AS seq, 0 AS at, 'x' AS kind, 0 AS round, 0 AS node, '{}' AS data FROM r",
            "it holds a view",
        ),
        ("UPDATE events SET at = 9223372036854775807 WHERE seq = 2", "is damaged at event 2: its time"),
        ("UPDATE events SET node = -1 WHERE seq = 2", "is damaged at event 2: its node"),
        (f"UPDATE events SET data = '{'[' * 3000}{']' * 3000}' WHERE seq = 1", "nested too deeply"),
        (f"UPDATE events SET data = '{{{'[' * 3000}{']' * 3000}' WHERE seq = 2", "is damaged at event 2"),
    ],
    ids=["view", "trigger", "column", "table", "endless", "time", "node", "depth", "typed"],
)
def test_run_db_with_foreign_contents_is_refused(evolve: Evolve, tmp_path: Path, script: str, words: str) -> None:
    for name in ("bad", "good"):
        shutil.copytree(_SAMPLE, tmp_path / "runs" / name)
    with closing(sqlite3.connect(tmp_path / "runs" / "bad" / "run.db")) as connection:
        connection.executescript(script)
    at = ("--runs", str(tmp_path / "runs"))
    assert words in says(evolve, "events", "bad", *at)
    assert words in says(evolve, "fork", "bad", *at)
    listed = evolve("runs", *at, "--json")
    assert "good" in [run["name"] for run in listed.json]


def test_blob_that_inflates_without_end_is_refused(evolve: Evolve, tmp_path: Path) -> None:
    shutil.copytree(_SAMPLE, tmp_path / "runs" / "bad")
    packed = zlib.compress(bytes(300 << 20), 9)
    with closing(sqlite3.connect(tmp_path / "runs" / "bad" / "run.db")) as connection, connection:
        connection.execute("UPDATE blobs SET codec = 'zlib', bytes = ?", (packed,))
    assert "larger than 128 MiB" in says(evolve, "show", "bad", "1", "--runs", tmp_path / "runs")


def test_pipes_in_a_run_folder_hold_up_nobody(evolve: Evolve, tmp_path: Path) -> None:
    shutil.copytree(_SAMPLE, tmp_path / "runs" / "good")
    shutil.copytree(_SAMPLE, tmp_path / "runs" / "bad")
    for name in ("lock", "run.db-wal"):
        (tmp_path / "runs" / "bad" / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / "runs" / "bad" / name)
    listed = evolve("runs", "--runs", str(tmp_path / "runs"), "--json")
    assert "good" in [run["name"] for run in listed.json]


def test_mounts_and_an_endpoint_of_the_task_need_a_person(evolve: Evolve, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    (tmp_path / "papers").mkdir()
    toml = task / "task.toml"
    more = '\n[run.models.helper]\nmodel = "any"\nbase_url = "http://127.0.0.1:9/v1"\nkey_env = ""\n'
    toml.write_text('mounts = ["../papers"]\n' + toml.read_text() + more)
    run = (
        "run",
        task,
        "--headless",
        "--rounds",
        "0",
        "--designer",
        "recombine",
        "--trust",
        "--runs",
        tmp_path / "runs",
    )
    assert "an endpoint of its own, http://127.0.0.1:9/v1" in says(evolve, *run)
    checked = evolve("check", task, "--trust")
    assert (checked.code, "an endpoint of its own" in checked.out, "seed.py" in checked.out) == (2, True, False)
    config = workspace() / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f'[mounts]\npaths = ["{tmp_path / "papers"}"]\n')
    assert "endpoint of its own" not in evolve(*map(str, run)).err


def test_relative_runs_folder_works_detached(evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_task(tmp_path / "task")
    monkeypatch.chdir(tmp_path)
    evolve(
        "run",
        "task",
        "--detach",
        "--trust",
        "--rounds",
        "0",
        "--runs",
        "mine",
        "--name",
        "r",
        "--designer",
        "recombine",
    )
    assert (tmp_path / "mine" / "r" / "run.db").is_file()
