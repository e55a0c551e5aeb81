"""The form in which an endpoint takes requests, learnt from what it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.llm.faults import NO_TEXT, NOTHING, Fault
from engine.llm.messages import Message
from engine.llm.responses import (
    REFUSED_THOUGHTS,
    WORDS,
    Items,
    field_named,
    has_thoughts,
    merged_into,
    responses_body,
    without,
)
from engine.settings.models import Api, ModelSpec

__all__ = [
    "Form", "body_of", "first_form", "has_schema", "is_guess", "learnt_form", "other_api", "path_of", "simpler",
]  # fmt: skip

_LIMITS = ("max_tokens", "max_completion_tokens")
_SENT = ("temperature", "top_p", *_LIMITS, "reasoning_effort")
_NEVER = frozenset({
    "model", "messages", "stream", "stream_options", "response_format", "input", "instructions", "text", *WORDS,
})  # fmt: skip
"""Fields that are not just left out because a refusal has their name in it."""

_REFUSED = frozenset({0, 400, 403, 404, 405, 406, 409, 415, 422, 500, 501, 502, 503})
"""Statuses of refusals that may be meant for the form of a request."""
_SCHEMA = re.compile(r"response.?format|json.?schema|structured|grammar|guided|schema|json.?mode|json.?object", re.I)
_OTHER_STATUS = frozenset({0, 400, 403, 404, 405, 422, 501})
_SCHEMA_STATUS = frozenset({0, 400, 404, 422, 500, 501})
_SYSTEM = re.compile(
    r"system.?(role|message|prompt|instruction)|role.{0,30}\bsystem\b|\bsystem\b.{0,20}role|'system'|got system"
    r"|roles must alternate|developer instruction|only user",
    re.IGNORECASE,
)
_STREAM = re.compile(
    r"(verified|not|n't|un|dis|must|only).{0,40}\bstream|\bstream(ing)?\b.{0,60}"
    r"(not|n't|unsupported|unavailable|disabled|must be false|verified)",
    re.IGNORECASE,
)
_ONLY: dict[Api, re.Pattern[str]] = {
    "responses": re.compile(
        r"v1/responses\b|\bresponses.?(api|endpoint)\b|unsupported_api_for_model|not a chat model"
        r"|(\bnot|n't)\b.{0,60}chat.?completions?\b|chat.?completion operation does not work",
        re.IGNORECASE,
    ),
    "chat": re.compile(
        r"chat.?completions?\b|unsupported_api_for_model|(\bnot|n't)\b.{0,60}(/responses\b|\bresponses.?(api|endpoint)\b)"
        r"|(/responses|\bresponses.?(api|endpoint))\b.{0,40}(not|n't|unsupported)\b",
        re.IGNORECASE,
    ),
}
"""What an endpoint says that wants to be asked by this API, and not by the other one."""
_VALUE = re.compile(r"too (large|high|low|small)|at most|at least|less than|greater than|between|exceed|range", re.I)
"""A value is refused, not a field: a person has to choose another one."""


@dataclass(frozen=True)
class Form:
    """What a request may hold."""

    api: Api | None = None
    """None: the one that is configured."""
    schema: bool = True
    usage: bool = True
    """Whether it asks for token counts in a stream."""
    stream: bool = True
    system: bool = True
    """False: the system's text goes before the user's."""
    items: bool = True
    """Whether the thoughts of earlier answers go with them, by the Responses API."""
    limit: str = ""
    """The name for the limit of tokens in place of the configured one."""
    dropped: frozenset[str] = frozenset()


def first_form(spec: ModelSpec, learnt: Form | None) -> Form:
    """Return the form to begin with: what was learnt, and what the model's settings say outright."""
    form = learnt or Form()
    schema = spec.structured == "json_schema" or (spec.structured == "auto" and form.schema)
    return replace(
        form,
        api=form.api or spec.api,
        schema=schema,
        stream=form.stream and spec.stream,
        system=form.system and spec.system_role != "merge",
    )


def learnt_form(spec: ModelSpec, form: Form) -> Form:
    """Return what is to be kept of a form: a person may still configure another API."""
    return replace(form, api=None) if form.api == spec.api else form


def body_of(
    spec: ModelSpec,
    messages: Sequence[Message],
    schema: dict[str, Any] | None,
    form: Form,
    items: Sequence[Items] = (),
) -> dict[str, Any]:
    """Return the body of a request.

    Args:
        spec: the model.
        messages: the prompt.
        schema: the JSON schema of the answer; None if it may have any form.
        form: what the endpoint takes.
        items: for each answer in the prompt its items by the Responses API.
    """
    messages, schema = _merged(messages, form.system), schema if form.schema else None
    if form.api == "responses":
        kept = items if form.items else ()
        asked = responses_body(spec, messages, schema, kept, stream=form.stream)
        return without(merged_into(asked, spec.extra_body), form.dropped)
    body: dict[str, Any] = {
        "model": spec.model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "stream": form.stream,
    }
    if form.usage and form.stream:
        body["stream_options"] = {"include_usage": True}
    for name in _SENT:
        if getattr(spec, name) is not None:
            body[form.limit or name if name in _LIMITS else name] = getattr(spec, name)
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    return {name: value for name, value in (body | spec.extra_body).items() if name not in form.dropped}


