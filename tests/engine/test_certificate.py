"""Certificates: an answer is measured anew from the file alone, and a claim that is not its answer's is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.runs.certificate import FORMAT, check_certificate, has_certificates
from tests.engine.tasks.mathematics import TASKS

HALF = {"low": "0x2/0x1", "high": "0x2/0x1", "score": 2.0, "direction": "minimize", "metric": "constant"}


def certificate(**changes: Any) -> dict[str, Any]:
    return {
        "format": FORMAT, "problem": "autocorrelation", "instance": {"inequality": "first"}, "answer": [0.1, 0.1, 0.1],
        "score": HALF, **changes,
    }  # fmt: skip


def check(folder: Path, claim: Any) -> dict[str, Any]:
    path = folder / "claim.json"
    path.write_text(claim if isinstance(claim, str) else json.dumps(claim))
    return check_certificate(path)


def test_every_open_problem_with_an_answer_has_certificates() -> None:
    assert all(has_certificates(name) for name in (*TASKS, "bin_packing"))
    assert not any(has_certificates(name) for name in ("drug_target", "mathematics", "..", ""))


def test_right_claim_is_confirmed(tmp_path: Path) -> None:
    found = check(tmp_path, certificate())
    assert (found["confirmed"], found["score"], found["reason"]) == (True, 2.0, "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"score": {**HALF, "score": 1.5}}, "claims another score"),
        ({"score": {**HALF, "low": "0x1/0x1", "high": "0x3/0x1"}}, "claims another low and high"),
        ({"score": {**HALF, "direction": "maximize"}}, "claims another direction"),
        ({"score": {}}, "claims another low and high and score and direction"),
        ({"answer": [0.1, -0.1]}, "negative number"),
        ({"answer": "constant"}, "must be a list"),
        ({"instance": {}}, "KeyError"),
        ({"instance": {"inequality": "third"}}, "KeyError"),
    ],
    ids=str,
)
def test_wrong_claim_is_refused_with_its_reason(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    found = check(tmp_path, certificate(**changes))
    assert not found["confirmed"]
    assert why in found["reason"]


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("{", "no certificate"),
        ("[" * 100_000, "no certificate"),
        ([], "its format is not"),
        ({"format": "another"}, "its format is not"),
        ({"format": FORMAT}, "'problem' is missing"),
        (certificate(instance=[]), "'instance' is missing or of a wrong type"),
        (certificate(problem="../secrets"), "not known here"),
        (certificate(problem="mathematics"), "not known here"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_certificate_is_named(tmp_path: Path, claim: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check(tmp_path, claim)
    with pytest.raises(UsageError, match="cannot be read"):
        check_certificate(tmp_path / "nothing.json")
