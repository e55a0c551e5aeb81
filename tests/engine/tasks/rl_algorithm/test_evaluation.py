"""Whole evaluations of the task rl_algorithm, on its own problems and with a model and prompts of the user."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import require

require("torch")

import torch

from engine.evaluation import evolve_task
from engine.evaluation.sandbox import find_sandbox, sandbox_name
from tests.engine.tasks.builtin import Report

from .conftest import RL, SEED, SMALL, THIEF, untimed

torch.set_num_threads(1)

# Evaluations


def test_evaluation_is_measured_streamed_and_repeats(load: Any, hand: Any) -> None:
    report, found = Report(RL, **SMALL), []
    for _ in range(2):
        found.append(untimed(load("evaluate").train(hand(SEED)._candidate, report)))
    metrics, seen = found[0], report.seen[:4]
    assert found[0] == found[1] and report.seen[4:] == seen
    assert {"exact", "exact_sort", "area", "score_sd", "entropy", "kl", "collapsed", "diverged"} <= metrics.keys()
    assert metrics["score"] == pytest.approx(0.5 * metrics["exact"] + 0.5 * metrics["area"])
    assert [step for step, _ in seen] == [1, 2, 3, 4]
    assert {"loss", "reward", "entropy", "kl"} <= seen[0][1].keys() and "exact" in seen[1][1]


FORGER = """
import sys
import numpy

def _forged(*arguments):
    return numpy.full((4, 8, 6), 1e9, numpy.float32)

_normalise = normalise

def normalise(rewards):
    beside = sys.modules["beside"]
    beside.advantages = _forged
    beside.gradient = lambda run, parts, progress: {"score": 1.0, "exact": 1.0}
    return _normalise(rewards)
"""


def test_candidate_can_forge_only_its_own_gradient(load: Any, hand: Any) -> None:
    with pytest.raises(evolve_task.Invalid, match="no gradient"):
        load("candidate").probe(hand(SEED + FORGER))


def test_late_bad_numbers_are_refused_with_time(hand: Any) -> None:
    late = hand(SEED + "\n\ndef reshape(scores, progress):\n    return scores / (progress < 0.7)\n", "sort, seed 0")
    rewards, mask = np.array([[0.0, 1.0]], np.float32), np.ones((1, 2, 3), np.float32)
    assert np.isfinite(late.advantages(rewards, mask, mask, 0.6)).all()
    with pytest.raises(evolve_task.Invalid, match=r"6 of 6 were not \(sort, seed 0, after 80% of its steps\)"):
        late.advantages(rewards, mask, mask, 0.8)


def test_unknown_problem_is_reported(load: Any) -> None:
    with pytest.raises(ValueError, match="names 'chess'; there are sort, sort_long"):
        load("problems").find("chess")


# The user's prompts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no rows"),
        ('{"prompt": "1+1", "answer": "2"}\n\n{"prompt": \n', ":3: not JSON"),
        ("[1]\n", ":1: a row must be an object, not list"),
        ('{"question": "1+1", "answer": "2"}\n', r":1: a row needs a text as 'prompt' \(its keys: question, answer\)"),
        ('{"prompt": "1+1", "answer": "2"}\n{"prompt": "1+1", "answer": ""}\n', ":2: a row needs a text as 'answer'"),
        ('{"prompt": "1+1", "answer": true}\n', ":1: a row needs a text as 'answer'"),
    ],
)
def test_bad_rows_are_reported_with_file_and_line(load: Any, tmp_path: Path, text: str, why: str) -> None:
    answers = load("answers")
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(answers.SetupError, match=f"rows.jsonl.*{why}"):
        answers.read_rows(str(tmp_path / "rows.jsonl"))
    with pytest.raises(answers.SetupError, match="does not exist here"):
        answers.read_rows(str(tmp_path / "none.jsonl"))


def test_equal_prompts_stay_on_one_side_of_split(load: Any, tmp_path: Path) -> None:
    answers = load("answers")
    rows = [{"prompt": f"{number % 20}", "answer": "x", "line": number} for number in range(60)]
    train, held_out = answers.split_rows(rows, 4, "rows")
    sides = [{row["prompt"] for row in side} for side in (train, held_out)]
    assert len(train) + len(held_out) == 60 and len(sides[1]) == 4 and not sides[0] & sides[1]
    with pytest.raises(answers.SetupError, match="5 different prompts; 10 or more"):
        answers.split_rows(rows[:5], 4, "rows")


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("42", "42", True),
        ("so it is 1,042.0.", "1042", True),
        ("first 42, then 43", "42", False),
        (r"\boxed{41} no, \boxed{42}", "42", True),
        ("42 #### 41", "42", False),
        ("The answer is: Blue.", "blue", True),
        ("red", "blue", False),
        ("", "0", False),
        (r"\frac{1}{2}", r"$\frac{1}{2}$", True),
    ],
)
def test_answers_are_compared_by_meaning(load: Any, text: str, answer: str, right: bool) -> None:
    assert load("answers").is_right(text, answer) is right


# The large setting, with a model of a few thousand random weights


def make_model(folder: Path, *, tokens: int = 0, end: bool = True) -> None:
    require("transformers")
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {symbol: index for index, symbol in enumerate(["<pad>", "<end>", "<unk>", *"0123456789+="])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    named = {"eos_token": "<end>"} if end else {}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **named
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokens or len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=1,
        bos_token_id=None,
        pad_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def large(tmp_path: Path) -> dict[str, Any]:
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in range(8) for b in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model": str(tmp_path / "model"),
        "data": str(tmp_path / "rows.jsonl"),
        "steps": 2,
        "max_prompt_tokens": 16,
        "max_new_tokens": 4,
        "micro_batch": 8,
        "batches": 2,
        "held_out": 8,
    }


async def test_local_model_is_trained_and_cheating_program_gains_nothing(
    load: Any, hand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare an evaluation of a cheating program in the real sandbox with an honest one in this process."""
    monkeypatch.chdir(tmp_path)
    settings = large(tmp_path)
    make_model(tmp_path / "model")
    thief = SEED + THIEF.replace("TASK_FOLDER", repr(str(RL.folder)))
    rewards, mask = np.ones((1, 2), np.float32), np.ones((1, 2, 3), np.float32)
    with pytest.raises(RuntimeError, match=r"loot: .*problems\.py"):  # there is no sandbox between them
        hand(thief).advantages(rewards, mask, mask, 0.0)
    # With limits only a candidate sees the task's files.
    confined = sandbox_name() != "limits"
    outcome, seen = await RL.evaluate(tmp_path, thief if confined else SEED, mounts=[tmp_path], **{**SMALL, **settings})
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if find_sandbox().guards else "open")
    assert outcome.metrics["held_out_prompts"] == 8 and 0 <= outcome.metrics["exact"] <= 1
    assert outcome.metrics["kl"] > 0
    report, algorithm = Report(RL, **{**SMALL, **settings}), hand(SEED, "language model")
    algorithm.advantages(rewards, mask, mask, 0.0)  # loaded before the training seeds the shared generator
    honest = untimed(load("language_model").evaluate_model(algorithm._candidate, report))
    assert untimed(outcome.metrics) | {"score": outcome.score} == honest
    assert seen == report.seen and [step for step, _ in seen] == [1, 2]


