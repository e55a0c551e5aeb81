"""Hostile candidates run at every level of confinement that this machine offers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.evaluation import launch, warm
from engine.evaluation.bubblewrap import OFF, WARM_VARIABLE
from tests.engine.evaluation.conftest import choose_level

pytest.register_assert_rewrite("tests.hostile.lair")

from .lair import Lair


@pytest.fixture
def lair(level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lair]:
    """Return a place at the level that the test is parametrized with.

    Under bubblewrap evaluators and candidates are forked; `EVOLVE_WARM=off pytest tests/hostile` starts interpreters.
    """
    choose_level(level, monkeypatch)
    monkeypatch.setattr(warm, "_WORTH_IT", 1)
    yield Lair(tmp_path, level, forks=level == "bubblewrap" and os.environ.get(WARM_VARIABLE) != OFF)
    launch.warm_starts.close()
