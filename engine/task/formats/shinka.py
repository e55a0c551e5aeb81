"""Tasks of ShinkaEvolve.

The contract: `evaluate.py --program_path P --results_dir R` writes correct.json and metrics.json into R;
`combined_score` is maximized. The settings stand in a program of theirs, whose syntax tree is read.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.task.formats.foreign import (
    Foreign,
    number,
    parse_python,
    program_in,
    read_text,
    read_yaml,
    readme_of,
    table,
)

__all__ = ["read", "sign"]

_CLASSES = ("EvolutionConfig", "DatabaseConfig", "LocalJobConfig", "JobConfig")
_IGNORED = {
    "llm_models", "llm_kwargs", "llm_dynamic_selection", "max_api_costs", "meta_rec_interval", "meta_llm_models",
    "novelty_llm_models", "embedding_model", "code_embed_sim_threshold", "evolve_prompts", "prompt_llm_models",
}  # fmt: skip
_EVALUATION_SECONDS = 3600.0
_UNREAD = object()


def sign(folder: Path) -> str:
    """Return by what the format is known; empty if the folder is of another."""
    evaluator = folder / "evaluate.py"
    programs = program_in(folder, "initial")
    if not evaluator.is_file() or not programs:
        return ""
    try:
        text = read_text(evaluator)
    except TaskError:
        return ""
    if "program_path" not in text or "results_dir" not in text:
        return ""
    return f"evaluate.py with --program_path and --results_dir, and {programs[0].name}"


def read(folder: Path) -> Foreign:
    """Return what the folder says.

    Raises:
        TaskError: a part of it is wrong.
    """
    programs = program_in(folder, "initial")
    if programs[0].suffix != ".py":
        raise TaskError(f"{programs[0]} is a program in another language than Python, which is not supported yet")
    foreign = Foreign(
        format="ShinkaEvolve",
        why=sign(folder),
        folder=folder,
        seed=programs[0],
        brief="",
        entry=Path("evaluate.py"),
        wrapper="shinka_evaluate.py",
        keep_blocks=True,
        seconds=_EVALUATION_SECONDS,
    )
    said = _settings(foreign)
    brief = said.get("task_sys_msg")
    if isinstance(brief, str) and brief.strip():
        foreign.brief = brief.strip()
    else:
        foreign.brief = readme_of(folder)
        foreign.taken.append("brief: the beginning of README.md, since no settings hold one")
    if not foreign.brief:
        raise TaskError(
            f"{folder} says nowhere what the task is",
            "Write it to README.md, or to task_sys_msg in run_evo.py",
        )
    _take(foreign, said)
    return foreign


def _settings(foreign: Foreign) -> dict[str, Any]:
    """Return all settings of theirs that are constants, by their names."""
    said: dict[str, Any] = {}
    folder = foreign.folder
    for path in (folder / "run_evo.py", *sorted(folder.glob("run_*.py"))):
        if path.is_file():
            found = _read_program(path)
            if found:
                foreign.taken.append(f"settings: {path.name}, as they stand in its text")
                return found
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        found = read_yaml(path)
        for part in ("evo_config", "db_config", "job_config"):
            said |= table(found, part)
        if said:
            foreign.taken.append(f"settings: {path.name}")
            return said
    return said


def _read_program(path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for item in ast.walk(parse_python(path)):
        if isinstance(item, ast.Assign):
            value = _constant(item.value, names)
            for target in item.targets:
                if value is not _UNREAD and isinstance(target, ast.Name):
                    names[target.id] = value
                    if "sys_msg" in target.id and isinstance(value, str):
                        said.setdefault("task_sys_msg", value)
                elif value is not _UNREAD and isinstance(target, ast.Subscript):
                    key = target.slice
                    said |= {str(key.value): value} if isinstance(key, ast.Constant) else {}
        elif isinstance(item, ast.Call):
            called = item.func.attr if isinstance(item.func, ast.Attribute) else getattr(item.func, "id", "")
            if called in _CLASSES or called == "dict":
                for keyword in item.keywords:
                    value = _constant(keyword.value, names)
                    if keyword.arg is not None and value is not _UNREAD:
                        said[keyword.arg] = value
    return said


def _constant(item: ast.expr, names: dict[str, Any]) -> Any:
    """Return what an expression is if that can be told without running it."""
    if isinstance(item, ast.Name):
        return names.get(item.id, _UNREAD)
    if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute) and not item.args and not item.keywords:
        text = _constant(item.func.value, names)
        if isinstance(text, str) and item.func.attr in ("strip", "lstrip", "rstrip"):
            return str(getattr(text, item.func.attr)())
        return _UNREAD
    if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Add):
        parts = [_constant(side, names) for side in (item.left, item.right)]
        return parts[0] + parts[1] if all(isinstance(part, str) for part in parts) else _UNREAD
    try:
        return ast.literal_eval(item)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNREAD


def _take(foreign: Foreign, said: dict[str, Any]) -> None:
    generations = number(said.get("num_generations"), 2)
    if generations is not None:
        # Theirs counts the program to start from.
        foreign.run["rounds"] = int(generations) - 1
    seconds = _seconds(said.get("time"))
    if seconds is not None:
        foreign.seconds = seconds
    for theirs, ours in (
        ("max_evaluation_jobs", "slots"),
        ("max_parallel_jobs", "slots"),
        ("max_proposal_jobs", "workers"),
    ):
        value = number(said.get(theirs), 1)
        if value is not None:
            foreign.run[ours] = int(value)
    modes = _modes(said)
    if modes:
        foreign.run["designer"] = {"modes": modes}
    sampler: dict[str, Any] = {}
    for theirs, ours in (("num_islands", "islands"), ("archive_size", "archive")):
        value = number(said.get(theirs), 1)
        if value is not None:
            sampler[ours] = int(value)
    steepness = number(said.get("parent_selection_lambda"), 0)
    if steepness is not None:
        sampler["steepness"] = float(steepness)
    shown = [number(said.get(key), 0) for key in ("num_archive_inspirations", "num_top_k_inspirations")]
    if any(value is not None for value in shown):
        sampler["inspirations"] = int(sum(value or 0 for value in shown))
    if sampler:
        foreign.run["sampler"] = sampler
    arguments = said.get("extra_cmd_args")
    if isinstance(arguments, dict):
        foreign.settings["arguments"] = [
            text for key, value in arguments.items() for text in (f"--{key}", str(value)) if value is not None
        ]
    foreign.settings["text_feedback"] = said.get("use_text_feedback") is True
    python = said.get("python_executable")
    if isinstance(python, str) and python:
        foreign.python = python
    unused = sorted(_IGNORED & set(said))
    if unused:
        foreign.ignored.append(f"{', '.join(unused)} (models are never asked unless you name them)")


def _modes(said: dict[str, Any]) -> dict[str, float]:
    kinds, weights = said.get("patch_types"), said.get("patch_type_probs")
    if not isinstance(kinds, list) or not isinstance(weights, list) or len(kinds) != len(weights):
        return {}
    ours = {"diff": "diff", "full": "full", "cross": "crossover"}
    modes: dict[str, float] = {"diff": 0.0, "full": 0.0, "crossover": 0.0}
    for kind, weight in zip(kinds, weights, strict=True):
        share = number(weight, 0)
        if kind in ours and share is not None:
            modes[ours[kind]] = float(share)
    return modes if modes["diff"] + modes["full"] > 0 else {}


def _seconds(text: object) -> float | None:
    """Return the seconds of `hh:mm:ss`; None if it is something else."""
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) != 3 or not all(part.isdigit() and len(part) < 6 for part in parts):
        return None
    hours, minutes, seconds = (int(part) for part in parts)
    return float(hours * 3600 + minutes * 60 + seconds) or None
