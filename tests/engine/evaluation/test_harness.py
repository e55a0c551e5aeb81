"""What the harness brings along: little to import, and JSON that is that of the standard library."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation import evolve_task
from engine.evaluation.interpreter import _ASK

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(VALUES)
def test_json_is_that_of_the_standard_library(value: object) -> None:
    text = evolve_task._to_json(value)
    assert text == json.dumps(value)
    assert evolve_task._from_json(f" {text}\n".encode()) == json.loads(text)


def test_numbers_that_json_lacks_are_kept() -> None:
    found = evolve_task._from_json(evolve_task._to_json([math.inf, -math.inf, math.nan]).encode())
    assert found[:2] == [math.inf, -math.inf] and math.isnan(found[2])


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"1 2", b"nul", b'{"a": 1}x', b"\xff", b'{"a"}'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        evolve_task._from_json(text)


def test_start_imports_neither_json_nor_what_it_stands_on() -> None:
    folder = Path(evolve_task.__file__).parent
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import evolve_task; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not {"json", "re", "enum", "base64", "typing", "pathlib"} & set(done.stdout.split())


def test_harness_is_compiled_once_and_again_if_it_changed(tmp_path: Path) -> None:
    source = tmp_path / "evolve_task.py"

    def compiled() -> Path:
        done = subprocess.run(
            [sys.executable, "-s", "-c", _ASK, str(source)], capture_output=True, check=True, cwd=tmp_path
        )
        return Path(json.loads(done.stdout)[4])

    source.write_text("x = 1\n")
    first = compiled()
    written = first.stat().st_mtime_ns
    assert compiled() == first and first.stat().st_mtime_ns == written
    source.write_text("x = 22\n")
    assert compiled().stat().st_mtime_ns != written
