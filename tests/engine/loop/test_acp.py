"""An agent that speaks the Agent Client Protocol designs, between the engine's client and the sandbox."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.evaluation.acp_client import _cost
from engine.journal import events as ev
from tests.conftest import TaskMaker
from tests.engine.loop.parts import open_parts
from tests.engine.loop.test_command_calls import calls, design, rejections, run_of

AGENT = Path(__file__).with_name("acp_agent.py")


@pytest.mark.needs("acp")
async def test_agent_is_prompted_confined_to_its_folder_and_counted(make_task: TaskMaker, tmp_path: Path) -> None:
    run = run_of(make_task, tmp_path, protocol="acp", seconds=90)
    async with open_parts(run) as parts:
        for number, how in enumerate(("writes", "counts", "dies", "fails"), start=1):
            parts.session.emit(ev.SettingsChanged({"command": {"run": [sys.executable, str(AGENT), how]}}))
            made = await design(parts, number)
            assert made == (how in ("writes", "counts")), rejections(run)
        said = parts.session.text(calls(run)[0].answer_blob)
        assert "X = 1 + 0.5" in parts.session.text(parts.session.state.nodes[1].program)
    assert said.startswith("(thinks) which number?\n# Your work")
    assert "[permission allowed] edit " in said and "<yes>" in said
    assert "[permission refused, since it names /etc/passwd] edit /etc/passwd\n" in said and "<no>" in said
    assert "[execute] run it\n[failed] run it\nsh: no such program\n" in said
    assert "<Invalid params>" in said and said.endswith("[written] program/program.py\n")
    first = calls(run)[0]
    assert first.model == "command:acp_agent.py"
    assert (first.tokens_in, first.tokens_out, first.tokens_cached) == (100, 30, 40)
    assert (calls(run)[1].tokens_in, calls(run)[1].tokens_out, calls(run)[1].tokens_cached) == (110, 20, 10)
    reasons = [reason.partition(": ")[2] for _, reason in rejections(run)]
    assert reasons[0] == "the agent ended (exit code 4) before it had answered"
    assert reasons[1].startswith("no agent could be talked to by ACP: RequestError: Authentication required")


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ((100, 30, 130, 40, 0, 0), (100, 30, 40)),  # cached ones among those that went in
        ((70, 10, 85, 5, 0, 0), (75, 10, 5)),  # beside them
        ((100, 10, 190, 60, 0, 80), (100, 90, 60)),  # thoughts beside what came out, cached ones among what went in
        ((40, 10, 190, 60, 0, 80), (100, 90, 60)),  # both beside
        ((100, 90, 190, 60, 0, 80), (100, 90, 60)),  # neither
    ],
)
def test_each_token_counts_once_however_an_agent_adds_them_up(
    told: tuple[int, ...], counted: tuple[int, int, int]
) -> None:
    cost = _cost(*told)
    assert (cost["tokens_in"], cost["tokens_out"], cost["tokens_cached"]) == counted
