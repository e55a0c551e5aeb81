"""Experiment: run a node's program under limits, stage by stage, and measure it."""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.errors import Stopping
from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import RunningCurve
from engine.evaluation.evaluator import Evaluation, Job, Outcome, recover
from engine.evaluation.supervisor.folders import remove_tree
from engine.journal.clock import steady_ms
from engine.journal.events import BestCrowned, EvalDone, EvalProgress, EvalStageDone, EvalStarted
from engine.journal.reader import sha256_of

if TYPE_CHECKING:
    from engine.loop.engine import Engine
    from engine.state.node import Node
    from engine.task.spec import Stage

__all__ = ["crown_fittest", "experiment", "measure_again"]

_PROGRESS_MS = 1000
_CONFIRMATIONS = 2
"""Further measurements before a new best of a noisy evaluator is crowned."""


async def experiment(engine: Engine, node_id: int) -> None:
    """Take a node through the stages of its evaluation until one decides, then record the end.

    What was measured before a crash is kept: only repeats without a recorded result are run.

    Raises:
        Stopping: the engine is ending; the evaluation goes on at the next start.
    """
    node = engine.session.state.nodes[node_id]
    decided: EvalDone | None = None
    for stage in engine.session.spec.stages:
        if not stage.is_promotion:
            decided = await _run_stage(engine, node, stage)
            if decided.status != "ok":
                break
    assert decided is not None, "a task has at least one stage that ranks"
    decided = await _judged(engine, node, decided)
    if engine.session.spec.noisy and _is_new_best(engine, node, decided):
        # One lucky measurement must not crown a node.
        score_stage = engine.session.spec.score_stage
        confirmed = await _run_stage(engine, node, score_stage, score_stage.repeats + _CONFIRMATIONS)
        decided = msgspec.structs.replace(confirmed, judge=decided.judge)
    if _is_new_best(engine, node, decided):
        decided = await _promote(engine, node, decided)
    _record_end(engine, node, decided)


async def measure_again(engine: Engine, node_id: int) -> None:
    """Add a measurement to a node that a person asked for, and record what all of them say together.

    Raises:
        Stopping: the engine is ending; the measurement is taken at the next start.
    """
    node = engine.session.state.nodes[node_id]
    repeat = engine.session.state.evaluations[node_id].rerun
    assert repeat is not None
    stage = engine.session.spec.score_stage
    if not _results(engine, node, stage):
        await _run_repeat(engine, node, stage, repeat)
    # All of this node's measurements are on the disk by now, the new one too.
    past = [event.data for event in engine.session.past_of(node_id) if isinstance(event.data, EvalStageDone)]
    measured = [result for result in past if result.stage == stage.name]
    good = [result for result in measured if result.status == "ok"]
    decided = _decide(engine, stage, good or measured[-1:], round(sum(result.seconds for result in past), 3))
    if measured[-1].status != "ok" and good:
        told = f"measurement {repeat + 1}: {measured[-1].status}: {measured[-1].reason}"
        decided = msgspec.structs.replace(decided, reason=told)
    decided = await _judged(engine, node, decided)
    _record_end(engine, node, msgspec.structs.replace(decided, verified=node.verified))
    if engine.session.state.best == node_id:
        crown_fittest(engine)
    await engine.analyze.run(node_id)


async def _judged(engine: Engine, node: Node, decided: EvalDone) -> EvalDone:
    """The verdict with the judge's mark, where a judge's word counts; a program is judged once.

    Raises:
        Stopping: the engine is ending.
    """
    wanted = (
        decided.status == "ok"
        and engine.session.state.settings.fitness.judge > 0
        and engine.session.spec.judge is not None
    )
    if not wanted or node.judge is not None:
        return msgspec.structs.replace(decided, judge=node.judge)
    from engine.analyzers.judge import judge_program

    await engine.gate.wait(node.round)
    verdict = await judge_program(
        engine.models.for_round(node.round, node.id),
        engine.session.prompts.templates,
        engine.session.spec,
        engine.session.prompts.brief,
        engine.session.text(node.program),
        decided.metrics,
        engine.session.prompts.room(),
    )
    reason = f"not judged: {verdict.problem}" if verdict.mark is None else decided.reason
    return msgspec.structs.replace(decided, judge=verdict.mark, reason=reason)


def crown_fittest(engine: Engine) -> None:
    """After the best node was measured again, or all were ranked anew, another one may be the best."""
    state = engine.session.state
    best = state.fittest()
    if best is None or best.score is None:
        return
    if best.id != state.best or best.score != state.best_steps[-1].score:
        engine.session.emit(BestCrowned(score=best.score, previous=state.best), round=best.round, node=best.id)


