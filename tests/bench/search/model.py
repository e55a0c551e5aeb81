"""The model of the landscapes: a real server on loopback that edits the numbers which a prompt shows."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter

from tests.bench.landscapes import answer
from tests.bench.search.tasks import CHOSEN, failing_program, numbers_in, program, start_of
from tests.llm_server import REPORT, LlmServer, Reply, Request

__all__ = ["EditingModel"]

_CHARACTERS_PER_TOKEN = 4


class EditingModel:
    """Serve until closed.

    A model's name is `LANDSCAPE.SETTING.SEED`. The n-th answer to a name draws the same chances whatever the setting,
    so that searches differ by the programs that they show alone. A request for JSON by a schema is one for a report on
    a program, and always gets the same.

    Args:
        improves_last: whether the program to improve is the last of a prompt, not the first; the others are those
            beside it.
    """

    def __init__(self, improves_last: bool = False) -> None:
        self.last = time.monotonic()
        """When it was asked last, or began to serve."""
        self._improves_last = improves_last
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = LlmServer(self._answer)
        self.url = self._server.url

    def close(self) -> None:
        """Refuse further connections."""
        self._server.close()

    def _answer(self, request: Request) -> Reply:
        name = request.body["model"]
        self.last = time.monotonic()
        if request.schema is not None:
            text = json.dumps(REPORT)
        else:
            with self._lock:
                self._asked[name] += 1
                number = self._asked[name]
            text = write_answer(name, number, request.text, self._improves_last)
        sizes = [len(request.text) // _CHARACTERS_PER_TOKEN, len(text) // _CHARACTERS_PER_TOKEN]
        usage = {"prompt_tokens": sizes[0], "completion_tokens": sizes[1], "total_tokens": sum(sizes)}
        if request.body.get("stream"):
            return Reply(text, usage=usage, pieces=1)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        whole = {"id": "0", "object": "chat.completion", "created": 0, "model": name}
        return Reply(body={**whole, "choices": [choice], "usage": usage})


def write_answer(name: str, number: int, prompt: str, improves_last: bool = False) -> str:
    """Return the answer to a prompt, in a form that all the systems read.

    Args:
        name: the model's name, `LANDSCAPE.SETTING.SEED`.
        number: how many prompts this name was given, this one included.
        prompt: its text.
        improves_last: see `EditingModel`.
    """
    task, _, seed = name.split(".")
    landscape = CHOSEN[task]
    shown = numbers_in(prompt) or [start_of(landscape)]
    parent, *beside = reversed(shown) if improves_last else shown
    made = answer(landscape, parent, beside, random.Random(f"{task} {seed} {number}"))
    code = failing_program(parent, number) if made is None else program(made)
    return (
        f"<NAME>\nedit_{number}\n</NAME>\n\n<DESCRIPTION>\nOther numbers, try {number}.\n</DESCRIPTION>\n\n"
        f"<CODE>\n```python\n{code}```\n</CODE>\n"
    )
