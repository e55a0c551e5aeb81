"""Find the priors that have the words of a question: BM25 over title, tags, prose and code.

SQLite's FTS5 stems the words. Its ranking is not used, since it reads every position of every word in every row: over
10,000 priors a question of 26 words took 25 to 45 ms with it, and takes 1 to 2 ms with these postings.
"""

from __future__ import annotations

import math
import re
import sqlite3
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from cognition.prior import Prior
from cognition.prose import code_of, prose_of

__all__ = ["WordIndex", "content_words"]

_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = frozenset(
    _WORD.findall("""
    a about above after again all almost also although always am an and another any are around as at back be because
    been before being below both but by came can cannot changed come could did do does doing done down during each
    either else enough even ever every few for from further gained get gets give given gives go goes going gone got
    had has have having he her here him his how however i if imports in instead into is it its itself just keep kept
    know let like lost made make makes making many may me might more most much must my need needs neither never no
    nobody none nor not nothing now of off often on once one ones only or other others our out over own per perhaps
    put rather re s same saw say says see seen seldom several she should since so some something sometimes such t
    take taken takes than that the their them then there these they thing things this those though through thus to
    together too took toward under until up upon us use used uses using ve very was way we well went were what when
    where whether which while who whom whose why will with within without would yes yet you your
    """)
)
"""Words that say nothing about a text's subject; `changed`, `gained`, `imports`, `lost` are in half of all lessons."""
_QUESTION_WORDS = 96
"""How many of a question's words are used, from the first; lessons are short."""
_TITLE, _TAGS, _PROSE, _CODE = 4.0, 3.0, 1.0, 0.5
"""The weight of an occurrence in each part of a prior."""
_K1, _B = 1.2, 0.75
"""The constants of BM25 in FTS5: S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25
and beyond", Foundations and Trends in Information Retrieval 3 (2009)."""
_BATCH = 500


def content_words(text: str) -> list[str]:
    """Return the distinct words of a text in lower case, without stop words and numbers."""
    found = dict.fromkeys(_WORD.findall(text.lower()))
    return [word for word in found if len(word) > 1 and not word.isdecimal() and word not in _STOP_WORDS]


