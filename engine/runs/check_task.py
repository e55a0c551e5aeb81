"""`evolve check`: take a task's seeds through all steps of a round, and report problems by file and key."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import EditError, check_recipes, check_tuning, take_inventory
from engine.errors import TaskError, UsageError
from engine.evaluation.bound import held_to_bound
from engine.evaluation.build import Builds, build_of, tree_of
from engine.evaluation.construction import decode_construction
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.interpreter import locate_interpreter
from engine.evaluation.sandbox import find_sandbox
from engine.journal.database import sha256_of
from engine.llm.prompts import check_prompts
from engine.programs.outline import ProgramError
from engine.runs.configure import own_layers, task_settings
from engine.runs.reach import check_way_out, reads_outside
from engine.settings.constraints import breach_of
from engine.settings.fitness import fitness_of
from engine.settings.model import Settings
from engine.state.null_test import crowning_of, run_null_test
from engine.task.interface import check_program
from engine.task.snapshot import large_paths, read_copy, task_files, unpack_copy
from engine.task.spec import Seed, Stage, Task
from engine.text import counted, is_text, legible, one_line

__all__ = ["NULL_MEASUREMENTS", "Finding", "check_noise", "check_task"]

NULL_MEASUREMENTS = 5
"""Evaluations that a null test takes."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    ok: bool
    where: str
    """File, and key or stage."""
    what: str
    """The finding."""
    detail: str = ""
    """Output of the evaluator, if it helps."""


async def check_task(task: Task) -> AsyncIterator[Finding]:
    """Look at a loaded task part by part; what cannot be told without running it is run.

    Raises:
        EvolveError: no evaluation can be started on this machine.
    """
    yield Finding(True, "task.toml", f"{task.spec.name}, {task.spec.direction} {task.spec.metric}")
    unnamed = [legible(path.name) for path in task_files(task.folder) if not is_text(path.name)]
    for name in unnamed:
        yield Finding(False, name, "its name is not valid UTF-8: rename it, since a run keeps it as text")
    if unnamed:
        return
    try:
        check_way_out(reads_outside(task), task_settings(task), own_layers(()))
    except UsageError as exc:
        # Nothing of such a task is run.
        yield Finding(False, "task.toml", f"{exc.message}. {exc.hint}")
        return
    folder = PriorFolder(task.priors)
    priors = folder.read()
    for finding in _priors(task, folder, priors):
        yield finding
    for where, problem in check_prompts(task):
        yield Finding(False, where, problem)
    if task.spec.unconfined:
        where = "run in its containers" if task.spec.evaluator == "container" else "do not"
        yield Finding(True, "evaluate.py", f"runs unconfined, as task.toml asks; candidates {where}")
    sandbox = find_sandbox()
    if task.spec.guarded and not sandbox.guards:
        yield Finding(True, "sandbox", f"results are 'open', not 'guarded': {one_line(sandbox.shortfall, 600)}")
    for seed in task.seeds:
        where = _file_of(task, seed)
        try:
            check_program(seed.code, task.spec)
        except ProgramError as exc:
            yield Finding(False, where, f"{exc.check}: {exc.reason}")
            continue
        yield _recombined(task, seed, priors)
        probe = task.spec.probe_stage
        for stage in [*([probe] if probe is not None else []), *task.spec.stages]:
            outcome = await _evaluate(task, seed, stage)
            yield _judge(task, where, stage, outcome)
            if task.spec.kind == "improve" and outcome.status == "ok":
                yield await _improved(task, where, stage, seed, outcome)


async def _improved(task: Task, where: str, stage: Stage, seed: Seed, outcome: Outcome) -> Finding:
    """Evaluate a seed once more, from what it has constructed."""
    if decode_construction(outcome.construction) is None:
        why = "evaluate() keeps no construction of numbers in lists: call report.keep(construction)"
        return Finding(False, f"{where} in '{stage.name}'", why)
    again = await _evaluate(task, seed, stage, given=outcome.construction)
    return _judge(task, f"{where} from its own construction", stage, again)


def _file_of(task: Task, seed: Seed) -> str:
    language = task.spec.language
    if task.spec.program.files:
        return "seed/"
    alone = seed.name == "seed" and (task.folder / language.file("seed")).exists()
    return language.file("seed") if alone else f"seeds/{language.file(seed.name)}"


def _recombined(task: Task, seed: Seed, priors: Sequence[Prior]) -> Finding:
    """Return how much there is to recombine without a model."""
    where = f"{_file_of(task, seed)} to recombine"
    interface = task.spec.interface
    recipes = sum(len(prior.recipes) for prior in priors if prior.enabled)
    try:
        found = take_inventory(seed.code, [*interface.functions, *interface.classes], task.spec.language)
    except EditError as exc:
        return Finding(False, where, str(exc))
    text = found.describe(recipes)
    if not found.values and not recipes and len(task.seeds) == 1:
        text += ": without a model a run finds nothing to change; add recipes, or numbers that can be tuned"
    return Finding(True, where, text)


def _priors(task: Task, folder: PriorFolder, priors: Sequence[Prior]) -> list[Finding]:
    findings = [Finding(False, f"priors/{path.name}", problem) for path, problem in folder.problems]
    language = task.spec.language
    findings += [Finding(False, *problem.split(": ", 1)) for problem in check_recipes(task.seeds, priors, language)]
    seeds = [(_file_of(task, seed), seed) for seed in task.seeds]
    findings += [Finding(False, *problem.split(": ", 1)) for problem in check_tuning(seeds, priors, language)]
    if not findings:
        recipes = sum(len(prior.recipes) for prior in priors)
        found = f"{counted(len(priors), 'prior')}, {counted(recipes, 'recipe')}"
        what = found if priors else "none: nothing but the seed steers the search"
        findings.append(Finding(True, "priors", what))
    return findings


