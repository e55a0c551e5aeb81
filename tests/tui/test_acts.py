"""What is asked of a run from threads: here, that nothing of it is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.runs.folder import Run
from engine.runs.review import review_run
from tests.tui.synthetic import make_run
from tui import acts


def test_ended_engine_leaves_no_zombie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def spawn(run: Run) -> int:
        # As spawn_engine does: the Popen is told that its child is gone.
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.2)"])
        process.returncode = 0
        pids.append(process.pid)
        return process.pid

    monkeypatch.setattr(acts, "spawn_engine", spawn)
    run = make_run(tmp_path / "run", 3)
    review = review_run(run)
    assert review is not None
    review.agree()
    acts.set_and_start(run)
    for thread in threading.enumerate():
        if thread.name == "reaper":
            thread.join(90)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
