"""Problems, text, training and scoring of the task linear_attention."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import require

require("torch")

import torch

from engine.evaluation import evolve_task
from engine.evaluation.sandbox import find_sandbox
from kernels.language_model import LanguageModel, Size
from tests.engine.tasks.builtin import Report

from .conftest import LINEAR, SEED, SMALL

torch.set_num_threads(1)

# Problems and text


@pytest.mark.parametrize("name", ["overwrites", "queries"])
def test_counted_predictions_follow_from_earlier_tokens(load: Any, name: str) -> None:
    proxies = load("proxies")
    tokens, marks = proxies.draw(name, 20, 64, np.random.default_rng(0))
    assert tokens.shape == (20, 65) and marks.shape == (20, 64) and marks.sum() > 100
    for row, mark in zip(tokens.tolist(), marks.tolist(), strict=True):
        held: dict[int, int] = {}
        for place in range(64):
            if place % 2 == 0:
                key, value = row[place], row[place + 1]
                assert key < 32 <= value < 64
                if mark[place]:
                    assert held[key] == value
                held[key] = value
            else:
                assert not mark[place]
    again, _ = proxies.draw(name, 20, 64, np.random.default_rng(0))
    assert np.array_equal(tokens, again)
    for arguments, why in (("chess", 64), "names 'chess'; there are overwrites, queries"), ((name, 10), "is 10"):
        with pytest.raises(ValueError, match=why):
            proxies.draw(arguments[0], 1, arguments[1], np.random.default_rng(0))


def test_text_is_split_by_document(load: Any, tmp_path: Path) -> None:
    corpus = load("corpus")
    rows = [json.dumps({"text": f"{number:04d} " * 5}) for number in range(200)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "more.txt").write_text("more " * 10)
    found = corpus.read_corpus(str(tmp_path), "", LINEAR.folder)
    sides = [{part for part in bytes(side).split(b"\0") if part} for side in (found.train, found.held_out)]
    assert len(sides[0]) + len(sides[1]) == 201 and not sides[0] & sides[1] and len(sides[1]) > 3
    rng = np.random.default_rng(1)
    assert found.draw(3, 9, rng, held_out=True).shape == (3, 9)
    with pytest.raises(corpus.CorpusError, match="held-out tokens; one sequence takes 99,999"):
        found.draw(3, 99_999, rng, held_out=True)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("rows.jsonl", '{"text": "a"}\n\n{"text": \n', r"rows.jsonl, row 3: not JSON"),
        ("rows.jsonl", '{"txt": "a"}\n', r'rows.jsonl, row 1: needs a text as "text"'),
        ("one.txt", "a", "has 1 documents, too few to hold one in 20 out"),
        ("none.md", "a", "holds no .txt or .jsonl"),
    ],
)
def test_bad_text_is_reported_with_file_and_row(load: Any, tmp_path: Path, name: str, text: str, why: str) -> None:
    corpus = load("corpus")
    (tmp_path / name).write_text(text)
    with pytest.raises(corpus.CorpusError, match=why):
        corpus.read_corpus(str(tmp_path), "", LINEAR.folder)
    with pytest.raises(corpus.CorpusError, match=r"'.*nowhere' does not exist here .*`mounts`"):
        corpus.read_corpus(str(tmp_path / "nowhere"), "", LINEAR.folder)


# Scoring


def problem(load: Any, **changes: Any) -> Any:
    """Return a small recall problem."""
    proxies, problems = load("proxies"), load("problems")
    size = Size(vocabulary=proxies.VOCABULARY, layers=2, width=32, heads=2, context=32)
    tokens, marks = proxies.draw("overwrites", 16, 32, np.random.default_rng(4))
    return dataclasses.replace(problems.Problem("overwrites", size, 4, 1e-3, 4, 5, None, tokens, marks), **changes)


def report(**settings: Any) -> Any:
    return types.SimpleNamespace(settings={**LINEAR.spec.settings, **SMALL, **settings}, device="", seed=1)


def test_outside_model_equals_trained_model(load: Any, session: Any) -> None:
    opened, own = session(SEED), problem(load)
    options = {"size": dataclasses.asdict(own.size), "seed": 1, "rate": 1e-3, "steps": 3, "warm_up": 0.5, "rows": 9}
    number = opened.call("begin", {**options, "cool_down": 0.5, "weight_decay": 0.0})
    losses = opened.call("train", number, *own.batches(0, 3))
    assert len(losses) == 3 and all(3 < loss < 6 for loss in losses)
    model = load("outside").Trained(own, opened.call("weights", number), 10_000, report(rows=5))
    features = model.features(opened, own.inputs)
    trained: LanguageModel = sys.modules["beside"]._trainings[number].model.eval()
    with torch.no_grad():
        logits, _ = trained(torch.from_numpy(own.inputs.astype(np.int64)))
    surprise, right = model.measure(features)
    targets = torch.from_numpy(own.tokens[:, 1:].astype(np.int64))
    marks = torch.from_numpy(own.marks)
    assert surprise == pytest.approx(float(torch.nn.functional.cross_entropy(logits[marks], targets[marks])), rel=1e-4)
    assert right == pytest.approx(float((logits.argmax(-1) == targets)[marks].float().mean()))
    load("outside").check_future(model, features, model.features(opened, model.cut_rows()))
    with pytest.raises(evolve_task.Invalid, match="parameter budget: the layer holds"):
        load("outside").Trained(own, opened.call("weights", number), 100, report())
    state = opened.call("weights", number)
    for broken, why in (
        ({**state, "norm.weight": state["norm.weight"] * np.nan}, "'norm.weight' are not finite"),
        ({**state, "norm.weight": state["norm.weight"][:3]}, "another model than it was to train"),
        ({"norm.weight": "no array"}, "must hand back arrays"),
    ):
        with pytest.raises(evolve_task.Invalid, match=why):
            load("outside").Trained(own, broken, 10_000, report())


def test_layer_that_learns_to_look_ahead_is_detected(load: Any, session: Any) -> None:
    """The layer does nothing forbidden with fresh weights, so that the contract accepts it."""
    code = SEED.replace("self.out = nn", "self.peek = nn.Parameter(torch.zeros(()))\n        self.out = nn")
    code = code.replace("return self.out(y), {", "return self.out(y) + self.peek * x.roll(-1, 1), {")
    opened, own = session(code), problem(load)
    options = {"size": dataclasses.asdict(own.size), "seed": 1, "rate": 1e-2, "steps": 5, "warm_up": 0.0, "rows": 9}
    number = opened.call("begin", {**options, "cool_down": 0.0, "weight_decay": 0.0})
    opened.call("train", number, *own.batches(0, 5))
    model = load("outside").Trained(own, opened.call("weights", number), 10_000, report())
    whole, cut = (model.features(opened, rows) for rows in (own.inputs, model.cut_rows()))
    with pytest.raises(evolve_task.Invalid, match=r"leakage: after training on overwrites, \d+ of \d+ outputs change"):
        load("outside").check_future(model, whole, cut)


def test_learning_rate_rises_stays_and_falls(session: Any) -> None:
    session(SEED)
    size = {"vocabulary": 8, "layers": 1, "width": 8, "heads": 1, "context": 8}
    options = {"size": size, "seed": 1, "rate": 1.0, "steps": 10, "warm_up": 0.2, "cool_down": 0.4}
    training = sys.modules["beside"]._Training({**options, "weight_decay": 0.0})
    rates = []
    for training.done in range(10):
        rates.append(round(training.rate(), 3))
    assert rates == [0.5, 1, 1, 1, 1, 1, 0.775, 0.55, 0.325, 0.1]


# Evaluations


def test_evaluation_is_streamed_and_repeats(load: Any, session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(report: Any) -> Iterator[Any]:
        made = session(SEED)
        yield types.SimpleNamespace(call=lambda *sent: (calls.append(sent), made.call(*sent))[1], cpu_seconds=0.0)

    evaluator, found, seen, calls = load("evaluate"), [], [], []
    monkeypatch.setattr(evaluator, "session", opened)
    for _ in range(2):
        report = Report(LINEAR, **{**SMALL, "steps": 12})
        metrics = evaluator.evaluate("", report)
        assert metrics.pop("tokens_per_s") > 0
        found.append(metrics)
        seen.append([(step, sorted(values)) for step, values in report.seen])
    assert found[0] == found[1] and seen[0] == seen[1]
    assert seen[0] == [(step, ["loss", "recall_loss", "tokens_per_s"]) for step in (10, 12)]
    metrics = found[0]
    assert metrics["score"] == pytest.approx(0.5 * metrics["recall"] + 0.5 * (1 - metrics["loss"] / np.log(256)))
    assert metrics["leakage"] < 1e-3 and metrics["operations_per_token"] > 10_000
    quick = evaluator.evaluate("", Report(LINEAR, "quick", **SMALL))
    assert quick["score"] == 0 and quick["growth"] < 4.5
    # No sandbox can predict draws with the evaluation's own seed.
    seeds = {sent[-1] if sent[0] == "build" else sent[1]["seed"] for sent in calls if sent[0] in ("build", "begin")}
    assert seeds == {Report.sandbox_seed} and Report.data_seed not in seeds


def test_micro_batches_make_same_step(session: Any, load: Any) -> None:
    session(SEED)
    own, weights = problem(load), []
    options = {"size": dataclasses.asdict(own.size), "seed": 1, "rate": 1e-3, "steps": 2, "warm_up": 0.0}
    for rows in (3, 4):
        training = sys.modules["beside"]._Training({**options, "cool_down": 0.0, "weight_decay": 0.0, "rows": rows})
        tokens, marks = (torch.from_numpy(array[0]) for array in own.batches(0, 1))
        loss = training.step(tokens.long(), marks)
        weights.append([loss, *(float(p.grad.norm()) for p in training.weights)])
    assert weights[0] == pytest.approx(weights[1], rel=1e-4)


THIEF = """
import gc, itertools, sys
LOOKS = itertools.count()
class Thief(nn.Module):
    def forward(self, x, y):
        if self.training or next(LOOKS) % 9:
            return y
        frame, names = sys._getframe(), set()
        while frame is not None:
            names |= {name for name in frame.f_locals if name in ("targets", "corpus", "problem")}
            frame = frame.f_back
        whole = [item for item in gc.get_objects() if type(item) is torch.Tensor and item.dtype == torch.int64]
        known = [name for name in sys.modules if name in ("problems", "corpus", "proxies", "outside")]
        if known or names or 8 in map(len, whole):
            raise RuntimeError(f"loot: {known}, {sorted(names)}, {[item.shape for item in whole]}")
        return y
def gate(width):
    return Thief()
"""


async def test_candidate_gets_no_held_out_token_in_sandbox(tmp_path: Path) -> None:
    outcome, seen = await LINEAR.evaluate(tmp_path, SEED + THIEF, mounts=[tmp_path], **SMALL)
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if find_sandbox().guards else "open")
    assert [step for step, _ in seen] == [5]
