"""What a Ray worker runs before the engine's own code is there: unpack that, and hand over to it.

Ray takes these functions by value, so that a machine needs no installation of ours. They import the standard library
and Ray alone, each by itself. All that they yield and return are bytes: Ray hands those on as they are, and never
unpickles them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["deliver", "evaluate", "recall", "root_of", "survey"]


def evaluate(request: bytes, blobs: dict[str, list[Any]]) -> Iterator[bytes]:
    """Run an evaluation and yield its messages.

    Args:
        request: as `messages.Request`.
        blobs: by sha256, a list with Ray's reference to the content; nested, so that Ray fetches none that is here.
    """
    try:
        node, root, task = _hand_over(request, blobs)
    except Exception as exc:  # whatever this machine lacks
        yield _fault(exc)
        return
    yield from node.evaluate(request, root, task)


def recall(request: bytes, blobs: dict[str, list[Any]]) -> bytes:
    """Return the outcome that this machine keeps of an evaluation whose engine is gone."""
    try:
        node, root, _ = _hand_over(request, blobs)
        return bytes(node.recall(request, root))
    except Exception as exc:
        return _fault(exc)


def deliver(orders: list[tuple[str, str]]) -> bytes:
    """Write orders, a line each, to the pipes of evaluations on this machine; those that have ended are passed over."""
    import os

    for path, line in orders:
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.write(pipe, line.encode() + b"\n")
        except OSError:
            continue
        finally:
            os.close(pipe)
    return b""


def survey(request: bytes, blobs: dict[str, list[Any]]) -> bytes:
    """Return what this machine is like, for `evolve doctor`."""
    try:
        node, root, _ = _hand_over(request, blobs)
        return bytes(node.survey(root))
    except Exception as exc:
        return _fault(exc)


def _fault(exc: BaseException) -> bytes:
    import json

    return json.dumps({"type": "fault", "message": f"{type(exc).__name__}: {exc}"[:4096]}).encode()


def _hand_over(request: bytes, blobs: dict[str, list[Any]]) -> tuple[Any, str, str]:
    """Unpack what the request names; return the module that runs it, the folder to work in, and the task's."""
    import importlib
    import json
    import os
    import sys

    said = json.loads(request)
    root = root_of(said["scratch"])
    source = str(_unpack(root, said["source"], blobs, compiled=True))
    task = str(_unpack(root, said["task"], blobs, compiled=False)) if said["task"] else ""
    home = root / "home" / str(os.getpid())
    if source not in sys.path:
        sys.path.insert(0, source)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "config.toml").write_text(said["config"], "utf-8")
        os.environ.update(said["environment"], EVOLVE_HOME=str(home))
    os.utime(home)  # what nobody has used for a week is removed
    return importlib.import_module("engine.evaluation.executors.node"), str(root), task


def root_of(scratch: str) -> Path:
    """Return the folder to work in, which belongs to this user alone.

    Args:
        scratch: its path; empty for one in the machine's temporary folder.

    Raises:
        OSError: it cannot be made, or belongs to others, too.
    """
    import os
    import stat
    import tempfile
    from pathlib import Path

    root = Path(scratch).expanduser() if scratch else Path(tempfile.gettempdir(), f"evolve-nodes-{os.getuid()}")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{root} is not a folder of this user alone; name another one as executor.scratch")
    return root.resolve()


def _unpack(root: Path, sha: str, blobs: dict[str, list[Any]], compiled: bool) -> Path:
    """Return the folder of a blob's files, unpacked by whoever needs it first."""
    import compileall
    import fcntl
    import hashlib
    import io
    import os
    import shutil
    import tarfile
    import tempfile
    from pathlib import Path

    folder = root / "blobs" / sha
    if folder.is_dir():
        os.utime(folder)
        return folder
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        import ray

        content = ray.get(blobs[sha][0])
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != sha:
            raise ValueError(f"the blob {sha} arrived damaged")
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(made, filter="data")
            if compiled:
                # What nothing compiles, every sandbox would: it cannot write what it compiles.
                compileall.compile_dir(made, quiet=2, stripdir=made, prependdir=folder)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return folder
