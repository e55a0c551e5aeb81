"""Experiment, rerun and seeds: real evaluations, a real journal, a real HTTP server, and no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError, Stopping
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.loop.hooks import Hooks
from engine.loop.stages.best import crown_fittest, record_end
from engine.loop.stages.verdict import decide
from engine.task.spec import Interface, Stage, TaskSpec
from tests.conftest import TaskMaker
from tests.e2e.runs import events, fold, make_run, wait_for
from tests.engine.loop.parts import add_node, open_parts
from tests.llm_server import llm_server, search

STAGED = """\
def evaluate(path, report):
    return {"score": {"quick": 1.0, "explore": 10.0, "verify": 100.0}[report.stage] + report.repeat}
"""
STAGES = """
[[stages]]
name = "quick"
threshold = -6.0

[[stages]]
name = "explore"
repeats = 2

[[stages]]
name = "verify"
"""


def decided(run: Any) -> ev.EvalDone:
    """Return the newest end of an evaluation."""
    found = events(run, ev.EvalDone)[-1].data
    assert isinstance(found, ev.EvalDone)
    return found


# A hook outlives whoever started it.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_stages_run_in_order_and_new_best_is_verified(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=STAGED, toml=STAGES), tmp_path / "runs")
    told = tmp_path / "told"
    async with open_parts(run, Hooks(on_best=f"echo $EVOLVE_NODE $EVOLVE_SCORE >>{told}")) as parts:
        await parts.experiment.run(0)
        assert parts.session.state.best == 0
    wait_for(told.exists, "the hook")
    wait_for(lambda: told.read_text() == "0 10.5\n", "the hook's output")
    done = [event.data for event in events(run, ev.EvalStageDone)]
    assert [(data.stage, data.repeat) for data in done] == [  # type: ignore[attr-defined]
        ("quick", 0), ("explore", 0), ("explore", 1), ("verify", 0),
    ]  # fmt: skip
    verdict = decided(run)
    assert (verdict.status, verdict.score, verdict.stage) == ("ok", 10.5, "explore")
    assert (verdict.verified, verdict.measurements, verdict.judge) == (100.0, 2, None)
    assert verdict.seconds == pytest.approx(sum(data.seconds for data in done), abs=1e-3)  # type: ignore[attr-defined]


async def test_recorded_repeats_are_not_run_again(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=STAGED, toml=STAGES), tmp_path / "runs")
    async with open_parts(run) as parts:
        for stage, repeat in (("quick", 0), ("explore", 1)):
            parts.session.emit(ev.EvalStageDone(stage, "ok", repeat, score=50.0), round=0, node=0)
        await parts.experiment.run(0)
    assert [(event.data.stage, event.data.repeat) for event in events(run, ev.EvalStarted)] == [  # type: ignore[attr-defined]
        ("explore", 0),
        ("verify", 0),
    ]
    assert decided(run).score == 30.0


async def test_failing_promotion_keeps_the_score(make_task: TaskMaker, tmp_path: Path) -> None:
    failing = STAGED.replace("    return", "    assert report.stage != 'verify', 'too weak'\n    return")
    run = make_run(make_task(evaluate=failing, toml=STAGES), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        assert parts.session.state.best == 0
    assert (decided(run).status, decided(run).score, decided(run).verified) == ("ok", 10.5, None)
    assert decided(run).reason.startswith("not verified in 'verify': ")


async def test_new_best_of_a_noisy_evaluator_is_measured_again(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(evaluate="def evaluate(path, report):\n    return {'score': -float(report.repeat)}\n")
    (task / "task.toml").write_text("noisy = true\n" + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
    assert (decided(run).score, decided(run).measurements, decided(run).spread) == (-1.0, 3, 1.0)


@pytest.mark.parametrize(("score", "measured"), [("5.0", 2), ("-float(report.repeat)", 3)])
async def test_task_of_unknown_noise_is_measured_a_third_time_only_if_two_measurements_differ(
    score: str, measured: int, make_task: TaskMaker, tmp_path: Path
) -> None:
    task = make_task(evaluate=f"def evaluate(path, report):\n    return {{'score': {score}}}\n")
    (task / "task.toml").write_text('noisy = "unknown"\n' + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.seeds.run()
    assert decided(run).measurements == measured
    assert len(events(run, ev.EvalStarted)) == measured
    (noise,) = (event.data for event in events(run, ev.NoiseMeasured))
    assert isinstance(noise, ev.NoiseMeasured)
    assert (noise.measurements, noise.spread > 0) == (measured, measured == 3)
    assert noise.note.startswith("noise: the same program has a standard") == (measured == 3)


async def test_noise_that_would_crown_what_is_no_better_is_noted(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(evaluate="def evaluate(path, report):\n    return {'score': -float(report.repeat)}\n")
    (task / "task.toml").write_text("noisy = true\n" + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs", confidence=0.5)
    async with open_parts(run) as parts:
        await parts.seeds.run()
    (noise,) = (event.data for event in events(run, ev.NoiseMeasured))
    assert isinstance(noise, ev.NoiseMeasured)
    assert (noise.measurements, noise.spread) == (3, 1.0)
    assert noise.chance > 0.2
    assert noise.note.startswith("noise: the same program has a standard deviation of 1 over 3 measurements; ")


async def test_score_past_its_bound_is_invalid_and_kept(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(evaluate="def evaluate(path, report):\n    return {'score': 1.5, 'other': 2.0}\n")
    (task / "task.toml").write_text('bound = 1.0\nbound_source = "a share"\n' + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
    assert (decided(run).status, decided(run).score) == ("invalid", None)
    assert decided(run).reason == "better than is possible: score 1.5, bound 1 (a share)"
    assert decided(run).metrics == {"score": 1.5, "other": 2.0}


@pytest.mark.parametrize(("direction", "impossible"), [("maximize", 2.01), ("minimize", 1.99)])
def test_bound_is_of_the_better_side(direction: Any, impossible: float) -> None:
    spec = TaskSpec("t", direction, bound=2.0, bound_source="by hand")
    assert spec.is_impossible(impossible)
    assert not spec.is_impossible(4.0 - impossible)
    assert not spec.is_impossible(2.0 + 1e-12)
    assert not spec.is_impossible(2.0 - 1e-12)
    with pytest.raises(ValueError, match="belong together"):
        TaskSpec("t", direction, bound=2.0)


async def test_judge_marks_a_node_once(make_task: TaskMaker, tmp_path: Path) -> None:
    toml = '\n[judge]\ncriteria = [{ name = "plain", text = "It is plain." }]\n'
    with llm_server(search) as server:
        models = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
        settings: dict[str, Any] = {"models": models, "roles": {"analyzer": "rules"}, "fitness": {"judge": 0.5}}
        run = make_run(make_task(toml=toml), tmp_path / "runs", **settings)
        async with open_parts(run) as parts:
            await parts.experiment.run(0)
            await parts.session.committed()
            assert decided_mark(run) == [0.5]
            parts.session.emit(ev.AnalyzeDone("first"), round=0, node=0)
            await parts.session.committed()
            parts.session.emit(ev.NodeRerun(repeat=1), round=0, node=0)
            await parts.rerun.run(0)
        assert decided_mark(run) == [0.5, 0.5]
        assert len(server.requests) == 1


def decided_mark(run: Any) -> list[float | None]:
    return [event.data.judge for event in events(run, ev.EvalDone)]  # type: ignore[attr-defined]


async def test_rerun_adds_a_measurement_and_keeps_the_verified_score(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=STAGED, toml=STAGES), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        await parts.analyze.run(0)
        await parts.session.committed()
        parts.session.emit(ev.NodeRerun(repeat=2), round=0, node=0)
        await parts.rerun.run(0)
        # The best was crowned with a lower mean.
        assert parts.session.state.best_steps[-1].score == 11.0
    assert (decided(run).score, decided(run).measurements, decided(run).verified) == (11.0, 3, 100.0)
    assert len(events(run, ev.AnalyzeDone)) == 2


BY_SEED = """def evaluate(path, report):
    return {"score": 1.0, "speed": [10.0, 50.0][report.repeat]}
