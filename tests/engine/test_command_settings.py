"""The command that designs: who may name it, what a person is asked before it runs, and what its settings must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.evaluation.errand import lack_of, shown_paths
from engine.runs.configure import choose_settings, configured
from engine.runs.presets import Preset
from engine.runs.reach import reach_of_settings
from engine.settings.command import CommandSettings
from engine.settings.model import Settings, merge_settings
from engine.task.load import load_task
from tests.conftest import TaskMaker

COMMAND = {"run": ["python3", "/opt/agent.py", "{prompt}"], "network": True, "environment": ["HOME"]}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"run": [""]}, "its first word is empty"),
        ({"run": ["a\0b"]}, "zero byte"),
        ({"seconds": 0}, "`seconds` must be above 0, not 0"),
        ({"environment": ["sk-123456"]}, "holds names of variables, such as OPENAI_API_KEY, and one is no name"),
        ({"readable": ["agents"]}, "paths that start with / or ~/, and 'agents' does not"),
        ({"memory_mb": 10**10}, "`memory_mb` must be at most 1,000,000,000, not 10,000,000,000"),
        ({"processes": 10**6}, "`processes` must be at most 250,000, not 1,000,000"),
        ({"protocol": "mcp"}, "it is one of plain, acp"),
    ],
)
def test_settings_that_cannot_be_are_refused(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_settings(("config.toml", {"command": table}))
    assert reason in str(caught.value) and "sk-123456" not in str(caught.value)


def test_designer_needs_a_command() -> None:
    with pytest.raises(UsageError, match="needs a program, and none is named"):
        merge_settings(("command line", {"designer": {"name": "command"}}))


def test_label_is_the_program_or_what_an_interpreter_runs() -> None:
    words = (["/opt/my-agent", "-p", "x"], ["python3.11", "-u", "/a/agent.py"], ["sh", "-c", "a | b; c"], ["npx", "x"])
    assert [CommandSettings(run=run).label for run in words] == ["my-agent", "agent.py", "sh", "x"]
    assert CommandSettings(run=["env", "SET=/a/settings.json", "my-agent", "run", "x"]).label == "my-agent"
    assert CommandSettings(run=["sh", "-c", "a | b; c"], name="a-b").label == "a-b"
    with pytest.raises(ValueError, match="`name` is at most 40"):
        CommandSettings(run=["true"], name="my agent\n")


def test_task_cannot_name_a_command_and_config_can(make_task: TaskMaker, workspace: Path) -> None:
    workspace.mkdir(exist_ok=True)
    (workspace / "config.toml").write_text('[command]\nrun = ["true"]\n')
    assert configured() == {"command": {"run": ["true"]}}
    own: list[Any] = [("command line", {"designer": {"name": "command"}})]
    assert choose_settings(load_task(make_task("plain")), Preset(), own).command.run == ["true"]
    task = load_task(make_task("foreign", toml='\n[run.command]\nrun = ["false"]\n'))
    with pytest.raises(UsageError, match="`command` is not a task's to set"):
        choose_settings(task, Preset(), own)


def test_person_is_asked_about_what_no_setting_of_theirs_names() -> None:
    table = {"designer": {"name": "command"}, "command": COMMAND}
    settings = merge_settings(("run", table))
    asked = [
        "its programs are written by a command that runs here: python3 /opt/agent.py '{prompt}'",
        "that command uses the network, and all that you reach by it",
        "that command gets the variables HOME",
        "that command reads /opt/agent.py",
    ]
    assert list(reach_of_settings(settings, [])) == asked
    assert list(reach_of_settings(settings, [("config.toml", {"command": COMMAND})])) == []
    partly = {"run": COMMAND["run"]}
    assert len(list(reach_of_settings(settings, [("config.toml", {"command": partly})]))) == 2
    # What a person lets their own command have is not for a command that the run brings.
    other = {**COMMAND, "run": ["my-agent", "/opt/agent.py"]}
    assert list(reach_of_settings(settings, [("config.toml", {"command": other})])) == asked
    assert list(reach_of_settings(Settings(command=settings.command), [])) == []


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(**command: Any) -> str:
        return lack_of(CommandSettings(**{"run": ["true"], **command}))

    assert lack() == ""
    assert lack(run=[str(tmp_path)]).endswith("which is neither on PATH nor a file that can be run")
    assert lack(readable=["~/no-such-folder"]) == "command.readable names ~/no-such-folder, which does not exist"
    assert lack(readable=["/" + "x" * 5000]).endswith("which does not exist")
    assert "~no-such-user/agent" in lack(run=["~no-such-user/agent"])
    long = CommandSettings(run=["true", "/review " + "please " * 60])
    assert shown_paths(long) == shown_paths(CommandSettings(run=["true"]))
    monkeypatch.setattr("engine.evaluation.errand.find_spec", lambda name: None)
    assert "pip install 'asi-evolve-tui[agents]'" in lack(protocol="acp")