class WordIndex:
    """Holds the postings of the priors. Rows are only added; those of former revisions are masked."""

    def __init__(self) -> None:
        self._stems = _Stems()
        self._postings: dict[str, tuple[array[int], array[float]]] = {}
        """By stem: rows in rising order, and the weighted number of occurrences in each."""
        self._lengths = array("d")
        self._alive = bytearray()
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}

    def update(self, priors: Sequence[Prior], removed: Iterable[str]) -> None:
        """Add new priors and new revisions, and drop the priors with the ids in `removed`."""
        for prior_id in removed:
            self._drop(prior_id)
        for start in range(0, len(priors), _BATCH):
            counted = [(prior.id, _count(prior)) for prior in priors[start : start + _BATCH]]
            stems = self._stems.of({word for _, counts in counted for word in counts})
            for prior_id, counts in counted:
                self._drop(prior_id)
                self._add(prior_id, counts, stems)
        if len(self._ids) > 2 * len(self._row_of) + _BATCH:
            self._compact()

    def search(self, text: str, most: int) -> list[tuple[str, float]]:
        """Return ids and BM25 scores of the `most` best priors that have words of a text, ties by id."""
        count = len(self._row_of)
        if not count:
            return []
        alive = np.frombuffer(self._alive, dtype=np.bool_)
        lengths = np.frombuffer(self._lengths)
        norms = _K1 * (1 - _B + _B * lengths / max(float(lengths[alive].mean()), 1.0))
        scores = np.zeros(len(alive))
        for stem in dict.fromkeys(stem for _, stem in self._asked(text)):
            rows, often = np.frombuffer(self._postings[stem][0], dtype=np.intc), np.frombuffer(self._postings[stem][1])
            having = int(alive[rows].sum())
            rarity = math.log(1 + (count - having + 0.5) / (having + 0.5))
            scores[rows] += rarity * often * (_K1 + 1) / (often + norms[rows])
        # Rounded, so that scores which differ only by the order of their sums are ties.
        scores = np.where(alive, scores, 0).round(6)
        found = np.flatnonzero(scores)
        if len(found) > most:
            found = found[scores[found] >= np.partition(scores[found], -most)[-most]]
        best = sorted((-float(scores[row]), self._ids[row]) for row in found)[:most]
        return [(prior_id, -score) for score, prior_id in best]

    def most(self, text: str) -> float:
        """Return a bound of the score of any prior: it has every word of the text, also those that none has, often.

        0 for a text without content words.
        """
        words, count = content_words(text)[:_QUESTION_WORDS], len(self._row_of)
        alive = np.frombuffer(self._alive, dtype=np.bool_)
        stems, whole = self._stems.of(words), 0.0
        for stem in dict.fromkeys(stems[word] for word in words):
            rows = self._postings[stem][0] if stem in self._postings else ()
            having = int(alive[np.frombuffer(rows, dtype=np.intc)].sum()) if rows else 0
            whole += math.log(1 + (count - having + 0.5) / (having + 0.5)) * (_K1 + 1)
        return whole

    def shared(self, text: str, prior_id: str, most: int) -> list[str]:
        """Return the words of a text that a prior has in some form, the rarest first."""
        row = self._row_of[prior_id]
        alive = np.frombuffer(self._alive, dtype=np.bool_)
        having: list[tuple[int, int, str]] = []
        for place, (word, stem) in enumerate(self._asked(text)):
            rows = self._postings[stem][0]
            at = bisect_left(rows, row)
            if at < len(rows) and rows[at] == row:
                having.append((int(alive[np.frombuffer(rows, dtype=np.intc)].sum()), place, word))
        return [word for _, _, word in sorted(having)[:most]]

    def _asked(self, text: str) -> list[tuple[str, str]]:
        """Return the words of a text that occur in any prior, each with its stem."""
        words = content_words(text)[:_QUESTION_WORDS]
        stems = self._stems.of(words)
        return [(word, stems[word]) for word in words if stems[word] in self._postings]

    def _add(self, prior_id: str, counts: dict[str, float], stems: dict[str, str]) -> None:
        row = len(self._ids)
        terms: dict[str, float] = {}
        for word, often in counts.items():
            terms[stems[word]] = terms.get(stems[word], 0.0) + often
        for stem, often in terms.items():
            if stem not in self._postings:
                self._postings[stem] = (array("i"), array("d"))
            rows, counted = self._postings[stem]
            rows.append(row)
            counted.append(often)
        self._ids.append(prior_id)
        self._lengths.append(sum(terms.values()))
        self._alive.append(1)
        self._row_of[prior_id] = row

    def _drop(self, prior_id: str) -> None:
        row = self._row_of.pop(prior_id, None)
        if row is not None:
            self._alive[row] = 0

    def _compact(self) -> None:
        """Renumber the rows without the masked ones."""
        alive = np.frombuffer(self._alive, dtype=np.bool_)
        new = np.cumsum(alive, dtype=np.intc) - 1
        postings: dict[str, tuple[array[int], array[float]]] = {}
        for stem, (rows, counted) in self._postings.items():
            old = np.frombuffer(rows, dtype=np.intc)
            kept = alive[old]
            if kept.any():
                often = array("d", np.frombuffer(counted)[kept].tobytes())
                postings[stem] = (array("i", new[old[kept]].tobytes()), often)
        self._postings = postings
        self._lengths = array("d", np.frombuffer(self._lengths)[alive].tobytes())
        self._ids = [prior_id for prior_id, here in zip(self._ids, alive, strict=True) if here]
        self._row_of = {prior_id: row for row, prior_id in enumerate(self._ids)}
        self._alive = bytearray(b"\1" * len(self._ids))


def _count(prior: Prior) -> dict[str, float]:
    """Return the weighted number of occurrences of each word in a prior."""
    counts: dict[str, float] = {}
    parts = ((prior.title, _TITLE), (" ".join(prior.tags), _TAGS), (prose_of(prior), _PROSE), (code_of(prior), _CODE))
    for text, weight in parts:
        for word, often in Counter(_WORD.findall(text.lower())).items():
            counts[word] = counts.get(word, 0.0) + weight * often
    return counts


class _Stems:
    """Stems words by FTS5: Porter's stemmer on text without accents."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        # Called from whichever thread retrieves; `Retriever` admits one at a time.
        self._base = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._base.execute("CREATE VIRTUAL TABLE asked USING fts5(word, content='', tokenize='porter unicode61')")
        self._base.execute("CREATE VIRTUAL TABLE stem USING fts5vocab(asked, instance)")

    def __del__(self) -> None:
        self._base.close()

    def of(self, words: Sequence[str] | set[str]) -> dict[str, str]:
        """Return a mapping with the stems of these words, and of all earlier ones."""
        new = [word for word in words if word not in self._known]
        if new:
            self._base.execute("BEGIN")
            self._base.executemany("INSERT INTO asked(rowid, word) VALUES (?, ?)", list(enumerate(new)))
            # What FTS5 does not take for a word is its own stem.
            self._known.update(zip(new, new, strict=True))
            for row, stem in self._base.execute("SELECT doc, term FROM stem"):
                self._known[new[row]] = stem
            self._base.execute("ROLLBACK")
        return self._known
