"""Fork confined processes off one that has imported what they need, instead of starting an interpreter for each.

A nursery is forked from its supervisor before that reads anything of its evaluation: neither it nor what is forked from
it knows the job, the paths or the results, and no other evaluation's either, since the process that all supervisors are
forked from reads none. It learns only that a process is wanted, and which descriptors that gets. Each process is a
child of the supervisor, in namespaces of its own, and no code of a task or a candidate runs where another is forked.
"""

# Importing pathlib would delay the start.

from __future__ import annotations

import _socket
import ctypes
import fcntl
import os
import signal
import sys

from .box import DEFAULT, set_action
from .namespaces import NEW, disown, enter_mounts, enter_user, furnish, give_up
from .native import libc

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Nursery", "View", "receive"]

_PARENT = 0x8000  # CLONE_PARENT
_MOST = 8
"""Descriptors in a message."""


class View:
    """How the processes of one role are started.

    Args:
        role: `evaluator` or `candidate`.
        settings: as of `engine.evaluation.warm`, all of them plain data.
    """

    def __init__(self, role: str, settings: dict[str, Any]) -> None:
        found = settings["views"][role]
        self.role = role
        self.user: int = found["user"]
        self.mounts: int = found["mounts"]
        self.program: bool = found["program"]
        """Whether its processes see the candidate's file."""
        self.kept: list[str] = found["kept"]
        """What it shows below folders in memory."""
        self.sizes: dict[str, int] = settings["sizes"]
        self.inside: str = settings["inside"]
        self.owner: tuple[int, int] = (settings["owner"][0], settings["owner"][1])
        self.clone: int = settings["clone"]


def receive(requests: _socket.socket, most: int) -> tuple[bytes, list[int]]:
    """Receive a message and the descriptors that come with it."""
    data, ancillary, _, _ = requests.recvmsg(most, _socket.CMSG_SPACE(4 * _MOST))
    fds: list[int] = []
    for _, kind, packed in ancillary:
        if kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed) & ~3, 4)]
    return data, fds


class Nursery:
    """A child of this process that starts confined processes, which become children of this process, too.

    Args:
        views: how those of each role are started; all of them lie in the same user namespace.
    """

    def __init__(self, views: list[View]) -> None:
        self.shows_program = {view.role: view.program for view in views}
        self.requests, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        # Not os.fork(), after which Python makes ready what no code of ours there uses.
        self.pid = libc.syscall(ctypes.c_long(views[0].clone), ctypes.c_long(signal.SIGCHLD), 0, 0, 0, 0)
        """0 once it has been reaped."""
        if self.pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if self.pid == 0:
            self.requests.close()
            _serve(theirs, {view.role.encode(): view for view in views})
        theirs.close()

    def start(self, role: str, folder: str, fds: list[int]) -> int:
        """Start a process and return its id.

        Args:
            role: the view's.
            folder: the evaluation's folder, for the program.
            fds: the process's end of the channel, its output and its errors.

        Raises:
            OSError: it cannot be started.
        """
        program = os.open(folder + "/program.py", os.O_RDONLY | os.O_CLOEXEC) if self.shows_program[role] else -1
        try:
            given = [*fds, program] if program >= 0 else fds
            packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in given)
            self.requests.sendmsg([role.encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
            answer = self.requests.recv(4096)
        finally:
            if program >= 0:
                os.close(program)
        if len(answer) < 4:
            raise OSError("what confined processes are forked from has ended")
        number = int.from_bytes(answer[:4], sys.byteorder, signed=True)
        if number < 0:
            raise OSError(-number, answer[4:].decode("utf-8", "replace"))
        return number

    def end(self) -> None:
        """End it; processes that it has started live on."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)


def _serve(requests: _socket.socket, views: dict[bytes, View]) -> NoReturn:
    """Start processes until the supervisor has ended."""
    failure = (0, "")
    user = next(iter(views.values())).user
    try:
        _keep_only([requests.fileno(), user, *(view.mounts for view in views.values())])
        try:
            score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(score, b"500")  # if memory runs out, the kernel kills the evaluation before the engine
            os.close(score)
        except OSError:
            pass  # it protects the rest of the machine and is not one of our limits
        try:
            enter_user(user)
        except OSError as exc:
            failure = (exc.errno or 1, str(exc.strerror))
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG; entering has cleared what was set before
        while True:
            role, fds = receive(requests, 16)
            if not role:
                os._exit(0)
            pid, said = -failure[0], failure[1]
            if not pid:
                view = views[role]
                enter_mounts(view.mounts)
                pid = libc.syscall(ctypes.c_long(view.clone), ctypes.c_long(NEW | _PARENT | signal.SIGCHLD), 0, 0, 0, 0)
                if pid == 0:
                    _become(view, fds)
                if pid < 0:
                    pid = -ctypes.get_errno()
                    said = f"no namespaces: {os.strerror(-pid)}"
            for fd in fds:
                os.close(fd)
            requests.send(pid.to_bytes(4, sys.byteorder, signed=True) + said.encode())
    except BaseException:
        os._exit(1)


def _keep_only(fds: list[int]) -> None:
    """Close all descriptors but the standard ones and these."""
    low = 3
    for fd in sorted(fds):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)


def _become(view: View, fds: list[int]) -> NoReturn:
    """Be the first process of fresh namespaces: fork the harness, which furnishes them, and reap what it leaves."""
    try:
        os.setsid()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32) for fd in fds]
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for fd, target in ((null, 0), (high[1], 1), (high[2], 2), (high[0], 3)):
            os.dup2(fd, target)
        pid = os.fork()
        if pid == 0:
            _run(view, high[3:])
        # A handler would let the harness end this process; without one the kernel drops what comes from inside.
        set_action(signal.SIGINT, DEFAULT)
        # The harness goes down into a user namespace of its own; this process stays above it, without any rights.
        give_up()
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        os.closerange(0, 4096)
        while True:
            ended, status = os.wait()
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)  # the rest ends with this process
    except BaseException as exc:
        _fail(exc)


def _run(view: View, programs: list[int]) -> NoReturn:
    """Be a confined interpreter as one that has just started: nothing differs but what has been imported."""
    try:
        program = None
        if view.program:
            program = os.read(programs[0], os.fstat(programs[0]).st_size)
        disown(furnish(view.sizes, view.kept, program, f"{view.inside}/program.py"), view.owner)
        os.closerange(4, 4096)
        os.chdir(next(iter(view.sizes)))
    except BaseException as exc:
        _fail(exc)
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    harness: Any = sys.modules["evolve_task"]
    harness._main(view.role, list(view.sizes))
    raise AssertionError("the harness ends this process")


def _fail(exc: BaseException) -> NoReturn:
    os.write(2, f"{type(exc).__name__}: {exc}\n".encode("utf-8", "replace"))
    os._exit(1)