def path_of(body: dict[str, Any]) -> str:
    """Return where a request goes, below the endpoint's address."""
    return "/responses" if "input" in body else "/chat/completions"


def has_schema(body: dict[str, Any]) -> bool:
    """Return whether a request carries a schema of its answer."""
    text = body.get("text")
    return "response_format" in body or (isinstance(text, dict) and "format" in text)


def _merged(messages: Sequence[Message], system: bool) -> list[Message]:
    """Return the messages; without a system role its text goes before the first of the user."""
    if system:
        return list(messages)
    said = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if said and others and others[0].role == "user":
        return [Message("user", "\n\n".join([*said, others[0].content])), *others[1:]]
    return [Message("user", "\n\n".join(said)), *others] if said else others


def other_api(form: Form, fault: Fault, body: dict[str, Any]) -> tuple[Form, str] | None:
    """Return the form by the other API if a refusal asks for that, and what to tell; None if it does not.

    A place that does not exist says so of the Responses API alone: few servers have that, and all have the other one.
    """
    api: Api = "chat" if form.api == "responses" else "responses"
    if fault.status not in _OTHER_STATUS or fault.kind in ("context", "moderation", "quota", "auth"):
        return None
    if _refuses_thoughts(fault, body):
        return None
    if not (_ONLY[api].search(fault.said) or (api == "chat" and fault.no_place)):
        return None
    # What one API has refused says nothing of the other.
    other = Form(api=api, stream=form.stream, system=form.system, schema=form.schema)
    if api == "chat":
        return other, 'it is asked for chat completions (api = "chat" says so)'
    return other, 'it is asked by the Responses API (api = "responses" says so)'


def simpler(form: Form, fault: Fault, body: dict[str, Any], spec: ModelSpec) -> tuple[Form, str] | None:
    """Return the form that an endpoint may take after it has refused another, and what to tell; None if none may.

    Args:
        form: the one that was refused.
        fault: the refusal.
        body: the request.
        spec: the model.
    """
    if fault.status not in _REFUSED or fault.kind in ("context", "moderation", "quota") or not fault.said:
        return None
    said = fault.said
    if said == NOTHING:
        # An error after the head of a stream is lost; without streaming it is told.
        told = "it streams nothing: answers come at once (stream = false says so)"
        return (replace(form, stream=False), told) if body.get("stream") else None
    if "stream_options" in body and "stream_options" in said:
        return replace(form, usage=False), "it does not count the tokens of a stream: they are estimated"
    if _refuses_thoughts(fault, body):
        return replace(form, items=False), "it takes no earlier thoughts back: they are left out"
    named = _named_field(said, body) or (field_named(said, body) if "input" in body else "")
    if named in _LIMITS and not form.limit:
        other = _LIMITS[named == _LIMITS[0]]
        return replace(form, limit=other), f"it refuses `{named}`: `{other}` is sent instead"
    if named:
        return replace(form, dropped=form.dropped | {named}), f"it refuses `{named}`: it is left out"
    carries_system = "instructions" in body or any(item["role"] == "system" for item in body.get("messages", ()))
    if carries_system and (_SYSTEM.search(said) or ("instructions" in body and "instructions" in said)):
        return replace(form, system=False), (
            "it takes no system role: the system's text goes before the user's (system_role = \"merge\" says so)"
        )
    if body.get("stream") and _STREAM.search(said) and not (has_schema(body) and _SCHEMA.search(said)):
        return replace(form, stream=False), "it does not stream: answers come at once (stream = false says so)"
    if has_schema(body) and spec.structured == "auto" and fault.status in _SCHEMA_STATUS:
        return replace(form, schema=False), 'it takes no schema of the answer (structured = "off" says so)'
    return None


def _refuses_thoughts(fault: Fault, body: dict[str, Any]) -> bool:
    return has_thoughts(body) and bool(REFUSED_THOUGHTS.search(fault.said))


def is_guess(form: Form, changed: Form, fault: Fault) -> bool:
    """Return whether it is not sure that a request failed for the form that it had before it was changed."""
    if form.stream and not changed.stream:
        return fault.said == NOTHING
    about_schema = fault.status in (400, 404, 422, 501) or bool(_SCHEMA.search(fault.said))
    return form.schema and not changed.schema and not (fault.said == NO_TEXT or about_schema)


def _named_field(said: str, body: dict[str, Any]) -> str:
    """Return the field of a request that a refusal names; of several the last one, since the first may stay."""
    names = [name for name in body if name not in _NEVER and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said)]
    if not names:
        return ""
    if set(names) >= set(_LIMITS):
        return _LIMITS[0]
    if any(name in _LIMITS for name in names):
        names = [name for name in names if name in _LIMITS]
    if _VALUE.search(said) and not re.search(r"support|unrecogni|unknown|unexpected|permitted|both", said, re.I):
        return ""
    return names[-1]
