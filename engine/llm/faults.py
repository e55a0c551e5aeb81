"""Classify failed requests to models: temporary, in need of a person, or the request's own fault."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from engine.settings.models import ModelSpec
from engine.text import one_line

__all__ = ["Fault", "FaultKind", "check_key", "fault_of", "held_back", "key_of", "place_of", "redact"]

FaultKind = Literal["down", "auth", "model", "quota", "context", "moderation", "bad_request", "stopped"]
"""`down` may pass by itself; `auth`, `model` and `quota` need a person; the next three are the request's fault."""

_LONGEST_WAIT = 60.0
"""Most seconds to wait for an endpoint that asks for more; then it is asked again."""
_SHORTEST_SECRET = 8
"""Least length of a key to redact: shorter ones are placeholders and could occur anywhere in a text."""

_CONTEXT = re.compile(
    r"context.{0,20}(length|size|window|limit)|maximum context|too (long|many tokens)|n_ctx|prompt is too"
    r"|exceed\w*.{0,40}(context|token)",
    re.IGNORECASE,
)
_MODERATION = re.compile(r"content.?(filter|policy)|moderation|safety (system|policy)|flagged", re.IGNORECASE)
_MODEL = re.compile(
    r"model.{0,80}(not found|not exist|doesn.t exist|unknown|not supported|not available)"
    r"|(unknown|invalid|no such) model",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"insufficient.?(quota|credit|balance|fund)|billing|exceeded your current quota", re.IGNORECASE)
_PASSING = frozenset({408, 409, 425, 429})
_TRANSPORT = re.compile(r"httpx\d*\b")
"""Modules of the errors of the HTTP client below `openai`, which has had two names."""
_BROKEN = frozenset({"ReadError", "RemoteProtocolError", "WriteError"})
"""Its errors that mean an established connection broke."""


class Fault(Exception):
    """A request to a model failed.

    Args:
        kind: the kind of fault.
        message: what happened, for people; it never contains a key.
        passing: whether the same request may be tried again at once.
        wait: seconds after which the endpoint wants to be asked again, if it said so.
        status: the HTTP status of the endpoint's answer, if there was one.
        unanswered: whether the connection broke before any answer, as one does that was kept too long.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        passing: bool = False,
        wait: float | None = None,
        status: int = 0,
        unanswered: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.passing = passing
        self.wait = wait
        self.status = status
        self.unanswered = unanswered


def key_of(spec: ModelSpec) -> str:
    """Return the model's key from the environment; empty if there is none."""
    return os.environ.get(spec.key_env, "").strip() if spec.key_env else ""


def check_key(spec: ModelSpec) -> None:
    """Raise a fault for a key that a header cannot carry: the library's error would contain the key."""
    key = key_of(spec)
    if not (key.isascii() and key.isprintable()):
        state = "holds a line break or another character that no key has"
        raise Fault("auth", f"{place_of(spec)} cannot be asked: {_key_name(spec, state)}")


def redact(text: str, spec: ModelSpec) -> str:
    """Return the text without the model's key, which a server may have echoed."""
    key = key_of(spec)
    return text.replace(key, "***") if len(key) >= _SHORTEST_SECRET else text


def held_back(text: str, spec: ModelSpec) -> int:
    """Return how many characters at the end of a text may be the beginning of the model's key."""
    key = key_of(spec)
    if len(key) < _SHORTEST_SECRET:
        return 0
    return next((size for size in range(min(len(key) - 1, len(text)), 0, -1) if text.endswith(key[:size])), 0)


def place_of(spec: ModelSpec) -> str:
    """Return the endpoint's address, for people."""
    return spec.base_url or "OpenAI's endpoint"


