"""What models did in vain is counted and told, with its reason and what it cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.progress import ProgressLines
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.llm import client
from engine.loop import failover
from engine.loop.engine import Engine
from engine.loop.serve import watch_children_without_threads
from engine.runs.calls import calls_of_run, share_cached, sums_by_round
from engine.runs.folder import lock_run
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.state.trouble import describe_in_vain, trouble_line
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import fold, make_run
from tests.llm_server import Reply, Request, llm_server, search
from tests.tui import synthetic


def event(data: ev.Data, round_: int | None = 3) -> ev.Event:
    return ev.Event(9, 0, round_, None, data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            ev.CallRetried(1, 2, "researcher", "m", "down", "sent nothing within 5 s", tokens_in=1_000, seconds=120.0),
            "r3 researcher, try 2, 120 s, 1,000 tok: sent nothing within 5 s",
        ),
        (
            ev.CallDone(1, "analyzer", "m", error="too long", fault="context", seconds=0.25),
            "r3 analyzer, no answer, 0.2 s: too long",
        ),
        (
            ev.CallDone(1, "researcher", "m", truncated=True, ended_by="cap_tokens", tokens_out=5_000),
            "r3 researcher, answer cut off, 5,000 tok: it is longer than a program can be (models.m.cap_tokens)",
        ),
        (
            ev.CallDone(1, "researcher", "m", truncated=True, tokens_out=1_024),
            "r3 researcher, answer cut off, 1,024 tok: the endpoint ended it early; models.m.max_tokens sets "
            "another limit",
        ),
        (ev.CallDone(1, "researcher", "m", error="the engine ended", fault="stopped"), ""),
        (ev.CallDone(1, "researcher", "m"), ""),
        (
            ev.DesignRejected(0, "syntax", "line 3\n\x1b[2J", call=4, tokens=50, seconds=12.0),
            "r3 design refused, 12 s, 50 tok: syntax: line 3 ␛[2J",
        ),
        (ev.DesignRejected(0, "duplicate", "same as #1", "tune"), ""),
        (ev.RoundEnded("no_design", "no attempts"), "r3 no design: no attempts"),
        (ev.RoundEnded("node"), ""),
    ],
)
def test_trouble_is_told_on_one_line(data: ev.Data, told: str) -> None:
    assert trouble_line(event(data)) == told


def test_progress_tells_repeated_trouble_once_then_its_number(capfd: pytest.CaptureFixture[str]) -> None:
    start = ev.RunStarted("t", {}, {"name": "t", "direction": "minimize", "metric": "loss"}, {})
    state, lines = RunState(ev.Event(1, 0, None, None, start)), ProgressLines()

    def no_answer(seconds: float, why: str = "gone fishing") -> ev.CallDone:
        return ev.CallDone(1, "researcher", "m", error=why, fault="down", seconds=seconds)

    for number in range(13):
        lines(event(no_answer(number), round_=number), state)
        lines(event(no_answer(number, "overloaded")), state)
    for _ in range(2):
        lines(event(ev.RunResumed()), state)
    for _ in range(3):
        lines(event(no_answer(1.0)), state)
    for _ in range(2):
        lines.end()
    said = [line.partition("  ")[2] for line in capfd.readouterr().err.splitlines()]
    assert said == [
        "r0 researcher, no answer: gone fishing",
        "r3 researcher, no answer: overloaded",
        "10 times more: r0 researcher, no answer: gone fishing",
        "10 times more: r3 researcher, no answer: overloaded",
        "12 times more: r0 researcher, no answer: gone fishing",
        "12 times more: r3 researcher, no answer: overloaded",
        "resumed",
        "resumed",
        "r3 researcher, no answer, 1.0 s: gone fishing",
        "2 times more: r3 researcher, no answer, 1.0 s: gone fishing",
    ]


def test_progress_tells_a_gain_that_is_not_confirmed_and_names_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = synthetic.make_run(tmp_path / "my run", 4)
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    lines = ProgressLines(run)
    for data in (
        ev.VerifyStarted([1], 0),
        ev.VerifyDone("quarantined", "gain not confirmed on fresh data: -0.2 over #0", 0, scores=[1.5]),
        ev.VerifyDone("confirmed", reference=0),
        ev.RunPaused(reason="no design. Mend it ('evolve set RUN command.run=[…]'); then 'evolve resume RUN' tries"),
    ):
        told = ev.Event(900, 1_000, 3, 3, data)
        if isinstance(data, ev.VerifyDone):
            state.nodes[3].check = data
        lines(told, state)
        if isinstance(data, ev.VerifyDone) and data.outcome == "quarantined":
            lines(ev.Event(901, 1_000, 3, 3, ev.AnalyzeDone("none")), state)
    said = [line.partition("  ")[2] for line in capfd.readouterr().err.splitlines()]
    assert said[0] == "#3 may be a new best: measured on fresh data, beside #0"
    assert said[1] == "#3 is no new best: gain not confirmed on fresh data: -0.2 over #0 (1.5 on fresh data)"
    assert "#3 quarantined " in said[2]
    assert said[3] == (
        f"paused: no design. Mend it ('evolve set {run.typed} command.run=[…]'); then 'evolve resume {run.typed}' tries"
    )
    assert len(said) == 4


async def test_refusals_retries_and_rounds_in_vain_are_counted_listed_and_shown(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evolve: Evolve
) -> None:
    watch_children_without_threads()
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(failover, "_FIRST_WAIT", 0.02)
    script = [Reply(status=503, body="{}"), Reply("I would rather not say."), Reply("def f(:\n", end="close")]
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 80}}

    def answer(request: Request) -> Reply:
        if request.number < len(script):
            return script[request.number]
        if request.number < 5:
            return Reply("no program here, either", usage=usage)
        return search(request)

    with llm_server(answer) as server:
        spec = {"model": "m", "base_url": server.url, "retries": 1, "key_env": ""}
        run = make_run(
            make_task(), tmp_path / "runs", rounds=2, workers=1, models={"m": spec},
            designer={"attempts": 3}, roles={"analyzer": "rules"},
        )  # fmt: skip
        with lock_run(run):
            await Engine(run).work()
        asked = len(server.requests)
    state = fold(run)
    assert (state.status, len(state.nodes), asked) == ("finished", 2, 6), state.reason
    assert state.in_vain == {"retried": 2, "refused": 3}
    assert describe_in_vain(state) == "2 retried, 3 refused, 1 without a design"
    with JournalReader(run.db) as reader:
        calls = calls_of_run(reader)
    assert [(call.round, call.outcome) for call in calls] == [
        (1, "no design: answer, 1 retry"), (1, "no design: answer, 1 retry"), (1, "no design: answer"), (2, "answered"),
    ]  # fmt: skip
    assert all(call.started.tokens > 50 and call.started.cap > 2_048 and call.started.patience for call in calls)
    (first, second) = sums_by_round(calls)
    assert (first.refused, first.tokens_cached, share_cached(100, 80)) == (3, 160, "80%")
    assert (second.refused, second.calls) == (0, 1)

    listed = evolve("show", run.folder, "--calls").out
    assert "no design: answer" in listed and "503" not in listed and "80%" in listed
    shown = evolve("show", run.folder, "--round", 1).out
    assert "round 1: no design: 3 designs were rejected" in shown
    assert "attempt 1 refused (call 1): answer" in shown and "I would rather not say." in shown
    assert "try 1 failed after" in shown and "--- system" in shown
    found = evolve("show", run.folder, "--round", 1, "--json").json
    assert (found["outcome"], len(found["calls"]), found["calls"][0]["tries"][0]["number"]) == ("no_design", 3, 1)
    sums = evolve("show", run.folder, "--calls", "--json").json
    shares = [entry["share_cached"] for entry in sums["calls_by_round"]]
    assert shares == [round(160 / first.tokens_in, 4), 0.0] and len(sums["calls"]) == 4
    assert "in vain: 2 retried, 3 refused, 1 without a design" in evolve("show", run.folder).out
    assert "there is no round 9" in evolve("show", run.folder, "--round", 9).err
