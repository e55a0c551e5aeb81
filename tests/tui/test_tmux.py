"""Inside tmux as it comes: 256 colours, no synchronised output, no clipboard; a narrow and a wide pane."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.needs("tmux")


class Tmux:
    """A tmux server of the test's own, with one pane."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"

    def call(self, *arguments: str) -> str:
        """One tmux command."""
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def start(self, runs: Path, name: str, size: tuple[int, int]) -> None:
        """The application in a pane of a size, without a client."""
        command = f"cd {ROOT} && {sys.executable} -m tests.tui.start_tui {runs} {name}; echo left with $?; sleep 60"
        self.call("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command)

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self.call("send-keys", *keys)

    def until(self, piece: str) -> str:
        """Wait until the pane shows something; returns all it shows."""
        deadline = time.monotonic() + 90
        while piece not in (text := self.call("capture-pane", "-p")):
            assert time.monotonic() < deadline, f"not shown: {piece}\n{text}"
            time.sleep(0.05)
        return text


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """A tmux server."""
    server = Tmux(tmp_path)
    yield server
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], capture_output=True, check=False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_run_is_watched_and_left_in_tmux(tmux: Tmux, runs: Path, workspace: Path, size: tuple[int, int]) -> None:
    make_run(runs / "alpha", 80, end="finished")
    tmux.start(runs, "alpha", size)
    text = tmux.until("Population  row 1 of 8")
    assert "■ finished" in text and "? Help" in text.splitlines()[-1]
    assert max(map(len, text.splitlines())) <= size[0]
    tmux.keys("b", "Enter")
    tmux.until("construct_packing")
    tmux.keys("2")
    tmux.until("@@")
    tmux.keys("y")
    tmux.until("sent to the terminal's clipboard")
    assert "construct_packing" in tmux.call("show-buffer")
    tmux.keys("Escape")
    tmux.until("Population")
    tmux.keys("q")
    left = tmux.until("left with 0").replace("\n", "")
    assert "Run 'alpha' is finished. Come back with: evolve attach" in left


def test_client_without_utf8_gets_ascii(tmux: Tmux, runs: Path, workspace: Path, tmp_path: Path) -> None:
    make_run(runs / "alpha", 30, end="finished")
    command = f"cd {ROOT} && {sys.executable} -m tests.tui.start_tui {runs} alpha; sleep 60"
    server = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    plain = {"LC_ALL": "C", "LANG": "", "LC_CTYPE": ""}
    terminal = Terminal([*server, "new-session", command], (80, 24), env=plain)
    try:
        terminal.read_until("Population  row 1 of 3")
        assert "# finished" in terminal.text and "| v #" in terminal.text
    finally:
        terminal.close()


def test_doctor_names_what_tmux_drops(tmux: Tmux, tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'from engine.cli import main; main()' doctor; sleep 60"
    tmux.call("new-session", "-d", "-x", "300", "-y", "40", f"cd {ROOT} && EVOLVE_HOME={tmp_path}/home {command}")
    text = tmux.until("lingering")
    assert "300x40, inside tmux" in text and "set-clipboard external" in text
    assert "'set -s set-clipboard on' in tmux.conf" in text
    assert "settings:" in text and "(none: defaults)" in text
