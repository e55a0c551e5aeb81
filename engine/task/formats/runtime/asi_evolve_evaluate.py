"""Score a program by an evaluator in ASI-Evolve's form: a shell script in the folder of a step."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import evolve_task

FOLDER = Path(__file__).absolute().parent / "task"


def evaluate(program_path, report):
    # Scripts find their folder from a working folder of this shape, and may write into it.
    place = Path(report.scratch) / report.settings["name"]
    shutil.copytree(FOLDER, place, dirs_exist_ok=True)
    step = place / "steps" / "step_1"
    step.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(program_path, step / "code")
    script = str(place / report.settings["entry"])
    done = subprocess.run(["bash", script], cwd=step, env=environment(report), check=False)
    if done.returncode:
        raise evolve_task.CandidateError(f"{report.settings['entry']} ended with exit code {done.returncode}")
    return result(read(step / "results.json"))


def environment(report):
    """Return the environment: `python` and `python3` are the task's interpreter."""
    tools = Path(report.scratch) / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("python", "python3"):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (tools / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def read(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise evolve_task.Invalid("the script wrote no results.json") from None
    except (OSError, ValueError) as exc:
        raise evolve_task.Invalid(f"results.json cannot be read: {exc}") from None
    if not isinstance(found, dict):
        raise evolve_task.Invalid("results.json holds no table")
    return found


def result(found):
    inner = found.get("temp") if isinstance(found.get("temp"), dict) else {}
    if found.get("success") is not True:
        raise evolve_task.Invalid(str(inner.get("error") or found.get("error") or "the script says that it failed"))
    score = found.get("eval_score")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise evolve_task.Invalid(f"eval_score is {score!r}, no finite number")
    kept = {name: value for name, value in found.items() if name not in ("eval_score", "success", "temp", "error")}
    metrics = {name: value for name, value in kept.items() if not isinstance(value, dict)}
    for name, value in kept.items():
        if isinstance(value, dict):
            metrics.update({f"{name}.{key}": item for key, item in value.items() if not isinstance(item, dict)})
    metrics["eval_score"] = score
    if inner:
        metrics["feedback"] = json.dumps(inner, indent=1, default=str)
    return metrics
