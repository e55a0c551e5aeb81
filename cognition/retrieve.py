"""Which priors fit a question: BM25 over their words, and a few drawn at random."""

from __future__ import annotations

import heapq
import random
import re
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cognition.prior import Prior

__all__ = ["Hit", "retrieve"]

_WORD = re.compile(r"\w+")
_QUERY_WORDS = 64
_TITLE, _TAGS, _BODY = 4.0, 3.0, 1.0
"""What a word counts in each column."""


@dataclass(frozen=True)
class Hit:
    """A prior that was chosen."""

    prior: Prior
    score: float
    """BM25 times the prior's weight, higher is better; 0 for one that was drawn."""
    why: str
    """The words that matched, or `drawn`."""


def retrieve(priors: Sequence[Prior], query: str, top_k: int, drawn: int, rng: random.Random) -> list[Hit]:
    """Choose priors for a query.

    Args:
        priors: the enabled priors; one of weight 0 is never chosen.
        query: any text; its words are looked for, nothing in it is syntax.
        top_k: how many of the best matches to take, at most.
        drawn: how many more to draw from the rest, in proportion to weight, so that what nothing asks for is tried.
        rng: what draws; the same state gives the same choice.

    Returns:
        The matches, best first, then those drawn; no prior twice.
    """
    usable = {prior.id: prior for prior in priors if prior.weight > 0}
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(query)))[:_QUERY_WORDS]
    matches: list[Hit] = []
    if words and usable and top_k > 0:
        scores = _index(tuple(_Indexed(prior) for prior in usable.values())).search(words)
        weighed = ((score * usable[name].weight, name) for name, score in scores.items())
        best = heapq.nsmallest(top_k, ((-score, name) for score, name in weighed if score > 0))
        matches = [Hit(usable[name], -score, _why(usable[name], words)) for score, name in best]
    taken = {hit.prior.id for hit in matches}
    rest = [prior for prior in usable.values() if prior.id not in taken]
    # Weighted drawing without replacement by exponential keys: Efraimidis and Spirakis, "Weighted random sampling
    # with a reservoir", Information Processing Letters 97 (2006).
    keys = ((rng.expovariate(prior.weight), prior.id) for prior in sorted(rest, key=lambda prior: prior.id))
    return matches + [Hit(usable[name], 0.0, "drawn") for _, name in heapq.nsmallest(max(drawn, 0), keys)]


def _why(prior: Prior, words: Sequence[str]) -> str:
    present = set(_WORD.findall(f"{prior.title} {' '.join(prior.tags)} {prior.body}".lower()))
    shared = [word for word in words if word in present]
    return "matches " + ", ".join(shared[:5]) if shared else "matches a form of a word"


class _Indexed:
    """A prior that is equal to another of the same id and revision, for the cache of indexes."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self._key = (prior.id, prior.revision)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Indexed) and self._key == other._key


@lru_cache(maxsize=2)
def _index(priors: tuple[_Indexed, ...]) -> _Index:
    """The index of a set of revisions: built once, as long as nobody edits a prior."""
    return _Index([entry.prior for entry in priors])


class _Index:
    """Full-text index in memory (SQLite FTS5)."""

    def __init__(self, priors: Sequence[Prior]) -> None:
        # Searched from whatever thread asks, one at a time.
        self._lock = threading.Lock()
        self._base = sqlite3.connect(":memory:", check_same_thread=False)
        self._base.execute(
            "CREATE VIRTUAL TABLE prior USING fts5(id UNINDEXED, title, tags, body, tokenize = 'porter unicode61')"
        )
        self._base.executemany(
            "INSERT INTO prior VALUES (?, ?, ?, ?)",
            [(prior.id, prior.title, " ".join(prior.tags), prior.body) for prior in priors],
        )

    def __del__(self) -> None:
        self._base.close()

    def search(self, words: Sequence[str]) -> dict[str, float]:
        """BM25 of every prior that has one of the words."""
        # Quoted, so that AND, NEAR or a column's name in somebody's text is a word like any other.
        query = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._base.execute(
                "SELECT id, -bm25(prior, 0, ?, ?, ?) FROM prior WHERE prior MATCH ?", (_TITLE, _TAGS, _BODY, query)
            ).fetchall()
        return dict(rows)
