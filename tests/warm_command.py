"""Run `evolve` commands and engines as forks of one process that has imported them, each with its own environment.

Imports are most of the cost of a short command and of a small run, and the tests run hundreds. All forks hash alike:
what must not depend on hashes needs engines that are started cold.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

__all__ = ["WarmCommand", "WarmEngine", "read_at_start"]


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process reads only at its start."""
    return {name: value for name, value in environment.items() if name.startswith(("LD_", "PYTHON"))}


class WarmCommand:
    """Run commands one after another until closed."""

    def __init__(self) -> None:
        self.start = read_at_start(os.environ)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_command"],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def __call__(self, arguments: list[str], environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
        """Run a command; return its exit code, stdout and stderr.

        Raises:
            subprocess.TimeoutExpired: the command was killed after `timeout` seconds.
        """
        assert self._server.stdin and self._server.stdout
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
            self._write({"arguments": arguments, "environment": environment, "cwd": os.getcwd(), "files": files})
            process = self._read(None)
            code = self._read(timeout)
            if code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                self._read(None)
                raise subprocess.TimeoutExpired(arguments, timeout)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return code, texts[0], texts[1]

    def engine(self, folder: Path, log: Path) -> WarmEngine:
        """Start the engine of a run in a session of its own; what it prints is added to the log."""
        reading, writing = os.pipe()
        self._write({
            "arguments": [str(folder)], "environment": dict(os.environ), "cwd": os.getcwd(),
            "files": [str(log)] * 2, "status": f"/proc/{os.getpid()}/fd/{writing}",
        })  # fmt: skip
        pid = self._read(None)
        # Whoever waits for the engine has opened the pipe by now.
        os.close(writing)
        return WarmEngine(pid, reading)

    def close(self) -> None:
        """End the process that forks the commands."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def _write(self, request: dict[str, Any]) -> None:
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()

    def _read(self, timeout: float | None) -> Any:
        """Return the next line of the server; None after `timeout` seconds."""
        # Unbuffered on this side: `select` does not see a line that waits in a buffer.
        assert self._server.stdout
        if timeout is not None and not select.select([self._server.stdout], [], [], timeout)[0]:
            return None
        line = self._server.stdout.readline()
        assert line, "the process that commands are forked off has ended"
        return json.loads(line)


class WarmEngine:
    """An engine that was forked; to be asked and ended as a `subprocess.Popen`.

    Args:
        pid: its process.
        status: the pipe that its exit code comes through.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its exit code; -9 after SIGKILL.

        Raises:
            subprocess.TimeoutExpired: it has not ended after `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"the engine {self.pid}", timeout or 0)
            with self._status:
                self.returncode = int(self._status.read())
        return self.returncode

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def _serve() -> None:
    # What engines import, also only while they work.
    import pynvml  # noqa: F401
    import watchfiles  # noqa: F401

    import engine.__main__
    import engine.analyzers.judge
    import engine.designers.recombine
    import engine.programs.languages.python_reader
    import engine.samplers.ucb1  # noqa: F401
    from engine.cli import main

    # Modules that commands import lazily.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.argv = ["evolve", "runs", "--json", "--runs", "tests"]
        main()
    # A duplicate, because each command has its own stdout.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin.buffer:
        _reap()
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            if "status" in request:
                _mind(request, answers)
            answers.close()
            _become(request)
        if "status" in request:
            # It ends with the engine, and waits for nobody.
            continue
        answers.write(f"{process}\n")
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
    _reap()


def _reap() -> None:
    """Take note of what has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _mind(request: dict[str, Any], answers: TextIO) -> None:
    """Start an engine, say which process it is, and tell how it ends; end then. In the engine itself, return."""
    with open(request["status"], "w") as status:
        process = os.fork()
        if process:
            answers.write(f"{process}\n")
            status.write(str(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])))
            status.flush()
            os._exit(0)
    os.setsid()


def _become(request: dict[str, Any]) -> None:
    """Become the requested command, or engine."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, file in enumerate(request["files"], 1):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["evolve", *request["arguments"]]
    if "status" in request:
        from engine.__main__ import main as serve

        sys.exit(serve())
    from engine.cli import main

    main()


if __name__ == "__main__":
    _serve()
