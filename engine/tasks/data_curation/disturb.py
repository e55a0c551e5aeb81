"""Change a word in some lines of the clean text, so that a program that has memorised lines is found out.

The corpus is text that every installation has, and a program may hold hashes of all its lines, whatever is drawn from
it. A rule that tells text from noise treats a line with another word as before; a memory of lines does not know it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import evolve_task
import numpy as np
from corpus import Corpus, Document
from noise import Noisy

WORD = re.compile(r"\b[a-z]{4,9}\b")
SHARE = 0.5
"""Share of the lines with three such words or more in which one is changed."""
LEAST = 100
"""Lines of each kind below which nothing can be said."""
MOST = 0.15
"""The largest difference between the shares of lines left as they are: seed, recipes and a search's best made
one of 0.011 at most."""


def disturb(corpus: Corpus, seed: int) -> tuple[Corpus, set[str]]:
    """Return the corpus with words of some training lines replaced by others of their length, and the changed lines."""
    rng = np.random.default_rng([seed, 37])
    known: dict[tuple[str, int], list[str]] = {}
    for document in corpus.train:
        for word in WORD.findall(document.text):
            known.setdefault((document.category, len(word)), []).append(word)
    changed: set[str] = set()

    def altered(document: Document) -> Document:
        lines = document.text.splitlines()
        for index, line in enumerate(lines):
            places = list(WORD.finditer(line))
            if len(places) < 3 or rng.random() >= SHARE:
                continue
            place = places[rng.integers(len(places))]
            others = known[document.category, len(place[0])]
            lines[index] = line[: place.start()] + others[rng.integers(len(others))] + line[place.end() :]
            if lines[index] != line:
                changed.add(lines[index])
        return replace(document, text="\n".join(lines))

    return Corpus(corpus.name, [altered(document) for document in corpus.train], corpus.held_out), changed


def check_memory(documents: Sequence[Noisy], cleaned: Sequence[str], changed: set[str]) -> float:
    """Compare the shares of clean lines that are left, of those that every installation has and of changed ones.

    Returns:
        How much larger the first is.

    Raises:
        Invalid: it is much larger, so that the program knows the text by heart.
    """
    kept = {True: 0, False: 0}
    met = {True: 0, False: 0}
    for document, made in zip(documents, cleaned, strict=True):
        left = {line.strip() for line in made.splitlines()}
        for line in document.lines:
            if not line.issue and line.clean == line.text and len(WORD.findall(line.text)) >= 3:
                which = line.text in changed
                met[which] += 1
                kept[which] += line.text.strip() in left
    if min(met.values()) < LEAST:
        return 0.0
    as_known, as_changed = kept[False] / met[False], kept[True] / met[True]
    if as_known - as_changed > MOST:
        raise evolve_task.Invalid(
            f"the program knows the text by heart: it leaves {as_known:.0%} of the clean lines that every installation "
            f"has, and {as_changed:.0%} of those in which one word was changed"
        )
    return as_known - as_changed
