"""The rules of Landlock, planned for each of its versions and applied by the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.landlock import GUARDS_FROM, LISTABLE, READABLE, landlock_version, plan_rules

HARNESS = Path(__file__).parents[3] / "engine" / "evaluation"
CHILD = """
import ctypes, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
import evolve_task
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
evolve_task._apply_landlock(libc, json.loads(sys.argv[2]), "")
shown, secret = sys.argv[3:]
done = []
for name, act in {
    "own": lambda: open(os.environ["HOME"] + "/mine", "w").close(),
    "shown": lambda: open(shown).close(),
    "secret": lambda: open(secret).close(),
    "names": lambda: os.listdir(os.path.dirname(secret)),
    "append": lambda: open(secret, "a").close(),
    "append-shown": lambda: open(shown, "a").close(),
    "truncate": lambda: os.truncate(shown, 0),
    "delete": lambda: os.unlink(shown),
    "null": lambda: open("/dev/null", "w").close(),
    "signal": lambda: os.kill(os.getppid(), 0),
}.items():
    try:
        act()
        done.append(name)
    except OSError:
        pass
print(json.dumps(done))
"""


def confined(plan: dict[str, Any], folder: Path) -> list[str]:
    """Return what a process manages to do under these rules."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-I", "-S", "-c", CHILD, str(HARNESS), json.dumps(plan)]
    done = subprocess.run(
        [*command, str(folder / "shown" / "file"), str(folder / "secret" / "file")],
        capture_output=True,
        env={"HOME": str(home)},
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("shown", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    return tmp_path


@pytest.mark.needs("landlock")
@pytest.mark.parametrize("version", range(1, GUARDS_FROM + 1))
def test_each_version_shows_what_is_shown_and_nothing_else(files: Path, version: int) -> None:
    assert version <= landlock_version()
    shown = [str(files / "shown"), sys.base_prefix, str(HARNESS)]
    found = confined(plan_rules(version, shown, [], gpu=False), files)
    # Before the third version the filter refuses to truncate, before the sixth it keeps signals from some processes.
    left = [*(["truncate"] if version < 3 else []), "null", *(["signal"] if version < 6 else [])]
    assert found == ["own", "shown", *left]


@pytest.mark.needs("landlock")
def test_hidden_folder_in_a_shown_one_can_be_listed_and_not_read(files: Path) -> None:
    plan = plan_rules(landlock_version(), [str(files), sys.base_prefix], [str(files / "secret")], gpu=False)
    assert confined(plan, files) == ["own", "shown", "names", "null"]


def test_rules_leave_out_what_is_hidden(files: Path) -> None:
    rules = dict(plan_rules(6, [str(files)], [str(files / "secret")], gpu=False)["rules"])
    assert rules[str(files)] == LISTABLE and rules[str(files / "shown")] == READABLE
    assert str(files / "secret") not in rules


def test_shown_folder_in_a_hidden_one_stays_shown(files: Path) -> None:
    # As a built-in task in the engine's package.
    inner = files / "secret" / "task"
    inner.mkdir()
    rules = dict(plan_rules(6, [str(files), str(inner)], [str(files / "secret")], gpu=False)["rules"])
    assert rules[str(inner)] == READABLE and str(files / "secret") not in rules


def test_links_lead_nowhere_else(files: Path) -> None:
    (files / "shown" / "link").symlink_to(files / "secret")
    (files / "shown" / "hidden").mkdir()
    rules = dict(plan_rules(6, [str(files / "shown")], [str(files / "shown" / "hidden")], gpu=False)["rules"])
    assert not {str(files / "secret"), str(files / "shown" / "link")} & set(rules)


def test_gpu_task_gets_its_devices_and_no_other() -> None:
    rules = dict(plan_rules(6, [], [], gpu=True)["rules"])
    assert rules["/dev/null"] & 2 and "/sys" in rules
    assert "/dev" not in rules and "/sys" not in dict(plan_rules(6, [], [], gpu=False)["rules"])
