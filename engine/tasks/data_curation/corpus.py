"""Build a corpus from text that every machine with this project has: five categories, split by source.

| category | content |
|---|---|
| `code` | sources of the standard library |
| `docstrings` | docstrings of other modules of the standard library |
| `reference` | the language reference, as `help()` shows it |
| `help` | other topics of `help()`, which `noise.py` turns into HTML pages |
| `packages` | descriptions of installed packages, from their metadata |

The text is used unchanged, with its natural noise. It differs slightly between patch releases of Python and versions
of packages: the names of sources and the sizes are fixed here, and `fingerprint` identifies the drawn text, so that
only scores with equal fingerprints are compared.
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
"""One source in this many is held out, chosen by its name, independent of the seed."""
SHORTEST, LONGEST = 500, 1500
"""Length of a document in characters, as far as the source allows."""
PER_SOURCE = 24_000
"""The most characters used of one source."""

# Modules that Python 3.11 to 3.14 have, mostly. None of them may be imported by programs.
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
    """The data cannot be used; the message says where and what to do."""


@dataclass(frozen=True)
class Document:
    """One clean text."""

    category: str
    source: str
    """Its origin: a module, a topic, a package; or a file and its row."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Clean documents, before noise is planted in them."""

    name: str
    """The name of the corpus in reports."""
    train: list[Document]
    held_out: list[Document]

    @property
    def categories(self) -> list[str]:
        """Return the categories in the order of their first documents."""
        return list(dict.fromkeys(document.category for document in self.train))


def installed(documents: int, held_out: int, seed: int) -> Corpus:
    """Draw a corpus from the installed Python and its packages.

    Args:
        documents: training documents per category.
        held_out: held-out documents per category.
        seed: seed of the draw.

    Raises:
        DataError: a category has fewer documents than asked for.
    """
    return draw("installed", {name: read() for name, read in READERS.items()}, documents, held_out, seed)


def draw(name: str, sources: dict[str, dict[str, str]], documents: int, held_out: int, seed: int) -> Corpus:
    """Cut sources into documents and draw some of each category.

    Args:
        name: the name of the corpus.
        sources: maps category to source to text.
        documents: training documents per category.
        held_out: held-out documents per category.
        seed: seed of the draw.

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
    """Tell whether a source is held out from training."""
    return hashlib.sha256(source.encode()).digest()[0] % HELD_OUT == 0


def cut(text: str, rng: np.random.Generator) -> list[str]:
    """Cut a text into documents of random length, at empty lines or else between lines; drop the rest."""
    found: list[str] = []
    lines: list[str] = []
    size, wanted = 0, rng.integers(SHORTEST, LONGEST)
    for line in text.expandtabs().splitlines():
        if size >= wanted and (not line.strip() or size >= LONGEST):
            found.append("\n".join(lines).strip("\n"))
            lines, size, wanted = [], 0, rng.integers(SHORTEST, LONGEST)
        # In a package's description a line may be a whole paragraph.
        lines.append(line.rstrip()[:LONGEST])
        size += len(lines[-1]) + 1
    if size >= SHORTEST:
        found.append("\n".join(lines).strip("\n"))
    return found


def fingerprint(corpus: Corpus) -> str:
    """Return twelve hexadecimal digits that identify a corpus."""
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
        # A single line says little more than the function's name.
        texts = [text for text in _documented(ast.parse(text)) if len(text) > 80]
        found[name] = "\n\n".join(texts)
    return found


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield the docstrings of a definition and of its nested definitions."""
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