def test_micro_batches_do_not_change_update(load: Any, hand: Any, tmp_path: Path) -> None:
    settings = {**RL.spec.settings, **SMALL, **large(tmp_path), "learning_rate": 1e-3}
    make_model(tmp_path / "model")
    module, found = load("language_model"), []
    for size in (3, 64):
        run = module.LanguageModel({**settings, "micro_batch": size}, 1, "cpu")
        run.write = patient(run.write)
        step = run.step(hand(SEED.replace("rewards - baseline(rewards)", "torch.arange(4.0) - 1.5")), 0.0)
        found.append((step, [parameter.detach().clone() for parameter in run.model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def patient(write: Callable[..., Any]) -> Callable[..., Any]:
    """Sample with the same seed each time."""

    def again(*arguments: Any) -> Any:
        torch.manual_seed(7)
        return write(*arguments)

    return again


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"tokens": 9}, "does not fit: it has 15 tokens, the model has 9 embeddings"),
        ({"end": False}, "does not fit: it has no end-of-sequence token"),
    ],
)
def test_unfit_tokenizer_is_refused(load: Any, tmp_path: Path, broken: Any, why: str) -> None:
    make_model(tmp_path / "model", **broken)
    module = load("language_model")
    with pytest.raises(load("answers").SetupError, match=why):
        module.LanguageModel({**RL.spec.settings, **large(tmp_path)}, 0, "cpu")


def test_prompts_that_cannot_be_encoded_are_reported_with_line(load: Any, tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    settings, module, wrong = large(tmp_path), load("language_model"), load("answers").SetupError
    rows = (tmp_path / "rows.jsonl").read_text()
    for prompt, why in (("what?", "5 of the prompt's 5 tokens are unknown"), ("1+" * 9, "has 18 tokens, above")):
        (tmp_path / "rows.jsonl").write_text(rows + json.dumps({"prompt": prompt, "answer": "1"}) + "\n")
        with pytest.raises(wrong, match=f"rows.jsonl:65: .*{why}"):
            module.LanguageModel({**RL.spec.settings, **settings}, 0, "cpu")
    with pytest.raises(wrong, match=r"is no model: there is no config\.json"):
        module.load(str(tmp_path), "cpu")
