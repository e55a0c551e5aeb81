"""Ask an endpoint which models it has, and read whatever it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from engine.llm.connections import environment_fault, http_options
from engine.llm.environment import blamed, problem_of
from engine.llm.error_body import error_in
from engine.llm.faults import Fault, check_key, fault_of, fault_within, key_of, no_chat
from engine.settings.models import ModelSpec
from engine.text import one_line

__all__ = ["list_models"]

_MOST = 5_000
_LISTS = ("data", "models", "result", "items")
_NAMES = ("id", "model", "name")


def list_models(spec: ModelSpec, seconds: float) -> list[str] | Fault:
    """Return the names of the models that an endpoint lists, or the fault if it lists none."""
    from openai import DefaultHttpxClient, OpenAI

    try:
        check_key(spec)
    except Fault as fault:
        return fault
    problem = problem_of(spec.base_url)
    if problem:
        return environment_fault(spec, problem)
    try:
        client = DefaultHttpxClient(timeout=seconds, **http_options(spec))
    except Exception as error:
        return environment_fault(spec, f"{blamed(spec.base_url)}: {one_line(str(error), 200)}")
    try:
        with OpenAI(
            api_key=key_of(spec) or "none",
            base_url=spec.base_url or None,
            max_retries=0,
            timeout=seconds,
            http_client=client,
        ) as connection:
            text = connection.models.with_raw_response.list().http_response.text
    except Exception as error:
        return fault_of(error, spec)
    return _read(text, spec)


def _read(text: str, spec: ModelSpec) -> list[str] | Fault:
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return no_chat(spec, "HTML" if text.lstrip()[:1] == "<" else f"'{one_line(text, 80)}'")
    if isinstance(found, dict) and error_in({**found, "choices": []} if _list_in(found) is not None else found):
        return fault_within(found, spec)
    return list(_names(found))


def _list_in(found: Mapping[str, Any]) -> object:
    return next((found[name] for name in _LISTS if isinstance(found.get(name), list | dict)), None)


def _names(found: object) -> Iterator[str]:
    """Yield the names in a list of models: objects, strings, or a mapping by name."""
    if isinstance(found, dict):
        inner = _list_in(found)
        if isinstance(inner, dict):
            inner = list(inner)
        found = inner
    for item in found[:_MOST] if isinstance(found, list) else []:
        name = next((item[key] for key in _NAMES if item.get(key)), "") if isinstance(item, dict) else item
        if isinstance(name, str) and name:
            yield name
