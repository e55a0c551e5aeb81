"""Retrieval of priors in a real run: with its embedder, without it, and with another one."""

from __future__ import annotations

from pathlib import Path

from engine.journal import events as ev
from engine.journal.database import send_command
from tests.conftest import TaskMaker
from tests.e2e.runs import check_complete, events, finish, fold, make_run, start_engine, wait_for_event

PRIORS = {f"{name}.md": f"# {name}\n\nAbout the score of a {name}.\n" for name in ("hammer", "nail", "pendulum")}


def whys(event: ev.Event) -> list[str]:
    assert isinstance(event.data, ev.LearnDone)
    return [prior.why for prior in event.data.priors if prior.why != "drawn"]


def test_run_finds_priors_by_words_and_meaning(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(priors=PRIORS), tmp_path / "runs", rounds=3, workers=1)
    finish(run)
    check_complete(run, 3)
    learned = events(run, ev.LearnDone)
    assert len(learned) == 3
    assert all("cosine" in why for event in learned for why in whys(event)) and any(map(whys, learned))
    assert events(run, ev.PriorWarned) == []
    first_learn, first_measured = learned[0].seq, events(run, ev.EvalStageDone)[0].seq
    assert first_measured < first_learn, "nothing is embedded before the seed is measured"


def test_missing_embedder_is_reported_once_and_words_are_used(make_task: TaskMaker, tmp_path: Path) -> None:
    retrieval = {"embedder": "sentence-transformers", "model": str(tmp_path / "nowhere")}
    run = make_run(make_task(priors=PRIORS), tmp_path / "runs", rounds=4, workers=1, retrieval=retrieval)
    state = finish(run)
    check_complete(run, 4)
    (warned,) = [event.data for event in events(run, ev.PriorWarned)]
    assert isinstance(warned, ev.PriorWarned)
    (problem,) = warned.problems
    assert "by their words only" in problem and "nowhere" in problem
    assert state.prior_problems == [problem]
    assert all(why.endswith("by words only") for event in events(run, ev.LearnDone) for why in whys(event))


def test_embedder_can_be_changed_during_run(make_task: TaskMaker, tmp_path: Path) -> None:
    retrieval = {"embedder": "sentence-transformers", "model": str(tmp_path / "nowhere")}
    run = make_run(make_task(priors=PRIORS), tmp_path / "runs", rounds=10_000, workers=1, retrieval=retrieval)
    engine = start_engine(run)
    wait_for_event(run, lambda event: isinstance(event.data, ev.PriorWarned), "the warning")
    send_command(run.db, "set", {"settings": {"retrieval": {"embedder": "wordllama"}}})
    wait_for_event(run, lambda event: isinstance(event.data, ev.LearnDone) and "cosine" in str(whys(event)), "meaning")
    send_command(run.db, "stop", {})
    engine.wait(90)
    assert fold(run).prior_problems == []