async def check_noise(task: Task, settings: Settings) -> Finding:
    """Measure the first seed again and again as if it were new designs: could one of them be crowned?

    The measurements are on the same data with other random numbers in the candidate's sandbox; of a `noisy` task, whose
    measurements differ in more than that, with other seeds altogether.

    Args:
        task: the task.
        settings: of its next run.

    Raises:
        EvolveError: no evaluation can be started on this machine.
    """
    spec, seed, stage = task.spec, task.seeds[0], task.spec.score_stage
    label = f"null test of {_file_of(task, seed)}"
    base: dict[str, Any] = {}
    scores: list[str] = []
    values: list[float] = []
    broken = ""
    for number in range(NULL_MEASUREMENTS):
        outcome = await _evaluate(task, seed, stage, number)
        if outcome.score is None:
            return Finding(False, label, f"measurement {number + 1}: {outcome.status}: {outcome.reason}")
        found = {**outcome.metrics, spec.metric: outcome.score}
        base = base or found
        if number == 0 and (breach := breach_of(settings.fitness.require, found, {}, {})) is not None:
            # No fault: a search may begin outside what is allowed.
            broken = f"; the seed breaks a constraint: {breach.reason}"
        value = fitness_of(settings.fitness, spec.metric, spec.direction, found, base, 0.0)
        if value is None:
            return Finding(False, label, f"measurement {number + 1}: a part of its fitness is missing")
        scores.append(f"{outcome.score:.6g}")
        values.append(value)
    test = run_null_test(values, crowning_of(spec, settings))
    told = f"{spec.metric} {', '.join(scores)}: {test.describe(settings.fitness.kind == 'score')}"
    return Finding(test.ok, label, told + broken)


async def _evaluate(task: Task, seed: Seed, stage: Stage, number: int = 0, given: str = "") -> Outcome:
    """Run one evaluation; each number has other seeds, of data too if the task is noisy.

    It reads a copy of the task such as a run keeps: nothing else of the folder was agreed to.
    """
    scratch, python = Path(tempfile.mkdtemp(prefix="evolve-check-")), task.spec.python
    try:
        job = Job(
            program=seed.code,
            task_folder=scratch / "task",
            folder=scratch / "evaluation",
            metric=task.spec.metric,
            guarded=task.spec.guarded,
            gpu=task.spec.gpu,
            trusted=task.spec.unconfined,
            containers=task.spec.evaluator == "container",
            python=locate_interpreter(python, task.folder) if python and "/" in python else python,
            mounts=[*(str(task.folder / mount) for mount in task.spec.mounts), *_lay_out(task, scratch / "task")],
            stage=stage.name,
            repeat=0,
            seed=number if task.spec.noisy else 0,
            sandbox_seed=number or None,
            settings={**task.spec.settings, **stage.settings},
            given=given,
            limits=task.spec.limits_of(stage),
            threads=1,
            cores=task.spec.cores,
            suffix=task.spec.language.suffix,
            build=build_of(task.spec, task.folder),
            tree=tree_of(task.spec, task.folder, seed.code),
        )
        outcome = await _outcome(job)
        copied, read = str(job.task_folder), str(task.folder)
        streams = [text.replace(copied.encode(), read.encode()) for text in (outcome.stdout, outcome.stderr)]
        outcome = replace(outcome, reason=outcome.reason.replace(copied, read), stdout=streams[0], stderr=streams[1])
        return held_to_bound(outcome, task.spec)
    except OSError as exc:
        raise TaskError(f"the evaluation of {seed.name} could not start: {exc}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _outcome(job: Job) -> Outcome:
    """Build the program, if the task says so, and evaluate it."""
    if job.build is not None and not job.is_build:
        made = await Builds(_outcome).of(job)
        if isinstance(made, Outcome):
            return made
        job = replace(job, built=made)
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome


def _lay_out(task: Task, target: Path) -> list[str]:
    """Copy a task as a run would; return the files that the copy holds links to."""
    copy = read_copy(task.folder)
    contents = {sha256_of(content): content for content in copy.blobs}
    unpack_copy(target, copy.files, copy.large_files, contents.__getitem__)
    return [str(path) for path in large_paths(copy.large_files).values()]


def _judge(task: Task, where: str, stage: Stage, outcome: Outcome) -> Finding:
    label = f"{where} in '{stage.name}'"
    output = "\n".join(part.decode("utf-8", "replace").strip() for part in (outcome.stdout, outcome.stderr) if part)
    if outcome.status != "ok" or outcome.score is None:
        return Finding(False, label, f"{outcome.status}: {outcome.reason}", output)
    cost = f"{outcome.seconds:.2f} s, {outcome.peak_mb:.0f} MB"
    what = f"{task.spec.metric} {outcome.score:.6g} ({outcome.guarantee}), {cost}"
    if stage.threshold is not None and task.spec.better(stage.threshold, outcome.score):
        return Finding(False, label, f"{what}: worse than the stage's threshold {stage.threshold:g}", output)
    return Finding(True, label, what)
