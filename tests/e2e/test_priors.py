"""Priors during a live run: edited anywhere and recorded in the journal; and every verb of `evolve priors`."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import cli
from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event, send_command, sha256_of
from engine.journal.reader import JournalReader
from engine.priors.usage import fold_use
from engine.runs.folder import Run
from tests.conftest import Evolve, Result, TaskMaker
from tests.e2e.runs import events, finish, fold, make_run, slow_evaluate, start_engine, wait_for

SLOW = slow_evaluate(0.1)
RECIPES = {
    "a.md": "# Faster\n\n```python recipe\ndef left():\n    return X + Z\n```\n",
    "b.md": "# Other score\n",
}
WORDS_ONLY = {"embedder": "off"}

Cli = Callable[..., Result]


@pytest.fixture
def priors(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run `evolve priors …` in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["evolve", "priors", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Result(int(ended.value.code or 0), out, err)

    return call


def learned(run: Run) -> list[tuple[int, dict[str, int]]]:
    """List seq and shown revisions of every learn stage."""
    return [
        (event.seq, {prior.id: prior.number for prior in event.data.priors})
        for event in events(run, ev.LearnDone)
        if isinstance(event.data, ev.LearnDone)
    ]


def changes(run: Run) -> list[tuple[int, str, str, int, str]]:
    """List seq, id, change, revision and author of every change in the journal."""
    return [
        (event.seq, event.data.id, event.data.change, event.data.number, event.data.author)
        for event in events(run, ev.PriorChanged)
        if isinstance(event.data, ev.PriorChanged)
    ]


def test_prior_edits_reach_next_round_and_journal(make_task: TaskMaker, priors: Cli, tmp_path: Path) -> None:
    task = make_task(evaluate=SLOW, priors={"hint.md": "# Old words\n", "other.md": "# Other\n"})
    run = make_run(task, tmp_path / "runs", rounds=10_000, workers=1, retrieval=WORDS_ONLY)
    engine = start_engine(run)
    wait_for(lambda: learned(run), "a learn stage")
    (task / "priors" / "hint.md").write_text("# New words\n")
    wait_for(lambda: learned(run)[-1][1].get("hint") == 2, "the file's text")
    assert priors("edit", "hint", "--weight", 3, "--task", task).code == 0
    wait_for(lambda: learned(run)[-1][1].get("hint") == 3, "the text of the command line")
    assert (task / "priors" / "hint.md").read_text() == "---\nweight: 3\n---\n# New words\n"
    priors("edit", "hint", "--disable", "--task", task)
    wait_for(lambda: changes(run)[-1][2] == "disabled", "the switch")
    off = changes(run)[-1][0]
    count = len(learned(run))
    wait_for(lambda: len(learned(run)) > count + 2, "further rounds")
    assert not any("hint" in shown for seq, shown in learned(run) if seq > off)
    (task / "priors" / "broken.md").write_text("---\ncolour: red\n---\n")
    wait_for(lambda: fold(run).prior_problems, "the warning")
    assert "broken.md" in fold(run).prior_problems[0] and "colour" in fold(run).prior_problems[0]
    (task / "priors" / "broken.md").unlink()
    priors("edit", "hint", "--enable", "--task", task)
    wait_for(lambda: learned(run)[-1][1].get("hint") == 5, "the switch back")
    wait_for(lambda: not fold(run).prior_problems, "all being well again")
    (task / "priors" / "other.md").unlink()
    wait_for(lambda: changes(run)[-1][1:3] == ("other", "disabled"), "the vanished file")
    engine.send_signal(signal.SIGTERM)
    engine.wait(90)
    assert [change[1:] for change in changes(run)] == [
        ("hint", "edited", 2, "file"),
        ("hint", "edited", 3, "human"),
        ("hint", "disabled", 4, "human"),
        ("hint", "enabled", 5, "human"),
        ("other", "disabled", 1, "file"),
    ]
    told = priors("history", "hint", "--json", "--task", task).json
    with JournalReader(run.db) as reader:
        for event in events(run, ev.LearnDone):
            assert isinstance(event.data, ev.LearnDone)
            for shown in event.data.priors:
                if shown.id == "hint":
                    assert told[shown.number - 1]["sha256"] == shown.revision
                    assert reader.text(shown.revision) == told[shown.number - 1]["text"]
    # What came of it, over the workspace's runs, is what the journal tells.
    (run.folder.parent).rename(tmp_path / "workspace" / "runs")
    listed = {entry["id"]: entry for entry in priors("list", "--json", "--sort", "uses", "--task", task).json}
    assert listed["hint"]["shown"] == sum(
        "hint" in shown for _, shown in learned(Run(tmp_path / "workspace/runs" / run.name))
    )
    assert listed["hint"]["last_revision"] == 5


@pytest.mark.parametrize("what", ["damaged", "locked"])
def test_unusable_base_is_reported_and_files_are_read(
    make_task: TaskMaker, priors: Cli, tmp_path: Path, workspace: Path, what: str
) -> None:
    task = make_task(priors=RECIPES)
    workspace.mkdir(exist_ok=True)
    base = workspace / "cognition.db"
    holder = None
    if what == "damaged":
        base.write_bytes(b"no database " * 1000)
    else:
        priors("list", "--task", task)
        holder = sqlite3.connect(base, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    run = make_run(task, tmp_path / "runs", rounds=3, workers=1, retrieval=WORDS_ONLY)
    state = finish(run)
    assert state.status == "finished"
    (told,) = [event.data.problems for event in events(run, ev.PriorWarned)]  # type: ignore[attr-defined]
    assert what in told[0] and "from their files" in told[0]
    assert [shown for _, shown in learned(run)] == [{"a": 0, "b": 0}] * 3
    if holder is not None:
        holder.close()
        return
    refused = priors("list", "--task", task)
    assert refused.code == 1 and "damaged" in refused.err and "Move it away" in refused.err


def propose(run: Run, name: str, title: str, body: str) -> None:
    """Write an analyzer's proposal into the journal."""
    connection = connect_writer(run.db)
    connection.execute("BEGIN")
    insert_blob(connection, body.encode())
    (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    proposed = ev.PriorProposed(name, title, sha256_of(body), [0])
    insert_event(connection, ev.Event(last + 1, now_ms(), 1, 0, proposed))
    connection.execute("COMMIT")
    connection.close()


def test_proposal_waits_is_reviewed_and_is_shown(
    make_task: TaskMaker, priors: Cli, evolve: Evolve, tmp_path: Path
) -> None:
    task = make_task(priors=RECIPES)
    where = ("--runs", tmp_path / "runs")
    run = make_run(task, tmp_path / "runs", rounds=1, workers=1, retrieval={**WORDS_ONLY, "top_k": 9, "drawn": 9})
    finish(run)
    propose(run, "node-0-1", "Mind the score", "Larger X helped.\n")
    propose(run, "node-0-2", "Odd", "\x1b[2J")
    propose(run, "node-0-3", "Nonsense", "Nothing.\n")
    assert evolve("resume", run.name, "--rounds", 2, "--headless", *where).code == 0
    listed = {entry["id"]: entry for entry in priors("list", "--json", "--task", task).json}
    assert listed["mind-the-score"]["status"] == "pending" and not listed["mind-the-score"]["enabled"]
    assert listed["mind-the-score"]["evidence"] == {"run": run.name, "nodes": [0], "id": "node-0-1"}
    assert "from #0" in priors("show", "mind", "--task", task).out
    assert "mind-the-score" not in learned(run)[-1][1]
    assert [e.data.id for e in events(run, ev.PriorRejected)] == ["node-0-2"], "it can be no prior"  # type: ignore[attr-defined]
    (tmp_path / "better.md").write_text("# Mind the score\n\nLarger X helped twice.\n")
    assert priors("accept", "mind", "--file", tmp_path / "better.md", "--task", task).code == 0
    assert (task / "priors" / "mind-the-score.md").read_text().endswith("helped twice.\n")
    assert priors("reject", "nonsense", "not so", "--task", task).code == 0
    assert not (task / "priors" / "nonsense.md").exists()
    assert evolve("resume", run.name, "--rounds", 3, "--headless", *where).code == 0
    assert learned(run)[-1][1]["mind-the-score"] == 2
    assert [e.data.id for e in events(run, ev.PriorAccepted)] == ["node-0-1"]  # type: ignore[attr-defined]
    assert [e.data.reason for e in events(run, ev.PriorRejected)][1:] == ["not so"]  # type: ignore[attr-defined]
    propose(run, "node-0-4", "Taken at once", "Smaller Y.\n")
    more = ("--rounds", 4, "--headless", *where)
    evolve("set", run.name, "retrieval.proposals=auto", *where)
    assert evolve("resume", run.name, *more).code == 0
    assert learned(run)[-1][1]["taken-at-once"] == 1


def test_fork_with_own_priors_has_own_base(make_task: TaskMaker, priors: Cli, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(priors=RECIPES)
    run = make_run(task, tmp_path / "runs", rounds=2, workers=1, retrieval=WORDS_ONLY)
    finish(run)
    where = ("--runs", tmp_path / "runs")
    evolve("fork", run.name, "--priors-at-seq", "--name", "own", "--set", "rounds=3", *where)
    own = Run(tmp_path / "runs" / "own")
    assert priors("edit", "b", "--weight", 5, "--task", own.folder).code == 0
    assert "weight: 5" in (own.folder / "priors" / "b.md").read_text()
    assert "weight" not in (task / "priors" / "b.md").read_text()
    finish(own)
    assert learned(own)[-1][1] == {"a": 1, "b": 2}


def test_verbs_of_priors_command(
    make_task: TaskMaker, priors: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = priors("list")
    assert refused.code == 2 and "--task TASK" in refused.err
    task = make_task(priors={"shift.md": "# Shift rows\n\nMove every second row.\n", "solve.md": "# Use a solver\n"})
    at = ("--task", task)
    assert [line.split()[0] for line in priors("list", *at).out.splitlines()] == ["id", "shift", "solve"]
    (tmp_path / "new.md").write_text("---\ntags: x\n---\n# A hop\n\nJump away and solve again.\n")
    assert priors("add", tmp_path / "new.md").out == "new\n", "the task used last is meant"
    assert (task / "priors" / "new.md").exists()
    assert priors("add", tmp_path / "new.md", *at).code == 1
    hits = priors("search", "jump and solve", "--json", *at).json
    assert set(hits[0]) == {"id", "revision", "title", "score", "why"} and hits[0]["id"] == "new"
    assert "jump" in priors("search", "jump", *at).out
    priors("edit", "new", "--disable", *at)
    assert "new" not in [hit["id"] for hit in priors("search", "jump", "--json", *at).json]
    editor = tmp_path / "editor"
    editor.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[1], 'a').write('More.\\n')\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", str(editor))
    assert priors("edit", "shi", "--json", *at).json["revision"] == 2, "the beginning of an id is enough"
    assert "+More." in priors("diff", "shift", *at).out
    assert len(priors("history", "shift", *at).out.splitlines()) == 3
    assert priors("revert", "shift", 1, "--json", *at).json["revision"] == 3
    assert "More" not in (task / "priors" / "shift.md").read_text()
    assert "More" in priors("show", "shift", "--revision", 2, *at).out
    editor.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[1], 'w').write('---\\nweight: x\\n---\\n')\n")
    refused = priors("edit", "shift", *at)
    assert refused.code == 2 and "weight" in refused.err and "kept in" in refused.err
    monkeypatch.delenv("EDITOR")
    monkeypatch.delenv("VISUAL", raising=False)
    assert "$EDITOR is not set" in priors("edit", "shift", *at).err
    assert priors("remove", "shift", "--json", *at).json["status"] == "removed"
    assert not (task / "priors" / "shift.md").exists()
    assert [entry["id"] for entry in priors("list", "--json", *at).json] == ["new", "solve"]
    assert len(priors("list", "--all", "--json", *at).json) == 3
    priors("restore", "shift", *at)
    assert (task / "priors" / "shift.md").exists()
    for target in ("all.jsonl", "all.json", "folder"):
        assert priors("export", tmp_path / target, *at).code == 0
    (tmp_path / "all.json").write_text("mine")
    refused = priors("export", tmp_path / "all.json", *at)
    assert refused.code == 2 and "all.json is there already\n  --force replaces it" in refused.err
    assert (tmp_path / "all.json").read_text() == "mine"
    assert priors("export", tmp_path / "all.json", "--force", "--json", *at).json["priors"] == 2
    assert priors("import", tmp_path / "all.json", *at).out == "0 added, 0 edited, 2 already there, 0 refused\n"
    other = make_task(name="other")
    assert priors("import", tmp_path / "all.jsonl", "--task", other).out.startswith("3 added, 0 edited")
    assert priors("import", tmp_path / "folder", "--task", other).out.startswith("0 added, 0 edited, 3 already there")
    assert json.loads((tmp_path / "all.json").read_text())["items"].keys() == {"shift", "solve"}
    assert len(priors("history", "shift", "--json", "--task", other).json) == 3
    assert "others: point-" in priors("list").err
    for wrong in (("show", "nothing"), ("revert", "shift", 9), ("accept", "shift")):
        assert priors(*wrong, *at).code == 1
    usage = (("edit", "s", "--enable"), ("edit", "shift", "--enable", "--disable"), ("add", tmp_path / "none.md"))
    for wrong in (*usage, ("export", tmp_path / "folder")):
        assert priors(*wrong, *at).code == 2


def test_head_that_is_read_as_text_is_told(make_task: TaskMaker, priors: Cli, tmp_path: Path) -> None:
    at = ("--task", make_task())
    (tmp_path / "broken.md").write_text("---\ntags: never closed\n# Broken\n")
    broken = priors("add", tmp_path / "broken.md", *at)
    assert broken.out == "broken\n" and "warning: broken: line 2 is read as text: 'tags: never closed'" in broken.err
    assert "line 5" in priors("edit", "broken", "--weight", 2, "--file", tmp_path / "broken.md", *at).err
    (tmp_path / "whole.md").write_text("---\ntags: closed\n---\n# Whole\n")
    assert priors("add", tmp_path / "whole.md", *at).err == ""


def test_conflicting_edits_are_reported_by_every_verb(make_task: TaskMaker, priors: Cli, workspace: Path) -> None:
    task = make_task(priors={"a.md": "# A\n"})
    at = ("--task", task)
    priors("list", *at)
    base = sqlite3.connect(workspace / "cognition.db", isolation_level=None)
    # An edit of the base that no pass has written to the file yet, as a killed process leaves it.
    base.execute(
        "INSERT INTO revisions SELECT collection, key, 2, '# Base' || char(10), ?, at, 'human', '' FROM revisions",
        (sha256_of("# Base\n"),),
    )
    base.execute("UPDATE priors SET revision = 2")
    base.execute("UPDATE collections SET generation = generation + 1")
    base.close()
    (task / "priors" / "a.md").write_text("# File\n")
    assert "the file's is kept here" in priors("list", *at).out
    assert (task / "priors" / "a.md").read_text() == "# Base\n"
    assert (task / "priors" / "a.conflict-1.md").read_text() == "# File\n"
    assert priors("edit", "a", "--file", task / "priors" / "a.conflict-1.md", *at).code == 0
    (task / "priors" / "a.conflict-1.md").unlink()
    told = priors("history", "a", *at)
    assert told.err == "" and len(told.out.splitlines()) == 4


def test_run_starts_with_outcomes_of_priors_in_earlier_runs(make_task: TaskMaker, tmp_path: Path) -> None:
    recipe = "def left():\n    return X * Z + 1.0\n"
    task = make_task(priors={"further.md": f"# Further\n\n```python recipe\n{recipe}```\n"})
    settings = {"rounds": 8, "workers": 1, "designer": {"earlier_runs": True}}
    first = make_run(task, tmp_path / "runs", **settings)
    assert finish(first).priors_recalled
    (none,) = events(first, ev.PriorsRecalled)
    assert none.data == ev.PriorsRecalled({}), "there is no earlier run"
    second = make_run(task, tmp_path / "runs", **settings)
    finish(second)
    (told,) = events(second, ev.PriorsRecalled)
    with JournalReader(first.db) as reader:
        use = fold_use(reader).priors["further"]
    assert told.data == ev.PriorsRecalled({"further": (use.gains, use.given - use.gains)})
    assert use.given
    # What it began with is kept: nothing is recalled anew.
    send_command(second.db, "set", {"settings": {"rounds": 9}})
    finish(second)
    assert len(events(second, ev.PriorsRecalled)) == 1
    plain = make_run(task, tmp_path / "runs", rounds=1)
    finish(plain)
    assert events(plain, ev.PriorsRecalled) == []
