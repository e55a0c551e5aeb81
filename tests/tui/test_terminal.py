"""A real pseudo-terminal: bytes, hang-ups, stalls, sizes. Bytes, counts and exit codes are asserted, never times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

ROOT = Path(__file__).parents[2]
TUI = [sys.executable, "-m", "tests.tui.start_tui"]

Open = Callable[..., Terminal]


@pytest.fixture
def open_tui(runs: Path) -> Iterator[Open]:
    """Starts the application in a terminal."""
    opened: list[Terminal] = []

    def start(*names: str, **options: Any) -> Terminal:
        terminal = Terminal([*TUI, str(runs), *names], cwd=ROOT, **options)
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def engine(runs: Path) -> Iterator[Callable[[str, float], subprocess.Popen[bytes]]]:
    """Starts a stand-in for an engine that goes on with a run."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, rate: float) -> subprocess.Popen[bytes]:
        run = Run(runs / name)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.tui.stand_in", str(run.folder), "--rate", str(rate)],
            cwd=ROOT,
            start_new_session=True,
        )
        started.append(process)
        while not is_alive(run):
            assert process.poll() is None
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait()


def last_seq(runs: Path, name: str) -> int:
    """The newest event of a run."""
    with JournalReader(runs / name / "run.db") as reader:
        return reader.last_seq()


def test_idle_screen_writes_no_byte(runs: Path, open_tui: Open) -> None:
    """A run that was paused, one whose engine died, the list of them."""
    make_run(runs / "paused", 200, end="paused")
    make_run(runs / "dead", 200)
    terminals = [open_tui("paused"), open_tui("dead"), open_tui()]
    for terminal, shown in zip(terminals, ["Population  row 1 of 20"] * 2 + ["dead"], strict=True):
        terminal.read_until(shown)
    for terminal in terminals:
        terminal.read_until_quiet(2.2)


def test_live_bytes_stay_in_budget(runs: Path, open_tui: Open, engine: Any) -> None:
    make_run(runs / "live", 400)
    process = engine("live", 20)
    terminal = open_tui("live")
    terminal.read_until("● running")
    terminal.read(1.5)
    seq = last_seq(runs, "live")
    seconds = [terminal.read(1.0) for _ in range(3)]
    while last_seq(runs, "live") == seq or not sum(seconds):  # a loaded machine may stand still
        seconds.append(terminal.read(1.0))
    assert sum(seconds) / len(seconds) <= 4_000, seconds
    assert max(seconds) <= 20_000, seconds
    process.terminate()
    terminal.read_until("✗ dead")
    terminal.read_until_quiet(1.0)
    shown = steady(terminal)
    terminal.send("?")
    terminal.read_until(lambda text: text.startswith(" Help"))
    terminal.send("\x1b")
    terminal.read_until("✗ dead")
    terminal.read_until_quiet(1.0)
    assert steady(terminal) == shown, "what was painted in parts is what is painted as a whole"


def steady(terminal: Terminal) -> list[str]:
    """Status, tree and workers: what a screen that comes back shows as it was; plot and notes are fitted anew."""
    lines = terminal.text.splitlines()
    return [lines[0], *(line[:72] for line in lines[:30]), *lines[12:18]]


def test_cursor_keys_and_screen_switches_stay_in_budget(runs: Path, open_tui: Open) -> None:
    make_run(runs / "still", 300, end="finished")
    terminal = open_tui("still")
    terminal.read_until("Population  row 1 of 30")
    terminal.read_until_quiet(1.0)
    # The first key of all takes the hints for new users away.
    terminal.send("j")
    terminal.read_until("Population  row 2 of 30")
    terminal.read_until_quiet(1.0)
    terminal.send("j")
    assert terminal.read(1.5, quiet=0.6) <= 2_000
    terminal.send("\x04")
    assert terminal.read(1.5, quiet=0.6) <= 12_000
    terminal.send("\r")
    terminal.read_until("construct_packing")
    before = terminal.total
    terminal.send("2")
    terminal.read_until("@@")
    assert terminal.total - before <= 40_000


@pytest.mark.parametrize(
    "options", [{}, {"controlling": False}, {"ignore_hangup": True}, {"ignore_hangup": True, "controlling": False}],
    ids=["ordinary", "no controlling terminal", "nohup", "nohup without one"],
)  # fmt: skip
def test_hang_up_ends_only_the_application(
    runs: Path, workspace: Path, open_tui: Open, engine: Any, options: dict[str, bool]
) -> None:
    make_run(runs / "live", 60)
    process = engine("live", 20)
    terminal = open_tui("live", **options)
    terminal.read_until("● running")
    terminal.hang_up()
    assert terminal.process.wait(90) == 129
    log = (workspace / "state" / "tui.log").read_text()
    assert "Traceback" not in log and " ERROR " not in log
    seq = last_seq(runs, "live")
    assert process.poll() is None
    deadline = time.monotonic() + 90
    while last_seq(runs, "live") <= seq:
        assert time.monotonic() < deadline, "the run did not go on"
        time.sleep(0.05)


