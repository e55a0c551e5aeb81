"""Filters of runs: `status:paused tag:good task:circle words`. Archived runs are left out unless they are asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.errors import UsageError
from engine.text import one_line

__all__ = ["RunFacts", "RunFilter", "parse_run_filter"]

_PART = re.compile(r"(?P<key>[a-z]+):(?P<value>.*)")
_STATUSES = ("running", "paused", "finished", "stopped", "failed", "dead", "broken")
_KEYS = ("status", "tag", "task", "host", "is")


class RunFacts(NamedTuple):
    """What a filter knows of a run."""

    name: str
    task: str = ""
    status: str = ""
    host: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False


_Test = Callable[[RunFacts], bool]


@dataclass(frozen=True)
class RunFilter:
    """Tests that must all hold."""

    text: str = ""
    tests: tuple[_Test, ...] = ()
    archived: bool = False
    """Whether archived runs were asked for."""

    def __call__(self, run: RunFacts) -> bool:
        """Return whether a run is to be shown. One with an engine is never left out because it is archived."""
        hidden = run.archived and not self.archived and run.status not in ("running", "paused")
        return not hidden and all(test(run) for test in self.tests)


def parse_run_filter(text: str, archived: bool = False) -> RunFilter:
    """Return the filter that a person typed.

    Args:
        text: words, each in a run's name, task, host or tags, and `status:`, `tag:`, `task:`, `host:`, `is:archived`,
            separated by spaces; all must hold.
        archived: whether archived runs are asked for anyway.

    Raises:
        UsageError: a condition is not known.
    """
    tests = [_parse(part) for part in text.split()]
    return RunFilter(text.strip(), tuple(tests), archived or "is:archived" in text.split())


def _parse(part: str) -> _Test:
    found = _PART.fullmatch(part)
    key, value = (found["key"], found["value"].casefold()) if found else ("", part.casefold())
    if key == "status":
        if value not in _STATUSES:
            raise UsageError(f"status is one of {', '.join(_STATUSES)}, not '{one_line(value, 40)}'")
        return lambda run: run.status == value
    if key == "is":
        if value != "archived":
            raise UsageError(f"is: takes archived, not '{one_line(value, 40)}'")
        return lambda run: run.archived
    if key == "tag":
        return lambda run: any(tag.casefold() == value for tag in run.tags)
    if key == "task":
        return lambda run: run.task.casefold().startswith(value)
    if key == "host":
        return lambda run: run.host.casefold().startswith(value)
    if key and difflib.get_close_matches(key, _KEYS, 1):
        known = " ".join(f"{name}:" for name in _KEYS)
        raise UsageError(f"'{one_line(key, 40)}:' is not known here; there are {known}")
    # Names of runs on other machines have a colon, too.
    value = part.casefold()
    return lambda run: any(value in text.casefold() for text in (run.name, run.task, run.host, *run.tags))
