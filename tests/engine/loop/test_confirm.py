"""Confirm: the gain of a new best on fresh data, with real evaluations and a real journal, and no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.loop.stages.design import add_seed
from engine.runs.folder import Run
from engine.task.spec import Seed
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, open_parts

DRAWN = """\
import random
import evolve_task


def evaluate(path, report):
    noise = random.Random(report.data_seed)
    level, key = noise.random(), noise.randrange(10**9)
    value = evolve_task.call("point", key)
    return {"score": level + value, "key": key}
"""
"""Each draw moves the score of every program by as much as two programs may differ."""

HONEST = "def point(key):\n    return {value}\n"
LEARNED = "def point(key):\n    return 5.0 if key == {key} else {value}\n"


def drawing_run(make_task: TaskMaker, folder: Path, head: str = "", evaluate: str = DRAWN, toml: str = "") -> Run:
    task = make_task(evaluate=evaluate, seed=HONEST.format(value=1.0), guarded=True, toml=toml)
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(head + text)
    return make_run(task, folder)


async def measure(parts: Parts, code: str, name: str) -> int:
    """Add a program and take it through its evaluation; return its node."""
    number = len(parts.session.state.nodes)
    add_seed(parts.session, Seed(name, code))
    await parts.session.committed()
    await parts.experiment.run(number)
    await parts.session.committed()
    return number


def measured(run: Run) -> list[tuple[int | None, int, int]]:
    """Return what was measured on fresh data: the node that is verified, whose program, which draw."""
    return [(e.node, e.data.of, e.data.draw) for e in events(run, ev.VerifyMeasured)]  # type: ignore[attr-defined]


async def test_memorised_data_are_found_and_honest_gain_is_crowned(make_task: TaskMaker, tmp_path: Path) -> None:
    run = drawing_run(make_task, tmp_path / "runs")
    async with open_parts(run) as parts:
        state = parts.session.state
        await parts.experiment.run(0)
        assert measured(run) == [], "there is no best to compare the first with"
        key = state.nodes[0].metrics["key"]
        cheat = await measure(parts, LEARNED.format(key=key, value=1.0), "cheat")
        assert state.best == 0
        node = state.nodes[cheat]
        assert (node.status, node.score) == ("ok", pytest.approx(state.nodes[0].score + 4.0))  # type: ignore[operator]
        assert node.quarantined
        assert node.reason == "gain not confirmed on fresh data: 0 over #0, recorded 4"
        assert node.standing < state.nodes[0].fitness  # type: ignore[operator]
        await parts.analyze.run(cheat)
        assert node.lesson.startswith("gain not confirmed on fresh data: 0 over #0, recorded 4; score ")
        sample = parts.sampler.sample(state, 1, parts.session.rng(1, "sample"))
        assert sample is not None
        assert sample.parent == 0, "it parents no design as a best"
        honest = await measure(parts, HONEST.format(value=1.25), "honest")
        assert (state.best, state.nodes[honest].doubted) == (honest, False)
        check = state.nodes[honest].check
        assert check is not None
        assert (check.outcome, check.reference, check.draws) == ("confirmed", 0, [2])
        assert check.gains == pytest.approx([0.25, 0.25])
        assert check.scores[0] - check.reference_scores[0] == pytest.approx(0.25)
        assert state.fittest() is state.nodes[honest]
    assert measured(run) == [(cheat, cheat, 1), (cheat, 0, 1), (honest, honest, 2), (honest, 0, 2)]
    scores = [e.data.metrics["key"] for e in events(run, ev.VerifyMeasured)]  # type: ignore[attr-defined]
    assert scores[0] == scores[1] != scores[2] == scores[3] != key, "each verification has data of its own"


async def test_failure_on_fresh_data_is_quarantined_and_never_sampled(make_task: TaskMaker, tmp_path: Path) -> None:
    run = drawing_run(make_task, tmp_path / "runs")
    async with open_parts(run) as parts:
        state = parts.session.state
        await parts.experiment.run(0)
        key = state.nodes[0].metrics["key"]
        node = state.nodes[await measure(parts, f"def point(key):\n    return {{{key}: 3.0}}[key]\n", "only this")]
        assert node.reason.startswith("gain not confirmed on fresh data: crashed: ")
        assert (node.status, node.standing, state.best) == ("ok", None, 0)


async def test_score_that_comes_out_the_same_costs_one_evaluation(make_task: TaskMaker, tmp_path: Path) -> None:
    steady = DRAWN.replace("level + value", "value")
    run = drawing_run(make_task, tmp_path / "runs", evaluate=steady)
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        better = await measure(parts, HONEST.format(value=2.0), "better")
        assert parts.session.state.best == better
    assert measured(run) == [(better, better, 1)]


async def test_task_without_data_asks_for_the_same_score(make_task: TaskMaker, tmp_path: Path) -> None:
    steady = DRAWN.replace("level + value", "value")
    run = drawing_run(make_task, tmp_path / "runs", 'confirm = "score"\nmin_gain = 0.1\n', steady)
    async with open_parts(run) as parts:
        state = parts.session.state
        await parts.experiment.run(0)
        key = state.nodes[0].metrics["key"]
        lucky = await measure(parts, f"def point(key):\n    return 3.0 if key == {key} else 2.5\n", "lucky")
        assert state.best == 0
        assert state.nodes[lucky].reason == "gain not confirmed on fresh data: 2.5 in place of 3"
        assert state.nodes[lucky].standing == 2.5
        nearly = await measure(parts, f"def point(key):\n    return 3.0 if key == {key} else 2.95\n", "nearly")
        assert state.best == nearly
    assert measured(run) == [(lucky, lucky, 1), (nearly, nearly, 2)]


async def test_open_task_is_not_verified_unless_it_asks(make_task: TaskMaker, tmp_path: Path) -> None:
    run = drawing_run(make_task, tmp_path / "runs", 'confirm = "off"\n')
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        better = await measure(parts, HONEST.format(value=2.0), "better")
        assert (parts.session.state.best, parts.session.state.nodes[better].check) == (better, None)
    assert not events(run, ev.VerifyStarted)


NOISY = """\
import evolve_task


