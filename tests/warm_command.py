"""The `evolve` command as processes that need not import it: forked, each with its own environment, off one that has.

Most of what a short command costs is its imports, and the tests run hundreds.
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
    """The variables that a process reads when it starts and never again."""
    return {name: value for name, value in environment.items() if name.startswith(("LD_", "PYTHON"))}


class WarmCommand:
    """Runs commands one after another until it is closed."""

    def __init__(self) -> None:
        self.start = read_at_start(os.environ)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_command"],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def __call__(self, arguments: list[str], environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
        """The exit code of a command and what it wrote to stdout and to stderr.

        Raises:
            subprocess.TimeoutExpired: it was killed after so many seconds.
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
        """End the process that the commands are forked off."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def _write(self, request: dict[str, Any]) -> None:
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()

    def _read(self, timeout: float | None) -> Any:
        """The next line that the server writes; nothing where it takes longer than so many seconds."""
        # The pipe has no buffer on this side: a line that waits in one would be none to `select`.
        assert self._server.stdout
        if timeout is not None and not select.select([self._server.stdout], [], [], timeout)[0]:
            return None
        line = self._server.stdout.readline()
        assert line, "the process that commands are forked off has ended"
        return json.loads(line)


def _serve() -> None:
    from engine.cli import main

    # Whatever a command imports once it runs.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.argv = ["evolve", "runs", "--json", "--runs", "tests"]
        main()
    # Kept from commands, whose own stdout is another.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin.buffer:
        process = os.fork()
        if process == 0:
            answers.close()
            _become(json.loads(line))
        answers.write(f"{process}\n")
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")


def _become(request: dict[str, Any]) -> None:
    """Be the command that is asked for."""
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
