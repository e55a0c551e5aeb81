"""Actions on a run's nodes: each is recorded and answered, and affects later rounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import (
    NOISY,
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    start_engine,
    started,
    wait_for,
)
from tests.llm_server import llm_server, search

MORE = 12
"""How many rounds a paused run has before it."""


@pytest.fixture
def paused(make_task: TaskMaker, tmp_path: Path) -> Iterator[Run]:
    """Return a paused run with five rounds done and more to come, and a live engine."""
    run = make_run(make_task(evaluate=NOISY), tmp_path / "runs", rounds=10_000, workers=1)
    start_engine(run)
    wait_for(lambda: fold(run).rounds_done >= 5, "five rounds")
    ask(run, "pause")
    # A round that was open at the pause already has its parent, so let it end.
    wait_for(lambda: not any(e.running for e in fold(run).evaluations.values()), "the running stages")
    if fold(run).open_rounds:
        ask(run, "step")
    wait_for(lambda: not fold(run).open_rounds, "the open round")
    # Only now, as nobody knows how far it is when it hears of the pause.
    ask(run, "set", settings={"rounds": fold(run).rounds_started + MORE})
    yield run


def ask(run: Run, kind: str, **data: object) -> str:
    """Send a command and return the engine's answer."""
    number = send_command(run.db, kind, dict(data))

    def answer() -> str:
        with JournalReader(run.db) as reader:
            command = reader.command(number)
        return command.result if command is not None and command.done else ""

    wait_for(answer, "an answer")
    return answer()


def go_on(run: Run) -> None:
    ask(run, "resume")
    assert started[-1].wait(90) == 0, run.log.read_text()


def parents_after(run: Run, seq: int) -> list[int]:
    return [e.data.parent for e in events(run, ev.LearnDone) if e.seq > seq]  # type: ignore[attr-defined]


def test_pinned_node_is_every_parent_until_unpinned(paused: Run) -> None:
    seq = fold(paused).seq
    assert ask(paused, "pin", node=2) == "node 2 is pinned"
    assert ask(paused, "pin", node=2) == "it is pinned already"
    go_on(paused)
    assert set(parents_after(paused, seq)) == {2}
    assert events(paused, ev.LearnDone)[-1].data.why == "pinned"  # type: ignore[attr-defined]
    check_complete(paused, fold(paused).settings.rounds)


def test_pruned_subtree_is_no_parent_until_restored(paused: Run) -> None:
    seq, at = fold(paused).seq, fold(paused).at
    assert "are pruned" in ask(paused, "prune", node=0, subtree=True)
    assert ask(paused, "pin", node=1).startswith("refused: node 1 is pruned")
    assert "restored" in ask(paused, "restore", node=3)
    go_on(paused)
    new = {node.id for node in fold(paused).nodes if node.designed_at > at}
    assert set(parents_after(paused, seq)) <= {3} | new
    assert 3 in parents_after(paused, seq)


def test_run_fails_with_reason_if_no_parent_is_left(paused: Run) -> None:
    ask(paused, "prune", node=0, subtree=True)
    ask(paused, "resume")
    wait_for(lambda: fold(paused).status == "failed", "the end")
    assert "every node with a score is pruned" in fold(paused).reason


def test_injected_program_takes_next_round(paused: Run) -> None:
    before = fold(paused)
    code = "def point():\n    return [3.0, 1.0]\n"
    assert (
        ask(paused, "inject", what="program", code=code, name="mine", parent=0)
        == f"it takes round {before.rounds_started + 1}"
    )
    assert "duplicate" in ask(
        paused,
        "inject",
        what="program",
        code="X = 0.5\nY = 0.25\nZ = 2.0\n"
        + "def left():\n    return X * Z\ndef right():\n    return Y + Z\ndef point():\n    return [left(), right()]\n",
    )
    assert "refused: syntax" in ask(paused, "inject", what="program", code="def point(:")
    assert "interface" in ask(paused, "inject", what="program", code="x = 1\n")
    assert ask(paused, "inject", what="nonsense").startswith("refused")
    go_on(paused)
    state = fold(paused)
    mine = next(node for node in state.nodes if node.operator == "injected")
    assert (mine.name, mine.round, mine.parents, mine.status) == ("mine", before.rounds_started + 1, (0,), "ok")
    assert state.best == mine.id
    check_integrity(paused)
    check_complete(paused, fold(paused).settings.rounds)


