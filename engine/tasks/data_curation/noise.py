"""Plant noise as in scraped and exported text in clean documents, and record every change.

| issue | planted noise |
|---|---|
| `navigation` | menus, breadcrumbs, cookie banners, share lines, footers |
| `markup` | a page's tags, entities, scripts and style sheets; in other categories tags that were left behind |
| `mojibake` | typographic quotes and dashes, encoded as UTF-8 and decoded as Windows-1252 |
| `duplicate` | a copy of an earlier document, exact or with a few words changed |
| `fragment` | a few lines cut off in the middle of a word, with a "read more" |
| `personal` | made-up people: names, addresses, example.com mail, 555 telephone numbers |
| `spam` | templates with an offer and a link, between lines or as a document |
| `encoded` | base64, hexadecimal and minified data, between lines or as a document |

Everything is generated from the seed. A document is a list of lines, each with its original and the issue that changed
or added it, so that the correct result is known line by line.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field

import numpy as np
from corpus import Corpus, Document

ISSUES = ("navigation", "markup", "mojibake", "duplicate", "fragment", "personal", "spam", "encoded")

# Mean number per document; for the last three columns, noise documents per document of the corpus.
RATES = {
    #            navigation markup mojibake personal spam encoded | duplicate fragment rubbish
    "code": (0.10, 0.15, 0.10, 0.15, 0.10, 0.25, 0.30, 0.10, 0.06),
    "docstrings": (0.15, 0.25, 0.20, 0.20, 0.15, 0.15, 0.20, 0.15, 0.06),
    "reference": (0.45, 0.30, 0.35, 0.20, 0.25, 0.10, 0.20, 0.20, 0.08),
    "help": (1.60, 1.00, 0.25, 0.20, 0.35, 0.10, 0.25, 0.20, 0.10),
    "packages": (0.50, 0.40, 0.30, 0.40, 0.40, 0.25, 0.20, 0.15, 0.12),
}
OTHER = (0.50, 0.40, 0.25, 0.25, 0.25, 0.20, 0.20, 0.15, 0.08)
"""Rates of categories that are not listed."""


@dataclass(frozen=True)
class Line:
    """A line as the candidate sees it."""

    text: str
    clean: str | None
    """The original line; None if the noise added it."""
    issue: str = ""
    """The issue that changed or added it; empty for an unchanged line."""


@dataclass
class Noisy:
    """A document with planted noise."""

    category: str
    lines: list[Line] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the text for the candidate."""
        return "\n".join(line.text for line in self.lines)

    @property
    def clean(self) -> str:
        """Return the text that should be left; empty if the whole document is noise."""
        return "\n".join(line.clean for line in self.lines if line.clean is not None)

    def brought_by(self, issue: str) -> tuple[str, str]:
        """Return the lines that an issue changed or added, as they are now and as they were."""
        touched = [line for line in self.lines if line.issue == issue]
        return "\n".join(line.text for line in touched), "\n".join(line.clean or "" for line in touched)


def plant(corpus: Corpus, seed: int) -> list[Noisy]:
    """Return the training documents with planted noise, mixed with noise documents, in random order."""
    rng = np.random.default_rng([seed, 32])
    found = [_spoil(document, rng) for document in corpus.train]
    extra: list[Noisy] = []
    for category in corpus.categories:
        own = [document for document in corpus.train if document.category == category]
        *_, fragments, rubbish = RATES.get(category, OTHER)
        extra += [_fragment(own[rng.integers(len(own))], rng) for _ in range(round(fragments * len(own)))]
        extra += [_rubbish(category, rng) for _ in range(round(rubbish * len(own)))]
    found += extra
    found = [found[k] for k in rng.permutation(len(found))]
    for category in corpus.categories:
        own_noisy = [document for document in found if document.category == category and document.clean]
        wanted = round(RATES.get(category, OTHER)[6] * len(own_noisy))
        for k in rng.permutation(len(own_noisy))[:wanted]:
            first = own_noisy[k]
            place = next(n for n, document in enumerate(found) if document is first)
            found.insert(int(rng.integers(place + 1, len(found) + 1)), _again(first, rng))
    return found


def _spoil(document: Document, rng: np.random.Generator) -> Noisy:
    """Plant the noise of its category in one document."""
    navigation, markup, mojibake, personal, spam, encoded, *_ = RATES.get(document.category, OTHER)
    lines = [Line(text, text) for text in document.text.splitlines()]
    if rng.random() < mojibake:
        lines = [_misread(line) for line in lines]
    page = document.category == "help"
    if page:
        lines = _page(document, lines, rng)
    elif rng.random() < markup:
        lines = [_marked(line, rng) for line in lines]
    for rate, issue, make in (
        (personal, "personal", _personal),
        (spam, "spam", _spam),
        (encoded, "encoded", _encoded),
    ):
        for _ in range(rng.poisson(rate)):
            _insert(lines, _planted(issue, make(rng)), rng)
    if page or rng.random() < navigation:
        lines[:0] = _planted("navigation", _head(rng))
        lines += _planted("navigation", _foot(rng))
    for _ in range(rng.poisson(navigation / 2)):
        _insert(lines, _planted("navigation", [_choice(rng, BANNERS)]), rng)
    return Noisy(document.category, lines)


