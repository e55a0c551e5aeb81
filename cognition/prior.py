"""A prior: one item of human or distilled knowledge, read from a Markdown file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

__all__ = [
    "MOST_BYTES",
    "Prior",
    "PriorError",
    "Recipe",
    "check_id",
    "check_text",
    "head_problem",
    "is_conflict",
    "parse_prior",
    "with_front",
]

MOST_BYTES = 256 * 1024
"""The longest text of a prior in bytes: a lesson, not a data set."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME_BYTES = 120
_CONFLICT = re.compile(r"\.conflict-\d+\Z")

_FRONT = re.compile(r"\A---[ \t]*\n(?P<front>.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_KEYS = ("title", "tags", "source", "weight", "enabled")
_FIELD = re.compile(rf"[ \t]*(?:{'|'.join(_KEYS)})[ \t]*:")
_HEAD_LINES = 12
"""Lines at the start among which front matter is looked for that was not closed, or not begun."""
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<title>.+?)[ \t#]*$", re.MULTILINE)
_RECIPE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#-]+)[ \t]+recipe[ \t]*\n(?P<code>.*?)^(?P=fence)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)

_HEAVIEST = 1e6
"""The largest weight; a sum of a few of these does not overflow."""


class PriorError(Exception):
    """A prior's text or id is not valid; the message says what is wrong and where."""


@dataclass(frozen=True)
class Recipe:
    """A fenced block opened with `python recipe`: functions that can replace a program's functions of the same name.

    In the place of `python` stands the language of the task's programs.
    """

    code: str
    line: int
    """The line of the prior's text on which the code begins, from 1."""
    language: str = "python"
    """The word after the fence, in lower case."""


@dataclass(frozen=True)
class Prior:
    """One prior with its current text."""

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
    number: int = 0
    """The number of its revision in the cognition base, from 1; 0 if it was read from a file alone."""

    @cached_property
    def revision(self) -> str:
        """Return the sha256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """Return the recipes of the body, in order."""
        first = self.text.count("\n", 0, len(self.text) - len(self.body)) + 1
        return tuple(
            Recipe(match["code"], first + self.body.count("\n", 0, match.start("code")), match["language"].lower())
            for match in _RECIPE.finditer(self.body)
        )


def parse_prior(prior_id: str, text: str) -> Prior:
    """Parse a prior from the text of its Markdown file.

    Front matter is optional: lines `key: value` between two `---`, with the keys title, tags (comma-separated or
    `[a, b]`), source, weight (a number from 0 to 1e6) and enabled (true or false). The title defaults to the first
    heading, then to the id.

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


def check_text(text: str) -> None:
    """Raise PriorError if a text is empty, too long, or has control characters."""
    if not text.strip():
        raise PriorError("is empty")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise PriorError(f"is too long: {size:,} bytes, and {MOST_BYTES:,} are the most")
    found = _CONTROL.search(text.replace("\r\n", "\n"))
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise PriorError(f"line {line}: holds the control character U+{ord(found[0]):04X}")


def head_problem(text: str) -> str:
    """Return why lines at the start that look like front matter are read as text; empty if there are none.

    This may be intended, so callers warn whoever saves the prior and do not refuse it.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    front = _FRONT.match(text)
    above = text.count("\n", 0, front.end()) if front else 0
    lines = text.split("\n", above + _HEAD_LINES)[above : above + _HEAD_LINES]
    number = next((number for number, line in enumerate(lines) if _FIELD.match(line)), None)
    if number is None:
        return ""
    before = [line.strip() for line in lines[:number] if line.strip()]
    if front and before != ["---"]:
        # Only a second block right below counts: `with_front` puts a new one above one that is broken.
        return ""
    if not front and before and not any(line.rstrip().endswith("--") for line in lines):
        return ""
    return (
        f"line {above + number + 1} is read as text: '{lines[number].strip()[:40]}'; front matter stands between two "
        "lines '---', of which the first is the file's first line"
    )


def check_id(prior_id: str) -> None:
    """Raise PriorError if a name cannot be the id of a prior, which is its file's name without `.md`."""
    if not prior_id or "/" in prior_id or not prior_id.isprintable() or prior_id.startswith((".", "#", "-")):
        raise PriorError(
            f"{prior_id!r} cannot name a prior: a name is printable, without '/', and begins with none of '.', '#', '-'"
        )
    if len(prior_id.encode()) > _NAME_BYTES:
        raise PriorError(f"{prior_id[:40]!r}… is too long to name a prior: {_NAME_BYTES} bytes are the most")
    if is_conflict(prior_id):
        raise PriorError(f"{prior_id!r} is what the second text of a conflict is named")


def is_conflict(prior_id: str) -> bool:
    """Return whether a name is that of a conflict's second text, which lies beside the prior and is none itself."""
    return _CONFLICT.search(prior_id) is not None


def with_front(text: str, key: str, value: str) -> str:
    """Return the text with one field of its front matter set; all other lines stay.

    Args:
        text: a prior's text, with or without front matter.
        key: `weight`, `enabled` or another known field.
        value: the text after the colon.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    front = _FRONT.match(text)
    if front is None:
        return f"---\n{key}: {value}\n---\n{text}"
    lines = front["front"].split("\n")
    # If a field stands there twice, the last one counts.
    for index in reversed(range(len(lines))):
        if lines[index].partition(":")[0].strip() == key and ":" in lines[index]:
            lines[index] = f"{key}: {value}"
            break
    else:
        lines.append(f"{key}: {value}")
    return text[: front.start("front")] + "\n".join(lines) + text[front.end("front") :]


def _front_matter(front: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, line in enumerate(front.splitlines(), start=2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon or key not in _KEYS:
            raise PriorError(f"line {number}: '{line.strip()}' is none of {', '.join(sorted(_KEYS))} followed by ':'")
        fields[key] = value.strip().strip("\"'")
    return fields


def _weight(value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        raise PriorError(f"weight: '{value}' is not a number") from None
    if not 0 <= weight <= _HEAVIEST:
        raise PriorError(f"weight: {value} is not a finite number of 0 or more and at most {_HEAVIEST:g}")
    return weight


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise PriorError(f"enabled: '{value}' is neither true nor false")
    return value.lower() == "true"