def test_injected_program_survives_crash_before_its_round(paused: Run) -> None:
    ask(paused, "inject", what="program", code="def point():\n    return [3.0, 1.0]\n")
    started[-1].kill()
    started[-1].wait()
    state = finish(paused)
    assert sum(node.operator == "injected" for node in state.nodes) == 1
    check_complete(paused, fold(paused).settings.rounds)


def test_hint_is_kept_and_recorded(paused: Run) -> None:
    assert "recombine, reads no hints" in ask(paused, "inject", what="hint", text=" move left ")
    assert ask(paused, "inject", what="hint", text=" ").startswith("refused")
    assert fold(paused).hints == ["move left"]


def test_answer_to_hint_says_whether_designer_reads_it(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task()
    with llm_server(search) as server:
        model = {"m": {"model": "m", "base_url": server.url}}
        runs = [make_run(task, tmp_path / kind, rounds=1, models=models)
                for kind, models in (("recombine", {}), ("llm", model))]  # fmt: skip
        # One that only a person ends: paused before its engine starts anything.
        for run, told in zip(runs, ("recombine, reads no hints", "the next designs are shown it"), strict=True):
            send_command(run.db, "pause", {})
            start_engine(run)
            assert told in ask(run, "inject", what="hint", text="left")
            assert ask(run, "stop", now=True)
            wait_for(lambda run=run: not is_alive(run), "the end")
        kept = [evolve("inject", run.folder, "--hint", "left").out.strip() for run in runs]
    assert kept[0].startswith("kept for the run's next start: the designer of this run, recombine, reads no hints")
    assert kept[1] == "kept for the run's next start: the next designs are shown it"


def test_rerun_adds_measurement_and_ranks_by_mean(paused: Run) -> None:
    state = fold(paused)
    best = state.best
    assert best is not None
    first = state.nodes[best].score
    assert ask(paused, "rerun", node=best) == f"node {best} is measured once more when the run goes on"
    ask(paused, "resume")
    wait_for(lambda: fold(paused).nodes[best].measurements == 2, "the measurement")
    wait_for(lambda: fold(paused).status == "finished", "the end")
    node = fold(paused).nodes[best]
    scores = [e.data.score for e in events(paused, ev.EvalStageDone) if e.node == best]  # type: ignore[attr-defined]
    assert len(scores) == 2
    assert scores[0] == first
    assert scores[1] != first, "another measurement has another seed"
    assert node.score == pytest.approx(sum(scores) / 2)
    assert node.spread is not None
    final = fold(paused)
    assert final.best_node is not None
    assert final.best_node.score == max(n.score for n in final.nodes if n.score is not None)
    assert sum(final.counts.values()) == len(final.nodes)


def test_stars_and_comments_are_recorded(paused: Run, evolve: Evolve) -> None:
    where = ("--runs", paused.folder.parent)
    assert evolve("star", paused.name, 1, *where).out == "node 1 is starred\n"
    assert evolve("comment", paused.name, 1, "look", "here", *where).code == 0
    assert evolve("comment", paused.name, "all in all", *where).code == 0
    assert evolve("pin", paused.name, 99, *where).code == 1
    state = fold(paused)
    assert state.nodes[1].starred
    assert (state.nodes[1].comments, state.comments) == (("look here",), ["all in all"])
    assert evolve("star", paused.name, 1, "--off", *where).code == 0
    assert not fold(paused).nodes[1].starred
    # With an engine at work it is the engine that takes an act back.
    assert evolve("undo", paused.name, *where).out == "taken back: removal of the star of #1\n"
    assert evolve("undo", paused.name, *where).out == "taken back: comment on the run: all in all\n"
    state = fold(paused)
    assert state.nodes[1].starred and state.comments == []


def test_runs_are_renamed_and_deleted_only_without_engine(paused: Run, evolve: Evolve) -> None:
    where = ("--runs", paused.folder.parent)
    assert "engine at work" in evolve("rename", paused.name, "other", *where).err
    assert "engine at work" in evolve("delete", paused.name, "--yes", *where).err
    evolve("stop", paused.name, "--now", *where)
    assert evolve("rename", paused.name, "../other", *where).code == 1
    assert evolve("rename", paused.name, "other", *where).code == 0
    assert evolve("delete", "other", *where).code == 2, "it asks first"
    assert evolve("delete", "other", "--yes", *where).code == 0
    assert evolve("runs", "--json", *where).json == []
