"""Fork supervisors off a process that has imported what each of them needs: a tenth of what their start takes.

No code of a task or a candidate runs here, nor in a supervisor. It becomes the engine's child, not this process's, and
gets folder, command line, environment and descriptors with a request that it reads itself: this process never does, so
that nothing of one evaluation is in the memory of another. The engine's requests come on a socket; its end of file ends
this process.

With a view of files (`warm`), this process has also imported what evaluators and candidates need, and a supervisor
forks these from nurseries that are older than its request. Without one they start as programs of their own.
"""

# Importing pathlib and socket would delay the start.

from __future__ import annotations

import _imp
import _socket
import ctypes
import fcntl
import gc
import json
import os
import signal
import sys

from .box import IGNORE, IGNORED, set_action
from .main import main as supervise
from .native import libc
from .nursery import Nursery, View, receive
from .supervisor import Supervisor

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["MOST_BYTES", "main"]

MOST_BYTES = 128 << 10
"""Bytes of the longest request."""
_CLONE_PARENT = 0x8000
_NEEDED_LATER = {"importlib": ("importlib.util",), "runpy": ("pkgutil",)}
"""What modules import when they are used."""


def main(settings: str) -> NoReturn:
    """Serve until the engine has ended.

    A request is a message with JSON (`folder`, `command`, `environment`, `nice`, `cores`) and four descriptors: the
    engine's socket, both ends of the result channel, the log. The answer is the supervisor's process id, or the
    negative error number. The first message, before any request, is this process's own: empty JSON if it can serve, or
    `lack`, why not.

    Args:
        settings: JSON with `requests`, the socket's descriptor, and `clone`, the number of the system call; with views
            also what `Nursery` and `_warm_up` take.
    """
    given = json.loads(settings)
    requests = _socket.socket(fileno=given["requests"])
    shared: dict[int, list[View]] = {}
    for view in (View(role, given) for role in given.get("views", {})):
        shared.setdefault(os.fstat(view.user).st_ino, []).append(view)
    views = list(shared.values())
    lack = _warm_up(given) if views else ""
    requests.send(json.dumps({"lack": lack} if lack else {}).encode())
    if not views:
        for number in IGNORED:
            set_action(number, IGNORE)
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    gc.freeze()  # a look at these objects would copy their pages
    while not lack:
        # Seen, not read: the supervisor that is forked now reads it.
        if not requests.recv(1, _socket.MSG_PEEK):
            break
        taken, taking = os.pipe()
        # os.fork() would make it a child of this process.
        pid = libc.syscall(ctypes.c_long(given["clone"]), ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD), 0, 0, 0, 0)
        if pid == 0:
            os.close(taken)
            _become(requests, taking, views)
        number = ctypes.get_errno()
        os.close(taking)
        if pid < 0:
            requests.recv(1)  # drops it
            requests.send((-number).to_bytes(4, sys.byteorder, signed=True))
        os.read(taken, 1)  # until it has been read
        os.close(taken)
    os._exit(0)


def _warm_up(settings: dict[str, Any]) -> str:
    """Import what evaluators and candidates need; return why they cannot be forked here, or nothing."""
    # What the harness imports later on.
    import resource  # noqa: F401
    import traceback  # noqa: F401
    from importlib.machinery import ModuleSpec, SourceFileLoader

    path = f"{settings['inside']}/lib/evolve_task.py"
    # From its bytecode: what a compilation leaves behind would be copied by each fork.
    code: Any = SourceFileLoader("evolve_task", settings["harness"]).get_code("evolve_task")
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
    loader = SourceFileLoader("evolve_task", path)
    module: Any = type(sys)("evolve_task")
    module.__file__, module.__loader__, module.__spec__ = path, loader, ModuleSpec("evolve_task", loader, origin=path)
    sys.modules["evolve_task"] = module
    sys.path[0] = f"{settings['inside']}/lib"  # only what will be found there, too
    exec(code, module.__dict__)  # noqa: S102 - the engine's own harness, as it will be found in the view
    module._library().prctl  # noqa: B018 - found once for all
    compile("0", "", "exec")  # makes the types of syntax trees, a hundred, which each fork would make for itself
    for name in settings["preload"]:
        try:
            for part in (name, *_NEEDED_LATER.get(name, ())):
                __import__(part)
        except Exception as exc:
            return f"{name} cannot be imported: {type(exc).__name__}: {exc}"
    # Libraries stop their threads at a fork, and start them again when they need some.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - pathlib would delay the start
    _look_fresh(settings, module)
    return f"{' and '.join(settings['libraries'])} started {threads - 1} threads" if threads > 1 else ""


_forgotten: list[object] = []
"""What a forked interpreter must not find, kept: to free it would copy the pages that it lies in."""


def _look_fresh(settings: dict[str, Any], harness: Any) -> None:
    """Leave what each process that is forked from here would have to undo for itself, copying the pages of all that.

    A harness finds itself in an interpreter that has just started. Supervisors need nothing of what is taken away.
    """
    os.environ["PWD"] = next(iter(settings["sizes"]))
    sys.argv = ["-c"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "supervisor"]:
        _forgotten.append(sys.modules.pop(name))
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        _forgotten.append(main.pop(name))
    main.update(sys=sys, evolve_task=harness)
    _forgotten.append(dict(sys.path_importer_cache))
    sys.path_importer_cache.clear()


def _become(requests: _socket.socket, taking: int, views: list[list[View]]) -> NoReturn:
    """Become the supervisor of one evaluation.

    Args:
        requests: the socket.
        taking: closed once the request has been read.
        views: those of each user namespace.
    """
    try:
        os.setsid()
        try:
            nurseries = [Nursery(together) for together in views]
        except OSError as exc:
            requests.recv(1)
            requests.send((-(exc.errno or 1)).to_bytes(4, sys.byteorder, signed=True))
            os._exit(1)
        data, fds = receive(requests, MOST_BYTES)
        requests.send(os.getpid().to_bytes(4, sys.byteorder, signed=True))
        os.close(taking)
        requests.close()
        for view in (view for together in views for view in together):
            os.close(view.user)
            os.close(view.mounts)
        control, channel, channel_of_child, log = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32) for fd in fds)
        kept = [fcntl.fcntl(nursery.requests.fileno(), fcntl.F_DUPFD_CLOEXEC, 16) for nursery in nurseries]
        for nursery, fd in zip(nurseries, kept, strict=True):
            nursery.requests.close()
            nursery.requests = _socket.socket(fileno=fd)
        for fd, target in ((control, 0), (control, 1), (log, 2), (channel, 4), (channel_of_child, 5)):
            os.dup2(fd, target)
        request = json.loads(data)
        for pid in (0, *(nursery.pid for nursery in nurseries)):
            if os.getpriority(os.PRIO_PROCESS, pid) != request["nice"]:
                os.setpriority(os.PRIO_PROCESS, pid, request["nice"])
            os.sched_setaffinity(pid, request["cores"])
        supervise(
            request["folder"],
            request["command"],
            request["environment"],
            {role: nursery for nursery in nurseries for role in nursery.shows_program},
            kept,
            Supervisor,
        )
    except SystemExit as exc:
        sys.stderr.flush()
        os._exit(exc.code if isinstance(exc.code, int) else 1)
    except BaseException as exc:
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        sys.stderr.flush()
    os._exit(1)
