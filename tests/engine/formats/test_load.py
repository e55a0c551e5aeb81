"""Folders of other systems become tasks, and score as they do there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.cli.foreign import keep_interpreter, open_task
from engine.cli.tasks import check
from engine.errors import TaskError
from engine.evaluation.interpreter import locate_interpreter
from engine.runs.review import NotTrusted
from engine.settings.model import SamplerSettings
from engine.settings.named_paths import named_interpreters
from engine.task.load import load_task

from .folders import ASI_EVOLVE, OPENEVOLVE, SHINKA, evaluate, write_folder


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


async def test_openevolve_folder_scores_as_there(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "point", OPENEVOLVE)
    before = listing(folder)
    task = load_task(folder)
    spec = task.spec
    assert (spec.name, spec.direction, spec.metric, spec.guarded) == ("point", "maximize", "combined_score", False)
    assert task.brief.strip() == "Find the point."
    assert spec.interface.functions == ["run_search"]
    assert spec.run == {
        "rounds": 40,
        "seed": 3,
        "sampler": {"inspirations": 2, "islands": 3, "features": ["complexity"]},
    }
    assert any("llm" in note for note in task.notes) and task.origin == folder
    outcome = await evaluate(task, tmp_path)
    assert (outcome.status, outcome.score) == ("ok", -0.5)
    assert (outcome.metrics, outcome.feedback) == ({"nested.x": 0.5}, "[hint] x is 0.5")
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("ratios", "taken"),
    [
        ("exploration_ratio: 0.4", (0.4, 0.7)),
        ("exploitation_ratio: 0.9", (0.2, 0.9)),
        ("exploration_ratio: 0.1", (0.1, 0.7)),
        ("exploration_ratio: 0.5\n  exploitation_ratio: 0.3", (0.5, 0.3)),
    ],
)
def test_one_share_of_openevolve_goes_with_its_default_of_the_other(
    ratios: str, taken: tuple[float, float], tmp_path: Path
) -> None:
    config = str(OPENEVOLVE["config.yaml"]).replace("num_islands: 3", f"num_islands: 3\n  {ratios}")
    task = open_task(str(write_folder(tmp_path / "task", OPENEVOLVE | {"config.yaml": config})))
    sampler = msgspec.convert(task.spec.run["sampler"], SamplerSettings)
    assert (sampler.exploration, sampler.exploitation) == taken


async def test_shinka_folder_scores_as_there_and_keeps_private_metrics_private(tmp_path: Path) -> None:
    task = load_task(write_folder(tmp_path / "number", SHINKA))
    assert task.brief.strip() == "Find the number."
    assert task.spec.limits.seconds == 30
    assert task.spec.run["rounds"] == 9
    assert task.spec.run["designer"] == {"modes": {"diff": 0.6, "full": 0.3, "crossover": 0.1}}
    outcome = await evaluate(task, tmp_path)
    assert (outcome.status, outcome.score, outcome.feedback) == ("ok", -0.25, "go up")
    assert outcome.metrics["runs"] == 2 and outcome.metrics["num_valid_runs"] == 2
    assert "secret" not in str(outcome)


async def test_asi_evolve_folder_scores_as_there(tmp_path: Path) -> None:
    task = load_task(write_folder(tmp_path / "number", ASI_EVOLVE))
    assert task.spec.run == {
        "designer": {"modes": {"diff": 1.0, "full": 0.0}},
        "sampler": {"inspirations": 2, "name": "greedy"},
    }
    outcome = await evaluate(task, tmp_path)
    assert (outcome.status, outcome.score, outcome.metrics) == ("ok", -0.5, {"value": 2.5})
    assert "closer to 3" in outcome.feedback


@pytest.mark.parametrize(
    ("files", "program", "status", "reason"),
    [
        (OPENEVOLVE, "def run_search():\n    return 1 / 0\n", "crashed", "ZeroDivisionError"),
        (SHINKA, "def run_experiment(seed):\n    return 99\n", "invalid", "Validation failed: too large"),
        (SHINKA, "def run_experiment(seed):\n    return 1 / 0\n", "invalid", "division by zero"),
        (ASI_EVOLVE, "def answer():\n    return 1 / 0\n", "crashed", "eval.sh ended with exit code 1"),
    ],
)
async def test_failed_programs_say_why(
    files: dict[str, str], program: str, status: str, reason: str, tmp_path: Path
) -> None:
    outcome = await evaluate(load_task(write_folder(tmp_path / "task", files)), tmp_path, program)
    assert outcome.status == status and reason in outcome.reason


def test_same_folder_is_converted_once_and_a_changed_one_anew(tmp_path: Path, workspace: Path) -> None:
    folder = write_folder(tmp_path / "point", OPENEVOLVE)
    first, again = load_task(folder).folder, load_task(folder).folder
    (folder / "helper.py").write_text("TARGET = 2.0\n")
    assert first == again != load_task(folder).folder
    assert first.is_relative_to(workspace)


async def test_program_may_import_what_lies_beside_the_evaluator(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "initial_program.py": "from helper import TARGET\n\n\ndef run_search():\n    return TARGET - 0.5\n",
        "evaluator.py": None,
        "evaluator/evaluator.py": OPENEVOLVE["evaluator.py"],
        "helper.py": None,
        "evaluator/helper.py": OPENEVOLVE["helper.py"],
    }
    outcome = await evaluate(load_task(write_folder(tmp_path / "point", {**OPENEVOLVE, **files})), tmp_path)
    assert (outcome.status, outcome.score) == ("ok", -0.5), outcome.reason


def test_another_metric_may_rank(tmp_path: Path) -> None:
    task = load_task(write_folder(tmp_path / "point", OPENEVOLVE), metric="accuracy")
    assert task.spec.settings["metric"] == "accuracy"


def test_interpreter_that_a_person_gives_may_be_started(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env" / "python"
    path.parent.mkdir()
    path.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    folder = str(write_folder(tmp_path / "point", OPENEVOLVE))
    for name in ("nowhere", folder):
        with pytest.raises((TaskError, NotTrusted)):
            check(name, python="env/python")
        assert not named_interpreters(), "nobody has agreed"
    for _ in range(2):
        task = open_task(folder, "env/python")
        assert task.spec.python == str(path)
        keep_interpreter("env/python")
        assert locate_interpreter(task.spec.python, task.folder) == str(path)
    assert named_interpreters() == [str(path)]


def test_hidden_files_are_left_out_and_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "point", {**OPENEVOLVE, ".git/config": "x", "data/.table.csv": "1", ".env": "K=1"})
    task = load_task(folder)
    assert any("hidden files (.env, data/.table.csv)" in note for note in task.notes), task.notes
    assert not (task.folder / "task" / ".env").exists()


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "point", OPENEVOLVE)
    (tmp_path / "secret").write_text("key")
    (folder / "data").symlink_to(tmp_path / "secret")
    assert not (load_task(folder).folder / "task" / "data").exists()


TWO: dict[str, Any] = {**OPENEVOLVE, **SHINKA}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (TWO, "fits two formats: ShinkaEvolve"),
    (
        {**OPENEVOLVE, "evaluator.py": "import no_such_module\n\n\ndef evaluate(path):\n    return {}\n"},
        "no_such_module",
    ),
    (
        {
            **OPENEVOLVE,
            "evaluator.py": "import subprocess\n\n\ndef evaluate(p):\n    subprocess.run(['no-such-tool', p])\n",
        },
        "no-such-tool, which evaluator.py starts, is not on PATH",
    ),
    ({**OPENEVOLVE, "initial_program.py": None, "initial_program.rs": "fn main() {}"}, "another language than Python"),
    ({**OPENEVOLVE, "config.yaml": "a: [1"}, "is not valid YAML"),
    ({**OPENEVOLVE, "config.yaml": "- 1\n"}, "expected a table"),
    ({**OPENEVOLVE, "config.yaml": "a: " + "[" * 2000}, "YAML"),
    ({**OPENEVOLVE, "config.yaml": "a: !!python/object/apply:os.system [id]\n"}, "is not valid YAML"),
    ({**OPENEVOLVE, "evaluator.py": "def evaluate(:\n"}, "is not valid Python"),
    ({**OPENEVOLVE, "config.yaml": None, "initial_program.py": "X = 1\n"}, "says nowhere what the task is"),
    ({**ASI_EVOLVE, "input.md": None}, "input.md is missing"),
    ({"instruction.md": "Do it.", "tests/test.sh": "true", "environment/Dockerfile": "FROM x"}, "is a Harbor task"),
    (
        {"evaluator/Dockerfile": "FROM x", "evaluator/evaluate.sh": "true"},
        "evaluated in a container, and containers are started only if asked for",
    ),
    ({"notes.txt": ""}, "is not a task folder"),
]


@pytest.mark.parametrize(("files", "message"), REFUSED, ids=range(len(REFUSED)))
def test_unusable_folder_is_refused_in_a_sentence(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(write_folder(tmp_path / "task", files))


def test_settings_survive_as_they_are_written(tmp_path: Path) -> None:
    odd = 'quote " backslash \\ newline \n tab \t del \x7f é'
    program = SHINKA["run_evo.py"].replace("{'runs': 2}", repr({"runs": odd}))
    task = load_task(write_folder(tmp_path / "number", SHINKA, run_evo__py=program))
    assert task.spec.settings["arguments"] == ["--runs", odd]
    assert msgspec.to_builtins(task.spec)["run"]["rounds"] == 9
