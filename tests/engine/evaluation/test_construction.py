"""Constructions that are kept beside nodes: numbers in lists, whatever an evaluator reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation import evolve_task
from engine.evaluation.construction import decode_construction
from engine.evaluation.evolve_task import CONSTRUCTION, Report
from engine.evaluation.supervisor.results import clean_result

JOB: dict[str, Any] = {
    "stage": "explore", "repeat": 0, "seed": 1, "data_seed": 1, "sandbox_seed": 1, "settings": {}, "device": "",
    "cores": [], "scratch": "",
}  # fmt: skip
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
ANSWERS = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


def kept(answer: Any) -> str:
    evolve_task._constructions.clear()
    Report(JOB).keep(answer)
    (text,) = evolve_task._constructions
    evolve_task._constructions.clear()
    return text


@given(ANSWERS)
def test_construction_comes_back_to_the_last_bit(answer: Any) -> None:
    text = kept(answer)
    assert repr(decode_construction(text)) == repr(answer)
    assert repr(Report({**JOB, "given": text}).given) == repr(answer)


def test_arrays_and_tuples_are_kept_as_lists() -> None:
    assert decode_construction(kept((np.eye(2), np.float64(0.1), [np.int64(3)]))) == [[[1, 0], [0, 1]], 0.1, [3]]
    assert Report(JOB).given is None and Report({**JOB, "given": ""}).given is None


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "null", '"1"', '{"a": 1}', "[true]", "[NaN]", "[-Infinity]", "[1e999]", "[[1], null]",
        "[" * 9 + "1" + "]" * 9, "[" * 100_000, "[1" + "0" * 5000 + "]",
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_is_no_construction_is_not_kept(text: str) -> None:
    assert decode_construction(text) is None


@pytest.mark.parametrize("digits", [309, 400, 4300])
def test_integers_beyond_floats_are_kept(digits: int) -> None:
    text = "[" + "9" * digits + "]"
    assert decode_construction(text) == [int("9" * digits)]


def test_construction_is_bounded_where_it_is_kept_and_where_it_arrives() -> None:
    with pytest.raises(ValueError, match="more than 524,288"):
        Report(JOB).keep([0.1] * CONSTRUCTION)
    with pytest.raises(TypeError):
        Report(JOB).keep([object()])
    said = {"status": "ok", "score": 1.0, "construction": json.dumps([1] * CONSTRUCTION)}
    assert decode_construction(clean_result(said)["construction"]) is None
    assert clean_result({"status": "ok", "score": 1.0, "construction": 7})["construction"] == ""
