"""Tasks of ASI-Evolve.

The contract: `bash eval.sh` in a folder `steps/step_N` beside the program `code`; it writes results.json, whose
`eval_score` is maximized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.task.formats.foreign import DIFF_ONLY, FULL_ONLY, Foreign, number, read_text, read_yaml, table

__all__ = ["read", "sign"]

_SECONDS = 3600.0
_PROGRAM = 10_000


def sign(folder: Path) -> str:
    """Return by what the format is known; empty if the folder is of another."""
    if (folder / "eval.sh").is_file() and (folder / "initial_program").is_file():
        return "eval.sh and initial_program"
    return ""


def read(folder: Path) -> Foreign:
    """Return what the folder says.

    Raises:
        TaskError: a part of it is wrong.
    """
    brief = folder / "input.md"
    if not brief.is_file():
        raise TaskError(f"{brief} is missing: it says what the task is")
    config = next((folder / name for name in ("config.yaml", "config.yml") if (folder / name).is_file()), None)
    found = read_yaml(config) if config is not None else {}
    foreign = Foreign(
        format="ASI-Evolve",
        why=sign(folder),
        folder=folder,
        seed=folder / "initial_program",
        brief=read_text(brief).strip(),
        entry=Path("eval.sh"),
        wrapper="asi_evolve_evaluate.py",
        seconds=_SECONDS,
    )
    _take(foreign, found)
    if (folder / "eval_criteria.md").is_file():
        foreign.ignored.append("eval_criteria.md (write a [judge] in task.toml for it)")
    if (folder / "prompts").is_dir():
        foreign.ignored.append("prompts/ (its templates have other variables)")
    if (folder / "init_cognition.py").is_file() or (folder / "cognition_data").is_dir():
        foreign.taken.append("priors: 'evolve priors import' takes cognition.json and init_cognition.py")
    return foreign


def _take(foreign: Foreign, found: dict[str, Any]) -> None:
    pipeline = table(found, "pipeline")
    seconds = number(pipeline.get("engineer_timeout"), 0.001)
    if seconds is not None:
        foreign.seconds = seconds
    rounds = number(pipeline.get("max_steps"), 1)
    if rounds is not None:
        foreign.run["rounds"] = int(rounds)
    workers = number(table(pipeline, "parallel").get("num_workers"), 1)
    if workers is not None:
        foreign.run["workers"] = int(workers)
    researcher = table(pipeline, "researcher")
    diff = researcher.get("diff_based_evolution")
    if isinstance(diff, bool):
        foreign.run["designer"] = {"modes": DIFF_ONLY if diff else FULL_ONLY}
    length = number(researcher.get("max_code_length"), 1) or _PROGRAM
    foreign.max_program_bytes = int(max(length, 2 * len(read_text(foreign.seed).encode())))
    sampler: dict[str, Any] = {}
    shown = number(pipeline.get("sample_n"), 1)
    if shown is not None:
        sampler["inspirations"] = int(shown) - 1
    database = table(found, "database")
    keep = number(database.get("max_size"), 1)
    if keep is not None:
        sampler["keep"] = int(keep)
    kind = table(database, "sampling").get("algorithm")
    ours = {"ucb1": "ucb1_paper", "greedy": "greedy", "random": "random", "island": "map_elites"}
    if isinstance(kind, str) and kind in ours:
        sampler["name"] = ours[kind]
    if sampler:
        foreign.run["sampler"] = sampler
    ratio = number(table(pipeline, "judge").get("ratio"), 0)
    if table(pipeline, "judge").get("enabled") is True and ratio:
        foreign.ignored.append(f"pipeline.judge (ratio {ratio:g}: set fitness.judge, with criteria in a [judge])")
    foreign.ignored += [name for name in ("api", "logging") if name in found]
