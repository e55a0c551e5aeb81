"""What a machine of a cluster removes, and what it never does."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from engine.evaluation.executors import node_files


async def test_sweep_spares_what_a_running_evaluation_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However old it is: an evaluation may take more than a week."""
    monkeypatch.setattr(node_files, "_swept", float("-inf"))
    for name in ("running", "left"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "lock").touch()
        (tmp_path / "blobs" / name).mkdir(parents=True)
        (tmp_path / "orders").mkdir(exist_ok=True)
        os.mkfifo(tmp_path / "orders" / name)
    for path in (*(tmp_path / "work").iterdir(), *(tmp_path / "orders").iterdir(), *(tmp_path / "blobs").iterdir()):
        os.utime(path, (1, 1))
    young = asyncio.create_task(node_files.keep_young([tmp_path / "blobs" / "running", tmp_path / "gone"]))
    await asyncio.sleep(0)
    # As a supervisor does.
    with open(tmp_path / "work" / "running" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node_files.sweep(tmp_path, "engine")
        monkeypatch.setattr(node_files, "_swept", float("-inf"))
        node_files.sweep(tmp_path, "engine")
    young.cancel()
    left = sorted(str(path.relative_to(tmp_path)) for kind in ("work", "orders", "blobs") for path in
                  (tmp_path / kind).iterdir())  # fmt: skip
    assert left == ["blobs/running", "orders/running", "work/running"]
