"""Task folders: valid parts are read, mistakes are reported with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cognition.files import PriorFolder
from engine.designers.recombine import check_recipes
from engine.errors import TaskError, UsageError
from engine.programs.folders import split_files
from engine.settings.decode import deep_merge, parse_assignment
from engine.settings.model import merge_settings
from engine.task.load import builtin_tasks, find_task, load_task
from engine.task.scaffold import write_task
from engine.task.spec import Stage, TaskSpec
from engine.task.starters import LANGUAGES as STARTERS
from tests.conftest import TaskMaker


def test_all_parts_of_task_are_read(make_task: TaskMaker) -> None:
    task = load_task(make_task(toml="[settings]\npoints = 3\n[run]\nrounds = 7\n"))
    assert (task.spec.name, task.spec.settings, task.spec.run) == ("point", {"points": 3}, {"rounds": 7})
    assert [seed.name for seed in task.seeds] == ["seed"]
    assert task.spec.limits.seconds == 20


def test_several_seeds_are_read_from_folder(make_task: TaskMaker) -> None:
    folder = make_task()
    (folder / "seeds").mkdir()
    for name in ("b", "a"):
        (folder / "seeds" / f"{name}.py").write_text("def point():\n    return [1, 1]\n")
    assert [seed.name for seed in load_task(folder).seeds] == ["a", "b"]


INSTANCES = """\
[settings]
points = 3
weight = 1.0
[instances.big]
summary = "nine points"
settings = {points = 9}
direction = "minimize"
"""


def folder_to_improve(make_task: TaskMaker) -> Path:
    """Return a task with an instance, a bound, and a function that improves."""
    folder = make_task(
        toml=INSTANCES, seed="def point():\n    return [1, 1]\n\n\ndef better(start):\n    return start\n"
    )
    text = (folder / "task.toml").read_text()
    text = text.replace('functions = ["point"]\n', 'functions = ["point"]\nimproving = ["better"]\n')
    (folder / "task.toml").write_text(f'bound = 1.0\nbound_source = "a proof"\n{text}')
    return folder


def test_instance_has_its_own_settings_direction_and_bound(make_task: TaskMaker) -> None:
    folder = folder_to_improve(make_task)
    usual, big = load_task(folder).spec, load_task(folder, instance="big").spec
    assert (usual.instance, usual.settings, usual.bound) == ("", {"points": 3, "weight": 1.0}, 1.0)
    assert (big.instance, big.settings, big.summary) == ("big", {"points": 9, "weight": 1.0}, "nine points")
    assert (big.direction, usual.direction, big.bound) == ("minimize", "maximize", None)
    with pytest.raises(TaskError, match="no instance 'small'"):
        load_task(folder, instance="small")


def test_kind_decides_which_functions_a_program_must_define(make_task: TaskMaker) -> None:
    folder = folder_to_improve(make_task)
    assert load_task(folder).spec.interface.functions == ["point"]
    assert load_task(folder, kind="improve").spec.interface.functions == ["point", "better"]
    (folder / "task.toml").write_text('kind = "improve"\n' + (folder / "task.toml").read_text())
    assert load_task(folder).spec.interface.functions == ["point", "better"]
    assert load_task(folder, kind="construct").spec.interface.functions == ["point"]
    with pytest.raises(TaskError, match="construct or improve, not 'destroy'"):
        load_task(folder, kind="destroy")
    with pytest.raises(TaskError, match="names what improves a construction"):
        load_task(find_task("bin_packing"), kind="improve")


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[limts]\nseconds = 3\n", "unknown key 'limts' (did you mean 'limits'?)"),
        ("[settings]\n[run]\nround = 3\n", "run: unknown key 'round' (did you mean 'rounds'?)"),
        ("[run]\nrounds = 'many'\n", "run: rounds: Expected `int`, got `str`"),
        (
            "[[stages]]\nname = 'quik'\n",
            "stages[0].name: Invalid enum value 'quik'; it is one of quick, explore, verify",
        ),
        ("[[stages]]\nname = 'quick'\nlimits = {secs = 3}\n", "stages[0].limits: unknown key 'secs'"),
        ("[[stages]]\nname = 'verify'\n", "promotion stages only"),
        ("[[stages]]\nname = 'quick'\nrepeats = 0\n", "`repeats` must be at least 1"),
        (
            "[instances.big]\nsettings = {points = 9}\n",
            "`instances.big` names 'points', which [settings] does not have",
        ),
        ("[instances.'big one']\n", "`instances.big one` is no name"),
        ("[instances.big]\nbound = 3.0\n", "instances"),
        ("x = [\n", "is not valid TOML"),
    ],
)
def test_mistake_in_task_toml_is_reported_with_file_and_key(make_task: TaskMaker, toml: str, told: str) -> None:
    folder = make_task(toml=toml)
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert told in str(caught.value)
    assert "task.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("brief.md", None, "brief.md is missing"),
        ("brief.md", "  \n", "brief.md is empty"),
        ("seed.py", None, "seed.py is missing"),
        ("seed.py", "def f(:\n", "seed.py:1 is not valid Python"),
        ("evaluate.py", None, "evaluate.py is missing"),
        ("evaluate.py", "def evaluate():\n    return {}\n", "evaluate() takes 0 parameters"),
        ("evaluate.py", "def score(path):\n    return {}\n", "defines no function evaluate"),
        ("task.toml", None, "has no task.toml"),
    ],
)
def test_missing_or_wrong_file_is_reported(make_task: TaskMaker, file: str, text: str | None, told: str) -> None:
    folder = make_task()
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert told in str(caught.value)


def test_own_task_with_another_file_of_harbor_is_told_its_brief_is_missing(make_task: TaskMaker) -> None:
    folder = make_task()
    (folder / "brief.md").rename(folder / "instruction.md")
    with pytest.raises(TaskError, match=r"brief\.md is missing"):
        load_task(folder)


def test_unknown_task_name_lists_known_tasks() -> None:
    assert find_task("circle_packing").name == "circle_packing"
    with pytest.raises(TaskError, match="circle_packing"):
        find_task("circle_packin")


def test_every_built_in_task_loads() -> None:
    assert [load_task(folder).spec.name for folder in builtin_tasks()] == [f.name for f in builtin_tasks()]


def test_ranking_stage_and_limits_of_stages() -> None:
    spec = TaskSpec(
        name="t",
        direction="minimize",
        stages=[Stage("quick", limits={"seconds": 2}), Stage("explore"), Stage("verify", limits={"memory_mb": 9})],
    )
    assert spec.score_stage.name == "explore"
    assert [spec.limits_of(stage).seconds for stage in spec.stages] == [2, 300, 300]
    assert spec.limits_of(spec.stages[2]).memory_mb == 9
    assert spec.better(1.0, 2.0)
    assert not spec.better(2.0, 1.0)


def test_gain_within_noise_does_not_count() -> None:
    spec = TaskSpec(name="t", direction="maximize", min_gain=0.1)
    assert not spec.better(1.05, 1.0)
    assert spec.better(1.2, 1.0)


def test_new_task_loads_and_existing_folder_is_not_touched(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path / "mine"))
    assert task.spec.name == "mine"
    with pytest.raises(UsageError, match="exists already"):
        write_task(tmp_path / "mine")
    with pytest.raises(UsageError, match="cannot name a task"):
        write_task(tmp_path / "a b")


@pytest.mark.parametrize(
    ("language", "several"),
    [(name, several) for name, starter in STARTERS.items() for several in (False, True)[: 1 + starter.has_folder]],
)
def test_the_example_in_each_language_is_a_task_whose_recipe_fits(language: str, several: bool, tmp_path: Path) -> None:
    folder = write_task(tmp_path / "mine", language, several)
    task = load_task(folder)
    assert (task.spec.program.language, bool(task.spec.program.files)) == (language, several)
    starter = STARTERS[language]
    if starter.build and starter.tool != "rustc":
        assert task.spec.build is not None and starter.tool in " ".join(task.spec.build.command)
    if several:
        assert set(split_files(task.seeds[0].code)) == set(task.spec.program.files)
    assert not check_recipes(task.seeds, PriorFolder(task.priors).read(), task.spec.language)


def test_a_language_without_an_example_is_told_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no example in cuda: there are c, cpp, rust, go"):
        write_task(tmp_path / "mine", "cuda")
    with pytest.raises(UsageError, match="no example in text as a folder: there are c, cpp, rust, go, python"):
        write_task(tmp_path / "mine", "text", several=True)
    assert not (tmp_path / "mine").exists()


def test_assignments_nest_and_bad_ones_are_refused() -> None:
    assert parse_assignment("sampler.c=0.2", UsageError) == {"sampler": {"c": 0.2}}
    assert parse_assignment("designer.name=recombine", UsageError) == {"designer": {"name": "recombine"}}
    assert parse_assignment("target=none", UsageError) == {"target": None}
    with pytest.raises(UsageError, match="not key=value"):
        parse_assignment("rounds", UsageError)
    assert deep_merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {"a": {"b": 1, "c": 3}}


def test_settings_merge_in_order_and_mistake_names_its_source() -> None:
    settings = merge_settings(("task", {"rounds": 5, "sampler": {"c": 0.3}}), ("line", {"rounds": 9}))
    assert (settings.rounds, settings.sampler.c) == (9, 0.3)
    with pytest.raises(UsageError, match=r"line: unknown key 'sampler\.k'"):
        merge_settings(("line", {"sampler": {"k": 1}}))
    with pytest.raises(UsageError, match="`workers` must be at least 1"):
        merge_settings(("line", {"workers": 0}))
    nothing = parse_assignment("models.fast.key_env=", UsageError)
    with pytest.raises(UsageError, match="an empty text is written '\"\"'"):
        merge_settings(("line", nothing))
    quoted = parse_assignment('models.fast.key_env=""', UsageError)
    assert (
        merge_settings(("line", deep_merge(quoted, {"models": {"fast": {"model": "m"}}}))).models["fast"].key_env == ""
    )
