"""Hostile candidates run at every level of confinement that this machine offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.evaluation.conftest import choose_level

pytest.register_assert_rewrite("tests.hostile.lair")

from .lair import Lair


@pytest.fixture
def lair(level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lair:
    """Return a place at the level that the test is parametrized with."""
    choose_level(level, monkeypatch)
    return Lair(tmp_path, level)
