"""Classify failed requests to models: temporary, in need of a person, or the request's own fault."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from engine.llm.environment import proxy_of
from engine.llm.error_body import Told, read_error
from engine.llm.frames import BadFrame
from engine.llm.secrets import held_back_of, hide
from engine.settings.models import ModelSpec
from engine.text import one_line

__all__ = [
    "NOTHING", "NO_TEXT", "Fault", "FaultKind", "check_key", "fault_of", "fault_within", "held_back", "key_of",
    "moved", "no_chat", "place_of", "redact",
]  # fmt: skip

FaultKind = Literal[
    "down", "auth", "model", "quota", "environment", "context", "moderation", "bad_request", "answer", "stopped"
]
"""`down` may pass by itself; `auth`, `model`, `quota` and `environment` need a person; the next four are the fault of
the request or of its answer."""

NO_TEXT, NOTHING = "no text", "nothing"
"""What a fault says of an answer without text and of an empty body: another form of the request may bring it."""

_CONTEXT = re.compile(
    r"context.{0,20}(length|size|window|limit)|maximum context|n_ctx|exceed\w*.{0,40}(context|token)"
    r"|(?<!took )too (long|many tokens)|(prompt|input|request|payload).{0,40}too large|string_above_max_length"
    r"|larger than the.{0,20}context",
    re.IGNORECASE,
)
_CONTEXT_SIZE = re.compile(
    r"(?:context.{0,12}(?:length|size|window|limit)|n_ctx|max_model_len|tokens allowed|limit)\D{0,12}(\d[\d,]*)"
    r"|(\d[\d,]*) (?:tokens? )?(?:maximum|context)",
    re.IGNORECASE,
)
_RATE = re.compile(r"\b(?:per|a) (?:second|minute|min|hour|day)\b|/ ?(?:s|min)\b|\b[TR]P[SMHD]\b", re.IGNORECASE)
"""A limit on what is sent in a time says nothing of the context."""
_LEAST_CONTEXT = 256
"""A smaller number is another figure: a gateway's limit of megabytes, or of requests."""
_MODERATION = re.compile(
    r"usage polic|policy_violation|bio_policy|invalid_prompt|content.?(filter|policy|management)|moderation"
    r"|safety (system|policy)|flagged|responsible.?ai|prohibited.?content"
    r"|data.?inspection.?failed|sensitive (content|word)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"(model|deployment).{0,80}(not.?found|not exist|doesn.t exist|unknown|not supported|not available|decommissioned"
    r"|deprecated|no longer)|(unknown|invalid|no such) model|(not a valid|no) model\b",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"no (allowed )?(endpoints|providers)", re.IGNORECASE)
"""A gateway that knows the model, and no server that fits the request."""
_QUOTA = re.compile(
    r"insufficient.?(\w+.)?(quota|credit|balance|fund)|billing|exceeded your current quota|payment.?required"
    r"|out of credit|credit balance",
    re.IGNORECASE,
)
_AUTH = re.compile(
    r"api.?key.{0,20}(not valid|invalid|expired)|(invalid|incorrect|expired).{0,12}api.?key|unauthenticated"
    # LiteLLM without a database answers this to every key but its own.
    r"|authentication.?error|no_db_connection",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"unexpected endpoint|cannot post|page not found|method not allowed|resource.?not.?found|no static|unknown path"
    r"|unknown_url|invalid url|not found",
    re.IGNORECASE,
)
_PASSING = frozenset({408, 409, 425, 429, 498, 499})
_REFUSES = frozenset({400, 404, 405, 422, 0})
_NEVER = frozenset({501, 505})
_TRANSPORT = re.compile(r"httpx\d*\b")
"""Modules of the errors of the HTTP client below `openai`, which has had two names."""
_BROKEN = frozenset({"ReadError", "RemoteProtocolError", "WriteError"})
"""Its errors that mean an established connection broke."""
_AT_PROXY = frozenset({"ConnectError", "ProxyError"})
"""Its errors that are the proxy's if there is one."""


class Fault(Exception):
    """A request to a model failed.

    Args:
        kind: the kind of fault.
        message: what happened, for people; it never contains a key.
        passing: whether the same request may be tried again at once.
        wait: seconds after which the endpoint wants to be asked again, if it said so.
        status: the HTTP status of the endpoint's answer, if there was one.
        unanswered: whether the connection broke before any answer, as one does that was kept too long.
        setting: the setting whose limit ended it, such as `first_token_seconds`; empty if none did.
        said: the endpoint's codes and message, to look for words in; never shown.
        no_place: whether the endpoint has nothing at the address of the request.
        context: tokens of prompt and answer that the endpoint says it takes; 0 if it says nothing of it.
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
        setting: str = "",
        said: str = "",
        no_place: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.passing = passing
        self.wait = wait
        self.status = status
        self.unanswered = unanswered
        self.setting = setting
        self.said = said
        self.no_place = no_place
        self.context = context


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
    return hide(text, [key_of(spec)])


def held_back(text: str, spec: ModelSpec) -> int:
    """Return how many characters at the end of a text may be the beginning of the model's key."""
    return held_back_of(text, [key_of(spec)])


def place_of(spec: ModelSpec) -> str:
    """Return the endpoint's address, for people."""
    return spec.base_url or "OpenAI's endpoint"


def fault_of(error: Exception, spec: ModelSpec) -> Fault:
    """Translate an exception of the HTTP client into a fault; raise an unknown one again."""
    if isinstance(error, Fault):
        return error
    import openai

    place = place_of(spec)
    if isinstance(error, openai.APIStatusError):
        return moved(error.response, spec) or _refusal(
            error.status_code, read_error(error.body, error.response.headers), spec
        )
    via = proxy_of(spec.base_url)
    if isinstance(error, openai.APITimeoutError):
        return Fault(
            "down",
            f"{via or place} took no connection within {spec.connect_seconds:g} s",
            passing=True,
            setting="connect_seconds",
        )
    if isinstance(error, openai.APIConnectionError):
        root = _root(error)
        # asyncio has its own wording.
        why = os.strerror(root.errno) if isinstance(root, ConnectionError) and root.errno else str(root)
        cause = type(error.__cause__).__name__
        where = f"{place}: {via} does not let us through" if via and cause in _AT_PROXY else place
        unanswered = cause in _BROKEN
        return Fault("down", f"no connection to {where}: {_short(why, spec)}", passing=True, unanswered=unanswered)
    if isinstance(error, BadFrame):
        return Fault("down", f"{place} sent {_short(str(error), spec)}", passing=True)
    if isinstance(error, UnicodeEncodeError):
        # A header that cannot be sent; its name is not told, and its value may be a secret.
        raise error
    if _TRANSPORT.match(type(error).__module__):
        # Raised while a body is read.
        why = _short(str(error) or type(error).__name__, spec)
        what = "cut an answer off" if type(error).__name__ in _BROKEN else "sent an answer that cannot be read"
        return Fault("down", f"{place} {what}: {why}", passing=True)
    raise error


def fault_within(body: object, spec: ModelSpec) -> Fault:
    """Return the fault that an error inside an answer with status 200 means."""
    told = read_error(body, {})
    return _refusal(told.status, told, spec, within=True)


def moved(response: Any, spec: ModelSpec) -> Fault | None:
    """Return the fault of an endpoint whose redirect has lost the request on its way; None if none has."""
    if not response.history or response.request.method == "POST":
        return None
    there = one_line(str(response.url).removesuffix("/chat/completions").removesuffix("/responses"), 200)
    return Fault("model", f"{place_of(spec)} redirects to {there}: set base_url to the address that is meant")


def no_chat(spec: ModelSpec, answered: str) -> Fault:
    """Return the fault of a server that answers something else than a chat.

    Args:
        spec: the model.
        answered: what it answered, such as `HTML`.
    """
    return Fault(
        "model", f"{place_of(spec)} is no chat endpoint: it answered {answered}; does the base URL end in /v1?"
    )


def _root(error: BaseException) -> BaseException:
    """Return the system's error below the wrappers of each library."""
    while True:
        below = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
        if below is None or not str(below):
            return error
        error = below


def _refusal(status: int, told: Told, spec: ModelSpec, within: bool = False) -> Fault:
    """Return the fault that an endpoint's error means.

    Args:
        status: of the answer; 0 if it has no meaning.
        told: what its body says.
        spec: the model.
        within: whether the error came inside an answer that had begun well.
    """
    place, words = place_of(spec), told.words
    said = f": {_short(told.message, spec)}" if told.message else ""
    code = f" ({status})" if status else ""

    def fault(kind: FaultKind, message: str, passing: bool = False) -> Fault:
        return Fault(kind, message, passing=passing, wait=told.wait if passing else None, status=status, said=words)

    if status == 401 or (status in (400, 403, 0) and _AUTH.search(words)):
        # The server's message about a wrong key may contain parts of it.
        state = "is wrong" if key_of(spec) else "is not set"
        return fault("auth", f"{place} refuses the key{code}: {_key_name(spec, state)}")
    quota = status in (400, 403, 429, 0) and _QUOTA.search(words) and not (status == 429 and told.wait)
    if status == 402 or quota:
        return fault("quota", f"{place} says that the account has nothing left{code}{said}")
    if status == 413 or (status in (400, 422, 429, 500, 0) and _CONTEXT.search(words)):
        long = fault("context", f"the prompt is too long for '{spec.model}'{code}{said}")
        long.context = _context_in(told.message)
        return long
    if status in (400, 403, 422, 451, 0) and _MODERATION.search(words):
        return fault("moderation", f"{place} declines this prompt{code}{said}")
    if status == 403:
        return fault("auth", f"{place} forbids this{code}{said}; {_key_name(spec, 'may not do this')}")
    if status in _REFUSES and _MODEL.search(words):
        return fault("model", f"{place} knows no model '{spec.model}'{code}{said}")
    if status == 404 and _NO_MODEL.search(words):
        return fault("bad_request", f"{place} has no server for this request{code}{said}")
    if status == 405 or (status in (404, 0) and (told.html or not told.message or _PLACE.search(words))):
        answered = f"an HTML page{said}" if told.html else f"'{_short(told.message, spec)}'" if said else "nothing"
        wrong = no_chat(spec, f"{answered}{code}")
        wrong.status, wrong.said, wrong.no_place = status, words, True
        return wrong
    if status == 404:
        return fault("model", f"{place} knows no model '{spec.model}'{code}{said}")
    if status in _PASSING or (status >= 500 and status not in _NEVER) or status == 0:
        what = "is overloaded" if status in (429, 529) else "broke off with an error" if within else "fails"
        return fault("down", f"{place} {what}{code}{said}", passing=True)
    return fault("bad_request", f"{place} refuses the request{code}{said}")


def _context_in(message: str) -> int:
    """Return how many tokens of prompt and answer an endpoint takes, by its words; 0 if they do not say it."""
    found = None if _RATE.search(message) else _CONTEXT_SIZE.search(message)
    tokens = int((found[1] or found[2]).replace(",", "")[:9]) if found else 0
    return tokens if tokens >= _LEAST_CONTEXT else 0


def _key_name(spec: ModelSpec, state: str) -> str:
    return f"the key in {spec.key_env} {state}" if spec.key_env else "no `key_env` is configured for it"


def _short(text: str, spec: ModelSpec) -> str:
    return one_line(redact(text, spec), 300)
