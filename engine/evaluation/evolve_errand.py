"""Run an errand inside the sandbox: a command that edits a folder.

It travels with the job of an errand, as text, and is in no other evaluation. It runs in the harness (`evolve_task.py`).
Standard library only, Python 3.9 or later.
"""

# ruff: noqa: PTH103, PTH112, PTH113, PTH114, PTH118, PTH120, PTH202, PTH208

from __future__ import annotations

import base64
import os
import signal
import stat
import subprocess
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.evaluation import evolve_task
else:
    import evolve_task

__all__ = ["run"]

_FILE = 65536  # bytes of a file beside the program that it leaves for the engine
_LOOK_SECONDS = 0.2  # between two looks at what it says that its design cost
_TELL_SECONDS = 1.0  # between two messages to the engine about that


def run(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Run a command that edits a folder; return the result message, and as JSON how it ended and what it left."""
    errand = job["errand"]
    folder = os.path.join(job["scratch"], "work")
    for name, content in errand["files"].items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(base64.b64decode(content))
    # What it leaves running becomes a child of this process, which can so tell that there is something.
    evolve_task._check(evolve_task._library().prctl(36, 1, 0, 0, 0), "adopt processes")  # PR_SET_CHILD_SUBREAPER
    told: dict[str, Any] = {"code": None, "ended": "", "running": False, "problem": "", "files": {}}
    # Agents take PWD for their folder, look for settings in each folder above it, and keep none among temporary files.
    home, temporary = os.path.join(job["scratch"], "home"), os.path.join(job["scratch"], "tmp")
    for made in (os.path.join(home, ".cache"), temporary):
        os.makedirs(made, exist_ok=True)
    places = {"PWD": folder, "HOME": home, "XDG_CACHE_HOME": os.path.join(home, ".cache"), "TMPDIR": temporary}
    environment = {**os.environ, **places, **errand["environment"]}
    stdin = os.open(os.path.join(folder, errand["stdin"]) if errand["stdin"] else os.devnull, os.O_RDONLY)
    try:
        # It prints where this process prints, so that the engine sees each line at once.
        process = subprocess.Popen(errand["command"], cwd=folder, env=environment, stdin=stdin, stderr=1)
    except (OSError, ValueError) as exc:
        told["problem"] = f"it cannot be started: {getattr(exc, 'strerror', None) or exc}"
    else:
        told["ended"] = _wait_for(process, errand, folder)
        told["code"] = process.returncode
        told["running"] = not told["ended"] and not _end_children(1.0, 10.0)
        try:
            files, told["problem"] = _files_below(os.path.join(folder, "program"), errand["most_bytes"])
        except OSError as exc:
            files, told["problem"] = {}, f"program/ cannot be read: {exc.strerror}"
        told["files"] = {name: base64.b64encode(content).decode() for name, content in files.items()}
    finally:
        os.close(stdin)
    for name in ("usage.json", "notes.md"):
        content = _plain_file(os.path.join(folder, name), _FILE)
        if content is not None:
            told[name.partition(".")[0]] = base64.b64encode(content).decode()
        elif os.path.lexists(os.path.join(folder, name)):
            told["problem"] = told["problem"] or f"{name} is no plain file of at most {_FILE:,} bytes"
    return {"status": "ok", "score": 0.0, "metrics": {}}, evolve_task._to_json(told).encode()


def _wait_for(process: Any, errand: dict[str, Any], folder: str) -> str:
    """Wait for the end of an errand; return what ended it: nothing, `seconds` or `tokens`."""
    usage = _Usage(folder)
    left, last = errand["seconds"], time.monotonic()
    while True:
        try:
            process.wait(timeout=max(0.0, min(left, _LOOK_SECONDS)))
            return ""
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            left, last = left - min(now - last, 1.0), now  # it was frozen for what is longer
        tokens = usage.tell()
        over = errand["tokens"] is not None and tokens > errand["tokens"]
        if left <= 0 or over:
            process.send_signal(signal.SIGKILL)  # all that it started ends with this sandbox
            process.wait()
            return "tokens" if over else "seconds"


class _Usage:
    """What the command says so far that its design cost.

    Args:
        folder: the one that it works in.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "usage.json")
        self._told: dict[str, Any] = {}
        self._next = 0.0

    def tell(self) -> float:
        """Report it to the engine if it is another one than before: what it says at its end may never be read.

        Returns:
            The tokens that it tells; 0 as long as it tells none that can be read.
        """
        try:
            found = evolve_task._from_json(_plain_file(self._path, _FILE) or b"{}")
            told = {name: found[name] for name in ("tokens_in", "tokens_out", "tokens_cached", "usd") if name in found}
            tokens = float(sum(told.get(name, 0) for name in ("tokens_in", "tokens_out")))
            if told != self._told and time.monotonic() >= self._next:
                evolve_task.progress(**told)
                self._told, self._next = told, time.monotonic() + _TELL_SECONDS
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return 0.0
        return tokens


def _end_children(grace: float, seconds: float) -> bool:
    """End what an errand left running, after so many seconds of grace; return whether nothing is left in the end."""
    began = time.monotonic()
    while True:
        elapsed = time.monotonic() - began
        if elapsed >= grace + seconds:
            return False
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if reaped and elapsed < grace:
            continue
        # What a process leaves that is ended here becomes a child in its turn.
        for child in _children() if elapsed >= grace else ():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass  # it has ended meanwhile, or belongs to somebody else
        if not reaped:
            time.sleep(0.02)


def _children() -> list[int]:
    """Return the processes of which this one is the parent."""
    found = []
    try:
        # Of /proc itself Landlock shows no more than this process's own folder.
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass  # a kernel without such a list, or a thread that has ended: the next look tells
    return found


def _plain_file(path: str, most: int) -> bytes | None:
    """Return the content of a file; None if there is none, if it is none, or if it is longer than so many bytes."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            return None  # open raises for a folder
        with open(fd, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(fd)
    return content if len(content) <= most else None


def _files_below(folder: str, most: int) -> tuple[dict[str, bytes], str]:
    """Return the files of a folder by path, hidden ones left out, and why it is no program; empty if it may be one."""
    found: dict[str, bytes] = {}
    pending, room = [""], most
    if os.path.islink(folder) or not os.path.isdir(folder):
        return {}, "program/ is no folder any more"
    while pending:
        below = pending.pop()
        path = os.path.join(folder, below)
        for name in sorted(os.listdir(path)):
            inside = f"{below}/{name}" if below else name
            where = os.path.join(path, name)
            if name.startswith(".") or name == "__pycache__":
                continue
            shown = f"program/{inside}"
            shown = shown if shown.isascii() and shown.isprintable() else ascii(shown)
            if os.path.islink(where):
                return {}, f"it left a symbolic link, {shown}"
            if os.path.isdir(where):
                pending.append(inside)
                continue
            if not os.path.isfile(where):
                return {}, f"it left {shown}, which is neither a file nor a folder"
            content = _plain_file(where, room)
            if content is None and os.path.getsize(where) <= room:
                return {}, f"it left {shown}, which cannot be read"
            room -= len(content or b"")
            if content is None or room < 0 or len(found) >= 1000 or len(pending) >= 1000:
                return {}, f"it left more in program/ than {most:,} bytes or 1,000 files"
            if any(0xDC80 <= ord(sign) <= 0xDCFF for sign in inside):
                return {}, f"it left {shown}, whose name is not UTF-8"
            found[inside] = content
    return found, ""
