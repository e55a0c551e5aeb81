"""What a machine lacks is left out and counted, and fails in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CONFTEST = """\
from tests.needs import Needs


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names)")
    config.pluginmanager.register(Needs(config))
"""
MARKED = """\
import pytest


@pytest.mark.needs("no-such-program")
@pytest.mark.parametrize("n", range(3))
def test_marked(n):
    raise AssertionError


@pytest.mark.needs("bubblewrap")
def test_confined():
    raise AssertionError


def test_plain():
    pass
"""
WHOLE = """\
from tests.needs import require

require("no-such-program", "sh")


def test_nothing():
    raise AssertionError
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_what_is_left_out_is_counted_in_the_last_line(tmp_path: Path, processes: int) -> None:
    code, lines = _run(tmp_path, processes, CI="", EVOLVE_BUBBLEWRAP="off")
    left = "left out: 3 (needs no-such-program), 1 (needs bubblewrap), 1 whole file (needs no-such-program)"
    assert (code, lines[-1]) == (0, left), lines
    assert "1 passed" in lines[-2]


def test_in_ci_it_fails_but_for_what_is_switched_off(tmp_path: Path) -> None:
    code, lines = _run(tmp_path, 0, "--continue-on-collection-errors", CI="true", EVOLVE_BUBBLEWRAP="off")
    assert (code, lines[-1]) == (1, "left out: 1 (needs bubblewrap)"), lines
    assert "1 passed, 1 skipped, 4 errors" in lines[-2]


def _run(folder: Path, processes: int, *options: str, **variables: str) -> tuple[int, list[str]]:
    """The exit code and the lines of a test run."""
    for name, text in (("conftest.py", CONFTEST), ("test_marked.py", MARKED), ("test_whole.py", WHOLE)):
        (folder / name).write_text(text)
    # Nothing of the outer run: what pytest and xdist leave in the environment is theirs.
    here = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", str(processes), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options, str(folder)], capture_output=True, text=True, check=False, cwd=folder,
        env={**here, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables},
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()
