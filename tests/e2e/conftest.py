"""End every engine with the test that started it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.runs import started


@pytest.fixture(autouse=True)
def end_engines() -> Iterator[None]:
    """Kill engines that a failed test left running."""
    yield
    while started:
        engine = started.pop()
        if engine.poll() is None:
            engine.kill()
        engine.wait()
