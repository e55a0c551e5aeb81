"""Real text that every machine with this project has, in five categories, split by source into training and held-out.

| category | what |
|---|---|
| `code` | sources of the standard library |
| `docstrings` | docstrings of other modules of the standard library |
| `reference` | the language reference, as `help()` shows it |
| `help` | other topics of the same, which `noise.py` turns into HTML pages |
| `packages` | descriptions of installed packages, as their metadata have them |

The text is taken as it stands, with the noise that it has by nature. It differs a little between patch releases of
Python and between versions of packages: names of sources and sizes are fixed here, and what was drawn is told apart by
`fingerprint`, so that only scores with equal fingerprints are compared.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CATEGORIES = ("code", "docstrings", "reference", "help", "packages")
HELD_OUT = 4
"""One source in so many is held out, told by its name, whatever the seed."""
SHORTEST, LONGEST = 500, 1500
"""Characters of a document, as far as the source allows."""
PER_SOURCE = 24_000
"""Characters that are taken of one source at most."""

# Modules that Python 3.11 to 3.14 have, mostly. The modules that programs may import are not among them.
CODE = (
    "abc argparse asyncio/base_events asyncio/queues asyncio/streams asyncio/tasks bdb calendar cmd codeop colorsys "
    "concurrent/futures/_base configparser contextlib contextvars copy csv dataclasses dis doctest email/header "
    "email/message enum filecmp fileinput fnmatch fractions ftplib getpass gettext glob gzip hmac http/client "
    "http/cookies imaplib inspect ipaddress linecache locale logging/handlers lzma mailbox mimetypes netrc"
)
DOCSTRINGS = (
    "_strptime bz2 cProfile code codecs compileall decimal ensurepip/__init__ "
    "importlib/abc importlib/resources/abc logging/__init__ logging/config multiprocessing/managers "
    "multiprocessing/pool numbers operator optparse os pathlib pkgutil platform plistlib poplib "
    "pprint profile pstats pyclbr queue random reprlib rlcompleter runpy sched secrets selectors shelve shlex shutil "
    "smtplib socket socketserver stat symtable tempfile threading timeit trace traceback "
    "tracemalloc types unittest/case unittest/suite uuid venv/__init__ "
    "warnings wave weakref webbrowser xml/dom/minidom xml/sax/handler xmlrpc/client zipapp"
)
PACKAGES = (
    "annotated-types anyio certifi click h11 hatchling httpcore2 httpx2 idna jinja2 jiter libcst linkify-it-py "
    "markdown-it-py markupsafe mdit-py-plugins mdurl mpmath msgspec networkx numpy nvidia-ml-py openai packaging pip "
    "platformdirs pluggy pydantic pydantic_core pygments python-dateutil pyyaml requests rich safetensors scipy "
    "setuptools shellingham sniffio sqlite-utils sqlite-fts4 sympy tabulate textual toml torch tqdm typer "
    "typing-inspection typing_extensions urllib3 watchfiles wcwidth wordllama"
)


class DataError(Exception):
    """The data cannot be used; the message names the place and what to do."""


@dataclass(frozen=True)
class Document:
    """A piece of clean text."""

    category: str
    source: str
    """Where it was read: a module, a topic, a package; or a file and its row."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Clean documents, before anything is planted in them."""

    name: str
    """What the corpus is called in reports."""
    train: list[Document]
    held_out: list[Document]

    @property
    def categories(self) -> list[str]:
        """In the order of their first documents."""
        return list(dict.fromkeys(document.category for document in self.train))


def installed(documents: int, held_out: int, seed: int) -> Corpus:
    """Draw a corpus from what is installed.

    Args:
        documents: training documents a category.
        held_out: held-out documents a category.
        seed: of the draw.

    Raises:
        DataError: a category has fewer documents than asked for.
    """
    return draw("installed", {name: read() for name, read in READERS.items()}, documents, held_out, seed)


