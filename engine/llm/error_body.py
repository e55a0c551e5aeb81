"""Read what an endpoint says of an error, in whichever form: its message, its codes, and how long to wait."""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["Told", "error_in", "read_error"]

_LONGEST_WAIT = 60.0
"""Most seconds to wait for an endpoint that asks for more; then it is asked again."""
_DEEPEST = 6
_CODES = ("code", "type", "status", "reason", "param", "error_code", "err_code")
_MESSAGES = ("message", "msg", "detail", "error_description", "description", "status_msg", "title", "error", "errors")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_RETRY = re.compile(
    r"(?:retry|try again|available|reset)\D{0,24}?((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|hours?|h|minutes?|mins?|m"
    r"|seconds?|secs?|s)(?![a-z])\s*)+)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_MEANT = [
    (re.compile(r"insufficient.{0,12}(quota|credit|balance|fund)|payment.?required|billing", re.IGNORECASE), 402),
    (
        re.compile(
            r"(invalid|incorrect|wrong|missing|no|bad|expired).{0,12}(api.?key|auth\w* credential|access.?token)"
            r"|api.?key.{0,20}(not valid|invalid|expired|missing|required)|unauthenticated|unauthori[sz]ed"
            r"|authentication.?(error|fail)|login fail",
            re.IGNORECASE,
        ),
        401,
    ),
    (re.compile(r"permission.?(denied|error)|forbidden|access.?denied", re.IGNORECASE), 403),
    (re.compile(r"rate.?limit|too many requests|resource.?exhausted|throttl", re.IGNORECASE), 429),
    (re.compile(r"overloaded|unavailable|\bserver.?error|internal|timed? ?out|upstream", re.IGNORECASE), 503),
    (re.compile(r"invalid.?(request|argument|param)|bad.?request|failed.?precondition", re.IGNORECASE), 400),
]
"""What words mean where no number is given, as a status of HTTP."""


@dataclass(frozen=True)
class Told:
    """What an endpoint says of an error."""

    message: str = ""
    words: str = ""
    """Its codes and its message, to look for words in."""
    status: int = 0
    """The status of HTTP that it names or means; 0 if it says nothing of the kind."""
    wait: float | None = None
    """Seconds after which the endpoint wants to be asked again, if it said so: 60 at most."""
    html: bool = False
    """Whether it is a page for people."""


def error_in(value: Mapping[str, Any]) -> object | None:
    """Return the error that a piece of an answer with status 200 holds; None if it holds none."""
    if _says(value.get("error")):
        return value
    if value.get("object") == "error" or value.get("type") == "error":
        return value
    base = value.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code") not in (None, 0, "0"):
        return {"error": {"code": base.get("status_code"), "message": base.get("status_msg")}}
    if "choices" in value or "usage" in value:
        return None
    if _says(value.get("errors")) or _says(value.get("detail")) or value.get("success") is False:
        return value
    told = value.get("message") or value.get("msg")
    return value if isinstance(told, str) and any(key in value for key in ("code", "status", "statusCode")) else None


def _says(error: object) -> bool:
    """Tell whether an error says anything: some endpoints send an empty one with every piece."""
    if isinstance(error, Mapping):
        return any(_says(part) for part in error.values())
    if isinstance(error, list):
        return any(_says(part) for part in error)
    return error not in (None, "", 0, False)


def read_error(body: object, headers: Mapping[str, str]) -> Told:
    """Return what the body of an error says, a mapping, a list or a text, and what its headers add."""
    if isinstance(body, str):
        body = _parsed(body)
    if isinstance(body, str):
        page = body.lstrip()[:1] == "<"
        message = _page_title(body) if page else " ".join(body.split())[:1000]
        return Told(message, message, _meaning(message), _wait_of(headers, message, None), page)
    message = _message(body)
    codes = list(_codes(body))
    words = " ".join([*codes, message])
    status = next((number for number in map(_status, _codes(body)) if number), 0) or _meaning(words)
    return Told(message, words, status, _wait_of(headers, message, body))


def _parsed(text: str) -> object:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            pass
    return text


def _page_title(page: str) -> str:
    found = _TITLE.search(page)
    inner = (found[1] or found[2] or "") if found else page[:4000]
    return " ".join(html.unescape(_TAG.sub(" ", inner)).split())[:200]


