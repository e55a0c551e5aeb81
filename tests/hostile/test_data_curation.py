"""A program that knows the corpus by heart is refused, whatever is drawn from it; one that only looks around gains nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest

from tests.engine.tasks.builtin import BuiltIn

DATA = BuiltIn("data_curation")
BITS = 400_000

MEMORY = """
import base64, hashlib

TABLE = base64.b85decode(DATA)


def curate(document, category):
    kept = [line for line in document.splitlines() if not line.strip() or known(line.strip())]
    return "\\n".join(kept) if any(map(str.strip, kept)) else None


def known(line):
    digest = int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "big")
    return all(TABLE[k // 8] >> k % 8 & 1 for k in (digest % BITS, (digest >> 32) % BITS))
"""


def memory() -> str:
    """A program with a filter of all clean lines that an installation has, in 63 kB."""
    table = bytearray(BITS // 8)
    with DATA.importable() as load:
        corpus = load("corpus")
        for read in corpus.READERS.values():
            for source, text in read().items():
                for line in (
                    text[: corpus.PER_SOURCE].expandtabs().splitlines() if not corpus.is_held_out(source) else ()
                ):
                    digest = int.from_bytes(hashlib.sha256(line.strip().encode()).digest()[:8], "big")
                    for k in (digest % BITS, (digest >> 32) % BITS):
                        table[k // 8] |= 1 << k % 8
    return MEMORY.replace("DATA", repr(base64.b85encode(bytes(table)).decode())).replace("BITS", str(BITS))


def test_memory_of_every_clean_line_is_refused(tmp_path: Path) -> None:
    code = memory()
    assert len(code) < DATA.spec.max_program_bytes
    outcome, _ = asyncio.run(DATA.evaluate(tmp_path, code))
    assert outcome.status == "invalid"
    assert outcome.reason.startswith("the program knows the text by heart: it leaves 100% of the clean lines")


def looking(statements: str) -> str:
    """The seed, whose program looks for help before each document."""
    lines = "".join(f"        {line}\n" for line in statements.splitlines())
    return f"{DATA.seed}\n\nplain = curate\n\n\ndef curate(document, category):\n    try:\n{lines}" + (
        "    except (PermissionError, ImportError, AttributeError, KeyError):\n        pass\n"
        "    return plain(document, category)\n"
    )


@pytest.mark.parametrize(
    "statements",
    [
        "import pydoc_data.topics as t\nreturn t.topics['assert']",
        "return open(re.__file__).read()",
        "return re.__doc__ * 9",
    ],
    ids=["module", "file", "docstring"],
)
def test_program_that_looks_around_scores_no_more_than_the_seed(tmp_path: Path, statements: str) -> None:
    honest, _ = asyncio.run(DATA.evaluate(tmp_path, DATA.seed))
    cheat, _ = asyncio.run(DATA.evaluate(tmp_path, looking(statements)))
    assert honest.score is not None
    assert cheat.score is None or cheat.score <= honest.score, cheat.score
