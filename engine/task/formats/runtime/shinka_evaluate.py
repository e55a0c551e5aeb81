"""Score a program by an evaluator in ShinkaEvolve's form: a script that writes its results to files."""

import json
import math
import runpy
import sys
from pathlib import Path

import evolve_task

FOLDER = Path(__file__).absolute().parent / "task"
SHIMS = Path(__file__).absolute().parent / "shims"


def evaluate(program_path, report):
    results = Path(report.scratch) / "results"
    results.mkdir(exist_ok=True)
    script = str(FOLDER / report.settings["entry"])
    arguments = ["--program_path", program_path, "--results_dir", str(results), *report.settings.get("arguments", [])]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(FOLDER))
    sys.path.append(str(SHIMS))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit:
        pass  # only the files count
    correct, metrics = read(results, "correct.json"), read(results, "metrics.json")
    return result(correct, metrics, report.settings.get("text_feedback", False))


def read(folder, name):
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise evolve_task.Invalid(f"the evaluator wrote no {name}") from None
    except (OSError, ValueError) as exc:
        raise evolve_task.Invalid(f"the evaluator's {name} cannot be read: {exc}") from None
    if not isinstance(found, dict):
        raise evolve_task.Invalid(f"the evaluator's {name} holds no table")
    return found


def result(correct, metrics, text_feedback):
    """Return the score and what models may see: `public`; `private` is for nobody's prompt."""
    if correct.get("correct") is not True:
        raise evolve_task.Invalid(str(correct.get("error") or "the evaluator calls it incorrect"))
    score = metrics.get("combined_score")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise evolve_task.Invalid(f"combined_score is {score!r}, no finite number")
    public = metrics.get("public")
    found = {str(name): value for name, value in public.items()} if isinstance(public, dict) else {}
    for name, value in metrics.items():
        if name.startswith("execution_time") or name in ("num_valid_runs", "num_invalid_runs"):
            found.setdefault(name, value)
    for name in [name for name, value in found.items() if isinstance(value, dict)]:
        found.update({f"{name}.{key}": inner for key, inner in found.pop(name).items()})
    found["combined_score"] = score
    if text_feedback and isinstance(metrics.get("text_feedback"), str):
        found["feedback"] = metrics["text_feedback"]
    return found
