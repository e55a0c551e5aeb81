"""Commands that end with the engine, however that ends, and with all that they started.

Bubblewrap needs it: if its first process is killed while its second one waits for the first word of it, that one waits
for ever, and no option of it ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO

__all__ = ["end_tied", "start_tied"]


def start_tied(
    line: str, command: Sequence[str], errors: IO[bytes] | int, passed: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a command without variables, in a session of its own; `end_tied` ends it.

    Args:
        line: the shell's words that run the command, `"$@"`. Descriptor 3 is the pipe from the engine, which says
            nothing, and descriptor 1 the pipe to it, which is at its end when the line is.
        command: the program and its arguments.
        errors: where descriptor 2 leads.
        passed: descriptors above 4 that the command keeps.

    Raises:
        OSError: no process can be started.
    """
    shell = f"exec 3<&0; {line} & exec >&-; read -r line; kill -KILL 0"
    return subprocess.Popen(
        ["/bin/sh", "-c", shell, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env={},
        start_new_session=True, pass_fds=passed,
    )  # fmt: skip


def end_tied(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
