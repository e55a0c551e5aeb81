"""Warm starts: fork evaluators and candidates off a process that has imported what they need.

Each evaluation still gets fresh namespaces and sandboxes that show the same files: bubblewrap makes the view of these
files once (`_open_view`), and the supervisor makes what is each process's own in it (`supervisor/nursery.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.evaluation import sandbox as sb
from engine.evaluation.forker import Forker
from engine.evaluation.interpreter import HARNESS
from engine.evaluation.tied import end_tied, start_tied

__all__ = ["Warm", "WarmPlan", "WarmStarts", "preload_for"]

_WORTH_IT = 2
"""From which evaluation of a kind on they are forked: the process to fork from costs as much as the second start."""
_MOST = 4
"""Processes to fork from, of as many kinds of evaluations; the oldest ends first."""
_FAILURES = 3
"""After how many of them evaluations of a kind start cold for good."""
_NS_GET_USERNS = 0xB701
_PRELOADED = ("numpy", "torch")
"""Libraries that tell by their threads whether they can be forked, and read nothing that a task could have left."""
_STANDARD = (
    "argparse", "ast", "base64", "bisect", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "importlib", "inspect", "itertools", "json",
    "math", "operator", "pathlib", "pickle", "random", "re", "runpy", "shutil", "statistics", "string", "struct",
    "subprocess", "tempfile", "textwrap", "time", "traceback", "types", "typing", "warnings",
)  # fmt: skip
"""Modules that start nothing when they are imported, and are in every process as if it had imported them."""


@dataclass(frozen=True)
class WarmPlan:
    """What the processes of one kind of evaluation have in common."""

    evaluator: tuple[str, ...]
    """The command line of bubblewrap that makes the evaluator's view."""
    candidate: tuple[str, ...]
    """The same for candidates; empty if the evaluator makes no calls."""
    kept: tuple[tuple[str, ...], tuple[str, ...]]
    """What the two views show below folders in memory."""
    shows_program: bool
    """Whether the evaluator sees the candidate's file."""
    sizes: tuple[tuple[str, int], ...]
    """The folders in memory and the bytes of each, the scratch folder first."""
    interpreter: str
    """The interpreter's file."""


@dataclass(frozen=True)
class Warm:
    """A process to fork an evaluation from, and its kind."""

    forker: Forker
    kind: tuple[object, ...]
    starts: WarmStarts

    def cool(self, reason: str) -> None:
        """Fork nothing from it any more, because of a failure."""
        self.starts.cool(self, reason)


