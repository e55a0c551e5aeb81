"""Runs with a model: the command line, an endpoint, a key that stays secret, killed engines."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.e2e.runs import check_complete, check_integrity, events, fold, make_run, start_engine, wait_for
from tests.llm_server import LlmServer, Reply, Request, error, llm_server, search

KEY = "sk-canary-7f3a9c51e2d84b60"


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server(search) as served:
        yield served


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_run_with_model_from_command_line(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, workspace: Path
) -> None:
    server.models = ["org/model-1"]
    task = make_task()
    arguments = ["run", task, "--headless", "--json", "--rounds", 2, "--workers", 1]
    done = evolve(*arguments, "--name", "first", "--model", "org/model-1", "--base-url", server.url)
    assert (done.code, done.json["status"]) == (0, "finished"), done.err
    assert "designer llm" in done.err
    assert "#0 -5.5625 0." in done.err and "its lesson comes  seed" in done.err
    asked = evolve("show", "first", 1, "--calls", "--json").json["calls"]
    assert [(call["role"], call["model"]) for call in asked] == [
        ("researcher", "org-model-1"), ("analyzer", "org-model-1"),
    ]  # fmt: skip
    assert "Move the point" in asked[0]["messages"][0]["content"]
    assert "<program>" in asked[0]["answer"]
    assert asked[0]["parameters"]["base_url"] == server.url
    plain = evolve("show", "first", 1, "--calls").out
    assert "call 1: researcher org-model-1, design/0" in plain
    assert "calls: 3 analyzer, 2 researcher" in evolve("show", "first").out
    assert evolve("runs", "--json").json[0]["tokens"] == 600
    server.close()
    again = evolve("run", task, "--headless", "--json", "--name", "second", "--answers", "first")
    assert again.json["best"] == done.json["best"]
    assert again.json["rounds"] == 2
    assert evolve("runs", "--json").json[0]["tokens"] == 0


def test_doctor_shows_models_and_run_refuses_bad_settings(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, workspace: Path
) -> None:
    workspace.mkdir()
    server.models = ["big"]
    (workspace / "config.toml").write_text(
        f'[models.fast]\nmodel = "big"\nbase_url = "{server.url}"\nprice_out = 1.0\n\n[roles]\nanalyzer = "rules"\n'
    )
    doctor = {check["name"]: check for check in evolve("doctor", "--json").json}
    assert doctor["model fast"]["state"] == "ok", doctor["model fast"]
    assert server.requests == []
    called = {check["name"]: check for check in evolve("doctor", "--call", "--json").json}
    assert "streams, counts tokens, takes a schema, no thoughts" in called["call fast analyzer"]["found"]
    assert len(server.requests) == 4
    # A model that is in no file, as a run takes it.
    other = evolve("doctor", "--json", "--model", "org/big", "--base-url", server.url)
    assert [check["name"] for check in other.json if check["name"].startswith("model ")] == ["model org-big"]
    assert "needs --model" in evolve("doctor", "--base-url", server.url).err
    server.requests.clear()
    task = make_task()
    refused = evolve("run", task, "--headless", "--rounds", 1)
    assert (refused.code, "no limit is given" in refused.err) == (2, True)
    run = evolve("run", task, "--headless", "--rounds", 1, "--usd", 1, "--json", "--set", "models.fast.temperature=0.2")
    assert run.json["status"] == "finished"
    assert server.requests[0].body["temperature"] == 0.2
    assert evolve("runs", "--json").json[0]["usd"] == pytest.approx(20 / 1e6)
    # A name of config.toml, and an unknown one.
    assert (
        evolve("run", task, "--designer", "llm", "--model", "fast", "--headless", "--rounds", 0, "--usd", 1).code == 0
    )
    unknown = evolve("run", task, "--set", "roles.judge=nobody", "--headless")
    assert "roles.judge names the model 'nobody'" in unknown.err
    named = ("--model", "q2.5:1b", "--base-url", server.url, "--set", "models.q2.5:1b.max_tokens=9")
    assert "no model is called 'q2'" in evolve("run", task, *named).err
    assert "The models are fast, q2-5-1b" in evolve("run", task, *named).err
    assert "needs --model" in evolve("run", task, "--base-url", server.url).err
    assert "needs --headless" in evolve("run", task, "--patience-endpoint", 3).err


def test_unusable_model_is_refused_before_evaluation(make_task: TaskMaker, evolve: Evolve, workspace: Path) -> None:
    task = make_task()
    for without in ("", "  "):
        refused = evolve("run", task, "--model", "gpt-x", "--headless", OPENAI_API_KEY=without)
        assert refused.code == 2
        assert "the model 'gpt-x' has neither an endpoint nor a key" in refused.err
        assert "--base-url" in refused.err and "OPENAI_API_KEY is not set" in refused.err
    other = ("--set", "models.gpt-x.key_env=OTHER_KEY")
    assert "OTHER_KEY is not set" in evolve("run", task, "--model", "gpt-x", "--headless", *other).err
    assert not (workspace / "runs").exists()
    # A run that asks no model needs none.
    assert evolve("run", task, "--model", "gpt-x", "--designer", "recombine", "--headless", "--rounds", 1,
                  OPENAI_API_KEY="").code == 0  # fmt: skip


def test_task_may_not_set_destination_of_key(make_task: TaskMaker, evolve: Evolve) -> None:
    task = make_task(toml='\n[run.models.x]\nmodel = "x"\nbase_url = "https://example.org/v1"\n')
    refused = evolve("run", task, "--headless", "--rounds", 1)
    assert refused.code == 2
    assert "would send the key in OPENAI_API_KEY to https://example.org/v1" in refused.err


def test_unreachable_endpoint_ends_headless_run(make_task: TaskMaker, evolve: Evolve) -> None:
    done = evolve("run", make_task(), "--headless", "--rounds", 1, "--json", "--model", "m", "--base-url",
                  "http://127.0.0.1:9/v1", "--set", "models.m.retries=0", "--patience-endpoint", 1)  # fmt: skip
    assert (done.code, done.json["status"]) == (1, "stopped")
    assert "no model answers" in done.json["reason"] and "127.0.0.1:9" in done.json["reason"]
    assert "paused: no model answers" in done.err


def test_wrong_key_is_reported_and_run_continues_with_good_one(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    server.key = "sk-another-key-0123456789"
    started = evolve("run", make_task(), "--detach", "--rounds", 1, "--name", "r", "--model", "m", "--base-url",
                     server.url, "--set", "roles.analyzer=rules")  # fmt: skip
    run = Run(Path(started.out.strip()))
    wait_for(lambda: fold(run).status == "paused", "the pause")
    assert "OPENAI_API_KEY" in fold(run).reason and "evolve resume" in fold(run).reason
    assert "asked again now" in evolve("resume", "r").err
    evolve("stop", "r", "--now")
    resumed = evolve("resume", "r", "--headless", "--json", OPENAI_API_KEY=server.key)
    assert (resumed.code, resumed.json["rounds"]) == (0, 1), resumed.err
    check_complete(run, 1)


ECHO = """\
import os
import runpy


