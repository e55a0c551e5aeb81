"""The benchmark of searches: what its model answers, what its tasks measure, and that it compares real runs."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from engine.cli.bench import load_bench
from engine.errors import RunError
from engine.llm.answers import parse_program
from engine.runs.campaigns.file import read_campaign
from engine.runs.campaigns.plan import plan_campaign
from engine.runs.create import create_run
from engine.runs.folder import Run
from engine.task.load import load_task
from tests.bench.ablation import write_campaign
from tests.bench.search.model import write_answer
from tests.bench.search.tasks import CHOSEN, numbers_in, program, start_of, write_problem
from tests.conftest import Evolve
from tests.e2e.runs import fold

RASTRIGIN = CHOSEN["rastrigin"]


def test_answers_edit_what_the_prompt_shows_first() -> None:
    parent, other = (1.5,) * 8, (-2.0,) * 8
    prompt = f"{program(parent)}\nWhat it has other than #1:\n-NUMBERS = {[1.5] * 8}\n+NUMBERS = {list(other)}\n"
    assert numbers_in(prompt) == [parent, other]
    made = [parse_program(write_answer("rastrigin.default.3", number, prompt)).code for number in range(1, 200)]
    assert made[0] == parse_program(write_answer("rastrigin.iid.3", 1, prompt)).code, "the same chances for all"
    assert made[0] != parse_program(write_answer("rastrigin.default.4", 1, prompt)).code
    failing = [code for code in made if "raise" in code]
    assert 5 < len(failing) < 35 and len(set(made)) == len(made)
    mixed = [code for code in made if sum(abs(n + 2.0) < 0.8 for n in numbers_in(code)[0]) >= 2]
    assert 2 < len(mixed) < 60, "now and then an answer takes from the program beside"


def test_problems_are_whole_tasks_with_less_to_spend(tmp_path: Path) -> None:
    for name in load_bench("search").PROBLEMS.values():
        write_problem(name, tmp_path / f"{name}_small")
        task = load_task(tmp_path / f"{name}_small")
        assert task.spec.name == f"{name}_small" and task.spec.limits.cpu_seconds in (2.0, 4.0)
    texts = [path.read_text() for path in (tmp_path / "circle_packing_small" / "priors").glob("*.md")]
    assert any("\nSOLVES = 4\n" in text for text in texts)
    assert not any("SOLVES" in line and "tune" in line for text in texts for line in text.splitlines())


def test_real_runs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load_bench("search")
    monkeypatch.setattr(bench, "CHOSEN", {"rastrigin": RASTRIGIN})
    monkeypatch.setattr(bench, "PROBLEMS", {})
    rows = bench.main(False, rounds=4, repeats=1, out=tmp_path / "out")
    assert [row["name"] for row in rows] == ["rastrigin, default", "rastrigin, iid", "rastrigin, sequential"]
    for row in rows:
        way = row["name"].split(", ")[1]
        state = fold(Run(tmp_path / "out" / "runs" / f"rastrigin.{way}.0"))
        assert (state.status, state.rounds_done, state.settings.sampler.name) == ("finished", 4, _SAMPLERS[way])
        assert state.nodes[0].score == pytest.approx(RASTRIGIN.score(start_of(RASTRIGIN)))
        assert state.best_node is not None and row["value"] == state.best_node.score
        assert {status for status, count in state.counts.items() if count} <= {"ok", "crashed"}
        assert f"{state.tokens:,} tokens each" in row["note"]
    assert (tmp_path / "out" / "runs" / "campaign.html").is_file()
    assert bench.main(False, rounds=4, repeats=1, out=tmp_path / "out") == rows, "finished runs are kept"


def test_runs_of_a_campaign_at_work_elsewhere_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load_bench("search")
    monkeypatch.setattr(bench, "CHOSEN", {"rastrigin": RASTRIGIN})
    monkeypatch.setattr(bench, "PROBLEMS", {})
    campaign = bench._prepare(tmp_path / "out", 4, 1, 1)
    planned = campaign.runs[0]
    create_run(planned.case.loaded, planned.settings, planned.run.folder.parent, planned.run.name)
    with campaign.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process works on the campaign"):
            bench.main(False, rounds=4, repeats=1, out=tmp_path / "out")
        assert planned.run.db.is_file()
    bench._forget(campaign)
    assert not planned.run.folder.exists()


_SAMPLERS = {"default": "ucb1", "iid": "iid", "sequential": "sequential"}


def test_options_of_other_benchmarks_are_refused(evolve: Evolve) -> None:
    assert "--parallel and --out are for search" in evolve("bench", "samplers", "--out", "x").err


def test_campaign_of_parts_fits_and_names_what_each_leaves_out(tmp_path: Path) -> None:
    file = write_campaign(tmp_path, 2, 5)
    campaign = plan_campaign(read_campaign(file), tmp_path / "runs")
    assert len(campaign.runs) == 2 * 2 * 7
    settings = {planned.run.name: planned.settings for planned in campaign.runs}
    whole = settings["circle_packing_bounded.whole.1"]
    assert (whole.rounds, whole.seed, whole.novelty.near, whole.standstill.action) == (5, 1, "off", "tell")
    assert settings["autocorrelation_bounded.no_cognition.0"].retrieval.top_k == 0
    assert settings["autocorrelation_bounded.novelty.0"].novelty.near == "lines"
    different = {str(each) for name, each in settings.items() if name.startswith("circle") and name.endswith(".0")}
    assert len(different) == 7, "no two of them are the same"
