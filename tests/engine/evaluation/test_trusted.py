"""`evaluator = "trusted"`: the evaluator runs unconfined at every level, and its candidates as confined as ever."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.task.spec import TaskSpec

from .conftest import Workplace

LOOK = """
import os, socket

def look(settings):
    found = []
    try:
        found.append(open(settings["file"]).read())
    except OSError:
        pass
    try:
        with socket.create_connection(("127.0.0.1", settings["port"]), timeout=5) as line:
            line.sendall(b"?")
            found.append(line.recv(16).decode())
    except OSError:
        pass
    return ",".join(found)
"""

EVALUATE = (
    LOOK
    + """
import evolve_task

def evaluate(program_path, report):
    mine = look(report.settings)
    open(os.path.join(report.scratch, "note"), "w").write("x" * 1000)
    theirs = evolve_task.call("look", report.settings)
    home = os.environ["HOME"]
    return {"score": 1.0, "mine": mine, "theirs": theirs, "home": home, "cwd": os.getcwd() == report.scratch}
"""
)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A file outside of every sandbox, and a listener that greets."""
    (tmp_path / "outside").write_text("file")
    server = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            line = server.accept()[0]
            with line:
                if line.recv(1) == b"!":
                    return
                line.sendall(b"net")

    thread = threading.Thread(target=greet)
    thread.start()
    address = server.getsockname()
    yield {"file": str(tmp_path / "outside"), "port": address[1]}
    with socket.create_connection(address) as line:
        line.sendall(b"!")
    thread.join()
    server.close()


async def test_trusted_evaluator_is_unconfined_and_its_candidate_is_not(
    work: Workplace, settings: dict[str, object]
) -> None:
    outcome = await work.evaluate(LOOK, EVALUATE, guarded=True, trusted=True, settings=settings)
    assert (outcome.status, outcome.score) == ("ok", 1.0), outcome.reason
    assert outcome.guarantee == ("open" if work.sandbox == "limits" else "guarded")
    assert outcome.metrics["mine"] == "file,net"
    assert outcome.metrics["theirs"] == ("file" if work.sandbox == "limits" else "")
    assert (outcome.metrics["home"], outcome.metrics["cwd"]) == (os.environ["HOME"], True)


@pytest.mark.parametrize("containers", [False, True])
async def test_evaluator_that_starts_containers_keeps_the_privileges_of_its_user(
    work: Workplace, containers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///a")
    evaluator = """
import os
def evaluate(program_path):
    status = open("/proc/self/status").read()
    return {"score": 1.0, "kept": "NoNewPrivs:\\t0" in status, "docker": os.environ.get("DOCKER_HOST", "")}
"""
    outcome = await work.evaluate("", evaluator, trusted=True, containers=containers)
    assert (outcome.status, outcome.guarantee) == ("ok", "open"), outcome.reason
    assert outcome.metrics == {"kept": containers, "docker": "unix:///a" if containers else ""}


async def test_evaluator_is_confined_by_default(work: Workplace, settings: dict[str, object]) -> None:
    outcome = await work.evaluate(LOOK, EVALUATE, guarded=True, settings=settings)
    assert (outcome.status, outcome.metrics["mine"]) == ("ok", "file" if work.sandbox == "limits" else "")


async def test_limits_hold_for_a_trusted_evaluator(work: Workplace) -> None:
    evaluator = "def evaluate(program_path):\n    taken = bytearray(700 << 20)\n    while True:\n        pass\n"
    outcome = await work.evaluate("", evaluator, guarded=True, trusted=True, limits={"memory_mb": 256})
    assert (outcome.status, outcome.reason) == ("crashed", "memory limit of 256 MiB")
    evaluator = 'import subprocess\ndef evaluate(program_path):\n    subprocess.run(["sleep", "TOKEN"])\n'
    evaluator = evaluator.replace("TOKEN", work.token)
    outcome = await work.evaluate("", evaluator, guarded=True, trusted=True, limits={"seconds": 1})
    assert outcome.status == "timeout", outcome.reason


def test_only_a_guarded_task_may_trust_its_evaluator() -> None:
    with pytest.raises(msgspec.ValidationError, match="only with `guarded = true`"):
        msgspec.convert({"name": "a", "direction": "maximize", "evaluator": "trusted"}, TaskSpec)