def draw(name: str, sources: dict[str, dict[str, str]], documents: int, held_out: int, seed: int) -> Corpus:
    """Cut sources into documents and draw some of each category.

    Args:
        name: what the corpus is called.
        sources: category to source to text.
        documents: training documents a category.
        held_out: held-out documents a category.
        seed: of the draw.

    Raises:
        DataError: a category has fewer documents than asked for.
    """
    sides: tuple[list[Document], list[Document]] = ([], [])
    for number, (category, texts) in enumerate(sources.items()):
        for side, wanted in enumerate((documents, held_out)):
            rng = np.random.default_rng([seed, 31, number, side])
            pieces = [
                Document(category, source, piece)
                for source, text in sorted(texts.items())
                if is_held_out(source) == bool(side)
                for piece in cut(text[:PER_SOURCE], rng)
            ]
            if len(pieces) < wanted:
                raise DataError(
                    f"{name}: the category '{category}' has {len(pieces)} {('training', 'held-out')[side]} documents "
                    f"in {len(texts)} sources, and {wanted} are asked for: give it more text, or lower "
                    f"settings.{('documents', 'held_out')[side]}"
                )
            sides[side].extend(pieces[k] for k in rng.permutation(len(pieces))[:wanted])
    return Corpus(name, *sides)


def is_held_out(source: str) -> bool:
    """Whether a source is kept from training."""
    return hashlib.sha256(source.encode()).digest()[0] % HELD_OUT == 0


def cut(text: str, rng: np.random.Generator) -> list[str]:
    """Cut a text at empty lines, else between lines, into documents of a length drawn for each; the rest is left."""
    found: list[str] = []
    lines: list[str] = []
    size, wanted = 0, rng.integers(SHORTEST, LONGEST)
    for line in text.expandtabs().splitlines():
        if size >= wanted and (not line.strip() or size >= LONGEST):
            found.append("\n".join(lines).strip("\n"))
            lines, size, wanted = [], 0, rng.integers(SHORTEST, LONGEST)
        # A line of a package's description may be a whole paragraph.
        lines.append(line.rstrip()[:LONGEST])
        size += len(lines[-1]) + 1
    if size >= SHORTEST:
        found.append("\n".join(lines).strip("\n"))
    return found


def fingerprint(corpus: Corpus) -> str:
    """Twelve hexadecimal digits that tell corpora apart."""
    digest = hashlib.sha256()
    for side in (corpus.train, corpus.held_out):
        for document in side:
            digest.update(f"{document.category}\0{document.text}\0".encode())
    return digest.hexdigest()[:12]


def _library(names: str) -> dict[str, str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return {
        name: path.read_text(encoding="utf-8") for name in names.split() if (path := folder / f"{name}.py").is_file()
    }


def _code() -> dict[str, str]:
    return _library(CODE)


def _docstrings() -> dict[str, str]:
    found = {}
    for name, text in _library(DOCSTRINGS).items():
        # One line says little more than the name of its function.
        texts = [text for text in _documented(ast.parse(text)) if len(text) > 80]
        found[name] = "\n\n".join(texts)
    return found


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The docstrings of a definition and of those in it."""
    yield ast.get_docstring(node) or ""
    for item in node.body:
        if isinstance(item, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documented(item)


def _topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return {f"topic {name}": text for name, text in topics.items()}


def _reference() -> dict[str, str]:
    return {name: text for name, text in _topics().items() if not _is_page(name)}


def _help() -> dict[str, str]:
    return {name: text for name, text in _topics().items() if _is_page(name)}


def _is_page(source: str) -> bool:
    return hashlib.sha256(source.encode()).digest()[1] % 2 == 0


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES.split():
        try:
            data = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = str(data.get_payload() or data.get("Description") or "")
    return found


READERS = {
    "code": _code,
    "docstrings": _docstrings,
    "reference": _reference,
    "help": _help,
    "packages": _packages,
}