def fault_of(error: Exception, spec: ModelSpec) -> Fault:
    """Translate an exception of the HTTP client into a fault; raise an unknown one again."""
    import openai

    place = place_of(spec)
    if isinstance(error, openai.APIStatusError):
        return _status_fault(error.status_code, error.body, error.response.headers, spec)
    if isinstance(error, openai.APITimeoutError):
        return Fault("down", f"{place} took no connection within {spec.connect_seconds:g} s", passing=True)
    if isinstance(error, openai.APIConnectionError):
        root = _root(error)
        # asyncio has its own wording.
        why = os.strerror(root.errno) if isinstance(root, ConnectionError) and root.errno else str(root)
        unanswered = type(error.__cause__).__name__ in _BROKEN
        return Fault("down", f"no connection to {place}: {_short(why, spec)}", passing=True, unanswered=unanswered)
    if isinstance(error, openai.APIError):
        # An error in the middle of a stream, after status 200.
        body = error.body if isinstance(error.body, Mapping) else {}
        code = body.get("code")
        if isinstance(code, int) and code >= 400:
            return _status_fault(code, body, {}, spec)
        return Fault("down", f"{place} broke off with an error: {_short(error.message, spec)}", passing=True)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return Fault("down", f"{place} sent an answer that is not JSON: {_short(str(error), spec)}", passing=True)
    if isinstance(error, RecursionError):
        return Fault("down", f"{place} sent JSON that is nested too deeply", passing=True)
    if _TRANSPORT.match(type(error).__module__):
        # Raised while a whole body is read; the library does not wrap it.
        why = _short(str(error) or type(error).__name__, spec)
        return Fault("down", f"{place} sent an answer that cannot be read: {why}", passing=True)
    raise error


def _root(error: BaseException) -> BaseException:
    """Return the system's error below the wrappers of each library."""
    while True:
        below = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
        if below is None or not str(below):
            return error
        error = below


def _status_fault(status: int, body: object, headers: Mapping[str, str], spec: ModelSpec) -> Fault:
    place = place_of(spec)
    told = _message_of(body, spec)
    said = f": {told}" if told else ""
    codes = " ".join(_codes(body))
    if status == 401:
        # The server's message about a wrong key may contain parts of it.
        state = "is wrong" if key_of(spec) else "is not set"
        return Fault("auth", f"{place} refuses the key (401): {_key_name(spec, state)}", status=status)
    if status == 402 or (status == 429 and _QUOTA.search(f"{codes} {told}")):
        return Fault("quota", f"{place} says that the account has nothing left ({status}){said}", status=status)
    if status == 413 or (status in (400, 422) and _CONTEXT.search(f"{codes} {told}")):
        return Fault("context", f"the prompt is too long for '{spec.model}' ({status}){said}", status=status)
    if status in (400, 403, 422, 451) and _MODERATION.search(f"{codes} {told}"):
        return Fault("moderation", f"{place} declines this prompt ({status}){said}", status=status)
    if status == 403:
        return Fault("auth", f"{place} forbids this (403){said}; {_key_name(spec, 'may not do this')}", status=status)
    if status == 404 or (status in (400, 422) and _MODEL.search(f"{codes} {told}")):
        return Fault("model", f"{place} knows no model '{spec.model}' ({status}){said}", status=status)
    if status in _PASSING or status >= 500:
        what = "is overloaded" if status == 429 else "fails"
        return Fault("down", f"{place} {what} ({status}){said}", passing=True, wait=_wait_of(headers), status=status)
    return Fault("bad_request", f"{place} refuses the request ({status}){said}", status=status)


def _key_name(spec: ModelSpec, state: str) -> str:
    return f"the key in {spec.key_env} {state}" if spec.key_env else "no `key_env` is configured for it"


def _message_of(body: object, spec: ModelSpec) -> str:
    """Return the message in an error's body, on one line."""
    found: object = body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        found = inner.get("message") or inner.get("detail") or "" if isinstance(inner, Mapping) else inner
    return _short(found if isinstance(found, str) else json.dumps(found, default=str), spec) if found else ""


def _codes(body: object) -> list[str]:
    inner: Any = body.get("error", body) if isinstance(body, Mapping) else {}
    return [str(inner[key]) for key in ("code", "type") if key in inner] if isinstance(inner, Mapping) else []


def _short(text: str, spec: ModelSpec) -> str:
    return one_line(redact(text, spec), 300)


def _wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the header Retry-After asks for, as a number or as a date; None without it."""
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = _moment(value)
        if until is None:
            return None
        # Use the server's clock if it is given: ours may differ.
        now = _moment(headers.get("date", ""))
        seconds = until - (time.time() if now is None else now)
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else None


def _moment(date: str) -> float | None:
    """Return the seconds since 1970 of a header's date; None if it is not a date."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
