"""What the cognition base tells of a prior: its state, its revisions, its names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cognition.prior import Prior

__all__ = ["Author", "Entry", "Origin", "Revision", "Status", "key_of", "slug"]

Origin = Literal["human", "analyzer", "import"]
"""Who wrote the first text."""
Status = Literal["active", "pending", "rejected", "removed"]
"""Only an active prior can be shown to a design; a pending one was proposed and waits for a person."""
Author = Literal["human", "file", "analyzer", "import"]
"""Where a revision came from: written through the base, saved as a file, proposed by an analyzer, imported."""


@dataclass(frozen=True)
class Entry:
    """One prior with all that the base knows of it."""

    prior: Prior
    """As it stands now. `enabled` is false too where its file is gone or it is not active; `number` is its revision."""
    origin: Origin
    status: Status
    gone: bool
    """Its file vanished: it is not shown until the file is back or it is enabled again."""
    evidence: Mapping[str, Any]
    """Of a proposal: `run`, its name; `nodes`, their numbers; `id`, as it was proposed."""
    reason: str
    """Why it was rejected."""
    former: tuple[str, ...]
    """Ids that it had before its file was renamed, oldest first."""
    created_at: int
    changed_at: int
    """Milliseconds since 1970."""
    author: Author
    """Where the current revision came from."""
    message: str
    """What was said about it."""

    @property
    def id(self) -> str:
        """The prior's id."""
        return self.prior.id


class Revision(NamedTuple):
    """One text that a prior had."""

    number: int
    """From 1."""
    text: str
    sha256: str
    at: int
    """Milliseconds since 1970."""
    author: Author
    message: str


def key_of(prior_id: str) -> str:
    """The id without regard to case: on some file systems `A.md` and `a.md` are one file."""
    return unicodedata.normalize("NFC", prior_id).casefold()


def slug(title: str) -> str:
    """An id made of a title's words."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:60].strip("-") or "prior"
