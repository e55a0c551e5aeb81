"""The records of the cognition base: a prior with its status, a revision, ids and keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cognition.prior import Prior

__all__ = ["Author", "Entry", "Origin", "Revision", "Status", "key_of", "slug"]

Origin = Literal["human", "analyzer", "import"]
"""The author of the first text."""
Status = Literal["active", "pending", "rejected", "removed"]
"""Only an active prior can be shown to a design; a pending one is a proposal that waits for a person."""
Author = Literal["human", "file", "analyzer", "import"]
"""Where a revision came from: an edit in the base, a saved file, a proposal of an analyzer, an import."""


@dataclass(frozen=True)
class Entry:
    """A prior with everything that the base holds about it."""

    prior: Prior
    """The current revision. `enabled` is also false if the file is gone or the prior is not active."""
    origin: Origin
    status: Status
    gone: bool
    """Whether its file vanished: it is not shown until the file is back or it is enabled again."""
    evidence: Mapping[str, Any]
    """Of a proposal: `run`, the run's name; `nodes`, the nodes it was learned from; `id`, the run's name for it."""
    reason: str
    """Why it was rejected."""
    former: tuple[str, ...]
    """Earlier ids, from before its file was renamed, oldest first."""
    created_at: int
    changed_at: int
    """Milliseconds since 1970."""
    author: Author
    """The author of the current revision."""
    message: str
    """The message of the current revision."""

    @property
    def id(self) -> str:
        """Return the prior's id."""
        return self.prior.id


class Revision(NamedTuple):
    """One text of a prior."""

    number: int
    """From 1."""
    text: str
    sha256: str
    at: int
    """Milliseconds since 1970."""
    author: Author
    message: str


def key_of(prior_id: str) -> str:
    """Return the id folded to one case: on some file systems `A.md` and `a.md` are one file."""
    return unicodedata.normalize("NFC", prior_id).casefold()


def slug(title: str) -> str:
    """Return an id made of a title's words."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:60].strip("-") or "prior"