def _is_new_best(engine: Engine, node: Node, decided: EvalDone) -> bool:
    state = engine.session.state
    return state.beats(state.fitness(node.id, decided.score, decided.metrics, decided.judge), state.best)


async def _promote(engine: Engine, node: Node, decided: EvalDone) -> EvalDone:
    """Take a new best through the promotion stages: they add a verified score and never take one away."""
    for stage in engine.session.spec.stages:
        if stage.is_promotion:
            verdict = await _run_stage(engine, node, stage)
            seconds = _seconds(engine, node)
            if verdict.status != "ok":
                reason = f"not verified in '{stage.name}': {verdict.status}: {verdict.reason}"
                return msgspec.structs.replace(decided, reason=reason, seconds=seconds)
            decided = msgspec.structs.replace(decided, verified=verdict.score, seconds=seconds)
    return decided


async def _run_stage(engine: Engine, node: Node, stage: Stage, repeats: int = 0) -> EvalDone:
    """All repeats of one stage, or so many, folded into what the stage says."""
    count = repeats or stage.repeats
    for repeat in range(count):
        results = _results(engine, node, stage)
        if any(result.repeat == repeat for result in results):
            continue
        if any(result.status != "ok" for result in results):
            break
        await _run_repeat(engine, node, stage, repeat)
    # After a crash there may be more results than this question is about.
    results = [result for result in _results(engine, node, stage) if result.repeat < count]
    return _decide(engine, stage, results, _seconds(engine, node))


def _results(engine: Engine, node: Node, stage: Stage) -> list[EvalStageDone]:
    return [result for result in engine.session.state.evaluations[node.id].done if result.stage == stage.name]


def _seconds(engine: Engine, node: Node) -> float:
    return round(sum(result.seconds for result in engine.session.state.evaluations[node.id].done), 3)


def _decide(engine: Engine, stage: Stage, results: list[EvalStageDone], seconds: float) -> EvalDone:
    """Return the stage's verdict: the mean over its repeats, or the first one that failed."""
    failed = next((result for result in results if result.status != "ok"), None)
    if failed is not None:
        return EvalDone(
            status=failed.status, metrics=failed.metrics, reason=failed.reason, stage=stage.name, seconds=seconds
        )
    scores = [result.score for result in results if result.score is not None]
    score = scores[0] if len(scores) == 1 else statistics.fmean(scores)
    metrics = results[0].metrics if len(results) == 1 else _mean_metrics(results)
    spec = engine.session.spec
    if stage.threshold is not None and spec.better(stage.threshold, score):
        reason = f"{spec.metric} {score:.6g} is worse than the threshold {stage.threshold:g} of '{stage.name}'"
        return EvalDone(status="rejected", metrics=metrics, reason=reason, stage=stage.name, seconds=seconds)
    return EvalDone(
        status="ok",
        score=score,
        metrics=metrics,
        stage=stage.name,
        seconds=seconds,
        measurements=len(scores),
        spread=_spread(scores),
    )


def _spread(scores: list[float]) -> float | None:
    """Standard deviation, where there are several scores and it is a number."""
    try:
        return statistics.stdev(scores) if len(scores) > 1 else None
    except OverflowError:
        return None


def _mean_metrics(results: list[EvalStageDone]) -> dict[str, object]:
    merged: dict[str, object] = {}
    for key in results[0].metrics:
        values = [result.metrics.get(key) for result in results]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        merged[key] = statistics.fmean(numbers) if len(numbers) == len(values) else values[0]
    return merged


async def _run_repeat(engine: Engine, node: Node, stage: Stage, repeat: int) -> None:
    """One evaluator process; its result is on the disk before its supervisor is let go."""
    folder = engine.session.run.work / f"{node.id}-{stage.name}-{repeat}"
    if folder.exists():
        # Left by an engine that died: its supervisor may still be ending it, or may hold a finished result.
        outcome = await recover(folder)
        # A power cut may have taken the node that had this number, and its program may have been another one.
        known = outcome is not None and _holds(folder, engine.session.text(node.program))
        if outcome is not None and known:
            _record(engine, node, stage, repeat, outcome, Curve())
            await engine.session.durable()
        await asyncio.to_thread(remove_tree, str(folder))
        if known:
            return
    while True:
        await engine.gate.wait(node.round)
        # The scarcer slot first: who waits for it must not keep others from theirs.
        async with engine.stage_slots.get(stage.name) or nullcontext(), engine.slots:
            # While this round waited for the slot, a person may have paused the run.
            if not engine.gate.open_for(node.round):
                continue
            if engine.gpus is None:
                await _evaluate(engine, node, stage, repeat, "")
            else:
                async with engine.gpus.lease(lambda: engine.gate.open_for(node.round)) as device:
                    if device is None:
                        continue
                    await _evaluate(engine, node, stage, repeat, device)
            return


