"""Measure what a program removed and kept, given the planted noise, and cut text that is not from the document.

Texts are compared as bags of words (letters, digits, underscores), each word weighted by its number of characters, so
that layout, the order of lines and punctuation do not count. Words that the cleaned text has beyond the clean one are
noise left; words that it lacks are good text lost.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import evolve_task
from noise import ISSUES, Noisy

WORD = re.compile(r"\w+")
TAG = re.compile(r"<[^<>]*>")
MISREAD = re.compile(r"[\u0080-\uffff]{2,}")

LEAST = 0.05
"""The least share of all text that a program must leave; with less it has emptied the corpus."""
MOST_INVENTED = 0.03
"""The largest share of text that a program may add; such text is not trained on, and a larger share is refused."""
LONGER = 1.1
"""Factor by which a document may grow, plus 200 characters."""


@dataclass
class Share:
    """Characters in words: of the clean text and the part kept, of noise and the part left."""

    clean: int = 0
    kept: int = 0
    noise: int = 0
    left: int = 0

    def add(self, clean: int, kept: int, noise: int, left: int) -> None:
        """Add the counts of a document."""
        self.clean += clean
        self.kept += kept
        self.noise += noise
        self.left += left

    @property
    def recall(self) -> float:
        """Return the share of good text that is kept."""
        return self.kept / self.clean if self.clean else 1.0

    @property
    def precision(self) -> float:
        """Return the share of good text in the text that is left."""
        return self.kept / (self.kept + self.left) if self.kept + self.left else 0.0

    @property
    def removed(self) -> float:
        """Return the share of noise that is removed; at least zero, though a program can add noise."""
        return max(0.0, 1 - self.left / self.noise) if self.noise else 1.0


@dataclass
class Account:
    """Counts for a cleaned corpus."""

    categories: dict[str, Share]
    issues: dict[tuple[str, str], Share]
    """By category and issue; `clean` and `kept` stay zero."""


def account(documents: Sequence[Noisy], cleaned: Sequence[str]) -> Account:
    """Compare cleaned documents with their clean text."""
    books = Account({}, {})
    for document, made in zip(documents, cleaned, strict=True):
        clean, raw, out = words(document.clean), words(document.text), words(made)
        surplus = out - clean
        share = books.categories.setdefault(document.category, Share())
        share.add(_size(clean), _size(out & clean), _size(raw - clean), _size(surplus))
        for issue in ISSUES:
            touched, were = document.brought_by(issue)
            if touched:
                noise = words(touched) - words(were)
                found = books.issues.setdefault((document.category, issue), Share())
                found.add(0, 0, _size(noise), _size(surplus & noise))
    return books


def words(text: str) -> Counter[str]:
    """Count the words of a text."""
    return Counter(WORD.findall(text))


def _size(bag: Counter[str]) -> int:
    return sum(len(word) * count for word, count in bag.items())


def own_words(document: Noisy, made: str) -> tuple[str, int]:
    """Return the part of a cleaned document that is the document's own text, and the number of other characters.

    A word of a line is the document's own if it is part of a run of three words in the document, read unchanged,
    without tags and entities, or with misread characters repaired. One or two words between such runs, or alone on
    their line, are its own if they occur in the document. Everything else is cut out, up to the next own word.
    """
    allowed: set[tuple[str, ...]] = set()
    for text in (document.text, plain(document.text), document.clean):
        sequence = WORD.findall(text)
        for length in (1, 2, 3):
            allowed.update(_runs(sequence, length))
    kept: list[str] = []
    invented = 0
    for line in made.splitlines():
        left = _own_part(line, allowed)
        invented += len(line) - len(left)
        if left or not line:
            kept.append(left)
    return "\n".join(kept), invented


def _own_part(line: str, allowed: set[tuple[str, ...]]) -> str:
    """Return a line without words outside allowed runs; empty if all its words are outside."""
    found = list(WORD.finditer(line))
    sequence = [match[0] for match in found]
    own = [False] * len(found)
    for place, run in enumerate(_runs(sequence, 3)):
        if run in allowed:
            own[place : place + 3] = [True] * 3
    place = 0
    for is_own, stretch in groupby(list(own)):
        end = place + len(list(stretch))
        if not is_own and tuple(sequence[place:end]) in allowed:
            own[place:end] = [True] * (end - place)
        place = end
    if not any(own):
        return "" if found else line
    # Each word goes with the characters up to the next one; those before the first word stay.
    starts = [0, *(match.start() for match in found[1:]), len(line)]
    return "".join(line[starts[k] : starts[k + 1]] for k, is_own in enumerate(own) if is_own)


def _runs(sequence: list[str], length: int) -> Iterable[tuple[str, ...]]:
    return zip(*(sequence[k:] for k in range(length)), strict=False)


def plain(text: str) -> str:
    """Return a text without tags and entities and with misread characters repaired, as far as the text allows."""
    return MISREAD.sub(_mend, html.unescape(TAG.sub(" ", text)))


def _mend(match: re.Match[str]) -> str:
    data = b"".join(_byte(sign) for sign in match[0])
    try:
        return data.decode()
    except UnicodeDecodeError:
        return match[0]


def _byte(sign: str) -> bytes:
    try:
        return sign.encode("cp1252")
    except UnicodeEncodeError:
        return sign.encode("latin-1", "replace")


def check(documents: Sequence[Noisy], answer: object) -> tuple[list[str], float]:
    """Check a program's results against the contract.

    Returns:
        The cleaned documents without text added by the program (empty for removed documents), and the share of such
        text.

    Raises:
        Invalid: they break the rules; the message says by how much.
    """
    if not isinstance(answer, list) or len(answer) != len(documents):
        raise evolve_task.Invalid("the sandbox handed back no list with something for each document")
    cleaned: list[str] = []
    total = invented = 0
    worst = (0, "")
    for number, (document, made) in enumerate(zip(documents, answer, strict=True), 1):
        where = f"document {number} of {len(documents)} ({document.category})"
        if made is None:
            cleaned.append("")
            continue
        if not isinstance(made, str):
            kind = made.get("type", "dict") if isinstance(made, dict) else type(made).__name__
            raise evolve_task.Invalid(f"curate() must return text or None; for {where} it returned a {str(kind)[:40]}")
        most = LONGER * len(document.text) + 200
        if len(made) > most:
            raise evolve_task.Invalid(
                f"a cleaned document may not be much longer than it was: {where} has {len(made):,} characters, "
                f"and had {len(document.text):,}"
            )
        kept, foreign = own_words(document, made)
        total += len(made)
        invented += foreign
        worst = max(worst, (foreign, where))
        cleaned.append(kept)
    before = sum(len(document.text) for document in documents)
    if invented > MOST_INVENTED * max(total, 1):
        raise evolve_task.Invalid(
            f"cleaned text must be the document's own: {invented / total:.1%} of what was returned (at most "
            f"{MOST_INVENTED:.0%}) does not stand in the document, {worst[0]:,} characters of that in {worst[1]}"
        )
    if sum(map(len, cleaned)) < LEAST * before:
        raise evolve_task.Invalid(
            f"the corpus is emptied: {sum(map(len, cleaned)):,} of {before:,} characters are left, "
            f"less than {LEAST:.0%}"
        )
    return cleaned, invented / max(total, 1)