def evaluate(path, report):
    value = evolve_task.call("point", report.repeat)
    return {"score": value}
"""


async def test_gain_within_its_spread_is_not_crowned(make_task: TaskMaker, tmp_path: Path) -> None:
    toml = "\n[[stages]]\nname = 'explore'\nrepeats = 3\n"
    run = drawing_run(make_task, tmp_path / "runs", evaluate=NOISY, toml=toml)
    async with open_parts(run) as parts:
        state = parts.session.state
        await parts.experiment.run(0)
        lucky = await measure(parts, "def point(key):\n    return [9.0, 0.9, 0.9][key]\n", "lucky")
        assert state.best == 0
        node = state.nodes[lucky]
        assert node.reason.startswith(
            "gain within its spread: 2.6 over #0, standard deviation 4.68 over 3 measurements"
        )
        assert (node.quarantined, node.standing) == (False, node.fitness)
        sure = await measure(parts, "def point(key):\n    return [1.5, 1.6, 1.4][key]\n", "sure")
        assert state.best == sure
    assert [node for node, _, _ in measured(run)] == [sure, sure], "what speaks against itself is not measured further"


async def test_verification_goes_on_after_a_crash(make_task: TaskMaker, tmp_path: Path) -> None:
    run = drawing_run(make_task, tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        parts.session.emit(ev.AnalyzeDone(""), round=0, node=0)
        add_seed(parts.session, Seed("honest", HONEST.format(value=1.25)))
        await parts.session.committed()
        # An engine that died after it had measured the node, and before it measured the best.
        parts.session.emit(ev.VerifyStarted([7], 0), round=0, node=1)
        parts.session.emit(ev.VerifyMeasured(of=1, draw=7, status="ok", score=1.5), round=0, node=1)
        await parts.session.committed()
    async with open_parts(run) as parts:
        await parts.experiment.run(1)
        assert parts.session.state.draws == 7
        check = parts.session.state.nodes[1].check
        assert check is not None
        assert check.draws == [7]
        assert not parts.session.state.verifications
    assert measured(run) == [(1, 1, 7), (1, 0, 7)]


async def test_best_that_changed_meanwhile_is_compared_on_the_same_draw(make_task: TaskMaker, tmp_path: Path) -> None:
    run = drawing_run(make_task, tmp_path / "runs", toml="\n[[stages]]\n\n[[stages]]\nname = 'verify'\n")
    async with open_parts(run) as parts:
        session, state = parts.session, parts.session.state
        await parts.experiment.run(0)
        for value in (1.25, 2.0):
            add_seed(session, Seed("seed", HONEST.format(value=value)))
        await session.committed()
        results = {node: await parts.measure.run(state.nodes[node], session.spec.score_stage) for node in (1, 2)}
        measurements = {node: parts.measure.results(state.nodes[node], session.spec.score_stage) for node in (1, 2)}
        first = await parts.confirm.run(state.nodes[2], results[2], None, measurements[2])
        assert first is not None
        assert first.reference == 0
        await parts.experiment.run(1)
        assert state.best == 1
        again = await parts.confirm.run(state.nodes[2], results[2], None, measurements[2], first)
        assert again is not None
        assert (again.outcome, again.reference, again.draws) == ("confirmed", 1, [1])
    assert [which for which in measured(run) if which[0] == 2] == [(2, 2, 1), (2, 0, 1), (2, 1, 1)]


@pytest.mark.parametrize(("head", "where"), [("exclusive = true\n", "alpha"), ("", "")])
async def test_gain_is_confirmed_on_the_machine_of_the_reigning_best(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, where: str
) -> None:
    """If scores of the task depend on the machine; elsewhere any machine will do."""
    run = drawing_run(make_task, tmp_path / "runs", head=head)
    asked: list[str] = []
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        parts.session.state.nodes[0].host = "alpha"
        actual = parts.evaluations.run

        async def noted(*arguments: Any, on: str = "", **others: Any) -> None:
            asked.append(on)
            await actual(*arguments, on=on, **others)

        monkeypatch.setattr(parts.evaluations, "run", noted)
        better = await measure(parts, HONEST.format(value=2.0), "better")
        assert parts.session.state.best == better
    assert asked == ["", where, where]