def _holds(folder: Path, program: str) -> bool:
    """Whether an evaluation's folder is about this program."""
    try:
        return (folder / "program.py").read_bytes() == program.encode("utf-8", "surrogatepass")
    except OSError:
        return False


async def _evaluate(engine: Engine, node: Node, stage: Stage, repeat: int, device: str) -> None:
    # The same program meets the same seeds, whatever round it came in.
    drawn = engine.session.data_seeds.draw(stage.name, repeat)
    job = Job(
        program=engine.session.text(node.program),
        task_folder=engine.session.run.task,
        folder=engine.session.run.work / f"{node.id}-{stage.name}-{repeat}",
        metric=engine.session.spec.metric,
        guarded=engine.session.spec.guarded,
        gpu=engine.session.spec.gpu,
        python=engine.session.python,
        mounts=engine.session.mounts,
        stage=stage.name,
        repeat=repeat,
        seed=drawn.seed,
        data_seed=drawn.data,
        sandbox_seed=drawn.sandbox,
        settings={**engine.session.spec.settings, **stage.settings},
        limits=engine.session.spec.limits_of(stage),
        threads=engine.threads,
        device=device,
    )
    engine.session.emit(
        EvalStarted(
            stage=stage.name, repeat=repeat, seed=job.seed if engine.session.state.seed_known else 0, device=device
        ),
        round=node.round,
        node=node.id,
    )
    curve = Curve()
    last: int | None = None
    rule = engine.early_stop.get(stage.name)
    running = RunningCurve(rule) if rule is not None else None
    given_up = ""

    def on_progress(step: float | None, values: dict[str, float]) -> None:
        nonlocal last, given_up
        curve.add(step, values)
        if running is not None and not given_up:
            given_up = running.should_stop(step, values)
            if given_up:
                evaluation.cancel(given_up)
        # The journal gets a sample for those who watch; the whole curve is kept with the result.
        now = steady_ms()
        if last is None or now - last >= _PROGRESS_MS:
            last = now
            engine.session.emit(
                EvalProgress(stage=stage.name, repeat=repeat, step=step, values=values), round=node.round, node=node.id
            )

    evaluation = await Evaluation.start(job, on_progress)
    engine.running[node.id] = evaluation
    if engine.gate.cancelling:
        evaluation.cancel("the engine is stopping")
    elif engine.session.state.frozen:
        evaluation.freeze()
    try:
        outcome = await evaluation.outcome()
    finally:
        del engine.running[node.id]
    if outcome.status == "cancelled" and engine.gate.stopping:
        await evaluation.acknowledge()
        raise Stopping
    if outcome.status == "cancelled" and given_up:
        outcome = dataclasses.replace(outcome, status="rejected", reason=given_up)
    elif outcome.status == "ok" and rule is not None:
        rule.add(curve.points())
    _record(engine, node, stage, repeat, outcome, curve)
    await engine.session.durable()
    await evaluation.acknowledge()


def _record(engine: Engine, node: Node, stage: Stage, repeat: int, outcome: Outcome, curve: Curve) -> None:
    kept = {"stdout": outcome.stdout, "stderr": outcome.stderr, "curve": curve.encode()}
    names = {key: sha256_of(content) if content else "" for key, content in kept.items()}
    engine.session.emit(
        EvalStageDone(
            stage=stage.name,
            status=outcome.status,
            repeat=repeat,
            score=outcome.score,
            metrics=outcome.metrics,
            reason=outcome.reason,
            guarantee=outcome.guarantee,
            seconds=round(outcome.seconds, 4),
            cpu_seconds=round(outcome.cpu_seconds, 4),
            peak_mb=round(outcome.peak_mb, 1),
            stdout_blob=names["stdout"],
            stderr_blob=names["stderr"],
            curve_blob=names["curve"],
        ),
        round=node.round,
        node=node.id,
        blobs=[content for content in kept.values() if content],
    )


def _record_end(engine: Engine, node: Node, decided: EvalDone) -> None:
    """Record the verdict and, in the same transaction, a new best."""
    events: list[EvalDone | BestCrowned] = [decided]
    if engine.session.state.best != node.id and _is_new_best(engine, node, decided) and decided.score is not None:
        events.append(BestCrowned(score=decided.score, previous=engine.session.state.best))
    engine.session.emit(*events, round=node.round, node=node.id)
    if len(events) > 1:
        engine.crowned(node)
