"""What is kept with a run for the list of runs, the filter of the list, disk space, and runs of other machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import RunError, UsageError
from engine.runs.disk import describe_bytes, disk_bytes
from engine.runs.folder import Run, find_run, lock_run
from engine.runs.hosts import Host, Unreachable, check_address, find_host, read_hosts, remote_command, remote_runs
from engine.runs.labels import Labels, archive_run, read_labels, tag_run
from engine.runs.manage import rename_run
from engine.runs.run_filter import RunFacts, parse_run_filter
from tests.conftest import Evolve
from tests.tui.synthetic import make_run

StubSsh = Callable[[str], Path]


def test_labels_belong_to_the_folder(tmp_path: Path, evolve: Evolve) -> None:
    run = make_run(tmp_path / "one", 3, end="finished")
    where = ("--runs", tmp_path)
    before = run.db.read_bytes()
    assert evolve("tag", "one", "good", "seed3", *where).out == "good seed3\n"
    assert evolve("tag", "one", "good", "--off", *where).out == "seed3\n"
    assert run.db.read_bytes() == before, "nothing of it stands in the journal"
    assert evolve("archive", "one", *where).code == 0
    renamed = rename_run(run, "two")
    assert read_labels(renamed.folder) == Labels(("seed3",), True)
    assert evolve("fork", "two", "--at", "20", "--name", "three", *where).code == 0
    assert read_labels(tmp_path / "three") == Labels()
    shown = evolve("runs", "--json", *where).json
    assert [(entry["name"], entry["tags"], entry["archived"]) for entry in shown] == [("three", [], False)]
    assert "Only archived runs (1) match 'tag:seed3'" in evolve("runs", "--filter", "tag:seed3", *where).out
    assert "No run matches 'tag:none'" in evolve("runs", "--filter", "tag:none", *where).out
    listed = evolve("runs", "--filter", "is:archived tag:seed3", "--disk", *where).out
    assert "two" in listed and "(archived) seed3" in listed and "three" not in listed and "kB" in listed
    assert find_run(None, tmp_path).name == "three"
    archive_run(tmp_path / "three")
    assert "All 2 runs are archived" in evolve("runs", *where).out
    assert find_run(None, tmp_path).name in ("two", "three"), "archived runs can still be named"
    assert evolve("archive", "two", "--off", *where).code == 0
    assert "two" in evolve("runs", *where).out
    refused = evolve("tag", "two", "a,b", *where)
    assert refused.code == 2 and "cannot be a tag" in refused.err


def test_unreadable_labels_count_as_none(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    deep = b'{"more":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    odd = b'{"tags": ["\\u001b[2J", "", "fine", "a b"]}'
    for content in (b"", b"[", b'{"tags": 3}', b'{"tags": ["\xff"]}', deep, odd, b" " * 100_000):
        file.write_bytes(content)
        assert read_labels(tmp_path).tags == (("fine",) if b"fine" in content else ())
    file.unlink()
    os.mkfifo(file)
    assert read_labels(tmp_path) == Labels(), "a pipe is not waited for"
    tmp_path.chmod(0o755)
    outside = tmp_path / "outside"
    outside.write_text("kept")
    file.unlink()
    file.symlink_to(outside)
    tag_run(tmp_path, ["word"])
    assert file.stat().st_mode & 0o777 == tmp_path.stat().st_mode & 0o666, "whoever may read the run may read them"
    assert outside.read_text() == "kept" and read_labels(tmp_path).tags == ("word",)
    with pytest.raises(UsageError, match="cannot be a tag"):
        tag_run(tmp_path, ["--off"])
    with pytest.raises(UsageError, match="at most 20"):
        tag_run(tmp_path, [f"t{number}" for number in range(21)])
    with pytest.raises(RunError, match="cannot be written"):
        tag_run(tmp_path / "away", ["word"])


def test_changes_of_labels_at_once_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        changes = [pool.submit(tag_run, tmp_path, [f"t{number}"]) for number in range(19)]
        changes.append(pool.submit(archive_run, tmp_path))
    assert [change.exception() for change in changes] == [None] * 20
    assert len(read_labels(tmp_path).tags) == 19 and read_labels(tmp_path).archived


def test_filter_of_runs() -> None:
    good = RunFacts("circle-7", "circle_packing", "paused", "gpu1", ("good", "night"))
    old = RunFacts("old", "sorting", "finished", "here", (), archived=True)
    found = {
        text: [parse_run_filter(text)(run) for run in (good, old)]
        for text in ("", "circle", "tag:good", "tag:goo", "status:paused night", "host:gpu", "task:sort", "is:archived")
    }
    assert found == {
        "": [True, False], "circle": [True, False], "tag:good": [True, False], "tag:goo": [False, False],
        "status:paused night": [True, False], "host:gpu": [True, False], "task:sort": [False, False],
        "is:archived": [False, True],
    }  # fmt: skip
    assert parse_run_filter("task:sort", archived=True)(old)
    assert parse_run_filter("")(old._replace(status="running")), "a run with an engine is never hidden"
    assert parse_run_filter("gpu1:old", archived=True)(old._replace(name="gpu1:old")), "a name with its machine"
    for text in ("status:nice", "is:old", "tags:3"):
        with pytest.raises(UsageError):
            parse_run_filter(text)


def test_disk_space_counts_files_once_and_follows_no_link(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    (run.folder / "below").mkdir(parents=True)
    (run.folder / "below" / "data").write_bytes(os.urandom(1_000_000))
    before = disk_bytes(run)
    assert 1_000_000 <= before < 1_100_000
    os.link(run.folder / "below" / "data", run.folder / "again")
    (run.folder / "outside").symlink_to("/")
    assert disk_bytes(run) - before < 20_000
    assert [describe_bytes(size) for size in (0, 812_000, 3_440_000, 99_600_000, 120e9)] == [
        "0 kB", "812 kB", "3.4 MB", "100 MB", "120 GB",
    ]  # fmt: skip


@pytest.fixture
def stub_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubSsh:
    """Puts a program named ssh before all others; returns the file in which it notes its arguments."""

    def make(body: str) -> Path:
        folder, noted = tmp_path / "bin", tmp_path / "noted"
        folder.mkdir(exist_ok=True)
        stub = folder / "ssh"
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {noted}\n{body}\n')
        stub.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return noted

    return make


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "", "a b", "a;b", "user@-x", "$(x)", "ssh://-x@h", "a\nb", "-"])
def test_host_that_ssh_would_take_for_an_option_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a host"):
        check_address(name)
    with pytest.raises(UsageError):
        remote_command(Host(name), [], False)


def test_hosts_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_HOME", str(tmp_path))
    config = tmp_path / "config.toml"
    config.write_text(
        '[hosts.gpu1]\n[hosts."a b"]\naddress = "ab"\n'
        '[hosts.big]\naddress = "me@big.example"\nevolve = "~/venv/bin/evolve"\n'
    )
    assert list(read_hosts()) == ["gpu1", "a b", "big"]
    assert find_host("a b") == Host("ab"), "a name in the file need be no address"
    there = remote_command(find_host("big"), ["show", "a b; rm"], True)
    assert there == ["ssh", "-t", "--", "me@big.example", "~/venv/bin/evolve show 'a b; rm'"]
    assert find_host("other") == Host("other")
    for wrong in ('[hosts]\nx = "y"', '[hosts."-o"]', '[hosts.a]\naddress = "-o"', "[hosts.a]\nport = 3"):
        config.write_text(wrong)
        with pytest.raises(UsageError):
            read_hosts()


def test_runs_of_another_machine(tmp_path: Path, stub_ssh: StubSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"run": "/r/one", "name": "one", "status": "running", "rounds": 3, "unknown": 1}
    noted = stub_ssh(f"echo welcome; echo '{json.dumps([entry])}'")
    assert [run.name for run in remote_runs(Host("gpu1"), ["--disk"])] == ["one"]
    words = noted.read_text().split()
    assert words[-5:] == ["gpu1", "evolve", "runs", "--json", "--disk"] and "BatchMode=yes" in words
    stub_ssh("echo 'ssh: connect to host gpu1: No route' >&2; exit 255")
    with pytest.raises(Unreachable, match="No route"):
        remote_runs(Host("gpu1"))
    stub_ssh("exit 127")
    with pytest.raises(Unreachable, match="no 'evolve' on its path"):
        remote_runs(Host("gpu1"))
    for wrong in (
        b"<html>", b'[{"run": "/r/\xff", "name": "", "status": ""}]', b"[" * 100_000,
        *(json.dumps([{**entry, **part}]).encode() for part in (
            {"best": {"score": "much"}}, {"started": "never"}, {"run": "/r/\0"}, {"name": 3},
        )),
    ):  # fmt: skip
        (tmp_path / "answer").write_bytes(wrong)
        stub_ssh(f"cat {tmp_path}/answer")
        with pytest.raises(Unreachable, match="cannot be read"):
            remote_runs(Host("gpu1"))
    monkeypatch.setattr("engine.runs.hosts._MOST_BYTES", 1 << 20)
    for stream in (1, 2):
        stub_ssh(f"exec yes >&{stream}")
        with pytest.raises(Unreachable, match="longer than 1 MiB"):
            remote_runs(Host("gpu1"))
    stub_ssh("sleep 300 & wait")
    monkeypatch.setattr("engine.runs.hosts.LIST_SECONDS", 0.2)
    with pytest.raises(Unreachable, match="no answer"):
        remote_runs(Host("gpu1"))


def test_commands_go_to_another_machine(tmp_path: Path, stub_ssh: StubSsh, evolve: Evolve) -> None:
    noted = stub_ssh("exit 7")
    done = evolve("--host", "me@gpu1", "best", "a run", "-o", "x.py", PATH=os.environ["PATH"])
    assert done.code == 7
    assert noted.read_text().splitlines() == ["-T", "--", "me@gpu1", "evolve best 'a run' -o x.py"]
    assert evolve("--host=gpu1", "runs", PATH=os.environ["PATH"]).code == 7
    for words in (["--host"], ["--host", "-x", "runs"], ["--host="]):
        assert evolve(*words, PATH=os.environ["PATH"]).code == 2
    assert "stands before everything else" in evolve("--runs", tmp_path, "--host", "gpu1").err


def test_list_takes_in_other_machines(tmp_path: Path, stub_ssh: StubSsh, evolve: Evolve) -> None:
    make_run(tmp_path / "runs" / "mine", 3, end="finished")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[hosts.gpu1]\n[hosts.gone]\n")
    there = evolve("runs", "--json", "--runs", tmp_path / "runs").out.strip().replace("mine", "theirs")
    (tmp_path / "answer").write_text(there)
    stub_ssh(f'case "$*" in *gone*) echo "no such host" >&2; exit 255;; esac\ncat {tmp_path}/answer')
    extra = {"PATH": os.environ["PATH"], "EVOLVE_HOME": str(tmp_path / "home")}
    done = evolve("runs", "--hosts", "--json", "--runs", tmp_path / "runs", **extra)
    assert sorted((entry["name"], entry.get("on", "")) for entry in done.json) == [("mine", ""), ("theirs", "gpu1")]
    assert "gone: no such host" in done.err
    assert "gpu1:theirs" in evolve("runs", "--hosts", "--runs", tmp_path / "runs", **extra).out


def test_engine_keeps_an_archived_run_listed(tmp_path: Path, evolve: Evolve) -> None:
    run = make_run(tmp_path / "one", 3)
    archive_run(run.folder)
    with lock_run(run):
        assert [entry["name"] for entry in evolve("runs", "--json", "--runs", tmp_path).json] == ["one"]
    assert evolve("runs", "--json", "--runs", tmp_path).json == []
