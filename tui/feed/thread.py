"""What every feed is made of: a thread that posts batches, each after the one before was taken."""

from __future__ import annotations

import threading

from engine.runs.folder import Run
from tui.feed.batch import Batch, Post

__all__ = ["FeedThread"]


class FeedThread:
    """Runs `_work` in a thread of its own, until it is stopped.

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
        """Begin; `post` is called from the feed's thread."""
        self._post = post
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self._thread.start()

    def acknowledge(self) -> None:
        """Let the next batch come."""
        self._acknowledged.set()

    def stop(self) -> None:
        """End at the next look."""
        self._stopped.set()
        self._wake.set()
        self._acknowledged.set()

    def wait(self, seconds: float) -> None:
        """After `stop`: wait until the journal is let go."""
        if self._thread is not None:
            self._thread.join(seconds)

    # What follows runs in the feed's thread

    def _work(self) -> None:
        raise NotImplementedError

    def _send(self, batch: Batch) -> None:
        """Post a batch, and wait until it is taken."""
        self._acknowledged.clear()
        self._post(batch)
        self._acknowledged.wait()

    def _pause(self, seconds: float) -> None:
        """Wait so long, or until something is wanted."""
        self._wake.wait(seconds)
        self._wake.clear()
