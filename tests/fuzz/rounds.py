"""Run a target again and again, each round with a seed of its own, so that a finding can be repeated."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.targets import TARGETS

__all__ = ["Hang", "one_round", "run_rounds"]

MOST_SECONDS = 40
"""A round takes some hundredths of a second; one that takes longer than this hangs."""


class Hang(BaseException):
    """A round did not end in time; no reader may catch it."""


@contextmanager
def _in_time() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_round(target: str, seed: int) -> None:
    """Run a target once.

    Raises:
        BaseException: whatever the target raises; `Hang` if it takes too long.
    """
    folder = Path(tempfile.mkdtemp(prefix="evolve-fuzz-"))
    before = os.environ.get("EVOLVE_HOME")
    os.environ["EVOLVE_HOME"] = str(folder / "home")
    try:
        with _in_time():
            TARGETS[target](Random(f"{target} {seed}"), folder)
    finally:
        if before is None:
            del os.environ["EVOLVE_HOME"]
        else:
            os.environ["EVOLVE_HOME"] = before
        shutil.rmtree(folder, ignore_errors=True)


def run_rounds(target: str, seconds: float, first: int = 0) -> tuple[int, dict[str, tuple[int, str]]]:
    """Run rounds for a time.

    Returns:
        How many ran, and the findings: the seed and traceback of the first of each kind.
    """
    found: dict[str, tuple[int, str]] = {}
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        try:
            one_round(target, seed)
        except (Hang, Exception) as exc:
            last = traceback.extract_tb(exc.__traceback__)[-1]
            kind = f"{type(exc).__name__} at {last.filename}:{last.lineno}"
            found.setdefault(kind, (seed, "".join(traceback.format_exception(exc))[-6000:]))
        seed += 1
    return seed - first, found