class WarmStarts:
    """The processes that evaluations of this engine are forked from, one for each kind."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._seen: dict[tuple[object, ...], int] = {}
        self._found: dict[tuple[object, ...], Warm] = {}
        self._made: dict[tuple[object, ...], Warm] = {}
        """Those that a thread has made since evaluations were last started."""
        self._failures: dict[tuple[object, ...], int] = {}
        self.failure = ""
        """The last one; empty if there was none."""
        self.lacks: dict[tuple[object, ...], str] = {}
        """Why evaluations of a kind start cold."""

    async def find(self, plan: WarmPlan, environment: Mapping[str, str], preload: tuple[str, ...]) -> Warm | None:
        """Return what to fork an evaluation from; None if it starts cold.

        Args:
            plan: of its kind.
            environment: its variables.
            preload: libraries to import ahead.
        """
        kind = (plan, tuple(sorted(environment.items())), preload, os.getpid())
        self._seen[kind] = self._seen.get(kind, 0) + 1
        self._admit()
        if kind in self._found:
            return self._found[kind]
        if kind in self.lacks or self._seen[kind] < _WORTH_IT or not Forker.works():
            return None
        await asyncio.to_thread(self._make, kind, plan, environment, preload)
        self._admit()
        return self._found.get(kind)

    def _admit(self) -> None:
        """Let evaluations be forked from what was made; what that is too many for ends.

        No thread does this: it would close what the event loop is just forking from, and that number may by then be
        another file's.
        """
        for kind in list(self._made):
            self._found[kind] = self._made[kind]
            del self._made[kind]  # last, so that a thread finds it in the one or the other
            if len(self._found) > _MOST:
                self._found.pop(next(iter(self._found))).forker.close()

    def _make(
        self, kind: tuple[object, ...], plan: WarmPlan, environment: Mapping[str, str], preload: tuple[str, ...]
    ) -> None:
        with self._making:
            if kind in self._made or kind in self._found or kind in self.lacks:
                return
            try:
                forker = make_forker(plan, environment, preload)
            except (OSError, ValueError, subprocess.SubprocessError) as exc:
                self.lacks[kind] = self.failure = str(exc)
                return
            self._made[kind] = Warm(forker, kind, self)

    def cool(self, warm: Warm, reason: str) -> None:
        """End what evaluations of a kind are forked from, after a failure; after a few they start cold for good."""
        if self._found.get(warm.kind) is not warm:
            return  # another evaluation has met the same failure
        del self._found[warm.kind]
        warm.forker.close()
        self.failure = reason
        self._failures[warm.kind] = self._failures.get(warm.kind, 0) + 1
        if self._failures[warm.kind] >= _FAILURES:
            self.lacks[warm.kind] = reason

    def close(self) -> None:
        """End the processes; evaluations live on."""
        self._admit()
        for warm in self._found.values():
            warm.forker.close()
        self._found.clear()


def preload_for(task_folder: Path, program: str) -> tuple[str, ...]:
    """Return what is worth importing ahead for a task's evaluator and a program.

    These are the modules of the standard library that the evaluator names, and the libraries that either names. What
    the task's folder has a file for is not imported ahead: the task means its own.

    Raises:
        OSError: the evaluator cannot be read.
    """
    file = task_folder / "evaluate.py"
    status = file.stat()
    named = _named_in(file, (status.st_ino, status.st_mtime_ns, status.st_size))
    libraries = tuple(name for name in _PRELOADED if name in named or (name in program and _imports(program, name)))
    return (*(name for name in named if name not in _PRELOADED), *libraries)


@functools.lru_cache(maxsize=16)
def _named_in(evaluator: Path, _version: object) -> tuple[str, ...]:
    """Return the modules that an evaluator names and that can be imported ahead."""
    text = evaluator.read_text("utf-8", "replace")
    known = [name for name in (*_STANDARD, *_PRELOADED) if name in text and _imports(text, name)]
    folder = evaluator.parent
    return tuple(name for name in known if not ((folder / f"{name}.py").exists() or (folder / name).exists()))


def _imports(text: str, name: str) -> bool:
    return re.search(rf"^\s*(import|from)\s+([\w.]+\s*,\s*)*{name}\b", text, re.MULTILINE) is not None


def make_forker(plan: WarmPlan, environment: Mapping[str, str], preload: tuple[str, ...]) -> Forker:
    """Make the views of a kind of evaluations and the process to fork these from.

    Raises:
        OSError, ValueError, SubprocessError: this machine does not let it, or a library cannot be forked.
    """
    views: dict[str, _OpenView] = {}
    try:
        for role, command in (("evaluator", plan.evaluator), ("candidate", plan.candidate)):
            if command:
                views[role] = _open_view(list(command), views.get("evaluator"))
        said: dict[str, dict[str, Any]] = {
            role: {"user": view.user, "mounts": view.mounts} for role, view in views.items()
        }
        for role, kept in zip(said, plan.kept, strict=False):
            said[role] |= {"kept": kept, "program": plan.shows_program or role == "candidate"}
        settings = {
            "views": said,
            "sizes": dict(plan.sizes),
            "inside": sb.INSIDE,
            "harness": str(HARNESS),
            "owner": [os.getuid(), os.getgid()],
            "preload": preload,
            "libraries": [name for name in preload if name in _PRELOADED],
        }
        fds = [fd for view in views.values() for fd in (view.user, view.mounts)]
        # By the file that the view shows, read-only: /proc/self/exe leads there, and so to no file of this machine.
        forker = Forker(f"{views['evaluator'].root}{plan.interpreter}", settings, environment, fds)
    finally:
        for view in views.values():
            view.close()
    if forker.wait():
        forker.close()
        raise ValueError(forker.lack)
    return forker


def _open_view(command: list[str], beside: _OpenView | None) -> _OpenView:
    """Make a view; in the user namespace of another one where bubblewrap can, so that both need one process less.

    Raises:
        OSError, ValueError, SubprocessError: it cannot be made.
    """
    own = "--unshare-user"
    if beside is not None and own in command:
        at = command.index(own)
        # Above the descriptors that the shell between sets.
        user = fcntl.fcntl(beside.user, fcntl.F_DUPFD_CLOEXEC, 16)
        try:
            return _OpenView([*command[:at], "--userns", str(user), *command[at + 1 :]], (user,))
        except ValueError:
            pass  # one that is setuid lets nobody choose
        finally:
            os.close(user)
    return _OpenView(command)


class _OpenView:
    """The namespaces of a sandbox that bubblewrap has made, held by descriptors.

    Args:
        command: the command line of bubblewrap.
        shared: descriptors that it names.

    Raises:
        OSError, ValueError, SubprocessError: they cannot be made, or not be held.
    """

    def __init__(self, command: list[str], shared: tuple[int, ...] = ()) -> None:
        self.user = self.mounts = -1
        words = [*command, "--info-fd", "4", "--", "/bin/sh", "-c", "echo; read line"]
        self._holder = start_tied('"$@" <&3 3<&- 4>&1', words, subprocess.DEVNULL, shared)
        try:
            assert self._holder.stdout is not None
            said = b""
            while not said.endswith(b"}\n\n"):  # by the empty line everything is mounted
                piece = self._holder.stdout.read(1)
                if not piece:
                    raise ValueError("bubblewrap makes no view")
                said += piece
            pid = json.loads(said)["child-pid"]
            self.root = f"/proc/{pid}/root"
            """The view's files, as long as this is open."""
            self.mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self.user = fcntl.ioctl(self.mounts, _NS_GET_USERNS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what holds the namespaces; they live on in processes that inherited the descriptors."""
        end_tied(self._holder)
        for fd in (self.user, self.mounts):
            if fd >= 0:
                os.close(fd)