def _planted(issue: str, texts: list[str]) -> list[Line]:
    return [Line(text, None, issue) for text in texts]


def _insert(lines: list[Line], new: list[Line], rng: np.random.Generator) -> None:
    place = int(rng.integers(len(lines) + 1))
    lines[place:place] = new


# Kinds of noise


def _misread(line: Line) -> Line:
    """Replace typographic characters by their UTF-8 bytes decoded as Windows-1252."""
    text = line.text
    for plain, sign in (("'", "\u2019"), (" - ", " \u2013 "), ("--", "\u2014"), ("...", "\u2026")):
        text = text.replace(plain, sign)
    while text.count('"') >= 2:
        text = text.replace('"', "\u201c", 1).replace('"', "\u201d", 1)
    if text == line.text or line.clean is None:
        return line
    misread = "".join(byte.decode("cp1252", "ignore") or chr(byte[0]) for byte in _bytes(text))
    return Line(misread, line.clean, "mojibake")


def _bytes(text: str) -> list[bytes]:
    return [bytes([byte]) for byte in text.encode()]


def _marked(line: Line, rng: np.random.Generator) -> Line:
    """Add leftover tags to a line of prose or code, with probability one third."""
    if not line.text.strip() or line.issue or rng.random() > 0.35:
        return line
    escaped = html.escape(line.text, quote=bool(rng.random() < 0.3))
    number = int(rng.integers(1, 900))
    wrapped = _choice(
        rng,
        (
            f"{escaped}<br>",
            f"{escaped}<br />&nbsp;",
            f"<p>{escaped}</p>",
            f'<p class="p{number}">{escaped}</p>',
            f'<span style="font-size: {number % 9 + 8}px; color: #333">{escaped}</span>',
            f'<div class="line" id="l{number}">{escaped}</div>',
            f"&nbsp;&nbsp;{escaped}",
        ),
    )
    return Line(wrapped, line.clean, "markup")


def _page(document: Document, lines: list[Line], rng: np.random.Generator) -> list[Line]:
    """Wrap the document as the body of an HTML page."""
    number = int(rng.integers(1000, 9999))
    head = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(document.source.removeprefix('topic '))} - Help</title>",
        f'<link rel="stylesheet" href="/static/theme-{number}.css">',
    ]
    if rng.random() < 0.5:
        head += [
            "<style>",
            f"  .nav {{ float: left; width: {number % 400}px; }} .nav a:hover {{ color: #c{number % 100:02d}; }}",
            "</style>",
        ]
    if rng.random() < 0.6:
        head += [
            "<script>",
            f"  window.dataLayer = window.dataLayer || []; dataLayer.push({{'page': {number}}});",
            f"  function gtag() {{ dataLayer.push(arguments); }} gtag('config', 'UA-{number}-1');",
            "</script>",
        ]
    head += ["</head><body>", f'<div class="content" id="c{number}">']
    body = []
    for line in lines:
        text = html.escape(line.text)
        if not text.strip():
            body.append(Line(_choice(rng, ("", "", "<br/>")), line.clean, "markup"))
            continue
        wrapped = _choice(
            rng,
            (
                text,
                f"<p>{text}</p>",
                f"{text}<br>",
                f'<a class="headerlink" href="#s{number}"></a>{text}',
                f"<li>{text}</li>",
            ),
        )
        issue = "markup" if wrapped != line.text else ""
        body.append(Line(wrapped, line.clean, line.issue or issue))
    return [*_planted("markup", head), *body, *_planted("markup", ["</div>", "</body></html>"])]


def _again(first: Noisy, rng: np.random.Generator) -> Noisy:
    """Copy a document, in half of the cases with some words and spaces changed."""
    texts = first.text.splitlines()
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            place = int(rng.integers(len(texts)))
            words = texts[place].split(" ")
            words[int(rng.integers(len(words)))] = _choice(rng, WORDS)
            texts[place] = " ".join(words)
        texts.insert(0, f"[{_choice(rng, ('Mirror', 'Copy', 'Cached'))} {rng.integers(1, 29)} March 2019]")
    return Noisy(first.category, _planted("duplicate", texts))


