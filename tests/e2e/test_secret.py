"""Data that programs are judged on follow from a secret of the run, or from a seed that is said to be known."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.runs.folder import Run
from engine.runs.secret import DataSeeds, commitment_of
from engine.state.run_state import RunState
from tests.conftest import EVALUATE, Evolve, TaskMaker
from tests.e2e.runs import NOISY, check_complete, events, finish, fold, make_run, start_engine, wait_for
from tests.e2e.test_commands import outcome

TELLING = EVALUATE.replace("def evaluate(program_path):", "def evaluate(program_path, report):").replace(
    "    return {", '    return {"data": str(report.data_seed), "own": report.sandbox_seed, "old": report.seed, '
)
"""A guarded evaluator that tells its seeds."""


def seeds(run: Run) -> set[tuple[object, ...]]:
    measured = [event.data for event in events(run, ev.EvalStageDone)]
    return {tuple(m.metrics[key] for key in ("data", "own", "old")) for m in measured}  # type: ignore[attr-defined]


def test_secret_is_kept_beside_the_journal_and_never_in_it(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=2, workers=1)
    state = finish(run)
    path = run.folder / "secret"
    secret = path.read_bytes()
    assert (len(secret), path.stat().st_mode & 0o777) == (32, 0o600)
    assert state.start is not None and state.start.secret == commitment_of(secret) == state.secret
    assert not state.seed_known
    journal = b"".join(file.read_bytes() for file in run.folder.glob("run.db*"))
    assert secret not in journal and secret.hex().encode() not in journal
    assert {event.data.seed for event in events(run, ev.EvalStarted)} == {0}  # type: ignore[attr-defined]


def test_seed_fixes_the_search_and_data_seed_the_data(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(evaluate=TELLING)
    runs = {
        name: make_run(task, tmp_path / name, rounds=1, workers=1, **settings)
        for name, settings in {
            "one": {"seed": 5}, "two": {"seed": 5}, "known": {"seed": 5, "data_seed": 3}, "again": {"data_seed": 3}
        }.items()
    }  # fmt: skip
    for run in runs.values():
        finish(run)
    told = {name: seeds(run) for name, run in runs.items()}
    assert all(len(found) == 1 for found in told.values()), "every program of a run meets the same data"
    assert told["known"] == told["again"]
    assert len({repr(found) for found in told.values()}) == 3
    assert fold(runs["known"]).seed_known and not (runs["known"].folder / "secret").exists()


def test_seeds_of_one_evaluation_tell_nothing_of_each_other() -> None:
    drawn = DataSeeds(b"s" * 32)
    every = [drawn.draw(stage, repeat) for stage in ("quick", "explore") for repeat in range(3)]
    assert len({number for one in every for number in one}) == 18
    assert all(one.seed < 2**31 and one.sandbox < 2**31 and one.data < 2**63 for one in every)
    assert max(one.data for one in every) > 2**58
    assert drawn.draw("quick", 0) == DataSeeds(b"s" * 32).draw("quick", 0) != DataSeeds(b"t" * 32).draw("quick", 0)


@pytest.mark.parametrize("name", ["data_curation_recombine", "linear_attention_recombine", "circle_packing_steered"])
def test_runs_without_a_secret_draw_as_they_always_did(name: str) -> None:
    run = Run(Path("sample_runs", name))
    state = fold(run)
    assert state.seed_known
    known = DataSeeds(None, state.settings.seed)
    recorded = [event.data for event in events(run, ev.EvalStarted)]
    for data in recorded:
        assert isinstance(data, ev.EvalStarted)
        drawn = known.draw(data.stage, data.repeat)
        assert drawn.seed == drawn.data == data.seed != drawn.sandbox
    assert recorded


def test_resume_and_fork_keep_the_data(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs")
    whole = make_run(make_task(evaluate=NOISY), tmp_path / "runs", rounds=6, workers=1)
    engine = start_engine(whole)
    wait_for(lambda: fold(whole).rounds_done >= 2, "two rounds")
    engine.send_signal(signal.SIGKILL)
    engine.wait(90)
    at = events(whole)[-1].seq
    made = evolve("fork", whole.name, "--at", at, "--name", "fork", *where)
    assert made.code == 0, made.err
    fork = Run(tmp_path / "runs" / "fork")
    assert (fork.folder / "secret").read_bytes() == (whole.folder / "secret").read_bytes()
    assert (fork.folder / "secret").stat().st_mode & 0o777 == 0o600
    finish(whole)
    assert evolve("resume", "fork", "--headless", *where).code == 0
    assert outcome(fork) == outcome(whole)
    check_complete(fork, 6)


def test_run_without_its_secret_goes_on_and_says_what_is_lost(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    where = ("--runs", tmp_path / "runs")
    run = make_run(make_task(evaluate=TELLING), tmp_path / "runs", rounds=1, workers=1)
    finish(run)
    moved = tmp_path / "runs" / "moved"
    moved.mkdir()
    shutil.copy(run.db, moved / "run.db")
    done = evolve("resume", "moved", "--rounds", 2, "--headless", *where)
    assert done.code == 0, done.err
    assert "its secret, the file 'secret' beside run.db, is gone" in done.err
    assert len(seeds(Run(moved))) == 2, "later evaluations have other data"
    again = evolve("resume", "moved", "--rounds", 3, "--headless", *where)
    assert again.code == 0 and "is gone" not in again.err.splitlines()[-1]
    assert len(seeds(Run(moved))) == 2, "the new secret is kept"
    # A fork from before the loss must not take the newer secret for the older one.
    first = next(event.seq for event in events(Run(moved), ev.RoundEnded))
    assert evolve("fork", "moved", "--at", first, "--name", "early", *where).code == 0
    assert not (tmp_path / "runs" / "early" / "secret").exists()


def test_secret_of_another_run_is_refused(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=1, workers=1)
    (run.folder / "secret").write_bytes(b"x" * 32)
    done = evolve("resume", run.name, "--headless", "--runs", tmp_path / "runs")
    assert (done.code, "is not the secret of this run" in done.err) == (1, True), done.err
    (run.folder / "secret").write_bytes(b"short")
    done = evolve("resume", run.name, "--headless", "--runs", tmp_path / "runs")
    assert (done.code, "holds 5 bytes" in done.err) == (1, True), done.err


@pytest.mark.parametrize("known", [True, False])
def test_badge_is_shown(make_task: TaskMaker, evolve: Evolve, tmp_path: Path, known: bool) -> None:
    where = ("--runs", tmp_path / "runs")
    task = make_task()
    option = ("--data-seed", 4) if known else ()
    done = evolve("run", task, "--rounds", 1, "--workers", 1, "--headless", "--name", "r", *option, *where)
    assert done.code == 0 and ("seed known" in done.err) == known, done.err
    assert ("seed known" in evolve("show", "r", *where).out) == known
    assert evolve("export", "r", "-o", tmp_path / "r.html", *where).code == 0
    assert ("seed known" in (tmp_path / "r.html").read_text()) == known
    refused = evolve("set", "r", "data_seed=5", f"answers={tmp_path}", *where)
    assert refused.code == 2 and "data_seed, answers cannot change during a run" in refused.err


def test_run_that_started_without_a_secret_knows_its_seed() -> None:
    start = ev.RunStarted("t", {}, {"name": "t", "direction": "maximize"}, {})
    assert RunState(ev.Event(1, 0, None, None, start)).seed_known
