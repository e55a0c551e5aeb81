"""Evaluation in stages: thresholds, promotion, repeats, confirmation, early stop, GPUs, budgets, hooks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.live import LIVE_OUTPUT, LiveRow
from engine.journal.reader import JournalReader
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import (
    HELD,
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    let_go,
    make_run,
    slow_evaluate,
    start_engine,
    wait_for,
)

STAGED = """\
import runpy


def evaluate(path, report):
    x, y = runpy.run_path(path)["point"]()
    scale = {"quick": 1.0, "explore": 10.0, "verify": 100.0}[report.stage]
    return {"score": -scale * ((x - 3.0) ** 2 + (y - 1.0) ** 2), "seed": report.seed}
"""

STAGES = """
[[stages]]
name = "quick"
threshold = -6.0

[[stages]]
name = "explore"
repeats = 2

[[stages]]
name = "verify"
"""


def test_output_of_evaluation_is_in_the_journal_before_its_end(make_task: TaskMaker, tmp_path: Path) -> None:
    evaluate = HELD.replace("    report(1, begun=1.0)\n", '    print("half way")\n')
    run = make_run(make_task(evaluate=evaluate), tmp_path / "runs", rounds=0)
    engine = start_engine(run)

    def rows() -> list[LiveRow]:
        with JournalReader(run.db) as reader:
            return [row for row in reader.live_after(0) if row.kind == LIVE_OUTPUT]

    wait_for(rows, "what it prints")
    about = {"node": 0, "stage": "explore", "repeat": 0, "stream": "stdout", "left_out": 0}
    assert rows()[0].data == {**about, "text": "half way\n"} and rows()[0].round == 0
    assert not events(run, ev.EvalStageDone)
    let_go(run)
    assert engine.wait(90) == 0, run.log.read_text()
    (done,) = [event.data for event in events(run, ev.EvalStageDone)]
    with JournalReader(run.db) as reader:
        assert isinstance(done, ev.EvalStageDone) and reader.text(done.stdout_blob) == "half way\n"


def test_stages_run_in_order_reject_weak_nodes_and_verify_new_best(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=STAGED, toml=STAGES), tmp_path / "runs", rounds=14)
    state = finish(run)
    best = {step.node for step in state.best_steps}
    statuses = {node.status for node in state.nodes}
    assert statuses == {"ok", "rejected"}, "the seed and the rounds give both"
    for node in state.nodes:
        done = [e.data for e in events(run, ev.EvalStageDone) if e.node == node.id]
        stages = [(d.stage, d.repeat) for d in done]  # type: ignore[attr-defined]
        if node.status == "rejected":
            assert stages == [("quick", 0)]
            assert "worse than the threshold -6 of 'quick'" in node.reason
            assert node.score is None
            continue
        expected = [("quick", 0), ("explore", 0), ("explore", 1)] + [("verify", 0)] * (node.id in best)
        assert stages == expected
        assert node.score == pytest.approx(10 * done[0].score)  # type: ignore[attr-defined]
        assert node.measurements == 2
        assert (node.verified is not None) == (node.id in best)
        if node.verified is not None:
            assert node.verified == pytest.approx(10 * node.score)
    seeds = [e.data.metrics["seed"] for e in events(run, ev.EvalStageDone) if e.data.stage == "explore"]  # type: ignore[attr-defined]
    assert len(set(seeds)) == 2, "two repeats, two seeds, the same for every node"
    check_complete(run, 14)
    check_integrity(run)


def test_stage_may_have_fewer_slots_than_run(make_task: TaskMaker, tmp_path: Path) -> None:
    evaluate = """\
import time


def evaluate(path, report):
    began = time.monotonic()
    time.sleep(0.5 if report.stage == "quick" else 0.1)
    return {"score": 1.0, "began": began, "ended": time.monotonic()}
"""
    toml = "[[stages]]\nname = 'quick'\n[[stages]]\nname = 'explore'\nslots = 1\n"
    run = make_run(make_task(evaluate=evaluate, toml=toml), tmp_path / "runs", rounds=6, slots=3, workers=5)
    finish(run)
    spans: dict[str, list[tuple[float, float]]] = {"quick": [], "explore": []}
    for event in events(run, ev.EvalStageDone):
        metrics = event.data.metrics  # type: ignore[attr-defined]
        spans[event.data.stage].append((metrics["began"], metrics["ended"]))  # type: ignore[attr-defined]
    overlaps = {
        stage: sum(before[1] > after[0] for before, after in itertools.pairwise(sorted(held)))
        for stage, held in spans.items()
    }
    assert overlaps["explore"] == 0
    assert overlaps["quick"] > 0
    check_complete(run, 6)


def test_lucky_measurement_does_not_make_best_node(make_task: TaskMaker, tmp_path: Path) -> None:
    """The seed always scores the same; of every other program the first measurement is lucky."""
    evaluate = """\
def evaluate(path, report):
    seed = "X = 0.5\\nY = 0.25\\nZ = 2.0" in open(path).read()
    lucky = report.repeat == 0 and not seed
    return {"score": 30.0 if lucky else 1.0 if seed else 0.5}
"""
    task = make_task(evaluate=evaluate)
    (task / "task.toml").write_text('noisy = "unknown"\n' + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs", rounds=4, workers=1)
    state = finish(run)
    first = state.nodes[1]
    assert first.measurements == 3
    assert first.score == pytest.approx((30 + 0.5 + 0.5) / 3)
    assert first.spread is not None
    assert first.spread > 10
    # Its mean is better than the seed's, but what it gained is within its spread.
    assert first.reason.startswith("gain within its spread: ")
    assert [step.node for step in state.best_steps] == [0]
    assert state.nodes[0].measurements == 2, "the seed, too, is a new best, and its two measurements agree"


def test_early_stop_ends_hopeless_evaluation(make_task: TaskMaker, tmp_path: Path) -> None:
    evaluate = """\