"""


async def test_a_seed_that_is_measured_again_moves_bounds_and_the_best(make_task: TaskMaker, tmp_path: Path) -> None:
    toml = '[run.fitness.require]\nspeed = ">= seed"\n'
    run = make_run(make_task(evaluate=BY_SEED, toml=toml), tmp_path / "runs")
    async with open_parts(run) as parts:
        session = parts.session
        await parts.experiment.run(0)
        await parts.analyze.run(0)
        for score, speed in ((9.0, 20.0), (8.0, 40.0)):
            node = add_node(session, None)
            session.emit(ev.EvalDone("ok", score, {"speed": speed}, stage="explore"), round=node, node=node)
        crown_fittest(session)
        assert session.state.best == 1
        await session.committed()
        session.emit(ev.NodeRerun(repeat=1), round=0, node=0)
        await parts.rerun.run(0)
        # The mean of the seed's speed is 30 now.
        assert session.state.nodes[1].broken and session.state.best == 2


async def test_stopping_engine_decides_nothing(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        parts.gate.stop()
        with pytest.raises(Stopping):
            await parts.experiment.run(0)
        assert parts.session.state.nodes[0].status is None
    assert not events(run, ev.EvalStarted)


async def test_all_seeds_are_measured_and_the_fittest_is_crowned(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.seeds.run()
        state = parts.session.state
        assert state.seeds_done and state.best == 0
        assert all(node.analyzed for node in state.nodes)


async def test_run_ends_if_no_seed_has_a_score(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate="def evaluate(path):\n    raise ValueError('broken')\n"), tmp_path / "runs")
    async with open_parts(run) as parts:
        with pytest.raises(RunError, match="no seed has a score"):
            await parts.seeds.run()
        assert not parts.session.state.seeds_done


async def test_another_best_is_crowned_after_a_new_ranking(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        crown_fittest(parts.session)
        better = add_node(parts.session, 5.0)
        crown_fittest(parts.session)
        assert parts.session.state.best == better
    assert [event.node for event in events(run, ev.BestCrowned)] == [0, better]


async def test_a_new_ranking_crowns_above_noise_only(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        state = parts.session.state
        state.spec = msgspec.structs.replace(state.spec, min_gain=0.5)
        seed = state.nodes[0].score
        assert seed is not None
        add_node(parts.session, seed + 0.25)
        parts.session.emit(ev.SettingsChanged({"fitness": {"kind": "composite", "parts": {}}}))
        parts.session.emit(ev.SettingsChanged({"fitness": {"kind": "score"}}))
        crown_fittest(parts.session)
        assert (state.best, state.next_best()) == (0, None), "a fork asks next_best()"
        above = add_node(parts.session, seed + 0.75)
        crown_fittest(parts.session)
        assert state.best == above


async def test_a_doubted_best_falls_to_a_node_within_noise(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        state = parts.session.state
        state.spec = msgspec.structs.replace(state.spec, min_gain=0.5)
        other = add_node(parts.session, state.nodes[0].score)
        parts.session.emit(ev.VerifyDone("quarantined"), round=0, node=0)
        crown_fittest(parts.session)
        assert state.best == other


SPEC = TaskSpec(name="t", direction="maximize", interface=Interface(functions=["f"]))
scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5)


@given(scores, st.floats(-1e6, 1e6))
def test_verdict_is_the_mean_unless_it_misses_the_threshold(values: list[float], threshold: float) -> None:
    results = [ev.EvalStageDone("explore", "ok", n, score=value) for n, value in enumerate(values)]
    verdict = decide(SPEC, Stage(threshold=threshold), results)
    mean = sum(values) / len(values)
    if verdict.status == "ok":
        assert verdict.score == pytest.approx(mean)
        assert (verdict.measurements, verdict.spread is None) == (len(values), len(values) == 1)
    else:
        assert mean < threshold + 1e-6
        assert (verdict.score, verdict.status) == (None, "rejected")


@given(scores, st.integers(0, 4))
def test_verdict_is_the_first_failure(values: list[float], at: int) -> None:
    results = [ev.EvalStageDone("explore", "ok", n, score=value) for n, value in enumerate(values)]
    results.insert(min(at, len(results)), ev.EvalStageDone("explore", "crashed", 9, reason="out of memory"))
    verdict = decide(SPEC, Stage(), results)
    assert (verdict.status, verdict.reason, verdict.score) == ("crashed", "out of memory", None)


@pytest.mark.parametrize("kind", ["pareto", "score"])
async def test_standstill_ends_with_the_evaluation(make_task: TaskMaker, tmp_path: Path, kind: str) -> None:
    axis = {"direction": "maximize", "reference": 0.0}
    fitness = {"kind": kind, "parts": {"a": axis, "b": axis}} if kind == "pareto" else {}
    run = make_run(make_task(), tmp_path / "runs", fitness=fitness)
    async with open_parts(run) as parts:
        session, written = parts.session, []
        append = session._writer.append

        def keep(rows: Any, *more: Any, **named: Any) -> None:
            written.append([row[2] for row in rows])
            append(rows, *more, **named)

        session._writer.append = keep  # type: ignore[method-assign]

        def end(node: int, value: float) -> None:
            done = ev.EvalDone("ok", value, {"a": value, "b": value})
            record_end(session, parts.hooks, session.state.nodes[node], done)

        end(0, 1.0)
        failed = add_node(session, None, status="crashed")
        session.emit(ev.StandstillBegan(1, 1), node=0)
        if kind == "score":
            # It is measured again, and was counted before.
            end(failed, 2.0)
        else:
            session.emit(ev.DesignDone("", "tune", "n", "", [0], digest="new"), round=2, node=2)
            end(2, 2.0)
    assert written[-1] == ["eval.done", "best.crowned", "standstill.ended"]
    (ended,) = (event.data for event in events(run, ev.StandstillEnded))
    assert ended == (ev.StandstillEnded(1, 1.0) if kind == "score" else ev.StandstillEnded(2, 3.0))


PROBED = """\
import pathlib

