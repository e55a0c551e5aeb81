"""Entry point: start the evaluator's process first, and import the other modules while it starts."""

# Importing pathlib would delay the start.
# ruff: noqa: PTH208

from __future__ import annotations

import fcntl
import os
import sys
import time

from .box import Box, spawner

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .nursery import Nursery
    from .supervisor import Supervisor

__all__ = ["FAULT", "main"]

FAULT = 3
"""Exit code if the evaluation's first process cannot be started; stderr says why."""

_CHANNEL, _CHANNEL_OF_CHILD = 4, 5
_NONE: Mapping[str, Nursery] = {}


def main(
    folder: str,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    nurseries: Mapping[str, Nursery] = _NONE,
    kept: Sequence[int] = (),
    supervisor: type[Supervisor] | None = None,
) -> None:
    """Supervise one evaluation to its end, then exit this process.

    Args:
        folder: the evaluation's folder, with the program and an empty scratch folder.
        command: the evaluator's command line.
        environment: of what starts as a program of its own; by default that of this process.
        nurseries: what evaluator and candidate are forked from; by default each starts as a program of its own.
        kept: descriptors that stay open.
        supervisor: its class; by default it is imported.
    """
    for fd in (_CHANNEL, _CHANNEL_OF_CHILD):
        os.set_inheritable(fd, False)
    if nurseries:
        _close_all_but(kept)
    else:
        _close_others()
    environment = dict(os.environ) if environment is None else environment
    # Started before the import below, which takes as long as the evaluator's interpreter needs to start: both overlap.
    # The evaluator runs none of the task's code before it gets the job, and by then the limits are in place.
    try:
        _hold_lock(folder)
        if nurseries:
            nursery = nurseries["evaluator"]
            evaluator = Box(lambda fds: nursery.start("evaluator", folder, fds), _CHANNEL, _CHANNEL_OF_CHILD)
            evaluator.forked = True
        else:
            evaluator = Box(spawner(command, environment), _CHANNEL, _CHANNEL_OF_CHILD)
    except OSError as exc:
        sys.stderr.write(f"{exc.filename or folder}: {exc.strerror}\n")
        sys.exit(FAULT)
    if supervisor is None:
        from . import supervisor as module

        supervisor = module.Supervisor
    code = supervisor(folder, evaluator, environment, nurseries).run()
    sys.stderr.flush()
    os._exit(code)  # skip the interpreter's shutdown, which takes as long as its start


def _close_all_but(kept: Sequence[int]) -> None:
    """Close what a forked process does not need."""
    low = _CHANNEL_OF_CHILD + 1
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)


def _close_others() -> None:
    """Close descriptors that the engine inherited, such as a lock of a shell: the task must not get them."""
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
