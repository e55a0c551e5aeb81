"""The engine's side of the process that supervisors are forked from."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.evaluation.seccomp import ARCHITECTURES, number_of
from engine.evaluation.supervisor.box import IGNORED
from engine.evaluation.supervisor.forker import MOST_BYTES

__all__ = ["Forker"]

_SECONDS = 10.0
"""How long to wait for an answer, which takes a millisecond."""
_START_SECONDS = 120.0
"""How long to wait until it has imported what it needs."""
_CODE = "import sys; sys.path[:{}] = [sys.argv[1]]; from supervisor.forker import main; main(sys.argv[2])"


class Forker:
    """Fork supervisors for this process, one after the other; each is its child.

    Args:
        program: the interpreter's file, by any path that leads to it.
        settings: for `supervisor.forker.main`; without them supervisors alone are forked.
        environment: of the process; that of evaluations if these are forked from it.
        views: open descriptors that it gets under the same numbers.

    Raises:
        OSError: the process that they are forked from cannot be started.
    """

    def __init__(
        self,
        program: str = sys.executable,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        views: Sequence[int] = (),
    ) -> None:
        self.owner = os.getpid()
        """The process whose children the supervisors become."""
        self.lack: str | None = None
        """Why it cannot serve; empty if it can, None until it has said so."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests = ours.detach()  # a number: this lives as long as the process
        # Not a file: what is forked later has pipes there, and Python looks only once what they are.
        reader, writer = os.pipe()
        said = json.dumps({**(settings or {}), "requests": theirs.fileno(), "clone": clone_number()})
        # Evaluations see the site's packages, supervisors do not need them.
        flags, shadowed = (["-s"], 1) if settings else (["-I", "-S"], 0)
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (theirs.fileno(), *views)]  # inherited
        try:
            self._pid = os.posix_spawn(
                program,
                [sys.executable, *flags, "-c", _CODE.format(shadowed), str(Path(__file__).parent), said],
                {} if environment is None else environment,
                file_actions=actions,
                setsid=True,
                # What this process ignores or blocks, as one started by nohup does, is not for evaluations.
                setsigdef=[*IGNORED, signal.SIGCHLD],
                setsigmask=(),
            )
        except OSError:
            os.close(self._requests)
            raise
        finally:
            theirs.close()
            os.close(reader)
            os.close(writer)

    @staticmethod
    def works() -> bool:
        """Tell whether this machine's system calls are known."""
        return platform.machine() in ARCHITECTURES

    def wait(self) -> str:
        """Wait until it has imported what it needs; return why it cannot serve, or nothing."""
        if self.lack is None:
            try:
                self.lack = json.loads(self._exchange([], [], _START_SECONDS)).get("lack", "")
            except (OSError, ValueError) as exc:
                self.lack = f"the process to fork from does not start: {exc}"
        return self.lack

    def fork(self, folder: str, command: Sequence[str], environment: Mapping[str, str], fds: Sequence[int]) -> int:
        """Fork a supervisor and return its process id.

        Args:
            folder: the evaluation's folder.
            command: the evaluator's command line.
            environment: of supervisor and evaluator.
            fds: its socket to the engine, both ends of the result channel, its log.

        Raises:
            BlockingIOError, MemoryError: as of the system call; a later try may succeed.
            ConnectionError: no more supervisors can be forked here.
        """
        if self.wait():
            raise ConnectionError(self.lack)
        request = json.dumps(
            {
                "folder": folder,
                "command": list(command),
                "environment": dict(environment),
                # What a child of the engine would have by itself, and a person may change at any time.
                "nice": os.getpriority(os.PRIO_PROCESS, 0),
                "cores": sorted(os.sched_getaffinity(0)),
            }
        ).encode()
        if len(request) > MOST_BYTES:
            raise ConnectionError("the request is too long")
        try:
            answer = self._exchange([request], list(fds), _SECONDS)
        except OSError as exc:
            raise ConnectionError(str(exc)) from None
        if len(answer) != 4:
            raise ConnectionError("it has ended")
        pid = int.from_bytes(answer, sys.byteorder, signed=True)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def _exchange(self, messages: list[bytes], fds: list[int], seconds: float) -> bytes:
        """Send a message, or none, and receive one."""
        requests = socket.socket(fileno=self._requests)
        try:
            requests.settimeout(seconds)
            if messages:
                socket.send_fds(requests, messages, fds)
            return requests.recv(4096)
        finally:
            requests.detach()

    def close(self) -> None:
        """End the process; supervisors live on."""
        os.close(self._requests)
        if self.owner == os.getpid():
            try:
                os.kill(self._pid, 9)
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass  # other code in this process has reaped it


def clone_number() -> int:
    """Return the number of the system call that forks."""
    number = number_of("clone", platform.machine())
    assert number is not None
    return number