def evaluate(path, report):
    value = len(pathlib.Path(path).read_text().splitlines())
    return {"score": value // 100 if report.stage == "probe" else value // 10 + report.settings.get("more", 0)}
"""
PROBE = """
[probe]
limits = {seconds = 5}
settings = {few = true}
"""


async def test_what_behaves_the_same_in_the_probe_is_not_measured(make_task: TaskMaker, tmp_path: Path) -> None:
    head = "def point():\n    pass\n"
    task = make_task(evaluate=PROBED, seed=head + "x = 1\n" * 18, toml=PROBE)
    run = make_run(task, tmp_path / "runs", seed=3)
    async with open_parts(run) as parts:
        session = parts.session
        await parts.experiment.run(0)

        async def measured(node: int, lines: int) -> ev.EvalDone:
            code = f"{head}y = {node}\n" + "x = 1\n" * (lines - 3)
            session.emit(ev.RoundStarted(), round=node)
            made = ev.DesignDone(sha256_of(code.encode()), "full", "n", "", [0], digest=str(node))
            session.emit(made, round=node, node=node, blobs=[code.encode()])
            await parts.experiment.run(node)
            await session.committed()
            return decided(run)

        assert [(await measured(node, 21)).taken_from for node in (1, 2, 3)] == [None] * 3, "it is not trusted yet"
        taken = await measured(4, 22)
        assert (taken.taken_from, taken.score, taken.stage, taken.measurements) == (0, 2.0, "probe", 0)
        assert "takes over its score" in taken.reason
        # The score would be another one: the probe cannot tell, until one of those that are checked shows it.
        assert (await measured(5, 30)).taken_from == 0
        node = 6
        while (await measured(node, 31)).taken_from is not None:
            node += 1
        assert session.state.probes.wrong == 1 and session.state.best == node
        # What nobody measured counts no more, until somebody does.
        withdrawn = session.state.nodes[4:node]
        assert all((made.status, made.score, made.standing) == ("cancelled", None, None) for made in withdrawn)
        assert withdrawn[0].reason.startswith("the probe was wrong, so the score of node 0 is not its own")
        assert session.state.probes.held == {} and session.state.counts["ok"] == 5
        sampled = session.state.ranked
        assert len(sampled) == 5
        assert (await measured(node + 1, 22)).taken_from is None, "it was wrong once"
        session.emit(ev.NodeRerun(0), round=4, node=4)
        await parts.rerun.run(4)
        assert session.state.nodes[4].score == 2.0 and session.state.nodes[4].eligible
        await session.committed()
        assert fold(run).probes == session.state.probes
    stages = [event.data.stage for event in events(run, ev.EvalStageDone) if isinstance(event.data, ev.EvalStageDone)]
    assert stages.count("probe") == node + 2 and stages.count("explore") == 7
