"""Score a program by an evaluator in OpenEvolve's form, as that system would."""

import asyncio
import importlib.util
import math
import sys
from pathlib import Path

import evolve_task

FOLDER = Path(__file__).absolute().parent / "task"
SHIMS = Path(__file__).absolute().parent / "shims"


def evaluate(program_path, report):
    settings = report.settings
    evaluator = FOLDER / settings["entry"]
    sys.path.insert(0, str(evaluator.parent))
    sys.path.append(str(SHIMS))
    module = load(evaluator)
    if settings["cascade"] and hasattr(module, "evaluate_stage1"):
        metrics, artifacts = cascade(module, program_path, settings["thresholds"])
    else:
        metrics, artifacts = split(wait(module.evaluate(program_path)))
    return result(report, metrics, artifacts, settings.get("metric", ""), settings.get("features", []))


def load(path):
    spec = importlib.util.spec_from_file_location("evaluation_module", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluation_module"] = module
    spec.loader.exec_module(module)
    return module


def wait(value):
    """Return a value, or what an awaitable gives."""
    if hasattr(value, "__await__"):

        async def finish():
            return await value

        return asyncio.run(finish())
    return value


def split(found):
    """Return metrics and artifacts of what an evaluator returned."""
    if isinstance(found, dict):
        metrics, artifacts = dict(found), found.get("artifacts")
        if isinstance(artifacts, dict):
            del metrics["artifacts"]
            return metrics, artifacts
        return metrics, {}
    if isinstance(getattr(found, "metrics", None), dict):
        artifacts = getattr(found, "artifacts", None)
        return dict(found.metrics), dict(artifacts) if isinstance(artifacts, dict) else {}
    raise evolve_task.Invalid(f"the evaluator returned a {type(found).__name__}, neither a dict nor a result")


def cascade(module, path, thresholds):
    """Run the stages; below a threshold the scores of the stages so far stand."""
    metrics, artifacts = split(wait(module.evaluate_stage1(path)))
    for number, threshold in enumerate(thresholds[:2], start=2):
        stage = getattr(module, f"evaluate_stage{number}", None)
        if stage is None or not passes(metrics, threshold):
            break
        more, further = split(wait(stage(path)))
        metrics.update({name: value for name, value in more.items() if is_number(value) or isinstance(value, str)})
        artifacts.update(further)
    return metrics, artifacts


def passes(metrics, threshold):
    score = as_float(metrics.get("combined_score"))
    if score is None:
        numbers = [as_float(value) for name, value in metrics.items() if name != "error"]
        known = [value for value in numbers if value is not None]
        score = sum(known) / len(known) if known else 0.0
    return score >= threshold


def is_number(value):
    return as_float(value) is not None


def as_float(value):
    """Return a finite number as a float; None for everything else, booleans included."""
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        try:
            value = value.item()
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def flat(metrics):
    """Return metrics with those of nested dicts beside them, one level deep."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found.update({f"{name}.{key}": inner for key, inner in value.items() if not isinstance(inner, dict)})
        else:
            found[name] = value
    return found


def result(report, metrics, artifacts, metric, features):
    """Return what evolve wants: the score under `combined_score`, beside it the metrics and the artifacts."""
    error = metrics.get("error")
    failed = isinstance(error, str) and error.strip() and not as_float(metrics.get("combined_score"))
    if failed or metrics.get("timeout") is True:
        for name, text in artifacts.items():
            report.feedback(f"[{name}] {text}")
        raise evolve_task.Invalid(str(error) if failed else "the evaluator ended it for its time")
    found = flat(metrics)
    # Figures of inner tables can be named, and are in no mean.
    found["combined_score"] = score_of(found if metric else metrics, metric, features)
    if artifacts:
        found["artifacts"] = artifacts
    return found


def score_of(metrics, metric, features):
    if metric:
        score = as_float(metrics.get(metric))
        if score is None:
            known = ", ".join(name for name, value in metrics.items() if is_number(value)) or "none"
            raise evolve_task.Invalid(f"the evaluator gave no number as {metric!r}; numbers are: {known}")
        return score
    if "combined_score" in metrics:
        try:
            score = float(metrics["combined_score"])
        except (TypeError, ValueError):
            score = math.nan
        if math.isfinite(score):
            return score
        raise evolve_task.Invalid(f"combined_score is {metrics['combined_score']!r}, no finite number")
    named = [name for name in ("overall_score", "score") if is_number(metrics.get(name))]
    if len(named) == 1:
        return as_float(metrics[named[0]])
    numbers = [as_float(value) for name, value in metrics.items() if name not in features]
    known = [value for value in numbers if value is not None]
    return sum(known) / len(known) if known else 0.0
