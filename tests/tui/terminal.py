"""A real pseudo-terminal around a process: what it writes, to the byte, and what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

CLOCK_TICK = os.sysconf("SC_CLK_TCK")


class Terminal:
    """Starts a command in a pseudo-terminal and is its screen and keyboard.

    Args:
        command: what to start.
        size: columns and rows.
        env: variables on top of a terminal with 256 colours.
        controlling: whether it is the process's controlling terminal.
        ignore_hangup: start it with SIGHUP ignored, as nohup does.
        emulate: keep a screen; costs time, which a measurement does not want.
    """

    def __init__(
        self,
        command: list[str],
        size: tuple[int, int] = (120, 40),
        env: dict[str, str] | None = None,
        controlling: bool = True,
        ignore_hangup: bool = False,
        cwd: Path | None = None,
        emulate: bool = True,
    ) -> None:
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._emulate = emulate
        self._raw = bytearray()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def prepare() -> None:
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("COLORTERM", "NO_COLOR", "TMUX", "COLUMNS", "LINES")
        }
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | {"TERM": "xterm-256color"} | (env or {}),
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509
            cwd=cwd,
        )
        os.close(slave)
        self.first_byte: float | None = None
        self.total = 0

    def read(self, seconds: float, quiet: float | None = None) -> int:
        """Read for so long, or until nothing came for `quiet` seconds; returns how many bytes came."""
        end = time.perf_counter() + seconds
        last: float | None = None
        count = 0
        while (left := end - time.perf_counter()) > 0:
            wait = left if quiet is None or last is None else min(left, quiet)
            if not select.select([self.master], [], [], wait)[0]:
                if last is not None:
                    break
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            last = time.perf_counter()
            if self.first_byte is None:
                self.first_byte = last - self.started
            count += len(data)
            if self._emulate:
                self._stream.feed(data)
            else:
                self._raw += data
        self.total += count
        return count

    def read_until(self, seen: Callable[[str], bool] | str, seconds: float = 90.0) -> float:
        """Read until the screen shows something; returns when, in seconds since the start.

        Raises:
            AssertionError: it did not show in time.
        """
        test = seen if callable(seen) else (lambda text: seen in text)
        end = time.perf_counter() + seconds
        came = 1
        while time.perf_counter() < end:
            if came and test(self.text):
                return time.perf_counter() - self.started
            # To wait for more saves the screen from being looked at too often, but is no part of a measurement.
            came = self.read(0.05, quiet=0.01 if self._emulate else 0.0)
            if self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]:
                break
        assert test(self.text), f"not shown within {seconds} s: {seen}\n{self.text[-4000:]}"
        return time.perf_counter() - self.started

    def read_until_quiet(self, seconds: float) -> None:
        """Read until nothing has come for so long.

        Raises:
            AssertionError: it never ends to write.
        """
        end = time.perf_counter() + 90.0
        while count := self.read(seconds):
            assert time.perf_counter() < end, f"{count} bytes in the last {seconds} s\n{self.text[-4000:]}"

    @property
    def text(self) -> str:
        """What stands on the screen; without emulation all that was written."""
        if not self._emulate:
            return self._raw.decode("utf-8", "replace")
        return "\n".join(line.rstrip() for line in self.screen.display)

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self.master)
        self.master = -1

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def memory_mb(self) -> float:
        """Resident memory of the process, in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
        return 0.0

    def close(self) -> None:
        """End the process and let the terminal go."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