def evaluate(program_path):
    print(dict(os.environ), open("/proc/self/environ").read())
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2}
"""


def test_key_is_stored_nowhere(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> None:
    def answer(request: Request) -> Reply:
        given = request.headers["authorization"]
        if request.number % 3 == 0:
            return error([400, 403, 500][request.number // 3 % 3], f"you sent Authorization: {given}")
        if request.number % 3 == 1:
            # A model cannot know it; a server that mixes things up can say it, piece by piece.
            # The last pieces are not written beside the answer itself: what is looked for stands before them.
            return Reply(
                f"my key is {given}! {'That is what I was told. ' * 2}", reasoning=given, pieces=90, pause=0.01
            )
        return search(request)

    server.answer = answer
    command = [*COMMAND, "run", str(make_task(evaluate=ECHO)), "--headless", "--rounds", "3", "--runs",
               str(tmp_path / "runs"), "--name", "r", "--model", "m", "--base-url", server.url,
               "--set", "designer.recombine_share=0.3", "--set", "designer.attempts=9"]  # fmt: skip
    engine = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    inherited: set[bytes] = set()

    def ended() -> bool:
        own = _read(Path(f"/proc/{engine.pid}/cmdline"))
        for child in _descendants(engine.pid):
            command, environment = (_read(Path(f"/proc/{child}/{name}")) for name in ("cmdline", "environ"))
            # A child that has not become a program of its own yet is still the engine. Python's `platform` asks the
            # system's uname, which reads nothing.
            if KEY.encode() in environment and command != own and not command.startswith(b"uname\0"):
                inherited.add(command)
        return engine.poll() is not None

    while not ended():  # as often as can be: a child may live for a moment only
        time.sleep(0.01)
    out, err = engine.communicate()
    assert engine.returncode == 0, err.decode()
    assert not inherited
    run = Run(tmp_path / "runs" / "r")
    assert any(call.data.fault == "auth" for call in events(run, ev.CallDone) if isinstance(call.data, ev.CallDone))
    texts = [out, err, *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())]
    connection = sqlite3.connect(run.db)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in connection.execute(f"SELECT * FROM {name}"):
            texts.append(repr(row).encode())
            texts += [zlib.decompress(row[2])] if "zlib" in row else []
    # Two calls may write at the same time.
    pieces = "SELECT json_extract(data, '$.text') FROM live WHERE kind = 'stream'"
    live = "".join(row[0] for row in connection.execute(f"{pieces} ORDER BY json_extract(data, '$.call'), rowid"))
    connection.close()
    assert "my key is Bearer ***!" in live
    texts.append(live.encode())
    assert len(texts) > 50
    assert not [text[:200] for text in texts if KEY.encode() in text]


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split()]
    return children + [below for child in children for below in _descendants(child)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_kill_9_repeats_no_answered_call(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> None:
    rng = random.Random(5)
    server.answer = lambda request: Reply(search(request).text, before=0.02)
    rounds = 8
    spec = {"model": "m", "base_url": server.url}
    run = make_run(make_task(), tmp_path / "runs", rounds=rounds, workers=3, models={"m": spec})
    for _ in range(4):
        seen = len(events(run))
        engine = start_engine(run)
        target = seen + rng.randint(6, 22)
        wait_for(lambda: engine.poll() is not None or len(events(run)) >= target, "progress")  # noqa: B023
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        check_integrity(run)
    assert start_engine(run).wait(90) == 0, run.log.read_text()
    check_integrity(run)
    check_complete(run, rounds)
    done = [event for event in events(run, ev.CallDone) if isinstance(event.data, ev.CallDone)]
    answered = Counter(
        (e.round, e.node, e.data.key) for e in done if isinstance(e.data, ev.CallDone) and not e.data.error
    )
    assert set(answered.values()) == {1}, "a call was paid for twice"
    lost = [e for e in done if isinstance(e.data, ev.CallDone) and e.data.error]
    # What the server was asked beyond the record was in flight when an engine died.
    assert len(server.requests) <= len(answered) + len(lost) + 4 * 3
    started = [e.data.call for e in events(run, ev.CallStarted) if isinstance(e.data, ev.CallStarted)]
    assert sorted(started) == sorted(e.data.call for e in done if isinstance(e.data, ev.CallDone))
