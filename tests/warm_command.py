"""Run `evolve` commands as forks of one process that has imported them, each with its own environment.

Imports are most of the cost of a short command, and the tests run hundreds.
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
from typing import Any

__all__ = ["WarmCommand", "read_at_start"]


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


def _serve() -> None:
    from engine.cli import main

    # Modules that commands import lazily.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.argv = ["evolve", "runs", "--json", "--runs", "tests"]
        main()
    # A duplicate, because each command has its own stdout.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin.buffer:
        process = os.fork()
        if process == 0:
            answers.close()
            _become(json.loads(line))
        answers.write(f"{process}\n")
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")


def _become(request: dict[str, Any]) -> None:
    """Become the requested command."""
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

    from engine.cli import main

    main()


if __name__ == "__main__":
    _serve()
