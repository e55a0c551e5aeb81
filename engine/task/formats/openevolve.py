"""Tasks of OpenEvolve, and of SkyDiscover if they have a plain evaluator in Python.

The contract: `evaluate(program_path)` of evaluator.py returns metrics; `combined_score` is maximized.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.task.formats.foreign import (
    DIFF_ONLY,
    FULL_ONLY,
    Foreign,
    number,
    parse_python,
    program_in,
    read_text,
    read_yaml,
    readme_of,
    table,
)

__all__ = ["SECONDS", "read", "seed_in", "sign", "take_settings"]

_THRESHOLDS = [0.5, 0.75, 0.9]
SECONDS = 300.0
"""Limit of an evaluation if nothing says another."""
_PROGRAM = 10_000
_SAMPLER = {
    "num_islands": ("islands", 1),
    "feature_bins": ("bins", 1),
    "migration_interval": ("migration_interval", 1),
    "archive_size": ("archive", 1),
    "population_size": ("keep", 1),
}
_SHARES = {
    "migration_rate": "migration_rate",
    "exploration_ratio": "exploration",
    "exploitation_ratio": "exploitation",
}
_KNOWN = {
    "max_iterations", "random_seed", "max_code_length", "max_solution_length", "diff_based_evolution",
    "diff_based_generation", "early_stopping_patience", "evaluator", "parallel_evaluations", "prompt", "database",
    "llm",
}  # fmt: skip


def sign(folder: Path) -> str:
    """Return by what the format is known; empty if the folder is of another."""
    found = _evaluator(folder)
    programs = program_in(folder, "initial_program")
    if found is None or not programs or not programs[0].suffix:
        return ""
    return f"{found.relative_to(folder)} with evaluate() and {programs[0].name}"


def read(folder: Path) -> Foreign:
    """Return what the folder says.

    Raises:
        TaskError: a part of it is wrong.
    """
    evaluator = _evaluator(folder)
    assert evaluator is not None
    foreign = Foreign(
        format="OpenEvolve",
        why=sign(folder),
        folder=folder,
        seed=seed_in(folder),
        brief="",
        entry=evaluator.relative_to(folder),
        wrapper="openevolve_evaluate.py",
    )
    _take_evaluator(foreign, table(take_settings(foreign), "evaluator"))
    return foreign


def seed_in(folder: Path) -> Path:
    """Return the program to start from, by its exact name if there are several.

    Raises:
        TaskError: there is none in Python.
    """
    programs = program_in(folder, "initial_program")
    if not programs:
        raise TaskError(f"{folder} holds no initial_program.py to start from")
    if programs[0].suffix != ".py":
        raise TaskError(f"{programs[0]} is a program in another language than Python, which is not supported yet")
    return programs[0]


def take_settings(foreign: Foreign) -> dict[str, Any]:
    """Take the brief and the settings of a run from config.yaml, if there is one; return what it holds.

    Raises:
        TaskError: it is wrong, or nothing says what the task is.
    """
    folder = foreign.folder
    configs = sorted([*folder.glob("config*.yaml"), *folder.glob("config*.yml")], key=lambda path: path.stem)
    config = next((path for path in configs if path.stem == "config"), configs[0] if configs else None)
    found = read_yaml(config) if config is not None else {}
    programs = program_in(folder, "initial_program")
    for kind, chosen, others in (("program", foreign.seed, programs), ("settings", config, configs)):
        left = [path.name for path in others if path != chosen]
        if chosen is not None and left:
            foreign.taken.append(f"{kind}: {chosen.name}, not {', '.join(left)}")
    foreign.brief = _brief(foreign, found, config)
    _take_run(foreign, found)
    unknown = sorted(set(found) - _KNOWN)
    foreign.ignored += [f"{config.name}: {', '.join(unknown)}"] if config is not None and unknown else []
    if table(found, "llm"):
        foreign.ignored.append("llm (models and addresses of a folder are never asked: name yours with --model)")
    return found


def _evaluator(folder: Path) -> Path | None:
    for path in (folder / "evaluator.py", folder / "evaluator" / "evaluator.py"):
        if path.is_file() and _defines(path, ("evaluate", "evaluate_stage1")):
            return path
    return None


def _defines(path: Path, names: tuple[str, ...]) -> bool:
    try:
        body = parse_python(path).body
    except TaskError:
        # That it is no Python is told when it is read.
        return True
    return any(
        (isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name in names)
        or isinstance(item, ast.ImportFrom | ast.Assign)
        for item in body
    )


def _brief(foreign: Foreign, found: dict[str, Any], config: Path | None) -> str:
    said = table(found, "prompt").get("system_message")
    if isinstance(said, str) and len(said.split()) > 1:
        assert config is not None
        foreign.taken.append(f"brief: prompt.system_message of {config.name}")
        return said
    readme = readme_of(foreign.folder)
    if readme:
        foreign.taken.append("brief: the beginning of README.md, since no settings hold one")
        return readme
    files = [path for path in (foreign.seed, foreign.folder / foreign.entry) if path.suffix == ".py"]
    texts = [ast.get_docstring(parse_python(path)) or "" for path in files]
    if not any(texts):
        raise TaskError(
            f"{foreign.folder} says nowhere what the task is",
            "Write it to README.md, or to prompt.system_message in config.yaml",
        )
    foreign.taken.append("brief: docstrings of the program and the evaluator, since nothing else says what the task is")
    return "\n\n".join(text for text in texts if text)


def _take_evaluator(foreign: Foreign, found: dict[str, Any]) -> None:
    seconds = number(found.get("timeout"), 0.001) or SECONDS
    cascade = found.get("cascade_evaluation") is not False
    thresholds = found.get("cascade_thresholds")
    given = [number(value, -1e9) for value in thresholds] if isinstance(thresholds, list) else []
    numbers = [value for value in given if value is not None] or _THRESHOLDS
    body = parse_python(foreign.folder / foreign.entry).body
    stages = sum(
        isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name.startswith("evaluate_stage")
        for item in body
    )
    foreign.settings |= {"cascade": cascade, "thresholds": numbers}
    foreign.seconds = seconds * (max(1, min(3, stages)) if cascade else 1)
    if cascade and stages:
        shown = ", ".join(f"{value:g}" for value in numbers[: stages - 1])
        foreign.taken.append(f"cascade of {stages} stages inside one evaluation, thresholds {shown or 'none'}")
    if found.get("use_llm_feedback"):
        foreign.ignored.append("evaluator.use_llm_feedback (a [judge] in task.toml does that)")


def _take_run(foreign: Foreign, found: dict[str, Any]) -> None:
    slots = number(table(found, "evaluator").get("parallel_evaluations", found.get("parallel_evaluations")), 2)
    if slots is not None:
        foreign.run["slots"] = int(slots)
    rounds = number(found.get("max_iterations"), 1)
    if rounds is not None:
        foreign.run["rounds"] = int(rounds)
    seed = number(found.get("random_seed"), 0)
    if seed is not None:
        foreign.run["seed"] = int(seed)
    patience = number(found.get("early_stopping_patience"), 1)
    if patience is not None:
        foreign.run["patience"] = int(patience)
    diff = found.get("diff_based_evolution", found.get("diff_based_generation"))
    if isinstance(diff, bool):
        foreign.run["designer"] = {"modes": DIFF_ONLY if diff else FULL_ONLY}
    length = number(found.get("max_code_length", found.get("max_solution_length")), 1) or _PROGRAM
    foreign.max_program_bytes = int(max(length, 2 * len(read_text(foreign.seed).encode())))
    prompt, database = table(found, "prompt"), table(found, "database")
    sampler: dict[str, Any] = {}
    shown = [number(prompt.get(key), 0) for key in ("num_top_programs", "num_diverse_programs")]
    if any(value is not None for value in shown):
        sampler["inspirations"] = int(sum(value or 0 for value in shown))
    for theirs, (ours, least) in _SAMPLER.items():
        value = number(database.get(theirs), least)
        if value is not None:
            sampler[ours] = int(value)
    shares = {ours: number(database.get(theirs), 0) for theirs, ours in _SHARES.items()}
    sampler |= {name: value for name, value in shares.items() if value is not None and value <= 1}
    features = database.get("feature_dimensions")
    if isinstance(features, list):
        kept = list(dict.fromkeys(name for name in features if isinstance(name, str) and name != "score"))
        if kept and int(sampler.get("bins", 10)) ** len(kept) <= 10_000:
            sampler["features"] = kept
    if sampler:
        foreign.run["sampler"] = sampler
        foreign.taken.append("sampler: parameters only; parents are chosen by ucb1 unless --set sampler=map_elites")
    if prompt.get("template_dir"):
        foreign.ignored.append("prompt.template_dir (its templates have other variables)")
