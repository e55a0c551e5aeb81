"""Verification in whole runs: in an engine that is killed, on request beside an engine, and of a run at rest."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.runs.folder import Run, is_alive
from engine.runs.fork import fork_run
from engine.runs.secret import DataSeeds
from engine.task.load import find_task
from tests.conftest import Evolve, TaskMaker, call_own
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    start_engine,
    wait_for,
    wait_for_event,
)

DRAWN = """\
import random
import time
import evolve_task


def evaluate(path, report):
    level = random.Random(report.data_seed).random()
    x, y = evolve_task.call("point")
    time.sleep(report.settings.get("sleep", 0))
    return {"score": level - (x - 3.0) ** 2 - (y - 1.0) ** 2}
"""
"""Each draw moves the score of every program."""
SLEEPS = "\n[settings]\nsleep = 0.3\n"


def draws_of(run: Run) -> list[tuple[int | None, int, int]]:
    """Return what was measured on fresh data: the node that is verified, whose program, which draw."""
    return [(e.node, e.data.of, e.data.draw) for e in events(run, ev.VerifyMeasured)]  # type: ignore[attr-defined]


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return with_better(make_task(evaluate=DRAWN, guarded=True), tmp_path / "runs")


def with_better(task: Path, runs: Path) -> Run:
    """Make a run whose first round measures a better program."""
    run = make_run(task, runs, rounds=3, workers=1, data_seed=5)
    better = "def point():\n    return [2.5, 1.0]\n"
    send_command(run.db, "inject", {"what": "program", "code": better, "name": "better"})
    return run


def test_engine_killed_in_verification_goes_on_and_ends_as_if_it_were_not(
    run: Run, make_task: TaskMaker, tmp_path: Path
) -> None:
    whole = finish(run, cold=True)
    assert len(whole.best_steps) > 1, "there is something to verify"
    slow = make_task("slow", evaluate=DRAWN, guarded=True, toml=SLEEPS)
    killed = with_better(slow, tmp_path / "runs")
    engine = start_engine(killed)
    wait_for_event(killed, lambda event: isinstance(event.data, ev.VerifyStarted), "a verification")
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    state = finish(killed)
    check_complete(killed, 3)
    check_integrity(killed)
    assert draws_of(killed) == draws_of(run)
    assert [step.node for step in state.best_steps] == [step.node for step in whole.best_steps]
    assert [node.score for node in state.nodes] == [node.score for node in whole.nodes]
    for node in state.nodes[1:]:
        assert node.check is None or node.check.outcome == "confirmed" or node.quarantined


def test_certificate_of_a_run_is_checked_without_the_run(evolve: Evolve, tmp_path: Path) -> None:
    chosen = ("circle_packing", "--instance", 32, "--rounds", 0)
    done = evolve("run", *chosen, "--headless", "--json", "--name", "a", "--runs", tmp_path / "runs")
    best, folder, target = done.json["best"], Path(done.json["run"]), tmp_path / "claim.json"
    refused = evolve("verify", folder, "--certificate", tmp_path / "claim.txt")
    assert (refused.code, "must end in .json" in refused.err) == (2, True), "it could not be checked by its name"
    made = evolve("verify", folder, "--certificate", target, "--json")
    assert (made.code, made.json["node"], made.json["score"]) == (0, 0, best["score"])
    assert "record 2.9395728 (best known, 2026)" in evolve("show", folder).out
    shutil.rmtree(folder)
    assert evolve("verify", target, "--json").json["score"] == best["score"]
    claim = json.loads(target.read_text())
    claim["answer"][1][0] = 0.0
    target.write_text(json.dumps(claim))
    refuted = evolve("verify", target)
    assert (refuted.code, "not confirmed: it claims another" in refuted.out) == (1, True)


def test_certificate_of_a_packing_is_of_items_that_nobody_chose(evolve: Evolve, tmp_path: Path) -> None:
    folder, target = Path(shutil.copytree(find_task("bin_packing"), tmp_path / "mine")), tmp_path / "claim.json"
    toml = (folder / "task.toml").read_text().replace("items = 5000", "items = 50")
    (folder / "task.toml").write_text(toml.replace("instances = 5", "instances = 2"))
    call_own(folder)
    told = ("--headless", "--json", "--name", "a", "--runs", tmp_path / "runs")
    run = evolve("run", folder, "--rounds", 0, *told).json["run"]
    made = evolve("verify", run, "--certificate", target, "--json")
    assert made.code == 0, made.err
    assert evolve("verify", target, "--json").json["score"] == made.json["score"] >= 0
    claim = json.loads(target.read_text())
    rooms = claim["answer"][0]
    for change, why in (
        ({"program": claim["program"] + "\n"}, "another hash than its program's"),
        ({"instance": {**claim["instance"], "items": 49}}, "50 entries, not 49"),
        ({"answer": [[*rooms[:10], 99, *rooms[11:]], claim["answer"][1]]}, "which does not exist"),
    ):
        target.write_text(json.dumps({**claim, **change}))
        refuted = evolve("verify", target)
        assert refuted.code == 1 and why in refuted.out


def test_run_at_rest_is_verified(run: Run, evolve: Evolve) -> None:
    finish(run)
    checked = next(event for event in events(run, ev.VerifyDone))
    fork = fork_run(run, run.folder.parent, at_seq=checked.seq, name="torn").run
    assert fold(fork).best == checked.node, "what was written in one transaction stays together"
    assert fold(fork).nodes[checked.node or 0].check == checked.data
    shown = evolve("show", run.folder, checked.node, "--json").json
    assert [(item["of"], item["draw"]) for item in shown["fresh"]] == [(checked.node, 1), (0, 1)]
    assert shown["check"]["outcome"] == "confirmed"
    done = evolve("verify", run.folder, "--fresh", 2, "--json")
    found, state = done.json, fold(run)
    assert (done.code, found["confirmed"], found["node"]) == (0, True, state.best)
    assert found["gain"]["mean"] == pytest.approx(found["recorded"] - found["seed"]["recorded"])
    assert found["gain"]["spread"] == pytest.approx(0, abs=1e-9)
    numbers = [draw["draw"] for draw in found["draws"]]
    assert numbers == [state.draws - 1, state.draws], "no evaluation had them before"
    assert len({draw["score"] for draw in found["draws"]}) == 2, "two draws of data"
    assert (state.status, is_alive(run), run.work.exists()) == ("finished", False, False)
    asked = state.nodes[found["node"]].asked
    assert asked is not None
    assert asked.draws == numbers
    check_integrity(run)
    shown = evolve("verify", run.folder, 0, "--fresh", 1)
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "confirmed")
    assert "there is no node 99" in evolve("verify", run.folder, 99).err


def test_best_that_fresh_data_contradict_loses_its_crown(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    """As in a run that was not verified while it was made."""
    evaluate = DRAWN.replace('"point"', '"point", report.data_seed')
    task = make_task(evaluate=evaluate, guarded=True, seed="def point(key):\n    return [1.0, 1.0]\n")
    (task / "task.toml").write_text('confirm = "off"\n' + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs", rounds=1, workers=1, data_seed=5)
    known = DataSeeds(None, 5).draw("explore", 0).data
    code = f"def point(key):\n    return [3.0, 1.0] if key == {known} else [1.0, 1.0]\n"
    send_command(run.db, "inject", {"what": "program", "code": code, "name": "learned by heart"})
    assert finish(run).best == 1
    done = evolve("verify", run.folder, "--fresh", 2, "--json")
    assert (done.code, done.json["outcome"], done.json["best"]) == (1, "quarantined", 0)
    assert done.json["reason"] == "gain not confirmed on fresh data: 0 over the seed program, recorded 4"
    state = fold(run)
    assert (state.best, state.nodes[1].quarantined, state.nodes[1].score is not None) == (0, True, True)
    assert evolve("runs", "--runs", run.folder.parent, "--json").json[0]["best"]["node"] == 0


def test_live_run_is_verified_beside_its_rounds(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    task = make_task(evaluate=DRAWN, guarded=True, toml=SLEEPS)
    run = make_run(task, tmp_path / "runs", rounds=1000, workers=1, slots=2)
    start_engine(run)
    wait_for(lambda: is_alive(run) and fold(run).rounds_started, "a round")
    done = evolve("verify", run.folder, 0, "--fresh", 1, "--json")
    assert (done.code, done.json["node"], done.json["seed"]) == (0, 0, None)
    send_command(run.db, "stop", {})
    wait_for(lambda: not is_alive(run), "the end")
    assert fold(run).nodes[0].asked is not None
