"""Bytes from a real terminal: whatever they are, the application lives and hears the next key; what fails says so."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import ROOT, open_tui

__all__ = ["open_tui"]

Open = Callable[..., Terminal]

F12 = b"\x1b[24~"
CASES = {
    "a byte that is no UTF-8": b"\xe4",
    "a character that is cut off": "漢".encode()[:2],
    "a flood of high bytes": bytes(range(0x80, 0x100)) * 200,
    "NUL": b"\x00",
    "an X10 report": b"\x1b[M \xff\xff",
    "an X10 report that is cut off": b"\x1b[M ",
    "an SGR report far outside": b"\x1b[<0;99999;99999M\x1b[<0;99999;99999m\x1b[<35;0;0M",
    "an SGR report of huge numbers": b"\x1b[<" + b"9" * 400 + b";1;1M",
    "an SGR report of negative numbers": b"\x1b[<0;-5;-7M",
    "a urxvt report": b"\x1b[32;5;5M",
    "a key of no character": b"\x1b[99999999999;5u\x1b[55296u\x1b[97;;1114112u",
    "a size of nothing": b"\x1b[48;0;0;0;0t",
    "a size that no memory holds": b"\x1b[48;99999;99999;9;9t",
    "the cursor's place": b"\x1b[12;40R",
    "what the terminal is": b"\x1b[?62;22;52c\x1b[>41;354;0c",
    "a colour": b"\x1b]11;rgb:1c1c/1c1c/1c1c\x1b\\\x1b]10;rgb:q/q/q\x07",
    "a string that never ends": b"\x1b]52;c;cXFxcXE=",
    "a DCS answer": b"\x1bP>|tmux 3.3a q\x1b\\\x1bP1+r544e=q\x1b\\",
    "an answer of a picture": b"\x1b_Gi=31;ENOENT q\x1b\\",
    "a sequence without an end": b"\x1b[1;2;3;4",
    "a sequence of any length": b"\x1b[" + b"1;" * 3000 + b"q",
    "a paste of anything": b"\x1b[200~q\xffq\x00q\x1b[Aq\x1b]0;q\x07q\r\nq\x1b[201~",
    "a paste that never ends": b"\x1b[200~q q q",
    "the end of no paste": b"\x1b[201~",
    "C1 as UTF-8": "\x85\x90\x9b\x9c\x9d".encode(),
}


@pytest.fixture(scope="module")
def counting() -> Iterator[Terminal]:
    """The application that counts."""
    terminal = Terminal([sys.executable, "-m", "tests.tui.start_driver"], (60, 16), cwd=ROOT)
    terminal.read_until("counted 0.")
    yield terminal
    terminal.close()


def counted(terminal: Terminal) -> int:
    """The number that is shown."""
    found = re.search(r"counted (\d+)\.", terminal.text)
    assert found is not None, terminal.text
    return int(found[1])


def presses(terminal: Terminal, key: bytes, seen: Callable[[], bool]) -> bool:
    """Press a key, again where what came before has taken it, until something is seen; false where it never is."""
    for _ in range(20):
        os.write(terminal.master, key)
        for _ in range(30):
            terminal.read(0.05, quiet=0.02)
            if terminal.process.poll() is not None:
                return False
            if seen():
                return True
    return False


pieces = st.one_of(
    st.sampled_from(list(CASES.values())),
    st.binary(max_size=40),
    st.sampled_from([b"\x1b", b"\x1b[", b"\x1bO", b"\x1b[<", b";", b"M", b"t", b"u", b"~", b"9999999", b"\x1b[200~"]),
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, max_size=12).map(b"".join))
def test_any_bytes_leave_the_next_key_working(counting: Terminal, data: bytes) -> None:
    before = counted(counting)
    os.write(counting.master, data[:3000])
    assert presses(counting, F12, lambda: counted(counting) > before), f"after {data!r}\n{counting.text}"


def test_bytes_that_are_no_keys_are_ignored(runs: Path, open_tui: Open) -> None:
    make_run(runs / "still", 60, end="finished")
    terminal = open_tui("still")
    terminal.read_until("Population  row 1 of 6")
    os.write(terminal.master, b"j")
    terminal.read_until("Population  row 2 of 6")

    def row() -> int:
        found = re.search(r"Population  row (\d+) of 6", terminal.text)
        return int(found[1]) if found else 0

    for name, data in CASES.items():
        os.write(terminal.master, data)
        # Further than one row if a key was pressed again that was only slow.
        place = row()
        assert presses(terminal, b"j", lambda place=place: row() > place), f"{name}\n{terminal.text}"  # type: ignore[misc]
    os.write(terminal.master, b"q")
    assert terminal.process.wait(90) == 0


@pytest.mark.parametrize("part", ["input", "output"])
def test_failing_part_is_logged_and_exits_with_an_error(runs: Path, workspace: Path, part: str) -> None:
    runs.mkdir()
    terminal = Terminal([sys.executable, "-m", "tests.tui.start_driver", "--break", part, str(runs)], cwd=ROOT)
    try:
        presses(terminal, b"j", lambda: False)
        assert terminal.process.wait(90) == 1
        told = (workspace / "state" / "tui.log").read_text()
        assert "Traceback" in told and "RuntimeError: broken for a test" in told
    finally:
        terminal.close()


def _columns(terminal: Terminal, sign: str) -> set[int]:
    rows = terminal.text.splitlines()[2:30]
    return {row.rfind(sign, 60, 80) for row in rows}


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "cp437", "koi8-r", "utf-8"])
def test_every_encoding_keeps_columns_aligned(runs: Path, open_tui: Open, encoding: str) -> None:
    make_run(runs / "still", 60, hostile=True, end="finished")
    terminal = open_tui("still", env={"PYTHONIOENCODING": encoding})
    written = bytearray()
    feed = terminal._stream.feed

    def keep(data: bytes) -> None:
        written.extend(data)
        # What is no ASCII takes one cell each; pyte reads UTF-8.
        feed(data if encoding == "utf-8" else bytes(byte if byte < 0x80 else ord("*") for byte in data))

    terminal._stream.feed = keep  # type: ignore[method-assign, assignment]
    terminal.read_until("Population  row 1 of 6")
    plain = encoding != "utf-8"
    terminal.read_until("# finished" if plain else "■ finished")
    terminal.read_until(lambda text: _columns(terminal, "|" if plain else "│") == {72})
    terminal.send("q")
    assert terminal.process.wait(90) == 0
    terminal.read(0.5)
    written.decode(encoding)
