"""Killing writers and readers at any time loses nothing that was acknowledged. tests/bench has the long run."""

from __future__ import annotations

from pathlib import Path

from tests.bench.cognition_stress import stress


def test_kills_lose_no_revision(tmp_path: Path) -> None:
    found = stress(tmp_path, seconds=3)
    assert (found["lost"], found["holes"], found["integrity"], found["files_agree"]) == (0, [], "ok", True), found
    assert found["failed"] == [] and found["kills"] and found["noted"], found
