"""The same small problem in several languages, and as a folder, searched by recombination and by a model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.programs import read_program, write_best
from engine.journal.reader import JournalReader
from engine.programs.folders import split_files
from engine.runs.folder import Run
from tests.conftest import call_own
from tests.e2e.runs import fold, make_run
from tests.engine.llm.engine_runs import be_quick, work
from tests.llm_server import LlmServer, Reply, Request, llm_server

PROBLEM = Path(__file__).parent / "bin_packing"
LANGUAGES = ["python", pytest.param("cpp", marks=pytest.mark.needs("gcc"))]
BROKEN = "```cpp\nstatic double score(double room, double item)\n{\n    return rest - item;\n}\n```\n"
BEST_FIT = {
    "cpp": "```cpp\nstatic double score(double room, double item)\n{\n    return room - item;\n}\n```\n",
    "python": "```python\ndef score(room, item):\n    return room - item\n```\n",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    be_quick(monkeypatch)
    with llm_server() as server:
        yield server


def packing(language: str, folder: Path) -> Path:
    """Write the task's folder: its own files, and those that all languages share.

    Give runs a data seed: how much a rule gains depends on the items.
    """
    task = folder / "tasks" / language
    shutil.copytree(PROBLEM / language, task)
    for name in ("evaluate.py", "brief.md", *(["pack.py"] if language != "python" else [])):
        shutil.copy(PROBLEM / name, task)
    return call_own(task)


def programs(run: Run, operators: set[str]) -> list[str]:
    with JournalReader(run.db) as reader:
        return [reader.text(node.program) for node in fold(run).nodes if node.operator in operators]


@pytest.mark.parametrize("language", [*LANGUAGES, pytest.param("c", marks=pytest.mark.needs("gcc"))])
async def test_recombination_packs_better(language: str, tmp_path: Path, workspace: Path) -> None:
    run = make_run(packing(language, tmp_path), tmp_path / "runs", rounds=5, workers=1, seed=1, data_seed=1)
    state = await work(run)
    assert {node.status for node in state.nodes} == {"ok"}
    seed, best = state.nodes[0], state.best_node
    assert seed.score is not None and best is not None and best.score is not None
    assert best.score < 0.8 * seed.score
    swapped = programs(run, {"swap"})
    assert swapped and all("POWER" in code and "TIGHT" not in code for code in swapped)
    if language == "cpp":
        assert all(code.startswith("#include <cmath>\n") for code in swapped)
    if language == "c":
        files = [split_files(code) for code in swapped]
        assert all(list(found) == ["src/choose.c", "src/score.c", "src/score.h"] for found in files)
        assert all('#include "score.h"\n#include <math.h>\n' in found["src/score.c"] for found in files)
        _, _, code = write_best(run, tmp_path / "best")
        assert (tmp_path / "best/src/score.c").read_text() == split_files(code)["src/score.c"]
        assert read_program(tmp_path / "best", state.spec) == code


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_model_packs_better(language: str, tmp_path: Path, workspace: Path, server: LlmServer) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        asked.append(request.text)
        # Its first program is built in vain, and its next one mends that or improves the seed.
        return Reply(f"Best fit.\n\n{BROKEN if language == 'cpp' and len(asked) == 1 else BEST_FIT[language]}")

    server.answer = answer
    model = {"model": "m", "base_url": server.url, "retries": 1}
    modes = {"full": 0, "diff": 1, "crossover": 0, "fix": 1}
    run = make_run(
        packing(language, tmp_path), tmp_path / "runs", rounds=2, workers=1, seed=2, data_seed=1,
        models={"m": model}, designer={"modes": modes}, roles={"analyzer": "rules"},
    )  # fmt: skip
    state = await work(run)
    seed, best = state.nodes[0], state.best_node
    assert seed.score is not None and best is not None and best.score is not None
    assert best.score < 0.8 * seed.score
    assert f"{'C++' if language == 'cpp' else 'Python'} programs" in asked[0]
    if language == "cpp":
        failed = state.nodes[1]
        assert failed.status == "invalid"
        assert failed.reason.startswith("the build failed (exit code 1): program.cpp:") and "rest" in failed.reason
        assert "not declared" in asked[1]