def _message(body: object, depth: int = 0) -> str:
    """Return the message of an error, with that of the server behind a gateway."""
    if isinstance(body, str):
        inner = _parsed(body)
        return _message(inner, depth + 1) if inner is not body and depth < _DEEPEST else body
    if depth > _DEEPEST or body is None:
        return ""
    if isinstance(body, list):
        return "; ".join(filter(None, (_message(item, depth + 1) for item in body[:4])))
    if not isinstance(body, Mapping):
        return ""
    if isinstance(body.get("error"), Mapping | list):
        return _message(body["error"], depth + 1)
    said = next((text for name in _MESSAGES if (text := _message(body.get(name), depth + 1))), "")
    place = body.get("loc")
    if said and isinstance(place, list):
        said = f"{'.'.join(str(part) for part in place)}: {said}"
    metadata = body.get("metadata")
    raw = _message(metadata.get("raw"), depth + 1) if isinstance(metadata, Mapping) else ""
    return f"{said}: {raw}" if said and raw and raw not in said else said or raw


def _codes(body: object, depth: int = 0) -> Iterator[str]:
    if isinstance(body, str):
        inner = _parsed(body)
        body = inner if inner is not body else None
    if depth > _DEEPEST:
        return
    if isinstance(body, list):
        for item in body[:4]:
            yield from _codes(item, depth + 1)
    elif isinstance(body, Mapping):
        for name, value in body.items():
            if name in _CODES and isinstance(value, str | int) and not isinstance(value, bool):
                yield str(value)
            elif isinstance(value, Mapping | list) or (name == "raw" and isinstance(value, str)):
                yield from _codes(value, depth + 1)


def _status(code: str) -> int:
    return int(code) if re.fullmatch(r"[45]\d\d", code) else 0


def _meaning(words: str) -> int:
    return next((status for pattern, status in _MEANT if pattern.search(words)), 0)


# How long to wait


def _wait_of(headers: Mapping[str, str], message: str, body: object) -> float | None:
    """Return the seconds that headers, fields or words ask for: the longest; None if nothing does."""
    found = [_header_wait(headers), *_field_waits(body)]
    said = _RETRY.search(message)
    if said:
        found.append(_duration(said[1]))
    seconds = [min(max(wait, 0.0), _LONGEST_WAIT) for wait in found if wait is not None and math.isfinite(wait)]
    return max(seconds, default=None)


def _header_wait(headers: Mapping[str, str]) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d+(\.\d+)?", milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        until = _moment(value)
        if until is None:
            return None
        # Use the server's clock if it is given: ours may differ.
        now = _moment(headers.get("date", ""))
        return until - (time.time() if now is None else now)


def _field_waits(body: object, depth: int = 0) -> Iterator[float]:
    """Yield the waits that fields of an error name: `retryDelay`, `retry_after`, X-RateLimit-Reset."""
    if depth > _DEEPEST:
        return
    if isinstance(body, list):
        for item in body[:8]:
            yield from _field_waits(item, depth + 1)
    elif isinstance(body, Mapping):
        for name, value in body.items():
            plain = re.sub(r"[^a-z]", "", str(name).lower())
            if plain in ("retrydelay", "retryafter", "retryafterseconds", "xratelimitreset"):
                seconds = _seconds(value)
                if seconds is not None:
                    yield seconds
            elif isinstance(value, Mapping | list):
                yield from _field_waits(value, depth + 1)


def _seconds(value: object) -> float | None:
    text = str(value)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        return _duration(text)
    number = float(text)
    # A moment since 1970, in milliseconds or seconds.
    return number / 1000 - time.time() if number > 1e11 else number - time.time() if number > 1e8 else number


def _duration(text: str) -> float | None:
    """Return the seconds of `1.5s`, `20ms`, `6m0s`, `2 minutes`."""
    total: float | None = None
    for number, unit in _PART.findall(text.lower()):
        factor = 1e-3 if unit.startswith(("ms", "milli")) else {"h": 3600.0, "m": 60.0}.get(unit[0], 1.0)
        total = (total or 0.0) + float(number) * factor
    return total


def _moment(date: str) -> float | None:
    """Return the seconds since 1970 of a header's date; None if it is not a date."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
