"""Forked and moved runs continue as their source would have, with or without the files around them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from tests.conftest import EVALUATE, Evolve, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    start_engine,
    wait_for,
    wait_for_event,
)
from tests.e2e.test_commands import SLOW, outcome

RECIPES = {
    "a.md": "# Faster\n\nscore\n\n```python recipe\ndef left():\n    return X + Z\n```\n",
    "b.md": "# Other\n\n```python recipe\ndef right():\n    return Y\n```\n",
}


def seq_of(run: Run, kind: type[ev.Data], round_: int) -> int:
    return next(e.seq for e in events(run, kind) if e.round == round_)


def test_continued_fork_equals_its_source(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(priors=RECIPES), tmp_path / "runs", rounds=8, workers=1, seed=5)
    finish(run)
    # The round of an improvement, so that an end of an evaluation is parted from its crowning.
    round_ = next((step.round for step in fold(run).best_steps if step.round > 2), 4)
    for kind in (ev.LearnDone, ev.DesignDone, ev.EvalStarted, ev.EvalStageDone, ev.EvalDone):
        made = evolve("fork", run.name, "--at", seq_of(run, kind, round_), "--runs", tmp_path / "runs")
        assert made.code == 0, made.err
        fork = Run(Path(made.out.strip()))
        done = evolve("resume", fork.folder, "--headless", "--json")
        assert (done.code, done.json["status"]) == (0, "finished"), (kind, done.err)
        assert outcome(fork) == outcome(run), kind
        assert [(s.round, s.node, s.score) for s in fold(fork).best_steps] == [
            (s.round, s.node, s.score) for s in fold(run).best_steps
        ], kind
        check_complete(fork, 8)
        check_integrity(fork)


def test_fork_with_other_seed_diverges_and_with_raised_limit_continues(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    where = ("--runs", tmp_path / "runs")
    run = make_run(make_task(), tmp_path / "runs", rounds=6, workers=1, seed=5)
    finish(run)
    at = seq_of(run, ev.RoundEnded, 2)
    other = evolve("fork", run.name, "--at", at, "--seed", 6, "--name", "other", "--json", *where)
    assert other.json == {"run": str(tmp_path / "runs" / "other"), "parent": str(run.folder), "at_seq": at}
    assert evolve("resume", "other", "--headless", *where).code == 0
    assert outcome(Run(tmp_path / "runs" / "other")) != outcome(run)
    changed = ("--set", "rounds=9", "--set", "sampler=greedy")
    assert evolve("fork", run.name, *changed, "--name", "longer", *where).code == 0
    assert fold(Run(tmp_path / "runs" / "longer")).settings.sampler.name == "greedy"
    done = evolve("resume", "longer", "--headless", "--json", *where)
    assert (done.code, done.json["rounds"]) == (0, 9)
    check_complete(Run(tmp_path / "runs" / "longer"), 9)
    check_complete(run, 6)
    refused = evolve("fork", run.name, "--at", 10_000, *where)
    assert (refused.code, "has no event 10000" in refused.err) == (2, True)
    assert evolve("fork", run.name, "--name", "other", *where).err.startswith("error: there is a run 'other' already")


def test_fork_does_not_disturb_live_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10_000, workers=2)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalStarted) and e.round, "an evaluation")
    forks = []
    for number in range(3):
        made = evolve("fork", run.name, "--set", "rounds=4", "--name", f"fork{number}", "--runs", tmp_path / "runs")
        assert made.code == 0, made.err
        forks.append(Run(Path(made.out.strip())))
    assert engine.poll() is None
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    check_integrity(run)
    for fork in forks:
        assert evolve("resume", fork.folder, "--headless").code == 0
        check_integrity(fork)
        assert fold(fork).status == "finished"
        assert not fold(fork).open_rounds


def test_chain_of_forks_survives_deleted_source(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(priors=RECIPES, evaluate=EVALUATE, guarded=True)
    run = make_run(task, tmp_path / "runs", rounds=4, workers=2)
    finish(run)
    ends = [seq_of(run, ev.RoundEnded, round_) for round_ in (0, 2, 4)]
    for number, at in enumerate(ends):
        assert evolve("fork", run.folder, "--at", at, "--name", f"f{number}", "--runs", tmp_path / "a").code == 0
    shutil.move(tmp_path / "a" / "f1", tmp_path / "elsewhere")
    for gone in (run.folder, task):
        shutil.rmtree(gone)
    other_home = {"EVOLVE_HOME": str(tmp_path / "other home")}
    for folder, rounds in ((tmp_path / "a" / "f0", 3), (tmp_path / "elsewhere", 4), (tmp_path / "a" / "f2", 6)):
        done = evolve("resume", folder, "--headless", "--json", "--trust", "--rounds", rounds, **other_home)
        assert (done.code, done.json["rounds"]) == (0, rounds), done.err
        check_complete(Run(folder), rounds)
        shown = evolve("show", folder, "--json", **other_home)
        assert len(shown.json["nodelist"]) == done.json["nodes"]
        report = tmp_path / f"{folder.name}.html"
        assert evolve("export", folder, "-o", report, **other_home).code == 0
        assert "what people wrote down" in report.read_text()
    told = [e.data.missing for e in events(Run(tmp_path / "elsewhere"), ev.EngineStarted)]  # type: ignore[attr-defined]
    assert [len(missing) for missing in told] == [0, 1]
    assert "is gone, so that designs are shown none" in told[1][0]


def test_fork_reads_priors_of_its_event_from_own_folder(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(priors=RECIPES)
    run = make_run(task, tmp_path / "runs", rounds=4, workers=1, seed=5)
    finish(run)
    before = outcome(run)
    (task / "priors" / "a.md").write_text("# Nothing\n")
    (task / "priors" / "c.md").write_text("# New\n")
    at = str(seq_of(run, ev.RoundEnded, 2))
    where = ("--runs", tmp_path / "runs")
    assert evolve("fork", run.name, "--at", at, "--priors-at-seq", "--name", "then", *where).code == 0
    assert evolve("fork", run.name, "--at", at, "--name", "now", *where).code == 0
    # The folder beside the journal is a convenience: the journal alone is enough.
    shutil.rmtree(tmp_path / "runs" / "then" / "priors")
    for name in ("then", "now"):
        assert evolve("resume", name, "--headless", *where).code == 0
    assert outcome(Run(tmp_path / "runs" / "then")) == before
    # A round is shown some of the priors; together the two rounds since the fork were shown the edited one and the new.
    later = [e.data for e in events(Run(tmp_path / "runs" / "now"), ev.LearnDone) if e.round and e.round > 2]
    shown = {p.title for data in later if isinstance(data, ev.LearnDone) for p in data.priors}
    assert {"Nothing", "New"} <= shown <= {"Nothing", "Other", "New"}
    # What a person edits there is what the next rounds read.
    (tmp_path / "runs" / "then" / "priors" / "a.md").write_text("# Edited\n")
    assert evolve("resume", "then", "--rounds", 5, "--headless", *where).code == 0
    last = events(Run(tmp_path / "runs" / "then"), ev.LearnDone)[-1].data
    assert isinstance(last, ev.LearnDone)
    assert {p.title for p in last.priors} == {"Edited", "Other"}


def test_changed_task_is_reported_once_and_replaced_on_request(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    task = make_task(evaluate=SLOW)
    run = make_run(task, tmp_path / "runs", rounds=10_000, workers=1)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalDone) and e.round, "a measured node")
    (task / "evaluate.py").write_text(SLOW.replace("3.0", "4.0"))
    (task / "notes.txt").write_text("new")
    (task / os.fsdecode(b"caf\xe9")).touch()
    wait_for_event(run, lambda e: isinstance(e.data, ev.TaskChanged) and len(e.data.files) == 3, "the change")
    refused = evolve("resume", run.name, "--task", task, "--runs", tmp_path / "runs")
    assert (refused.code, "engine at work" in refused.err) == (1, True)
    engine.send_signal(signal.SIGTERM)
    engine.wait(90)
    told = events(run, ev.TaskChanged)[-1].data
    assert told == ev.TaskChanged({"evaluate.py": "edited", "notes.txt": "added", "caf\\xe9": "added"})
    count = len(events(run, ev.TaskChanged))
    before = [(node.score, node.status) for node in fold(run).nodes if node.status is not None]
    where = ("--runs", tmp_path / "runs")
    # The same difference is not news to the next engine.
    assert evolve("resume", run.name, "--rounds", fold(run).rounds_started + 1, "--headless", *where).code == 0
    assert len(events(run, ev.TaskChanged)) == count
    assert "4.0" not in (run.task / "evaluate.py").read_text()
    rounds = fold(run).rounds_done + 2
    broken = evolve("resume", run.name, "--task", task, *where)
    assert (broken.code, "'caf\\xe9', whose name is not valid UTF-8" in broken.err) == (2, True), broken.err
    (task / os.fsdecode(b"caf\xe9")).unlink()
    done = evolve("resume", run.name, "--task", task, "--rounds", rounds, "--headless", *where)
    assert done.code == 0, done.err
    assert "nodes keep the scores that the old copy gave them" in done.err
    state = fold(run)
    assert [(node.score, node.status) for node in state.nodes][: len(before)] == before
    assert "4.0" in (run.task / "evaluate.py").read_text()
    assert (run.task / "notes.txt").read_text() == "new"
    adopted = events(run, ev.TaskChanged)[-1].data
    assert isinstance(adopted, ev.TaskChanged)
    assert (adopted.adopted, set(adopted.files)) == (True, {"evaluate.py", "notes.txt"})
    last = state.nodes[-1]
    assert last.score == pytest.approx(-((last.metrics["x"] - 4.0) ** 2), abs=20)
    check_integrity(run)


def test_other_task_or_direction_is_refused(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task()
    run = make_run(task, tmp_path / "runs", rounds=1)
    finish(run)
    count = len(events(run))
    for name, old, new in (("named", 'name = "point"', 'name = "line"'), ("turned", "maximize", "minimize")):
        other = make_task(name=name)
        (other / "task.toml").write_text((task / "task.toml").read_text().replace(old, new))
        refused = evolve("resume", run.folder, "--task", other, "--headless")
        assert (refused.code, "evolve run" in refused.err) == (2, True), refused.err
    assert len(events(run)) == count


def test_large_files_are_read_in_place_and_reported_if_missing(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    reading = (
        "from pathlib import Path\n\n\ndef evaluate(path):\n"
        "    with Path(__file__).with_name('z.bin').open('rb') as file:\n        return {'score': file.read(3)[1]}\n"
    )
    task = make_task(evaluate=reading)
    with (task / "z.bin").open("wb") as file:
        file.write(b"abc")
        file.truncate(21 << 20)
    run = make_run(task, tmp_path / "runs", rounds=1)
    assert finish(run).nodes[0].score == ord("b")
    moved = task.rename(tmp_path / "moved")
    lost = evolve("resume", run.folder, "--rounds", 2, "--headless")
    assert lost.code == 1
    assert "z.bin (22 MB) is not at" in lost.err
    assert "--task DIR" in lost.err
    done = evolve("resume", run.folder, "--rounds", 2, "--task", moved, "--headless")
    assert done.code == 0, done.err
    with JournalReader(run.db) as reader:
        assert run.db.stat().st_size < 1 << 20, "the large file is not in the journal"
        assert reader.last_seq() > 0
    assert not is_alive(run)
    wait_for(lambda: fold(run).rounds_done == 2, "both rounds")