def test_hang_up_ends_an_open_editor(runs: Path, open_tui: Open, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\ntrap '' HUP\necho $$ > {tmp_path}/pid\nexec sleep 300\n")
    editor.chmod(0o755)
    make_run(runs / "still", 20, end="finished")
    terminal = open_tui("still", env={"EDITOR": str(editor), "VISUAL": ""})
    terminal.read_until("Population  row 1 of 2")
    terminal.send("e")
    deadline = time.monotonic() + 90
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        terminal.read(0.1)
    pid = int((tmp_path / "pid").read_text())
    terminal.hang_up()
    assert terminal.process.wait(90) == 129
    deadline = time.monotonic() + 90
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the editor lives on"
        time.sleep(0.05)


def test_stalled_terminal_catches_up_with_few_bytes(runs: Path, open_tui: Open, engine: Any) -> None:
    make_run(runs / "live", 60)
    engine("live", 50)
    terminal = open_tui("live")
    terminal.read_until("● running")
    time.sleep(4.5)
    seq = last_seq(runs, "live")
    before = terminal.total
    with JournalReader(runs / "live" / "run.db") as reader:
        from engine.state.fold import fold_run

        rounds = fold_run(reader, upto=seq).rounds_done

    def caught_up(text: str) -> bool:
        shown = [word for word in text.splitlines()[0].split() if "/" in word]
        return bool(shown) and int(shown[0].partition("/")[0]) >= rounds

    terminal.read_until(caught_up)
    assert terminal.total - before <= 150_000


def test_resize_redraws_after_a_too_small_terminal(runs: Path, open_tui: Open) -> None:
    make_run(runs / "still", 60, end="finished")
    terminal = open_tui("still")
    terminal.read_until("Workers")
    terminal.resize(80, 24)
    terminal.read_until(lambda text: "Workers" not in text and "? Help" in text.splitlines()[-1])
    terminal.resize(50, 12)
    terminal.read_until("too small")
    terminal.resize(140, 50)
    terminal.read_until("Workers")
    assert terminal.process.poll() is None


def test_leaving_names_the_command_to_come_back(runs: Path, open_tui: Open, engine: Any) -> None:
    make_run(runs / "live", 40)
    process = engine("live", 5)
    terminal = open_tui("live")
    terminal.read_until("● running")
    terminal.send("q")
    terminal.read_until("Come back with: evolve attach")
    assert terminal.process.wait(90) == 0
    assert process.poll() is None and is_alive(Run(runs / "live"))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("finished", "Run 'over' is finished. Come back with: evolve attach"),
        ("", "Run 'over' has no engine at work. Come back with: evolve resume"),
    ],
)
def test_leaving_a_run_without_an_engine_names_the_right_command(
    runs: Path, open_tui: Open, end: str, told: str
) -> None:
    make_run(runs / "over", 40, end=end)
    terminal = open_tui("over")
    terminal.read_until("Population  row 1 of 4")
    terminal.send("q")
    terminal.read_until(told)
    assert terminal.process.wait(90) == 0


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [([], "TERM=dumb says", 2), (["attach", "over"], "finished: best", 0)],
)
def test_terminal_that_cannot_move_its_cursor_gets_lines(
    runs: Path, arguments: list[str], told: str, code: int
) -> None:
    make_run(runs / "over", 40, end="finished")
    command = [sys.executable, "-c", "from engine.cli import main; main()", *arguments, "--runs", str(runs)]
    terminal = Terminal(command, env={"TERM": "dumb"}, cwd=ROOT, emulate=False)
    try:
        while terminal.read(90):
            pass
        assert (terminal.process.wait(90), told in terminal.text, "\x1b" in terminal.text) == (code, True, False), (
            terminal.text
        )
    finally:
        terminal.close()


def test_stop_and_continue_signals_leave_keys_working(runs: Path, open_tui: Open) -> None:
    make_run(runs / "still", 40, end="finished")
    terminal = open_tui("still")
    terminal.read_until("Population  row 1 of 4")
    terminal.read(2, quiet=0.5)
    os.kill(terminal.process.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.send("j")
    terminal.read_until("Population  row 2 of 4")


def test_hostile_text_never_reaches_the_terminal(runs: Path, open_tui: Open) -> None:
    make_run(runs / "hostile", 40, hostile=True, end="finished")
    terminal = open_tui("hostile")
    seen = bytearray()
    feed = terminal._stream.feed
    terminal._stream.feed = lambda data: (seen.extend(data), feed(data))[1]  # type: ignore[method-assign]
    terminal.read_until("Population  row 1 of 4")
    terminal.send("\r")
    terminal.read_until("construct_packing")
    for key in "23456":
        terminal.send(key)
        terminal.read(0.4)
    # Textual itself sets the pointer's shape whenever it shows a screen.
    painted = bytes(seen).partition(b"Population")[2].replace(b"\x1b]22;default\x07", b"")
    assert b"\x1b]" not in painted and b"\x07" not in painted and b"\x1b[2J" not in painted
    assert "\u202e".encode() not in painted and b"\xc2\x9b" not in painted
