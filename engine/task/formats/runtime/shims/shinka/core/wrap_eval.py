"""Run a function of a program several times, check and sum up what it returns, and write the result files."""

import importlib.util
import json
import math
import statistics
import time
from pathlib import Path

from shinka.utils.eval_stop import create_early_stop_method

__all__ = ["load_program", "run_shinka_eval", "save_json_results"]

ON_ERROR = {
    "combined_score": 0.0,
    "execution_time_mean": 0.0,
    "execution_time_std": 0.0,
    "num_successful_runs": 0,
    "num_valid_runs": 0,
    "num_invalid_runs": 0,
    "all_validation_errors": [],
}


def load_program(program_path):
    """Return the program as a module."""
    spec = importlib.util.spec_from_file_location("program", program_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save_json_results(results_dir, metrics, correct, error=None):
    """Write correct.json and metrics.json."""
    Path(results_dir).mkdir(parents=True, exist_ok=True)
    for name, content in (("correct.json", {"correct": correct, "error": error}), ("metrics.json", metrics)):
        (Path(results_dir) / name).write_text(json.dumps(content, indent=4, default=_plain))


def _plain(value):
    """Return numpy's numbers and arrays as JSON can hold them, and the text of everything else."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def run_shinka_eval(
    program_path,
    results_dir,
    experiment_fn_name,
    num_runs,
    get_experiment_kwargs=None,
    aggregate_metrics_fn=None,
    validate_fn=None,
    plotting_fn=None,
    default_metrics_on_error=None,
    early_stop_method=None,
    early_stop_threshold=None,
    early_stop_score_fn=None,
    early_stop_kwargs=None,
    run_workers=1,
    max_workers_cap=None,
):
    """Run, check, sum up and write; return (metrics, correct, error).

    Runs come one after the other, whatever `run_workers` says: an evaluation here has its cores from the engine, and
    the results are the same.
    """
    if run_workers < 1 or (max_workers_cap is not None and max_workers_cap < 1):
        raise ValueError("run_workers and max_workers_cap must be >= 1")
    stopper = _stopper(early_stop_method, early_stop_threshold, early_stop_kwargs, run_workers > 1 and num_runs > 1)
    errors, first, correct = [], None, True
    results, seconds, scores = [], [], []
    decision, valid = None, 0
    try:
        function = getattr(load_program(program_path), experiment_fn_name, None)
        if function is None:
            raise AttributeError(f"Experiment function '{experiment_fn_name}' not found in {program_path}")
        for index in range(num_runs):
            kwargs = get_experiment_kwargs(index) if get_experiment_kwargs else {"seed": index + 1}
            began = time.perf_counter()
            found = function(**kwargs)
            seconds.append(time.perf_counter() - began)
            results.append(found)
            if validate_fn:
                good, message = validate_fn(found)
                valid += bool(good)
                if not good:
                    correct = False
                    if message:
                        first = first or f"Validation failed: {message}"
                        if message not in errors:
                            errors.append(message)
            if stopper is not None:
                score = _score_of(found, early_stop_score_fn)
                if score is not None:
                    scores.append(score)
                    decision = stopper.check(scores, early_stop_threshold)
                    if decision.should_stop:
                        print(f"stopped after {index + 1} of {num_runs} runs: {decision.reason}")
                        break
        metrics = aggregate_metrics_fn(results) if aggregate_metrics_fn else _plain_summary(results)
        metrics["execution_time_mean"] = statistics.fmean(seconds) if seconds else 0.0
        metrics["execution_time_std"] = statistics.pstdev(seconds) if seconds else 0.0
        if validate_fn:
            metrics["num_valid_runs"] = valid
            metrics["num_invalid_runs"] = len(results) - valid
            metrics["all_validation_errors"] = errors
        if stopper is not None:
            metrics["early_stop"] = {
                "method": stopper.name,
                "threshold": early_stop_threshold,
                "triggered": decision is not None and decision.should_stop,
                "runs_completed": len(results),
                "runs_requested": num_runs,
                "prediction": decision.prediction if decision is not None else "uncertain",
                "confidence": decision.confidence if decision is not None else 0.0,
                "reason": decision.reason if decision is not None else None,
                "scores": scores,
            }
        if "combined_score" in metrics and not math.isfinite(metrics["combined_score"]):
            correct = False
            first = first or f"combined_score is {metrics['combined_score']}"
    except Exception as exc:
        print(f"the evaluation failed: {exc}")
        metrics = {
            **ON_ERROR,
            **{key: value for key, value in (default_metrics_on_error or {}).items() if key in ON_ERROR},
        }
        first, correct = str(exc), False
    # For people only, and pictures are not drawn here: nobody would see them.
    metrics.pop("extra_data", None)
    save_json_results(results_dir, metrics, correct, first)
    return metrics, correct, first


def _stopper(method, threshold, kwargs, parallel):
    if method is None:
        return None
    if parallel:
        raise ValueError("Early stopping is only supported in sequential mode (set run_workers=1).")
    if threshold is None:
        raise ValueError("early_stop_threshold is required when early_stop_method is set")
    stopper = create_early_stop_method(method, **(kwargs or {})) if isinstance(method, str) else method
    if hasattr(stopper, "reset"):
        stopper.reset()
    return stopper


def _score_of(found, score_fn):
    if score_fn is not None:
        try:
            return score_fn(found)
        except Exception as exc:
            print(f"early_stop_score_fn failed: {exc}")
            return None
    if isinstance(found, (int, float)):
        return float(found)
    if isinstance(found, dict) and "score" in found:
        return float(found["score"])
    return None


def _plain_summary(results):
    return {
        "num_successful_runs": len(results),
        "first_run_result_type": str(type(results[0])) if results else "N/A",
        "raw_results_preview": str(results[:2]) if results else "N/A",
    }
