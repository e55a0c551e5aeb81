"""A prior: one item of human or distilled knowledge, read from a Markdown file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Prior", "PriorError", "Recipe", "parse_prior"]

_FRONT = re.compile(r"\A---[ \t]*\n(?P<front>.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<title>.+?)[ \t#]*$", re.MULTILINE)
_RECIPE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[ \t]*python[ \t]+recipe[ \t]*\n(?P<code>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)

_HEAVIEST = 1e6
"""The largest weight: with a few of these no sum of scores overflows."""


class PriorError(Exception):
    """A prior's text is not as it should be; the message says what and where."""


@dataclass(frozen=True)
class Recipe:
    """A fenced block opened with `python recipe`: functions that can replace a program's functions of the same name."""

    code: str
    line: int
    """Line of the prior's text on which the code begins, from 1."""


@dataclass(frozen=True)
class Prior:
    """One prior as it stands now."""

    id: str
    """The file's name without its suffix."""
    title: str
    body: str
    """Markdown without the front matter."""
    text: str
    """The whole file."""
    tags: tuple[str, ...] = ()
    source: str = ""
    weight: float = 1.0
    enabled: bool = True

    @cached_property
    def revision(self) -> str:
        """sha256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes in the body, in order."""
        first = self.text.count("\n", 0, len(self.text) - len(self.body)) + 1
        return tuple(
            Recipe(match["code"], first + self.body.count("\n", 0, match.start("code")))
            for match in _RECIPE.finditer(self.body)
        )


def parse_prior(prior_id: str, text: str) -> Prior:
    """Read a prior from the text of its Markdown file.

    Front matter is optional: lines `key: value` between two `---`, with the keys title, tags (comma-separated or
    `[a, b]`), source, weight (a number from 0 to 1e6) and enabled (true or false). Without a title there, the first
    heading is the title; without that, the id.

    Raises:
        PriorError: the front matter has an unknown key or a value that does not fit.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    front = _FRONT.match(text)
    body = text[front.end() :] if front else text
    fields = _front_matter(front["front"]) if front else {}
    heading = _HEADING.search(_RECIPE.sub("", body))
    title = fields.get("title") or (heading["title"].strip() if heading else prior_id)
    return Prior(
        id=prior_id,
        title=title,
        body=body,
        text=text,
        tags=tuple(tag.strip() for tag in fields.get("tags", "").strip("[]").split(",") if tag.strip()),
        source=fields.get("source", ""),
        weight=_weight(fields.get("weight", "1")),
        enabled=_flag(fields.get("enabled", "true")),
    )


def _front_matter(front: str) -> dict[str, str]:
    known = {"title", "tags", "source", "weight", "enabled"}
    fields: dict[str, str] = {}
    for number, line in enumerate(front.splitlines(), start=2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon or key not in known:
            raise PriorError(f"line {number}: '{line.strip()}' is none of {', '.join(sorted(known))} followed by ':'")
        fields[key] = value.strip().strip("\"'")
    return fields


def _weight(value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        raise PriorError(f"weight: '{value}' is no number") from None
    if not 0 <= weight <= _HEAVIEST:
        raise PriorError(f"weight: {value} is not a finite number of 0 or more and at most {_HEAVIEST:g}")
    return weight


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise PriorError(f"enabled: '{value}' is neither true nor false")
    return value.lower() == "true"
