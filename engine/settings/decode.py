"""Decode what people write (TOML tables, key=value) into typed structs, with errors that name the key."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.errors import EvolveError

__all__ = ["convert_table", "deep_merge", "leaf_paths", "parse_assignment", "read_toml"]

T = TypeVar("T", bound=msgspec.Struct)

_LARGEST = 1 << 63
_DEEPEST = 50
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_PATH = re.compile(r" - at `\$?(?P<path>[^`]*)`$")


def read_toml(path: Path, error: type[EvolveError]) -> dict[str, Any]:
    """Read the table in a TOML file.

    Raises:
        error: the file is missing, unreadable or not TOML; the message names file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise error(f"{path} cannot be read: {exc}") from None
    except tomllib.TOMLDecodeError as exc:
        raise error(f"{path} is not valid TOML: {exc}") from None
    except ValueError as exc:
        raise error(f"{path} holds a number or date that cannot be read: {exc}") from None
    except RecursionError:
        raise error(f"{path} is nested too deeply to be read") from None


def convert_table(
    table: Mapping[str, Any], kind: type[T], where: str, error: type[EvolveError], *, strict: bool = True
) -> T:
    """Decode a table into a struct; errors name an unknown key or a wrong type by its path.

    Args:
        table: plain data, as TOML or JSON gives it.
        kind: the struct to make.
        where: the file or option that the table comes from, for the message.
        error: the error class to raise.
        strict: False accepts strings for numbers and flags, as the command line gives them.

    Raises:
        error: the table does not fit.
    """
    try:
        strange = _not_storable(table, "")
    except RecursionError:
        strange = "it is nested too deeply to be read"
    if strange:
        raise error(f"{where}: {strange}")
    try:
        return msgspec.convert(table, kind, strict=strict)
    except msgspec.ValidationError as exc:
        raise error(f"{where}: {_explain(str(exc), kind)}") from None


def _not_storable(value: Any, path: str, depth: int = 0) -> str:
    """Return what a journal cannot hold, with the path to the first such value; an empty string if all is well."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path}: must be a finite number; leave it out for no limit"
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return f"{path}: must be a number below 2^63"
    if depth > _DEEPEST:
        return f"{path[:80]}…: is nested more than {_DEEPEST} deep"
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = ((f"{path}.{key}" if path else key, below) for key, below in value.items())
    elif isinstance(value, list):
        items = ((f"{path}[{index}]", below) for index, below in enumerate(value))
    return next((found for where, below in items if (found := _not_storable(below, where, depth + 1))), "")


def _explain(message: str, kind: type[msgspec.Struct]) -> str:
    """Turn msgspec's message into `key.path: what is wrong`."""
    at = _PATH.search(message)
    path = at["path"].strip(".") if at else ""
    unknown = _UNKNOWN.search(message)
    if unknown:
        key = unknown["key"]
        close = [name for name in difflib.get_close_matches(key, _field_names(kind), n=2, cutoff=0.7) if name != key]
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"unknown key '{f'{path}.{key}' if path else key}'{hint}"
    text = message[: at.start()] if at else message
    text = text.replace("Object missing required field", "missing key")
    if text.startswith("Expected `str`, got `null`"):
        text += "; an empty text is written '\"\"'"
    if text.startswith("Invalid enum value"):
        text += f"; it is one of {', '.join(_choices(kind, path))}"
    return f"{path}: {text}" if path else text


def _choices(kind: Any, path: str) -> list[str]:
    """Return the legal values of the field at a path such as `stages[0].name`."""
    for part in re.findall(r"\w+", re.sub(r"\[[^]]*\]", "", path)):
        structs = [t for t in (kind, *_arguments(kind)) if isinstance(t, type) and issubclass(t, msgspec.Struct)]
        fields = {field.encode_name: field.type for struct in structs for field in msgspec.structs.fields(struct)}
        kind = fields.get(part)
    return [str(value) for value in _arguments(kind) if isinstance(value, str)]


def _arguments(kind: Any) -> list[Any]:
    """Return the arguments of a type, at any depth."""
    found = []
    for argument in getattr(kind, "__args__", ()):
        found += [argument, *_arguments(argument)]
    return found


def _field_names(kind: type[msgspec.Struct]) -> set[str]:
    """Return every key that is legal anywhere below this struct, for 'did you mean'."""
    names: set[str] = set()
    pending: list[Any] = [kind]
    seen: set[Any] = set()
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, msgspec.Struct):
            if item in seen:
                continue
            seen.add(item)
            for field in msgspec.structs.fields(item):
                names.add(field.encode_name)
                pending.append(field.type)
        else:
            pending.extend(getattr(item, "__args__", ()))
    return names


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` on top, tables merged key by key; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def leaf_paths(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the keys of the leaves of a nested table, each as the way to it; an empty table is a leaf."""
    found: list[tuple[str, ...]] = []
    for key, value in table.items():
        below = (*above, key)
        found += leaf_paths(value, below) if isinstance(value, Mapping) and value else [below]
    return found


def parse_assignment(text: str, error: type[EvolveError]) -> dict[str, Any]:
    """Parse `sampler.c=0.2` into `{"sampler": {"c": 0.2}}`; a value that is not TOML is a string.

    Raises:
        error: there is no `=`, or the key is empty.
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > _DEEPEST:
        raise error(f"'{text}' is not key=value", "Write for example rounds=200 or sampler.c=0.2")
    leaf: Any
    try:
        leaf = tomllib.loads(f"v = {value.strip()}")["v"]
    except RecursionError:
        raise error(f"the value of {key.strip()} is nested too deeply to be read") from None
    except tomllib.TOMLDecodeError:
        leaf = None if value.strip() in ("", "none") else value.strip()
    except ValueError as exc:
        raise error(f"the value of {key.strip()} cannot be read: {exc}") from None
    for part in reversed(parts):
        leaf = {part: leaf}
    return dict(leaf)