def _fragment(document: Document, rng: np.random.Generator) -> Noisy:
    start = int(rng.integers(len(document.text) // 2))
    text = document.text[start : start + int(rng.integers(60, 260))].rstrip()
    end = _choice(rng, ("...", "... [read more]", "... Continue reading", " [truncated]", ""))
    return Noisy(document.category, _planted("fragment", f"{text}{end}".splitlines()))


def _rubbish(category: str, rng: np.random.Generator) -> Noisy:
    """Make a document that consists of spam or encoded data."""
    issue, make = ("spam", _spam) if rng.random() < 0.5 else ("encoded", _encoded)
    return Noisy(category, [line for _ in range(int(rng.integers(3, 7))) for line in _planted(issue, make(rng))])


def _choice(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _some(rng: np.random.Generator, options: tuple[str, ...], least: int, most: int) -> list[str]:
    count = int(rng.integers(least, most + 1))
    return [options[k] for k in rng.permutation(len(options))[:count]]


PLACES = ("Home", "Docs", "Downloads", "Community", "Blog", "About", "Contact", "Sign in", "Search", "News", "Forum")
BANNERS = (
    "We use cookies to improve your experience. Accept all | Reject | Settings",
    "This site uses cookies. By continuing you agree to our Privacy Policy.",
    "Please enable JavaScript to view this page correctly.",
    "Share this: Facebook Twitter LinkedIn Email",
    "Subscribe to our newsletter for weekly updates!",
    "Was this page helpful? Yes No",
    "You are reading an old version of this page. Switch to latest",
    "Advertisement",
    "Loading comments...",
)
WORDS = ("also", "however", "now", "usually", "here", "simply", "often", "again", "mostly", "old", "new", "updated")
FIRST = ("Alex", "Jamie", "Robin", "Casey", "Morgan", "Taylor", "Jordan", "Riley")
LAST = ("Placeholder", "Sample", "Nobody", "Example", "Madeup", "Testperson", "Fictional")
OFFERS = ("watches", "loans", "casino bonus", "diet pills", "followers", "essays", "luxury bags", "crypto signals")


def _head(rng: np.random.Generator) -> list[str]:
    menu = _choice(rng, (" | ", " > ", " \u00b7 ", " / ")).join(_some(rng, PLACES, 3, 7))
    return ["Skip to main content", menu, *_some(rng, BANNERS, 0, 2)]


def _foot(rng: np.random.Generator) -> list[str]:
    year = int(rng.integers(2009, 2025))
    options = (
        "<< Previous | Next >>",
        f"Copyright (c) {year} Example Docs. All rights reserved.",
        "Terms of Use | Privacy Policy | Cookie Settings",
        f"Last updated on {rng.integers(1, 29)} May {year}. Edit this page",
        "Back to top",
        f"Page {rng.integers(1, 40)} of {rng.integers(40, 90)}",
        *BANNERS[2:6],
    )
    return _some(rng, options, 2, 5)


def _personal(rng: np.random.Generator) -> list[str]:
    first, last = _choice(rng, FIRST), _choice(rng, LAST)
    mail = f"{first.lower()}.{last.lower()}{rng.integers(1, 99)}@example.{_choice(rng, ('com', 'org', 'net'))}"
    phone = f"+1 (555) 555-01{rng.integers(10, 99)}"
    options = (
        f"Contact: {first} {last}, {mail}, {phone}",
        f"From: {first} {last} <{mail}>",
        f"{first} {last}, {rng.integers(1, 99)} Example Street, Sampletown 00000",
        f"Tel. {phone} (ask for {first})",
        f"Name: {first} {last}  DOB: {rng.integers(1, 28)}/12/1900  SSN: 000-00-{rng.integers(1000, 9999)}",
        f"Sent from my phone - {first} {last} - {phone}",
        f"user={first.lower()}{rng.integers(1, 99)} password=not-a-secret-{rng.integers(100, 999)} email={mail}",
    )
    return _some(rng, options, 1, 3)


def _spam(rng: np.random.Generator) -> list[str]:
    offer, price = _choice(rng, OFFERS), int(rng.integers(3, 99))
    site = f"http://{offer.replace(' ', '-')}-{rng.integers(10, 999)}.example/{_choice(rng, ('buy', 'go', 'win'))}"
    options = (
        f"Buy cheap {offer} online! Best price guaranteed, only ${price}.99 -> {site}",
        f"!!! LIMITED OFFER !!! {offer.upper()} {price}% OFF, CLICK HERE: {site}",
        f"{offer} {offer} best {offer} cheap {offer} {offer} review {offer} free {offer} {offer}",
        f"Congratulations, you have been selected. Claim your free {offer} today at {site}",
        f"I made ${price * 100} last week with {offer}, ask me how: {site}",
        f"Great post! Very useful. Check my page about {offer}: {site}",
    )
    return _some(rng, options, 1, 3)


def _encoded(rng: np.random.Generator) -> list[str]:
    data = rng.bytes(int(rng.integers(120, 420)))
    kind = int(rng.integers(4))
    if kind == 0:
        text = base64.b64encode(data).decode()
        return [text[k : k + 76] for k in range(0, len(text), 76)]
    if kind == 1:
        text = data.hex()
        return [" ".join(text[k : k + 4] for k in range(start, start + 32, 4)) for start in range(0, len(text), 32)]
    if kind == 2:
        return [f"data:image/png;base64,{base64.b64encode(data).decode()}"]
    pairs = ",".join(f'"k{number}":{int(value)}' for number, value in enumerate(data[:60]))
    return [f'{{"v":1,"id":"{data[60:76].hex()}",{pairs}}}']
