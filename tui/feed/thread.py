"""The base of feeds: a thread that posts batches, each after the one before was acknowledged."""

from __future__ import annotations

import threading

from engine.runs.folder import Run
from tui.feed.batch import Batch, Post

__all__ = ["FeedThread"]


class FeedThread:
    """Runs `_work` in its own thread until it is stopped.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._post: Post
        self._wake = threading.Event()
        self._acknowledged = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    # Called from the screens' thread

    def start(self, post: Post) -> None:
        """Start; `post` is called from the feed's thread."""
        self._post = post
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self._thread.start()

    def acknowledge(self) -> None:
        """Ask for the next batch."""
        self._acknowledged.set()

    def stop(self) -> None:
        """Stop at the next poll."""
        self._stopped.set()
        self._wake.set()
        self._acknowledged.set()

    def wait(self, seconds: float) -> None:
        """After `stop`: wait until the journal is closed."""
        if self._thread is not None:
            self._thread.join(seconds)

    # Runs in the feed's thread

    def _work(self) -> None:
        raise NotImplementedError

    def _send(self, batch: Batch) -> None:
        """Post a batch, and wait until it is acknowledged."""
        self._acknowledged.clear()
        self._post(batch)
        self._acknowledged.wait()

    def _pause(self, seconds: float) -> None:
        """Wait for some seconds, or until a call from the screens."""
        self._wake.wait(seconds)
        self._wake.clear()
