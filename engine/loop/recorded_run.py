"""Give again what models answered and commands left in another run, as calls of this one that cost nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from engine.journal.database import sha256_of
from engine.journal.events import CallDone, CallStarted
from engine.llm.record import Place, Recorded
from engine.loop.session import RunSession

__all__ = ["RecordedRun"]


class RecordedRun:
    """The run that the setting `answers` names.

    Args:
        session: the run in which its calls are given again.
    """

    def __init__(self, session: RunSession) -> None:
        self._session = session
        self._recorded: Recorded | None = None

    @property
    def folder(self) -> Path:
        """Its folder."""
        return Path(self._session.state.settings.answers)

    @property
    def calls(self) -> Recorded:
        """Its calls, read at the first use.

        Raises:
            JournalError: its journal cannot be read.
        """
        if self._recorded is None:
            self._recorded = Recorded(self.folder / "run.db")
        return self._recorded

    async def give(self, found: CallDone, place: Place, prompt: bytes, blobs: Iterable[str], **told: Any) -> CallDone:
        """Record one of its calls as one of this run, and return it once it is durable.

        Args:
            found: the call, as recorded there.
            place: of the call here.
            prompt: what is asked here.
            blobs: names of what belongs to the call there; empty ones are left out.
            told: more fields of `CallStarted`.
        """
        session = self._session
        round_, node, key = place
        call = session.state.last_call + 1
        there = found.tokens_in + found.tokens_out + found.tokens_there
        done = msgspec.structs.replace(
            found, call=call, tokens_in=0, tokens_out=0, tokens_cached=0, tokens_thought=0, usd=0.0, seconds=0.0,
            retries=0, key=key, replayed=True, reading=0.0, characters=0.0, tokens_there=there,
        )  # fmt: skip
        started = CallStarted(call, found.role, found.model, sha256_of(prompt), {}, key, **told)
        texts = [self.calls.text(blob).encode() for blob in blobs if blob]
        session.emit(started, done, round=round_, node=node, blobs=[prompt, *(text for text in texts if text)])
        await session.durable()
        return done

    def close(self) -> None:
        """Close its journal."""
        if self._recorded is not None:
            self._recorded.close()
