"""The way in: the evaluator's process is started first, all else is imported while it starts."""

from __future__ import annotations

import fcntl
import os
import sys
import time

from .box import Box

__all__ = ["FAULT", "main"]

FAULT = 3
"""The exit code where the evaluation's first process cannot be started; stderr says why."""

_CHANNEL, _CHANNEL_OF_CHILD = 4, 5


def main(folder: str, command: list[str]) -> None:
    """Guard one evaluation to its end, and with it that of this process.

    Args:
        folder: the evaluation's folder, which holds program.py and an empty scratch folder.
        command: what runs the evaluator.
    """
    for fd in (_CHANNEL, _CHANNEL_OF_CHILD):
        os.set_inheritable(fd, False)
    # Before the import below: that takes as long as the evaluator's interpreter takes to start, so both happen at once.
    # Nothing of the task runs before the job is sent to it, which is after the limits are in place.
    try:
        _hold_lock(folder)
        evaluator = Box(command, dict(os.environ), _CHANNEL, _CHANNEL_OF_CHILD)
    except OSError as exc:
        sys.stderr.write(f"{exc.filename or folder}: {exc.strerror}\n")
        sys.exit(FAULT)
    from .supervisor import Supervisor

    code = Supervisor(folder, evaluator).run()
    sys.stderr.flush()
    os._exit(code)  # without the interpreter's shutdown, which takes as long as its start


def _hold_lock(folder: str, seconds: float = 10.0) -> None:
    """Lock FOLDER/lock for as long as this process lives; an earlier supervisor gets some seconds to go."""
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
