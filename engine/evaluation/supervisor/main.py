"""Entry point: start the evaluator's process first, and import the other modules while it starts."""

# Importing pathlib would delay the start.
# ruff: noqa: PTH208

from __future__ import annotations

import fcntl
import os
import sys
import time

from .box import Box

__all__ = ["FAULT", "main"]

FAULT = 3
"""Exit code if the evaluation's first process cannot be started; stderr says why."""

_CHANNEL, _CHANNEL_OF_CHILD = 4, 5


def main(folder: str, command: list[str]) -> None:
    """Supervise one evaluation to its end, then exit this process.

    Args:
        folder: the evaluation's folder, with program.py and an empty scratch folder.
        command: the evaluator's command line.
    """
    for fd in (_CHANNEL, _CHANNEL_OF_CHILD):
        os.set_inheritable(fd, False)
    _close_others()
    # Started before the import below, which takes as long as the evaluator's interpreter needs to start: both overlap.
    # The evaluator runs none of the task's code before it gets the job, and by then the limits are in place.
    try:
        _hold_lock(folder)
        evaluator = Box(command, dict(os.environ), _CHANNEL, _CHANNEL_OF_CHILD)
    except OSError as exc:
        sys.stderr.write(f"{exc.filename or folder}: {exc.strerror}\n")
        sys.exit(FAULT)
    from .supervisor import Supervisor

    code = Supervisor(folder, evaluator).run()
    sys.stderr.flush()
    os._exit(code)  # skip the interpreter's shutdown, which takes as long as its start


def _close_others() -> None:
    """Close what the engine inherited from whoever started it, such as a lock of a shell: it is none of the task's."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _CHANNEL_OF_CHILD:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the list itself


def _hold_lock(folder: str, seconds: float = 10.0) -> None:
    """Lock FOLDER/lock for the life of this process; wait up to `seconds` for an earlier supervisor to exit."""
    fd = os.open(folder + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