import time


def evaluate(path, report):
    bad = "X = 0.5\\nY = 0.25\\nZ = 2.0" not in open(path).read() and report.seed >= 0
    for step in range(200 if bad else 4):
        report(step, loss=9.0 if bad else 1.0)
        if bad:
            time.sleep(0.15)
    return {"score": 1.0}
"""
    toml = "[[stages]]\nearly_stop = {value = 'loss', direction = 'minimize', earlier = 1, from_step = 2}\n"
    run = make_run(make_task(evaluate=evaluate, toml=toml), tmp_path / "runs", rounds=2, workers=1)
    state = finish(run)
    assert [node.status for node in state.nodes] == ["ok", "rejected", "rejected"]
    assert "stopped early at step" in state.nodes[1].reason
    assert "the median of earlier nodes is 1" in state.nodes[1].reason
    send_command(run.db, "set", {"settings": {"rounds": 3}})
    again = finish(run)
    assert again.nodes[3].status == "rejected", "a new engine remembers the curves of the past"


def test_runs_share_gpus_with_one_evaluation_each(
    make_task: TaskMaker, tmp_path: Path, fake_nvml: Path, monkeypatch: pytest.MonkeyPatch, evolve: Evolve
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake_nvml))
    monkeypatch.setenv("FAKE_GPUS", "2")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    evaluate = """\
import os, time


def evaluate(path, report):
    began = time.monotonic()
    time.sleep(0.2)
    return {"score": 1.0, "device": os.environ["CUDA_VISIBLE_DEVICES"], "began": began, "ended": time.monotonic()}
"""
    task = make_task(evaluate=evaluate)
    (task / "task.toml").write_text("gpu = true\n" + (task / "task.toml").read_text())
    runs = [make_run(task, tmp_path / "runs", rounds=6) for _ in range(2)]
    for engine in [start_engine(run) for run in runs]:
        assert engine.wait(90) == 0
    assert fold(runs[0]).engine.slots == 2  # type: ignore[union-attr]
    spans: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        for node in fold(run).nodes:
            spans.setdefault(node.metrics["device"], []).append((node.metrics["began"], node.metrics["ended"]))
    assert set(spans) == {"GPU-fake-0", "GPU-fake-1"}
    for held in spans.values():
        held.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(held)), held
    one = make_run(task, tmp_path / "one", rounds=1, devices=[1])
    assert {node.metrics["device"] for node in finish(one).nodes} == {"GPU-fake-1"}
    gpu = next(check for check in evolve("doctor", "--json").json if check["name"] == "gpu")
    assert gpu["found"] == "0 Fake GPU 8 GiB, 1 Fake GPU 8 GiB"
    refused = make_run(task, tmp_path / "refused", rounds=1, devices=[5])
    assert start_engine(refused).wait(90) == 1
    assert "there is no GPU 5" in refused.log.read_text()


def test_missing_gpu_is_reported(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    task = make_task()
    (task / "task.toml").write_text("gpu = true\n" + (task / "task.toml").read_text())
    done = evolve("run", task, "--headless", "--trust", "--runs", tmp_path / "runs")
    assert done.code == 1
    assert "the task needs a GPU, and none is found" in done.err


def test_budget_warnings_are_given_once(make_task: TaskMaker, tmp_path: Path) -> None:
    # Long enough that a slow machine looks between the two shares.
    run = make_run(make_task(evaluate=slow_evaluate(0.3)), tmp_path / "runs", rounds=5000, hours=10 / 3600)
    engine = start_engine(run)
    assert engine.wait(90) == 1
    warned = [(e.data.budget, e.data.share) for e in events(run, ev.BudgetWarned)]  # type: ignore[attr-defined]
    assert warned == [("hours", 0.5), ("hours", 0.8)]
    assert "hours are used up" in fold(run).reason


def test_hooks_come_from_users_configuration(
    make_task: TaskMaker, tmp_path: Path, workspace: Path, evolve: Evolve
) -> None:
    workspace.mkdir(exist_ok=True)
    told = tmp_path / "told"
    (workspace / "config.toml").write_text(
        f"[hooks]\non_best = '''echo \"best $EVOLVE_NODE $EVOLVE_SCORE $EVOLVE_FITNESS\" >>{told}'''\n"
        f"on_stop = '''echo \"$EVOLVE_STATUS $EVOLVE_REASON\" >>{told}'''\n"
    )
    done = evolve("run", make_task(), "--headless", "--json", "--rounds", 0, "--runs", tmp_path / "runs")
    wait_for(lambda: told.exists() and len(told.read_text().splitlines()) == 2, "the hooks")
    best = done.json["best"]
    assert sorted(told.read_text().splitlines()) == [
        f"best 0 {json.dumps(best['score'])} {json.dumps(best['fitness'])}",
        "finished 0 rounds are done",
    ]
    sneaky = make_task(name="sneaky", toml="[hooks]\non_best = 'true'\n")
    assert "unknown key 'hooks'" in evolve("run", sneaky).err
    (workspace / "config.toml").write_text("[hooks]\non_bets = 'true'\n")
    typo = evolve("run", make_task(name="typo"), "--headless", "--runs", tmp_path / "runs")
    assert "unknown key 'on_bets' (did you mean 'on_best'?)" in typo.err


def test_all_results_of_rerun_are_in_journal(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=2)
    finish(run)
    with JournalReader(run.db) as reader:
        newest = reader.newest(ev.EvalStageDone, 2)
        assert [e.data for e in reader.events() if isinstance(e.data, ev.EvalStageDone)][-2:] == newest
