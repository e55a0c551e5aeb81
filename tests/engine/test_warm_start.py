"""`--warm`: a population that starts from other runs, measured anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.foreign import choice_of
from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.runs.create import create_run
from engine.runs.folder import Run
from engine.runs.warm import warm_as, warm_from
from engine.settings.model import Settings
from engine.task.load import load_task
from tests.conftest import SEED, Evolve, TaskMaker
from tests.e2e.runs import check_integrity, events, fold
from tests.engine.loop.parts import open_parts
from tests.engine.test_fork import write
from tests.engine.test_state import Script


def program(*lines: int) -> str:
    """A program with lines of its own."""
    return SEED + "".join(f"A{line} = {line}\n" for line in lines)


def other_run(folder: Path, codes: list[str], scores: list[float | None], **fitness: object) -> Run:
    """A run that measured these programs."""
    script = Script()
    spec = {"name": "other", "direction": "minimize", "metric": "loss"}
    script.add(ev.RunStarted("other", {"fitness": fitness}, spec, {}))
    for node, (code, score) in enumerate(zip(codes, scores, strict=True)):
        script.add(ev.RoundStarted(), node)
        made = ev.DesignDone(sha256_of(code), "tune", f"n{node}", "why", [0] if node else [], digest=str(node))
        script.add(made, node, node)
        status: ev.Status = "crashed" if score is None else "ok"
        metrics = {} if score is None else {"loss": score, "speed": 9.0 - score}
        script.add(ev.EvalDone(status, score, metrics), node, node)
        script.add(ev.AnalyzeDone(f"lesson {node}"), node, node)
        script.add(ev.RoundEnded("node"), node)
    return write(folder, script.events, [code.encode() for code in codes])


def test_the_best_that_differ_and_fit_are_chosen(make_task: TaskMaker, tmp_path: Path) -> None:
    task = load_task(make_task())
    codes = [
        SEED,
        program(*range(10)),
        program(*range(9), 20),  # a line of many differs
        program(*range(30, 40)),
        program(*range(50, 60)),
        "def other():\n    return 1\n",
        program(*range(70, 80)),
    ]
    run = other_run(tmp_path / "one", codes, [1.0, 2.0, 1.5, 3.0, None, 0.5, 2.5])
    warm = warm_from([run], task)
    assert [item.node for item in warm.event.programs] == [2, 6, 3], "the lowest loss first; 1 is much like 2"
    assert [sha256_of(content) for content in warm.contents] == [item.program for item in warm.event.programs]
    first = warm.event.programs[0]
    assert (first.run, first.score, first.metric, first.lesson) == ("one", 1.5, "loss", "lesson 2")
    assert len(warm.event.left_out) == 1 and "run 'one', node 5: interface: " in warm.event.left_out[0]
    # A second run adds what the first does not have.
    again = other_run(tmp_path / "two", [SEED, program(*range(10)), program(*range(90, 99))], [1.0, 2.0, 3.0])
    both = warm_from([run, again], task)
    assert [(item.run, item.node) for item in both.event.programs][3:] == [("two", 2)]
    with pytest.raises(UsageError, match="no program for point"):
        warm_from([other_run(tmp_path / "none", [SEED], [1.0])], task)


def test_of_a_front_its_nodes_come_first_and_what_breaks_a_constraint_never(
    make_task: TaskMaker, tmp_path: Path
) -> None:
    parts = {
        "loss": {"direction": "minimize", "reference": 9.0},
        "speed": {"direction": "minimize", "reference": 9.0},
    }
    codes = [program(*range(10 * node, 10 * node + 10)) for node in range(4)]
    run = other_run(tmp_path / "one", codes, [4.0, 8.0, 1.0, 0.5], kind="pareto", parts=parts, require={"loss": ">= 1"})
    assert [item.node for item in warm_from([run], load_task(make_task())).event.programs] == [0, 1, 2]


def test_a_replayed_run_tells_its_instance_and_kind(tmp_path: Path) -> None:
    script = Script()
    interface = {"functions": ["a"], "improving": ["b"]}
    spec = {"name": "t", "direction": "minimize", "instance": "n7", "kind": "improve", "interface": interface}
    script.add(ev.RunStarted("t", {}, spec, {}))
    run = write(tmp_path / "run", script.events)
    assert choice_of(run) == ("n7", "improve") and warm_as(run) is None


async def test_they_are_measured_beside_the_seeds_also_after_an_interruption(
    make_task: TaskMaker, tmp_path: Path
) -> None:
    task = load_task(make_task())
    codes = [SEED, program(1, 2, 3), program(4, 5, 6)]
    warm = warm_from([other_run(tmp_path / "one", codes, [1.0, 2.0, 3.0])], task)
    run = create_run(task, Settings(rounds=0), tmp_path / "runs", warm=warm)
    # The engine ended when the seed was there.
    async with open_parts(run) as parts:
        assert len(parts.session.state.nodes) == 1
    async with open_parts(run) as parts:
        await parts.seeds.run()
        state = parts.session.state
    assert [node.operator for node in state.nodes] == ["seed", "warm", "warm"]
    assert all(node.status == "ok" and node.round == 0 and not node.parents for node in state.nodes)
    assert state.nodes[1].motivation == "node 1 of run 'one', where its loss was 2; measured anew here. lesson 1"
    designed = [event.data for event in events(run, ev.DesignDone)]
    assert [data.origin for data in designed if isinstance(data, ev.DesignDone)] == ["", "one#1", "one#2"]
    check_integrity(run)


def test_a_run_goes_on_from_what_another_found(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task, where = make_task(), ("--runs", tmp_path / "runs")
    better = SEED + "\n\ndef near():\n    return [3, 1]\n\n\npoint = near\n"
    other_run(tmp_path / "runs" / "other", [SEED, better], [4.0, 0.0])
    done = evolve("run", task, "--warm", "other", "--rounds", 1, "--name", "new", "--headless", "--json", *where)
    assert done.code == 0, done.err
    state = fold(Run(tmp_path / "runs" / "new"))
    assert state.best == 1 and state.nodes[1].operator == "warm" and state.nodes[1].score == 0.0
    again = evolve("run", task, "--answers", "new", "--name", "again", "--headless", "--json", *where)
    assert again.code == 0, again.err
    replayed = fold(Run(tmp_path / "runs" / "again"))
    assert replayed.warm == state.warm and replayed.nodes[1].score == 0.0
    refused = evolve("run", task, "--warm", "nowhere", "--headless", *where)
    assert refused.code != 0 and "nowhere" in refused.err
