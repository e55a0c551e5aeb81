"""Fixtures of the tests of the loop's parts."""

from __future__ import annotations

import pytest

from engine.loop.serve import watch_children_without_threads


@pytest.fixture(autouse=True)
def children() -> None:
    """Let the test's event loop start subprocesses as an engine's does."""
    watch_children_without_threads()
