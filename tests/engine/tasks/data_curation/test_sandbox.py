"""Evaluations of the task data_curation in the sandbox: a program can look up no text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.evaluation.sandbox import find_sandbox

from .conftest import DATA, RAW, SEED, TINY, rows, write

# In the sandbox


async def test_users_folder_is_read_in_sandbox(tmp_path: Path) -> None:
    for category in ("notes", "logs"):
        (tmp_path / "data" / category).mkdir(parents=True)
        for number, row in enumerate(rows(32, category)):
            (tmp_path / "data" / category / f"{number}.txt").write_text(row["text"])
    outcome, seen = await DATA.evaluate(
        tmp_path, SEED, mounts=[tmp_path / "data"], **{**TINY, "data": str(tmp_path / "data"), "held_out": 2}
    )
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if find_sandbox().guards else "open")
    assert outcome.metrics["data"] == "data" and "removed_logs" in outcome.metrics
    assert [step for step, _ in seen] == [10_000, 20_000, 40_000]


LOOKED_UP = """
def refused(function, *args):
    try:
        function(*args)
    except PermissionError as error:
        return str(error)
    return "nothing"


def look(at):
    found = __builtins__
    yield refused(found["__import__"], "pydoc_data.topics")
    yield refused(found["open"], re.__file__)
    yield refused(found["getattr"], look, "__code__")
    yield refused(type(look), compile("1", "", "eval"), {})
    modules = found["__import__"]("sys").modules
    yield refused(modules["gc"].get_objects)
    yield refused(modules["os"].open, re.__file__, 0)

    class Program(str):
        def __eq__(self, other):
            return True

        __hash__ = str.__hash__

    yield refused(found["__import__"], Program("pydoc_data.topics"))
    yield f"{at}: {re.sub.__doc__} {modules['contextlib'].suppress.__doc__} {modules['fractions'].__doc__}"


FIRST = list(look("at import"))


def curate(document, category):
    return "\\n".join([*FIRST, *look("while it cleans")])
"""


async def test_program_can_open_no_file(tmp_path: Path) -> None:
    """The sandbox also refuses what no check refuses before the program runs."""
    folder = tmp_path / "task"
    folder.mkdir()
    shutil.copy(DATA.folder / "beside.py", folder)
    (folder / "evaluate.py").write_text(
        "import evolve_task\n\ndef evaluate(program_path, report):\n"
        "    (found,) = evolve_task.call('beside.py:clean', ['text'], ['code'])\n"
        "    return {'score': 1.0, 'found': found}\n"
    )
    outcome, _ = await DATA.evaluate(tmp_path, f"import re\n{LOOKED_UP}", task_folder=folder, **TINY)
    assert outcome.status == "ok", outcome.reason
    found = str(outcome.metrics["found"]).splitlines()
    refusals = [
        "(import pydoc_data.topics)",
        "(open ",
        "(object.__getattr__ <function look",
        "(function.__new__ <code",
        "(gc.get_objects ",
        "(open ",
        "(import pydoc_data.topics)",
    ]
    assert len(found) == 16
    for half, when in ((found[:8], "at import"), (found[8:], "while it cleans")):
        for refusal, event in zip(half, refusals, strict=False):
            assert refusal.startswith(f"a program may open no file and load no module {event}")
        assert half[7] == f"{when}: None None None"


@pytest.mark.parametrize(
    "code",
    [
        "def curate(document, category):\n    return document.encode('cp437').decode()\n",
        f"'x'.encode('cp437')\n{RAW}",
    ],
)
async def test_program_that_opens_file_gets_reason(tmp_path: Path, code: str) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "d.jsonl", [{**row, "source": str(k)} for k, row in enumerate(rows(32))])
    outcome, _ = await DATA.evaluate(
        tmp_path,
        code,
        mounts=[tmp_path / "data"],
        **{**TINY, "data": str(tmp_path / "data" / "d.jsonl"), "held_out": 2},
    )
    assert outcome.status == "crashed"
    assert "a program may open no file and load no module (import encodings.cp437)" in outcome.reason
