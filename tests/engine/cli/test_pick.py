"""Find a run by name; offer or list the matches of an ambiguous one; report an unknown one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from engine.cli.pick import pick
from engine.errors import RunError, UsageError
from engine.runs.folder import AmbiguousRun, Run
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.e2e.runs import make_run


@pytest.fixture
def runs(make_task: TaskMaker, tmp_path: Path) -> Path:
    """Three runs of a task, the newest named `point-b`."""
    task, folder = make_task(), tmp_path / "runs"
    for name in ("point-c", "point-a", "point-b"):
        made = make_run(task, folder)
        made.folder.rename(folder / name)
    return folder


def test_ambiguous_name_lists_newest_first_and_what_to_type(runs: Path) -> None:
    with pytest.raises(AmbiguousRun) as caught:
        pick("point", runs)
    assert caught.value.message == "'point' fits several runs, newest first: point-b, point-a, point-c"
    assert caught.value.newest == Run(runs / "point-b")
    assert str(runs / "point-b") in caught.value.hint


def test_long_list_of_matching_runs_is_cut(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    for _ in range(11):
        make_run(task, tmp_path / "runs")
    with pytest.raises(AmbiguousRun) as caught:
        pick("point", tmp_path / "runs")
    assert caught.value.message.endswith(" and 3 more")


@pytest.mark.parametrize(
    ("answer", "taken"), [("\n", True), ("y\n", True), ("n\n", False), ("other\n", False), ("\x04", False)]
)
def test_newest_run_is_offered_in_terminal(runs: Path, answer: str, taken: bool) -> None:
    import pexpect

    command = shlex.join([*COMMAND, "show", "point", "--json", "--runs", str(runs)])
    child = pexpect.spawn("/bin/sh", ["-c", f"{command} >{runs}/out"], encoding="utf-8", timeout=90)
    child.expect_exact("Take the newest, point-b? [Y/n]")
    child.send(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (0 if taken else 1), child.before
    assert ("point-b" in (runs / "out").read_text()) == taken


def test_irreversible_command_offers_no_run(runs: Path) -> None:
    import pexpect

    child = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], "delete", "point", "--yes", "--runs", str(runs)], encoding="utf-8", timeout=90
    )
    child.expect_exact("fits several runs")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert len(list(runs.iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("point-d", "Did you mean 'point-"),
        ("pont", "Did you mean 'point-b'?"),
        ("tasks/point", "'evolve run tasks/point' starts a run of it"),
        ("./runs", "'evolve runs --runs ./runs' lists the runs in it"),
        ("./tasks", "it has no run.db"),
        ("7", " 7' shows a node of the newest"),
        ("best", " best' shows a node of the newest"),
        ("int-a", "Did you mean 'point-a'?"),
        ("nothing-like-it", "'evolve runs' lists them"),
    ],
)
def test_unknown_name_suggests_similar_run(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError) as caught:
        pick(name, runs)
    assert told in str(caught.value)


def test_missing_runs_folder_is_error_of_every_reading_command(evolve: Evolve, tmp_path: Path) -> None:
    for words in (["runs"], ["show"], ["best", "x"], ["priors", "list"], ["compare", "a", "b"]):
        done = evolve(*words, "--runs", tmp_path / "nope")
        assert (done.code, done.out) == (2, ""), words
        assert done.err == f"error: --runs {tmp_path / 'nope'}: there is no such folder\n"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="it is not a folder"):
        pick(None, tmp_path / "file")
    # The workspace's own folder is created with its first run.
    assert evolve("runs").code == 0


def test_hints_can_be_typed_as_printed(runs: Path, evolve: Evolve, tmp_path: Path, workspace: Path) -> None:
    refused = evolve("pause", "point-b", "--runs", runs)
    assert f"'evolve resume {runs / 'point-b'}' starts one" in refused.err
    assert evolve("show", runs / "point-b").code == 0
    assert Run(workspace / "runs" / "mine").typed == "mine"
    assert Run(Path.cwd() / "here" / "a b").typed == "'here/a b'"


def test_relative_runs_folder_is_same_folder_for_engine(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    monkeypatch.chdir(tmp_path)
    started = evolve("run", task, "--detach", "--rounds", 0, "--runs", "relative", "--json")
    assert started.code == 0, started.err
    assert Path(started.json["run"]).parent == tmp_path / "relative"
    assert evolve("resume", "--headless", "--json", "--runs", "relative").json["status"] == "finished"
