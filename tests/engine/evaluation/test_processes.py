"""Find the processes of an evaluation."""

from __future__ import annotations

import os
import subprocess

import pytest

from engine.evaluation.supervisor import processes
from engine.evaluation.supervisor.processes import Watch, find_tree


def test_descendants_are_found_without_reading_foreign_processes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = processes._read_stat

    def counted(pid: int) -> object:
        read.append(pid)
        return real(pid)

    monkeypatch.setattr(processes, "_read_stat", counted)
    nested = "sh -c 'sleep 60 & echo; wait' & wait"
    with subprocess.Popen(["sh", "-c", nested], stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout is not None
        try:
            shell.stdout.readline()
            watch = Watch(os.getpid())
            tree = set(find_tree(shell.pid))
            assert len(tree) == 2
            assert set(watch.below(shell.pid, 64)) == tree
            read.clear()
            assert set(watch.below(shell.pid, 64)) == tree
            assert os.getppid() not in read
        finally:
            os.killpg(shell.pid, 9)
