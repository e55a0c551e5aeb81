"""The model that all systems ask: a real server on loopback that answers at once, by the number of the call alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from tests.bench.peers.task import answer
from tests.llm_server import REPORT, LlmServer, Reply, Request

__all__ = ["Model"]

_CHARACTERS_PER_TOKEN = 4


class Model:
    """Serve until closed.

    A request for JSON by a schema is one for a report on a program, which ours alone makes; all others are for a
    program.
    """

    def __init__(self, on_design: Callable[[int], None]) -> None:
        """Start to serve.

        Args:
            on_design: called before the answer to each request for a program, with its number from 1.
        """
        self.designs = 0
        self.reports = 0
        self._tokens: list[int] = []
        self._lock = threading.Lock()
        self._on_design = on_design
        self._server = LlmServer(self._answer)
        self.url = self._server.url

    def close(self) -> None:
        """Refuse further connections."""
        self._server.close()

    @property
    def tokens(self) -> int:
        """Tokens of all prompts so far, at four characters each."""
        return sum(self._tokens)

    def _answer(self, request: Request) -> Reply:
        size = len(request.text) // _CHARACTERS_PER_TOKEN
        report = request.schema is not None
        with self._lock:
            self._tokens.append(size)
            self.reports += report
            self.designs += not report
            number = self.designs
        if report:
            text = json.dumps(REPORT)
        else:
            self._on_design(number)
            text = answer(number)
        written = len(text) // _CHARACTERS_PER_TOKEN
        usage = {"prompt_tokens": size, "completion_tokens": written, "total_tokens": size + written}
        if request.body.get("stream"):
            return Reply(text, usage=usage)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        whole = {"id": str(number), "object": "chat.completion", "created": 0, "model": request.body["model"]}
        return Reply(body={**whole, "choices": [choice], "usage": usage})
