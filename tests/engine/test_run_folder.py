"""The lock of a run's folder, with real files."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.runs.folder import Run, lock_is_deleted, lock_run


def test_lock_is_deleted_with_its_folder_and_moved_with_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "here")
    run.folder.mkdir()
    with lock_run(run) as lock:
        run.folder.rename(tmp_path / "there")
        assert not lock_is_deleted(lock)
        shutil.rmtree(tmp_path / "there")
        assert lock_is_deleted(lock)
