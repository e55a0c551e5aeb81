"""Embed in a child process, so that the memory is not the caller's and is freed when it is idle."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from cognition.embedders.base import EmbedderError, unit_rows

__all__ = ["ChildEmbedder"]

_BATCH = 256
_LONGEST_LINE = 1 << 16
_PATIENCE = 2.0
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
"""Environment variables that an embedder must not get."""
_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Weights are on this machine or they are not there: nothing is ever downloaded.
    "HF_HUB_OFFLINE": "1",
}


class _Died(Exception):
    """The child ended before it answered."""


class ChildEmbedder:
    """Starts the child at the first request, and again after it has ended.

    The child ends after `idle` seconds without a request, and when this process ends for any reason, since its stdin is
    closed then.

    Args:
        name: see `Embedder.name`.
        arguments: what the worker loads: `wordllama`, or `sentence-transformers` and the model's folder.
        idle: seconds.
        timeout: seconds for one batch of texts, including the loading of the model.
    """

    def __init__(self, name: str, arguments: Sequence[str], idle: float = 60.0, timeout: float = 120.0) -> None:
        self._name = name
        self._command = [sys.executable, "-m", "cognition.embedders.worker", f"{idle:g}", *arguments]
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """See `Embedder.name`."""
        return self._name

    @property
    def pid(self) -> int | None:
        """Return the child's process id, or None if there is no child."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        with self._lock:
            parts = [self._batch(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        return unit_rows(np.concatenate(parts)) if parts else np.zeros((0, 0), np.float32)

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # Escaped to ASCII, what is no valid text included, a request is one line.
        line = json.dumps([text.encode("utf-8", "replace").decode() for text in texts]).encode() + b"\n"
        for last in (False, True):
            try:
                return self._ask(line, len(texts))
            except _Died as exc:
                # It may have ended just now because it was idle.
                self._end()
                if last:
                    raise EmbedderError(f"the embedder's process ended ({exc})") from None
            except EmbedderError:
                self._end()
                raise
        raise AssertionError

    def _ask(self, line: bytes, count: int) -> NDArray[np.float32]:
        if self._child is None:
            self._child = self._start()
        deadline = time.monotonic() + self._timeout
        self._write(line, deadline)
        head = self._read_line(deadline)
        try:
            answer = json.loads(head)
            if "error" in answer:
                raise EmbedderError(str(answer["error"]))
            dim = int(answer["dim"])
        except (ValueError, KeyError, TypeError):
            raise EmbedderError(f"the embedder's process wrote nonsense: {head[:80]!r}") from None
        return np.frombuffer(self._read(count * dim * 4, deadline), dtype="<f4").reshape(count, dim)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            # A session of its own: signals of the terminal to the caller's group must not reach it.
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env={**{name: text for name, text in os.environ.items() if not _SECRET.search(name)}, **_ENVIRONMENT},
                start_new_session=True,
            )
        except OSError as exc:
            raise EmbedderError(f"the embedder's process cannot be started: {exc.strerror}") from None
        # Collects the exit status when it ends because it is idle.
        threading.Thread(target=child.wait, name="embedder's end", daemon=True).start()
        return child

    def _write(self, line: bytes, deadline: float) -> None:
        """Send a request without blocking for longer than the deadline, even if the child does not read."""
        assert self._child is not None and self._child.stdin is not None
        descriptor = self._child.stdin.fileno()
        os.set_blocking(descriptor, False)
        left = memoryview(line)
        while left:
            self._wait(descriptor, select.POLLOUT, deadline)
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                continue
            except OSError:
                raise _Died(self._exit()) from None

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1e3):
            raise EmbedderError(f"the embedder's process gave no answer in {self._timeout:g} s")

    def _read_line(self, deadline: float) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1, deadline)
            if len(line) > _LONGEST_LINE:
                raise EmbedderError("the embedder's process wrote nonsense")
        return line

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._child is not None and self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        found = bytearray()
        while len(found) < size:
            self._wait(descriptor, select.POLLIN, deadline)
            chunk = os.read(descriptor, size - len(found))
            if not chunk:
                raise _Died(self._exit())
            found += chunk
        return bytes(found)

    def _exit(self) -> str:
        assert self._child is not None
        with suppress(subprocess.TimeoutExpired):
            return f"exit code {self._child.wait(_PATIENCE)}"
        return "its pipe is closed"

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()
        child.stdout.close()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
