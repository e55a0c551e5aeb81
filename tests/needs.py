"""What tests need that not every machine has, and the count of those that were left out for want of it.

`@pytest.mark.needs("tmux")` marks a test, `require("torch")` a whole file or what a fixture makes. Where CI is `true` a
test that lacks something fails: nothing is left out there unseen.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from importlib.util import find_spec
from typing import Any, NoReturn

import pytest

from engine.evaluation.bubblewrap import OFF, VARIABLE
from engine.evaluation.cgroups import find_cgroups
from engine.evaluation.kernel import probe_kernel
from engine.evaluation.landlock import GUARDS_FROM
from engine.evaluation.sandbox import find_sandbox

__all__ = ["Needs", "leave_out", "require"]

_TRIALS = {
    # Where namespaces are forbidden it is of no use; nor is a compiler without assembler, linker or headers.
    "unshare": ["unshare", "--user", "--map-root-user", "--mount", "true"],
    "gcc": ["gcc", "-shared", "-fPIC", "-include", "stdio.h", "-x", "c", "-o", "/dev/null", "-"],
}
"""What shows that a program can do what the tests ask of it."""
_OF_KERNEL = {"landlock", "seccomp", "cgroup"}
_LIBRARIES = {"torch", "triton", "transformers", "rdkit", "sklearn", "ray", "textual_serve", "acp"}


def require(*names: str) -> None:
    """Leave out the test, or the file that is being read, unless all of this is there; in CI it fails.

    Args:
        names: programs, `bubblewrap` (one that works), `cgroup` (that bounds memory), `landlock` (that guards),
            `seccomp`, `unshare` (that may make namespaces), or Python libraries. What the kernel lacks cannot be
            installed: it fails nowhere.
    """
    lacking = [name for name in names if not _is_there(name)]
    if not lacking:
        return
    reason = f"needs {' and '.join(lacking)}"
    # What was switched off for this run is not missing.
    hidden = lacking == ["bubblewrap"] and os.environ.get(VARIABLE) == OFF
    if hidden or set(lacking) <= _OF_KERNEL:
        pytest.skip(reason, allow_module_level=True)
    leave_out(reason)


def leave_out(reason: str) -> NoReturn:
    """Leave out the test, or the file that is being read, and count it under the reason; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, which must be there in CI")
    pytest.skip(reason, allow_module_level=True)


@functools.cache
def _is_there(name: str) -> bool:
    if name == "bubblewrap":
        # As in a test, whose workspace is its own: the person's config.toml says nothing of it.
        return bool(find_sandbox(os.environ.get(VARIABLE) or "auto").path)
    if name == "cgroup":
        return find_cgroups().bounds_memory
    if name == "landlock":
        return probe_kernel().landlock >= GUARDS_FROM
    if name == "seccomp":
        return probe_kernel().seccomp
    if name in _LIBRARIES:
        return find_spec(name) is not None
    if shutil.which(name) is None:
        return False
    trial = _TRIALS.get(name)
    return not trial or subprocess.run(trial, capture_output=True, input=b"", check=False).returncode == 0


class Needs:
    """Heeds the mark `needs`, and counts what is left out, by reason, for the last line of a test run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tests: Counter[str] = Counter()
        self._files: dict[str, str] = {}
        """File to reason."""
        self._ran = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out a test before anything is made for it."""
        for mark in item.iter_markers("needs"):
            require(*mark.args)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        self._ran = True
        if report.skipped:
            self._tests[_reason(report.longrepr)] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file, of which the process that shows the results never hears from those that run the tests."""
        if report.skipped:
            self._files[report.nodeid] = _reason(report.longrepr)
            if hasattr(self._config, "workeroutput"):
                self._config.workeroutput["left_out"] = self._files

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the files that a process left out."""
        self._files.update(getattr(node, "workeroutput", {}).get("left_out", {}))

    def pytest_unconfigure(self) -> None:
        """Print the line, after all that pytest prints."""
        if hasattr(self._config, "workeroutput") or not (self._ran or self._files):
            return
        told = [f"{count} ({reason})" for reason, count in self._tests.most_common()]
        files = Counter(self._files.values())
        told += [f"{count} whole file{'s' * (count > 1)} ({reason})" for reason, count in files.most_common()]
        print(f"left out: {', '.join(told) or 'nothing'}", flush=True)


def _reason(told: Any) -> str:
    """Why something was skipped: pytest gives (file, line, text)."""
    text = told[2] if isinstance(told, tuple) else str(told)
    return str(text).removeprefix("Skipped: ")
