"""What SLURM's jobs and the engine tell each other: options of sbatch, the shared folder, and signatures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import TaskError
from engine.evaluation.executors import slurm_job
from engine.evaluation.executors.slurm_files import SharedFolder, read_signed, sign
from engine.evaluation.executors.slurm_options import job_arguments, job_script, needed, partitions_of
from engine.runs.secret import open_key
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from engine.task.spec import Limits

KEY = b"k" * 32


def test_result_that_nobody_waits_for_is_not_left(tmp_path: Path) -> None:
    out = tmp_path / "result"
    slurm_job._write(out, b"one", tmp_path)
    assert out.read_bytes() == b"one"
    slurm_job._write(out, b"two", tmp_path / "gone")
    assert not list(tmp_path.iterdir())


def test_signature_names_what_it_signs() -> None:
    assert read_signed(KEY, "3", sign(KEY, "3", b"body")) == b"body"
    for damaged in (b"", sign(KEY, "3", b"body")[:-1], sign(KEY, "4", b"body"), b"x" * 64 + b" body"):
        with pytest.raises(ValueError, match="not signed"):
            read_signed(KEY, "3", damaged)


def test_shared_folder_is_the_users_own_and_forgets_what_is_old(tmp_path: Path) -> None:
    folder = SharedFolder(tmp_path / "shared", network=True)
    folder.make()
    assert {path.stat().st_mode & 0o777 for path in (folder.root, *folder.root.iterdir())} == {0o700}
    for name in ("old", "queued", "new"):
        folder.put(name, b"request", KEY)
        assert (folder.job(name) / "key").stat().st_mode & 0o777 == 0o600
    for name in ("old", "queued"):
        os.utime(folder.job(name), (1, 1))
    folder.sweep(["queued"])
    assert sorted(path.name for path in (folder.root / "jobs").iterdir()) == ["new", "queued"]
    folder.order("gone", "freeze")
    (folder.root / "out" / "new").symlink_to("/etc/passwd")
    assert folder.look({"new": (0, 10), "gone": (0, 10)}) == {}, "a link was followed"
    assert [path.name for path in (folder.root / "out").iterdir()] == ["new"]
    (folder.root / "out" / "new").unlink()
    for path in (folder.root / "out" / "new", folder.job("new") / "progress"):
        path.mkdir()
    os.mkfifo(folder.root / "out" / "pipe")
    assert folder.look({"new": (0, 10), "pipe": (0, 10)}) == {}


def test_key_of_a_run_is_made_once(tmp_path: Path) -> None:
    key = open_key(tmp_path)
    assert len(key) == 32 and open_key(tmp_path) == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_options_of_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert needed(Resources(cpus=0.5, gpus=0.0)) == ["--cpus-per-task=1"]
    assert needed(Resources(cpus=4, gpus=0.0, custom={"gpu:a100": 2, "shard": 1})) == [
        "--cpus-per-task=4", "--gres=gpu:a100:2,shard:1",
    ]  # fmt: skip
    with pytest.raises(TaskError, match=r"0.5 of 'gpu'"):
        needed(Resources(gpus=0.5))
    told = job_arguments("evolve-x", tmp_path, Limits(seconds=90, memory_mb=1000), ["--mem=1G"])
    assert {"--job-name=evolve-x", "--mem=1512M", "--time=12", "--no-requeue"} <= set(told) and told[-1] == "--mem=1G"
    assert "--output=/50%% off/log" in job_arguments("x", Path("/50% off"), Limits(), [])
    script = job_script(ExecutorSettings(python="/opt/a b/python"), "/s", tmp_path, "x-0").decode()
    assert script.startswith("#!/bin/sh\nexec '/opt/a b/python' -I -c ")
    for options in (["--partition=gpu,long"], ["-pgpu"], ["--partition", "gpu"], ["-A", "me", "-p", "gpu"]):
        assert partitions_of(options).split(",")[0] == "gpu"
    assert partitions_of(["--partition=gpu,long"]) == "gpu,long"
    assert partitions_of([]) == "" == partitions_of(["--qos=gpu"])
    monkeypatch.setenv("SBATCH_PARTITION", "night")
    assert (partitions_of([]), partitions_of(["-p", "gpu"])) == ("night", "gpu")
