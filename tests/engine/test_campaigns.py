"""A campaign's file is read strictly, and the plan that follows from it has equal budgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EvolveError
from engine.runs.campaigns.file import read_campaign
from engine.runs.campaigns.plan import Campaign, plan_campaign
from engine.runs.campaigns.summary import Gain
from tests.conftest import TaskMaker

WAYS = "[settings.default]\n"


@pytest.fixture
def plan(tmp_path: Path, make_task: TaskMaker) -> Campaign:
    """A campaign of two tasks, one of which is named by a relative path."""
    folder = make_task().parent
    file = folder / "wide.toml"
    file.write_text(
        """
        seeds = [3, 1]
        baseline = "iid"
        checkpoints = [20, 5]
        [tasks.moved]
        task = "point"
        rounds = 7
        [tasks.circle_packing]
        task = "circle_packing"
        [run]
        rounds = 4
        workers = 2
        models.mock = {model = "{task}/{setting}/{seed}", base_url = "http://127.0.0.1:9/v1"}
        [settings.iid]
        preset = "iid"
        [settings.greedy]
        sampler.name = "greedy"
        """
    )
    return plan_campaign(read_campaign(file), tmp_path / "out")


def test_plan_has_every_task_by_setting_by_seed(plan: Campaign, tmp_path: Path) -> None:
    assert [planned.run.name for planned in plan.runs] == [
        f"{task}.{way}.{seed}" for seed in (3, 1) for task in ("moved", "circle_packing") for way in ("iid", "greedy")
    ]
    assert all(planned.run.folder.parent == tmp_path / "out" for planned in plan.runs)
    assert not (tmp_path / "out").exists(), "a plan writes nothing"
    assert (plan.file.baseline, plan.file.checkpoints, plan.file.parallel) == ("iid", [5.0, 20.0], 1)


def test_later_tables_override_and_budgets_are_equal(plan: Campaign) -> None:
    settings = {planned.run.name: planned.settings for planned in plan.runs}
    iid, greedy = settings["moved.iid.3"], settings["moved.greedy.3"]
    assert (iid.rounds, greedy.rounds, settings["circle_packing.iid.1"].rounds) == (7, 7, 4)
    assert (iid.sampler.name, iid.roles.analyzer, greedy.sampler.name) == ("iid", "off", "greedy")
    assert (iid.seed, iid.data_seed, iid.workers, iid.slots) == (3, 3, 2, 1)
    assert settings["moved.iid.1"].models["mock"].model == "moved/iid/1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks = ['circle_packing']\nseed = 3\n" + WAYS, "unknown key 'seed' (did you mean 'seeds'?)"),
        ("tasks = ['circle_packing']\n", "missing key `settings`"),
        ("tasks = ['circle_packing']\nsettings = {}\n", "`settings` names no setting"),
        ("tasks = []\n" + WAYS, "`tasks` names no task"),
        ("tasks = ['circle_packing', 'a/circle_packing']\n" + WAYS, "two tasks have the same name"),
        ("tasks = ['circle_packing']\nseeds = 0\n" + WAYS, "`seeds` must be a number from 1, or a list of different"),
        ("tasks = ['circle_packing']\nseeds = [1, 1]\n" + WAYS, "`seeds` must be"),
        ("tasks = ['circle_packing']\nseeds = 900_000\n" + WAYS, "make more than 100,000 runs"),
        ("tasks = ['circle_packing']\nparallel = 0\n" + WAYS, "`parallel` must be at least 1, not 0"),
        ("tasks = ['circle_packing']\ncheckpoints = [0]\n" + WAYS, "`checkpoints` must be numbers above 0"),
        ("tasks = ['circle_packing']\nby = 'days'\n" + WAYS, "by: Invalid enum value 'days'"),
        ("tasks = ['circle_packing']\nbaseline = 'iid'\n" + WAYS, "no setting is called 'iid'; there are default"),
        ("tasks = ['circle_packing']\n[run]\nround = 3\n" + WAYS, "run: unknown key 'round' (did you mean 'rounds'?)"),
        ("tasks = ['circle_packing']\n[run]\nseed = 3\n" + WAYS, "run.seed: `seeds` says which seeds there are"),
        ("tasks = ['circle_packing']\n[run]\nanswers = 'r'\n" + WAYS, "run.answers: the runs of a campaign replay no"),
        ("tasks = ['circle_packing']\n[settings.more]\nrounds = 9\n", "settings.more.rounds: budgets are equal"),
        ("tasks = ['circle_packing']\n[settings.a]\npreset = 'ii'\n", "there is no preset 'ii'"),
        ("tasks = ['circle_packing']\n[settings.a]\npreset = 3\n", "settings.a: `preset` must name a preset"),
        ("tasks = ['circle_packing']\n[settings.a]\nsampler.c = 'x'\n", "settings.a: sampler.c: Expected `float`"),
        ("tasks = ['circle_packing']\n[settings.'a.b']\n", "'a.b' may hold letters, digits, '-' and '_' only"),
        ("[tasks.a]\nrounds = 3\n" + WAYS, "tasks.a: `task` must name a built-in task or a folder"),
        ("tasks = ['circle_packin']\n" + WAYS, "Did you mean 'circle_packing'?"),
        ("tasks = [\n", "is not valid TOML"),
    ],
)
def test_what_does_not_fit_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(text)
    with pytest.raises(EvolveError) as caught:
        plan_campaign(read_campaign(file), tmp_path / "out")
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in caught.value.message


def test_models_that_cost_money_need_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "dear.toml"
    dear = "models.m = {model = 'm', base_url = 'http://127.0.0.1:9/v1', price_in = 1.0, price_out = 1.0}"
    file.write_text(f"tasks = ['circle_packing']\n[run]\n{dear}\n{WAYS}")
    with pytest.raises(EvolveError, match="the models cost money, and no limit is given"):
        plan_campaign(read_campaign(file), tmp_path / "out")


def test_verdict_needs_an_interval_without_zero() -> None:
    assert Gain(3, 0.2, 0.1, 0.3).verdict == "ahead"
    assert Gain(3, -0.2, -0.3, -0.1).verdict == "behind"
    assert Gain(3, 0.2, 0.0, 0.3).verdict == Gain(3, -0.2, -0.3, 0.0).verdict == "level"
    assert Gain(1, 0.2, 0.2, 0.2).verdict == "level", "one pair has no interval"
