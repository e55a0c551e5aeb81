"""What a program took away and what it left, told from what was planted; and whether all of it is the document's own.

Texts are compared as bags of words (letters, digits, underscores), each word weighing as many as it has characters, so
that layout, order of lines and signs count for nothing here. What a cleaned text has beyond the clean one is noise that
was left; what the clean one has beyond it is good text that was lost.
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
"""A program that leaves a smaller share of all text than this has emptied the corpus."""
MOST_INVENTED = 0.03
"""More text of a program's own than this share is refused; up to it, it is not trained on."""
LONGER = 1.1
"""How much longer than it was a document may become; and 200 characters."""


@dataclass
class Share:
    """Characters in words: of the clean text, of it what is left, of noise, and of it what is left."""

    clean: int = 0
    kept: int = 0
    noise: int = 0
    left: int = 0

    def add(self, clean: int, kept: int, noise: int, left: int) -> None:
        """Count another document."""
        self.clean += clean
        self.kept += kept
        self.noise += noise
        self.left += left

    @property
    def recall(self) -> float:
        """Good text that is kept."""
        return self.kept / self.clean if self.clean else 1.0

    @property
    def precision(self) -> float:
        """What is good of what is left."""
        return self.kept / (self.kept + self.left) if self.kept + self.left else 0.0

    @property
    def removed(self) -> float:
        """Noise that is gone; below zero never, though a program can add some."""
        return max(0.0, 1 - self.left / self.noise) if self.noise else 1.0


@dataclass
class Account:
    """The books on a cleaned corpus."""

    categories: dict[str, Share]
    issues: dict[tuple[str, str], Share]
    """By category and issue; `clean` and `kept` stay zero."""


def account(documents: Sequence[Noisy], cleaned: Sequence[str]) -> Account:
    """Compare cleaned documents with what ought to be left of them."""
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
    """The words of a text, with how often they stand in it."""
    return Counter(WORD.findall(text))


def _size(bag: Counter[str]) -> int:
    return sum(len(word) * count for word, count in bag.items())


def own_words(document: Noisy, made: str) -> tuple[str, int]:
    """What of a cleaned document is the document's own text, and the characters of what is not.

    A word of a line is the document's own where it is part of a run of three words that stands in the document, read as
    it is, without tags and entities, or with its misread signs mended; and where one word or two between such runs, or
    alone on their line, stand there. All else is cut out, up to the next word that is the document's own.
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
    """A line without the words that stand in no allowed run; empty where it has such words only."""
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
    # Each word with what follows it, up to the next; what precedes the first stays.
    starts = [0, *(match.start() for match in found[1:]), len(line)]
    return "".join(line[starts[k] : starts[k + 1]] for k, is_own in enumerate(own) if is_own)


def _runs(sequence: list[str], length: int) -> Iterable[tuple[str, ...]]:
    return zip(*(sequence[k:] for k in range(length)), strict=False)


def plain(text: str) -> str:
    """A text without tags and entities and with its misread signs mended, as well as can be told from it alone."""
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
    """Hold what a program returned to the contract.

    Returns:
        The cleaned documents without text of the program's own (empty for those taken out), and the share of such.

    Raises:
        Invalid: it breaks the rules; the message says by how much.
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
