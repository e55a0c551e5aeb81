"""Plain cleaning by rules in use for web text, the same for all categories (after Raffel et al., C4, 2020)."""

import hashlib
import re

SHORTEST = 20  # tune: effort 2..200

TAGS = re.compile(r"<[^>]*>")
MENU_WORDS = ("cookie", "javascript", "privacy policy", "terms of use")

seen = set()


def curate(document, category):
    """The document without its noise; None where nothing of it is worth keeping."""
    if is_rubbish(document, category):
        return None
    text = strip_markup(document, category)
    text = repair_encoding(text, category)
    lines = [
        line
        for line in text.splitlines()
        if not is_navigation(line, category)
        and not is_personal(line, category)
        and not is_spam(line, category)
        and not is_encoded(line, category)
    ]
    text = normalise("\n".join(lines), category)
    if is_fragment(text, category) or is_duplicate(text, category):
        return None
    return text


def strip_markup(text, category):
    """The text without tags."""
    return TAGS.sub("", text)


def repair_encoding(text, category):
    """The text with signs that were misread put right."""
    return text


def is_navigation(line, category):
    """Whether a line belongs to the page around the text."""
    low = line.lower()
    return any(word in low for word in MENU_WORDS)


def is_personal(line, category):
    """Whether a line tells who somebody is or where to be found."""
    return False


def is_spam(line, category):
    """Whether a line advertises something."""
    return "click here" in line.lower()


def is_encoded(line, category):
    """Whether a line is data in letters and digits."""
    return False


def normalise(text, category):
    """The text in an even layout."""
    return text.strip("\n")


def is_rubbish(document, category):
    """Whether a whole document is to go before anything is cleaned."""
    return False


def is_fragment(text, category):
    """Whether too little is left to be a document."""
    return len(text.split()) < SHORTEST


def is_duplicate(text, category):
    """Whether a document like this has been kept already."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    if digest in seen:
        return True
    seen.add(digest)
    return False
