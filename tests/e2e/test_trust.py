"""`evolve` asks before it runs code from elsewhere, in a terminal; anywhere else it needs --trust."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from engine.runs.campaigns.file import read_campaign
from engine.runs.campaigns.plan import plan_campaign
from engine.runs.configure import own_layers, task_settings
from engine.runs.folder import Run
from engine.runs.review import Review, review_campaign, review_task
from engine.task.load import load_task
from engine.task.scaffold import write_task
from tests.conftest import COMMAND, Evolve


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A task folder that nobody has agreed to, whose evaluator leaves a mark where it runs."""
    return write_task(tmp_path / "foreign")


def in_terminal(answer: str, *words: object) -> tuple[int, str]:
    """Run a command in a terminal of 80x24, answer its question, and return exit code and screen."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
        if answer and shown.endswith(b"] "):
            os.write(ours, answer.encode() + b"\n")
            answer = ""
    os.close(ours)
    return process.wait(90), shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [["run", "--detach"], ["check"]], ids=" ".join)
def test_nothing_runs_where_nobody_can_be_asked(
    evolve: Evolve, foreign: Path, tmp_path: Path, words: list[str]
) -> None:
    command, *options = words
    runs = ["--runs", tmp_path / "runs"] if command == "run" else []
    done = evolve(command, foreign, *options, *runs)
    assert done.code == 2
    assert f"the task in {foreign} has never been run here, so none of its code is run" in done.err
    assert len(done.err.splitlines()) == 2
    assert not (tmp_path / "runs").exists()


def test_run_from_elsewhere_needs_trust_to_go_on(evolve: Evolve, foreign: Path, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs")
    start = ("run", foreign, "--headless", "--rounds", 0, "--designer", "recombine", "--name", "r", *where)
    first = evolve(*start, "--trust")
    assert first.code == 0
    assert "trusted: the task in" in first.err
    go_on = ("resume", "r", "--headless", "--rounds", 1, *where)
    elsewhere = {"EVOLVE_HOME": str(tmp_path / "elsewhere")}
    refused = evolve(*go_on, **elsewhere)
    assert (refused.code, "run 'r' was not made here" in refused.err) == (2, True)
    assert Run(tmp_path / "runs" / "r").db.is_file()
    assert evolve(*go_on, "--trust", **elsewhere).code == 0


def test_campaign_from_elsewhere_asks_about_the_command_that_it_names(evolve: Evolve, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    command = 'designer.name = "command"\ncommand.run = ["sh", "-c", "touch ran"]\n'
    file.write_text(f'tasks = ["circle_packing"]\nseeds = 1\n[run]\nrounds = 0\n[settings.agent]\n{command}')
    refused = evolve("campaign", file, "--json")
    assert refused.code == 2 and len(refused.err.splitlines()) == 2
    assert f"the campaign in {file} names what you have not agreed to, so none of its code is run" in refused.err
    assert "its programs are written by a command that runs here: sh -c 'touch" in refused.err
    assert not (tmp_path / "workspace" / "campaigns").exists()

    def review() -> Review | None:
        planned = plan_campaign(read_campaign(file))
        return review_campaign(file, [(run.settings, run.case.loaded) for run in planned.runs])

    asked = review()
    assert asked is not None and not asked.may_be_own
    asked.agree()
    file.write_text(file.read_text().replace("seeds = 1", "seeds = [0, 4]"))
    assert review() is None, "what it may do is agreed to, and that did not change"
    file.write_text(file.read_text().replace("touch", "rm"))
    assert review() is not None


def test_question_shows_on_one_screen_what_it_is_about(foreign: Path) -> None:
    (foreign.parent / "papers").mkdir()
    toml = foreign / "task.toml"
    toml.write_text('mounts = ["../papers"]\n' + toml.read_text())
    code, shown = in_terminal("n", "check", foreign)
    lines = shown.splitlines()
    assert code == 1
    assert "nothing of it was run" in shown
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert f"!itreads{foreign.parent / 'papers'}" in "".join(shown.split()), "a long path is wrapped"
    code, shown = in_terminal("m", "check", foreign)
    assert (code, "no problems" in shown) == (0, True)
    (foreign / "brief.md").write_text("Edited.\n")
    code, shown = in_terminal("", "check", foreign)
    assert (code, "Run it?" in shown) == (0, False)


def test_folder_made_by_new_is_ones_own(evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert evolve("new", "mine").code == 0
    seed = tmp_path / "mine" / "seed.py"
    seed.write_text(seed.read_text().replace("0.4", "0.41"))
    task = load_task(tmp_path / "mine")
    assert review_task(task, task_settings(task), own_layers(())) is None
