"""Certificates of constructions: what a program of an open problem constructs, and its score as an exact interval."""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.errors import RunError, UsageError
from engine.evaluation.construction import decode_construction
from engine.evaluation.evaluator import Evaluation, Job
from engine.journal.database import sha256_of
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.task.load import BUILTIN_TASKS, exact_problems
from engine.text import legible, one_line

__all__ = ["FORMAT", "check_certificate", "has_certificates", "make_certificate"]

FORMAT = "evolve-certificate-1"
_LARGEST = 8 << 20
"""Most bytes of a certificate that are read."""
_DRAWN_FROM = "drawn_from"
"""The setting of an instance that names the program from whose hash its data are drawn."""
_KEYS = {"format": str, "problem": str, "instance": dict, "answer": object, "score": dict}
_EVALUATOR = """
from evaluation import ask

def evaluate(program_path, report):
    report.keep(ask(report.settings))
    return {"score": 0.0}
"""


def has_certificates(problem: str) -> bool:
    """Return whether a task is an open problem whose answers can be measured exactly."""
    return problem in exact_problems()


def make_certificate(state: RunState, node: Node, program: str, construction: str = "") -> dict[str, Any]:
    """Return a certificate of what a node's program constructs, for which it runs once more if that was not kept.

    The measure is the built-in task's of today, not that of the run's copy: a certificate says nothing about the run's
    evaluator.

    Args:
        state: the run.
        node: the node.
        program: its program.
        construction: what it constructed, as the run has kept it; empty if it has not.

    Raises:
        RunError: the task has no exact measure, the program does not answer, or its answer breaks the rules.
    """
    problem = state.spec.name
    if not has_certificates(problem):
        raise RunError(
            f"{problem} has no exact measure, so that no certificate can be made of it",
            f"Certificates are made of {', '.join(exact_problems())}",
        )
    instance = {**state.spec.settings, **state.spec.score_stage.settings}
    beside: dict[str, Any] = {}
    if state.spec.confirmation == "gain":
        # What it is judged on is drawn: from its own hash, so that nobody picks a lucky draw.
        instance[_DRAWN_FROM], beside = node.program, {"program": program}
    if construction:
        answer = decode_construction(construction)
    else:
        with tempfile.TemporaryDirectory(prefix="evolve-certificate-") as folder:
            answer = asyncio.run(_construct(state, problem, instance, program, Path(folder)))
    measured = _measure(problem, instance, answer)
    if "refused" in measured:
        raise RunError(f"what node {node.id} constructs breaks the rules: {one_line(measured['refused'], 300)}")
    return {
        "format": FORMAT,
        "problem": problem,
        "instance": instance,
        "answer": answer,
        "score": measured,
        **beside,
        "from": {"node": node.id, "program_sha256": node.program},
        "versions": _versions(),
    }


async def _construct(state: RunState, problem: str, instance: dict[str, Any], program: str, folder: Path) -> Any:
    """Return the answer of a program, by an evaluator that keeps it."""
    task = folder / "task"
    shutil.copytree(exact_problems()[problem], task, ignore=shutil.ignore_patterns("priors", "__pycache__"))
    (task / "evaluate.py").write_text(_EVALUATOR)
    limits = state.spec.limits_of(state.spec.score_stage)
    job = Job(
        program=program, task_folder=task, folder=folder / "run" / "work" / "1", metric="score", guarded=True,
        gpu=False, python=None, mounts=[], stage="explore", repeat=0, seed=0,
        settings=instance, limits=limits, threads=1,
    )  # fmt: skip
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    if outcome.status != "ok":
        raise RunError(f"the program constructs nothing: {outcome.status}, {one_line(outcome.reason, 300)}")
    answer = decode_construction(outcome.construction)
    if answer is None:
        raise RunError("the program's answer is too long for a certificate, or more than numbers in lists")
    return answer


def check_certificate(path: Path) -> dict[str, Any]:
    """Measure the answer in a certificate anew; return what is claimed and what was found.

    Returns:
        `{"problem", "instance", "claimed", "score", "direction", "confirmed", "reason"}`.

    Raises:
        UsageError: the file cannot be read, or is no certificate.
    """
    claim = _read(path)
    problem = claim["problem"]
    if not has_certificates(problem):
        raise UsageError(
            f"{path} is of the problem '{legible(problem)}', which is not known here",
            f"Known are {', '.join(exact_problems())}",
        )
    drawn_from = claim["instance"].get(_DRAWN_FROM)
    if drawn_from is not None and drawn_from != _hash_of(claim.get("program")):
        measured = {"refused": "it is drawn from another hash than its program's"}
    else:
        measured = _measure(problem, claim["instance"], claim["answer"])
    reason = measured.get("refused", "")
    if not reason:
        wrong = [key for key in ("low", "high", "score", "direction") if claim["score"].get(key) != measured[key]]
        if wrong:
            reason = f"it claims another {' and '.join(wrong)} than its answer has"
    return {
        "problem": problem, "instance": claim["instance"], "claimed": claim["score"].get("score"),
        "score": measured.get("score"), "direction": measured.get("direction"), "confirmed": not reason,
        "reason": reason,
    }  # fmt: skip


def _hash_of(program: Any) -> str:
    return sha256_of(program.encode("utf-8", "surrogatepass")) if isinstance(program, str) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    if len(text) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST >> 20} MiB: it is no certificate")
    try:
        claim = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is no certificate: {one_line(str(exc), 200)}") from None
    if not isinstance(claim, dict) or claim.get("format") != FORMAT:
        raise UsageError(f"{path} is no certificate: its format is not {FORMAT}")
    for key, kind in _KEYS.items():
        if key not in claim or not isinstance(claim[key], kind):
            raise UsageError(f"{path} is no certificate: '{key}' is missing or of a wrong type")
    return claim


def _measure(problem: str, instance: dict[str, Any], answer: Any) -> dict[str, Any]:
    """Return what the built-in task's measure says of an answer."""
    asked = json.dumps({"instance": instance, "answer": answer})
    command = [sys.executable, "-I", str(BUILTIN_TASKS / "mathematics" / "certify.py"), str(exact_problems()[problem])]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = one_line(done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}", 300)
        return {"refused": f"it could not be measured: {said}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("asi-evolve-tui", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
