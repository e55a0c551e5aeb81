"""Learning from rewards: what its problems, trainer, contract and evaluator promise, and that its recipes work."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import require

require("torch")

import torch

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import check_recipes
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation import evolve_task
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.sandbox import sandbox_name
from engine.task.interface import check_program
from engine.task.load import find_task, load_task

torch.set_num_threads(1)

TASK = load_task(find_task("rl_algorithm"))
PRIORS = PriorFolder(TASK.priors).read()
SEED = TASK.seeds[0].code
ROLES = {
    "baseline",
    "spread",
    "normalise",
    "reshape",
    "credit",
    "importance",
    "surrogate",
    "penalty",
    "exploration",
    "average",
}
MODULES = ("answers", "beside", "candidate", "evaluate", "language_model", "policy", "problems", "program", "trainer")
SMALL = {"prompts": 8, "answers": 4, "steps": 4, "measure_every": 2, "held_out": 32, "width": 16, "heads": 2}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports one of the task's files, into this test only."""
    monkeypatch.syspath_prepend(str(TASK.folder))
    monkeypatch.setitem(sys.modules, "evolve_task", evolve_task)

    def forget() -> None:
        for name in MODULES:
            sys.modules.pop(name, None)

    forget()
    yield importlib.import_module
    forget()


@pytest.fixture
def hand(load: Callable[[str], Any], tmp_path: Path) -> Callable[[str], Any]:
    """A program as the trainer sees it, without a sandbox between them."""

    def make(code: str, name: str = "a test") -> Any:
        path = tmp_path / "program.py"
        path.write_text(code)
        module = types.ModuleType("program")
        module.__file__ = str(path)
        exec(compile(code, path, "exec"), module.__dict__)
        sys.modules["program"] = module
        sys.modules.pop("beside", None)
        beside = load("beside")

        class Session:
            def call(self, function: str, *arguments: Any) -> Any:
                return evolve_task._decode(evolve_task._encode(getattr(beside, function)(*arguments)))

        candidate = load("candidate")
        return candidate.Hand(candidate.Candidate(Session()), name)

    return make


async def evaluate(tmp_path: Path, program: str, seed: int = 3, **settings: Any) -> tuple[Outcome, list[Any]]:
    """A real evaluation, and what it reported."""
    seen: list[Any] = []
    job = Job(
        program=program,
        task_folder=TASK.folder,
        folder=tmp_path / f"evaluation-{len(list(tmp_path.iterdir()))}",
        metric="score",
        guarded=True,
        gpu=False,
        python=None,
        mounts=[str(tmp_path)],
        stage="explore",
        repeat=0,
        seed=seed,
        settings={**TASK.spec.settings, **SMALL, **settings},
        limits=TASK.spec.limits,
        threads=1,
    )
    evaluation = await Evaluation.start(job, lambda step, values: seen.append((step, values)))
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome, seen


# The folder


def test_task_folder_passes_check() -> None:
    assert TASK.spec.guarded and TASK.spec.noisy
    assert set(parse_program(SEED).functions) == ROLES | {"advantages", "policy_loss"}
    assert check_recipes(TASK.seeds, PRIORS) == []
    assert PriorFolder(TASK.priors).problems == []


def test_every_prior_has_source_and_every_part_has_recipe() -> None:
    assert len(PRIORS) >= 15 and sum(bool(prior.recipes) for prior in PRIORS) >= 6
    assert all(prior.source and prior.tags and prior.title for prior in PRIORS)
    recipes = [recipe for prior in PRIORS for recipe in prior.recipes]
    assert {name for recipe in recipes for name in parse_program(recipe.code).functions} & ROLES == ROLES
    assert all(len(set(parse_program(recipe.code).functions) & ROLES) == 1 for recipe in recipes)


def grafted(prior: Prior) -> str:
    code, components = SEED, frozenset(parse_program(SEED).functions)
    for recipe in prior.recipes:
        for function in set(parse_program(recipe.code).functions) & ROLES:
            code = graft(parse_program(code), parse_program(recipe.code), function, components)
    check_program(code, TASK.spec)
    return code


@pytest.mark.parametrize("prior", [prior for prior in PRIORS if prior.recipes], ids=lambda prior: prior.id)
def test_every_recipe_keeps_contract(load: Any, hand: Any, prior: Prior) -> None:
    load("candidate").probe(hand(grafted(prior)))


# Problems


def expected(name: str, symbols: int, prompt: list[int]) -> list[int]:
    """The right answer, worked out in another way."""
    text = [token for token in prompt if token != symbols]
    if name.startswith("sort"):
        return sorted(text)
    if name.startswith("reverse"):
        return text[::-1]
    if name == "unrepeat":
        return [token for index, token in enumerate(text) if index == 0 or token != text[index - 1]]
    places = [symbols**index for index in range(len(text) // 2)]
    total = sum((a + b) * place for a, b, place in zip(text[::2], text[1::2], places, strict=True))
    figures = [total // place % symbols for place in [*places, symbols ** len(places)]]
    return figures if figures[-1] else figures[:-1]


def test_answers_are_right_and_training_draws_no_held_out_prompt(load: Any) -> None:
    problems = load("problems")
    rng = torch.Generator().manual_seed(0)
    for name, problem in problems.PROBLEMS.items():
        sides = []
        for held_out in (False, True):
            prompts, answers = problems.draw(problem, 200, rng, held_out=held_out)
            assert prompts.shape == (200, problem.width) and answers.shape == (200, problem.longest)
            for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True):
                right = expected(name, problem.symbols, prompt)
                assert answer == right + [problem.end] * (problem.longest - len(right))
            reward, share, exact = problems.rewards(answers, answers, problem.end)
            assert reward.min() == share.min() == exact.min() == 1
            sides.append({tuple(prompt) for prompt in prompts.tolist()})
        assert not sides[0] & sides[1] and len(sides[1]) > 20


@pytest.mark.parametrize(
    ("written", "share"),
    [
        ([1, 2, 3, 9, 9], 1.0),
        ([1, 2, 3, 9, 5], 1.0),  # what follows the end does not count
        ([1, 2, 4, 9, 9], 0.75),
        ([1, 2, 9, 9, 9], 0.5),
        ([1, 2, 3, 3, 9], 0.6),
        ([9, 1, 2, 3, 9], 0.0),
        ([9, 9, 9, 9, 9], 0.0),  # an end in the right place is none when the answer ended before
    ],
)
def test_rewards_of_answers(load: Any, written: list[int], share: float) -> None:
    answers = torch.tensor([[1, 2, 3, 9, 9]])
    reward, found, exact = load("problems").rewards(torch.tensor([written]), answers, 9)
    assert float(found) == pytest.approx(share)
    assert float(exact) == (share == 1)
    assert float(reward) == pytest.approx(0.5 * share + 0.5 * (share == 1))


# Policy and trainer


def test_sampling_and_scoring_agree_with_plain_model(load: Any) -> None:
    policy, rng = load("policy").Policy(10, 12, width=16, heads=2), torch.Generator().manual_seed(1)
    prompts = torch.randint(0, 10, (5, 7), generator=rng)
    tokens, sampled = policy.write(prompts, 5, 3, rng)
    scored, entropy = policy.score(prompts, tokens)
    whole = torch.cat([prompts.repeat_interleave(3, 0), tokens], 1)[:, :-1]
    logp = torch.log_softmax(policy(whole)[:, 6:], -1)
    assert torch.allclose(sampled, scored, atol=1e-5)
    assert torch.allclose(scored, logp.gather(2, tokens[..., None])[..., 0], atol=1e-5)
    assert torch.allclose(entropy, -(logp.exp() * logp).sum(-1), atol=1e-5)


def test_update_matches_autograd_of_loss(load: Any, hand: Any) -> None:
    code = SEED.replace("torch.zeros_like(entropy)", "0.03 * entropy")
    trainer, problems = load("trainer"), load("problems")
    settings = {**TASK.spec.settings, **SMALL, "batches": 1}
    runs = [trainer.Run(problems.PROBLEMS["sort"], 5, settings) for _ in range(2)]
    program: dict[str, Any] = {}
    exec(code, program)

    class Direct:
        """The program's loss on the policy's own graph."""

        def advantages(self, rewards: Any, mask: Any, logp_old: Any, progress: float) -> Any:
            found = program["advantages"](*map(torch.from_numpy, (rewards, mask, logp_old)), progress)
            return found.numpy()

        def gradient(self, parts: dict[str, Any], progress: float) -> Any:
            leaves = {name: torch.from_numpy(value) for name, value in parts.items()}
            logp, entropy = (leaves[name].requires_grad_() for name in ("logp", "entropy"))
            names = ("logp", "logp_old", "logp_ref", "advantages", "mask", "entropy")
            loss = program["policy_loss"](*(leaves[name] for name in names), progress)
            loss.backward()
            return float(loss.detach()), logp.grad.numpy(), entropy.grad.numpy()

    found = [runs[0].step(hand(code)), runs[1].step(Direct())]
    assert found[0] == found[1]
    for ours, theirs in zip(runs[0].policy.parameters(), runs[1].policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    untrained = trainer.Run(problems.PROBLEMS["sort"], 5, settings).policy.parameters()
    assert not all(torch.equal(a, b) for a, b in zip(runs[0].policy.parameters(), untrained, strict=True))


def test_policy_learns_from_good_but_not_reversed_signal(load: Any, hand: Any) -> None:
    trainer, problem = load("trainer"), load("problems").PROBLEMS["add"]
    settings = {**TASK.spec.settings, "prompts": 16, "steps": 12, "held_out": 128, "width": 32}
    learned = {}
    for name, code in {"seed": SEED, "reversed": SEED.replace("return -average", "return average")}.items():
        run, algorithm = trainer.Run(problem, 1, settings), hand(code)
        before = run.measure()[1]
        for _ in range(settings["steps"]):
            run.step(algorithm)
        learned[name] = run.measure()[1] - before
    assert learned["seed"] > 0.1
    assert learned["reversed"] < 0.05


# The contract

LOSS = "    return -average(gain, mask)"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (LOSS, "    return 1.0", "must return a tensor with one number .* something else"),
        (LOSS, "    return gain", r"of the shape \[\] or \[1\]; it returned one of the shape \[4, 8, 6\]"),
        (LOSS, "    return average(gain, mask).detach()", "gradient by logp is zero everywhere"),
        (LOSS, "    return average(entropy, mask)", "gradient by logp is zero everywhere"),
        (LOSS, "    return -gain.mean()", r"its gradient by logp is 0\.\d+ where the mask is 0"),
        (LOSS, "    return -average(gain, mask) + entropy.mean()", "its gradient by entropy is"),
        (LOSS, "    return average(torch.sqrt(-mask - gain * 0), mask)", r"finite numbers; 1 of 1 were not \(a test"),
        ("+ EPSILON", "", r"advantages\(\) must return a tensor of finite numbers; 48 of 192 were not"),
        ("scores[..., None] * mask", "scores[:, :1]", r"of the shape \[4, 8, 6\] or \[4, 8\]; it returned .*\[4, 1\]"),
        ("scores[..., None] * mask", "None", "it returned something else"),
    ],
)
def test_broken_contract_is_refused_with_figure(load: Any, hand: Any, old: str, new: str, why: str) -> None:
    assert old in SEED
    with pytest.raises(evolve_task.Invalid, match=why):
        load("candidate").probe(hand(SEED.replace(old, new)))


def test_advantages_of_answers_apply_to_every_token(load: Any, hand: Any) -> None:
    whole = hand(SEED.replace("scores[..., None] * mask", "scores"))
    load("candidate").probe(whole)
    rewards, mask = np.array([[0.0, 1.0]], np.float32), np.ones((1, 2, 3), np.float32)
    found = whole.advantages(rewards, mask, mask, 0.0)
    assert found.shape == (1, 2, 3) and (found == found[:, :, :1]).all() and (found[0, 1] > found[0, 0]).all()


def test_program_keeps_state_within_one_training_only(hand: Any) -> None:
    code = SEED + "\nCALLS = [0]\n\ndef normalise(rewards):\n    CALLS[0] += 1\n    return rewards * 0 + CALLS[0]\n"
    first = hand(code, "one")
    rewards, mask = np.ones((1, 2), np.float32), np.ones((1, 2, 3), np.float32)
    assert [first.advantages(rewards, mask, mask, 0.0).max() for _ in range(3)] == [1, 2, 3]
    first._name = "another"
    assert first.advantages(rewards, mask, mask, 0.0).max() == 1


# Evaluations


# Looks for what it must not see; where it finds nothing it spoils its arguments and what it shares a process with.
THIEF = """
import gc, glob, sys, time
import numpy

def _loot():
    found = [type(item).__name__ for item in gc.get_objects() if issubclass(type(item), torch.nn.Module)]
    found += [name for name in sys.modules if name in ("trainer", "problems", "policy", "evaluate")]
    for top in (".", TASK_FOLDER):
        found += [path for name in ("problems", "trainer") for path in glob.glob(f"{top}/**/{name}.py", recursive=True)]
    frame = sys._getframe()
    while frame is not None:
        found += [name for name in frame.f_locals if name in ("tokens", "prompts", "answers", "policy")]
        frame = frame.f_back
    return found

_searched = []
_honest = advantages

def advantages(rewards, mask, logp_old, progress):
    if not _searched:
        _searched.append(_loot())
        if _searched[0]:
            raise RuntimeError(f"loot: {_searched[0]}")
    found = _honest(rewards, mask, logp_old, progress)
    for handed in (rewards, mask, logp_old):
        handed.fill_(1.0)
    numpy.isfinite = numpy.ones_like
    time.perf_counter = lambda: 0.0
    return found
"""


class Report:
    """What an evaluator is handed, for one that runs in this process."""

    device = ""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.seed = {**TASK.spec.settings, **SMALL, **settings}, 3
        self.seen: list[Any] = []

    def __call__(self, step: float, **values: float) -> None:
        self.seen.append((step, values))


def untimed(metrics: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on how fast the machine is."""
    return {name: value for name, value in metrics.items() if name not in ("steps_per_s", "algorithm_share")}


def test_evaluation_is_measured_streamed_and_repeats(load: Any, hand: Any) -> None:
    report, found = Report(), []
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


# Prompts of the user's


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
    """One evaluation in the real sandbox, by a program that looks for more, beside an honest one in this process."""
    monkeypatch.chdir(tmp_path)
    settings = large(tmp_path)
    make_model(tmp_path / "model")
    thief = SEED + THIEF.replace("TASK_FOLDER", repr(str(TASK.folder)))
    rewards, mask = np.ones((1, 2), np.float32), np.ones((1, 2, 3), np.float32)
    with pytest.raises(RuntimeError, match=r"loot: .*problems\.py"):  # where no sandbox is between them
        hand(thief).advantages(rewards, mask, mask, 0.0)
    # Without bubblewrap a candidate sees the task's files.
    confined = sandbox_name() == "bubblewrap"
    outcome, seen = await evaluate(tmp_path, thief if confined else SEED, **settings)
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if sandbox_name() == "bubblewrap" else "open")
    assert outcome.metrics["held_out_prompts"] == 8 and 0 <= outcome.metrics["exact"] <= 1
    assert outcome.metrics["kl"] > 0
    report, algorithm = Report(**settings), hand(SEED, "language model")
    algorithm.advantages(rewards, mask, mask, 0.0)  # loaded before the training seeds what the two share here
    honest = untimed(load("language_model").evaluate_model(algorithm._candidate, report))
    assert untimed(outcome.metrics) | {"score": outcome.score} == honest
    assert seen == report.seen and [step for step, _ in seen] == [1, 2]


def test_micro_batches_do_not_change_update(load: Any, hand: Any, tmp_path: Path) -> None:
    settings = {**TASK.spec.settings, **SMALL, **large(tmp_path), "learning_rate": 1e-3}
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
    """Sampling from the same seed each time."""

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
        module.LanguageModel({**TASK.spec.settings, **large(tmp_path)}, 0, "cpu")


def test_prompts_that_cannot_be_encoded_are_reported_with_line(load: Any, tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    settings, module, wrong = large(tmp_path), load("language_model"), load("answers").SetupError
    rows = (tmp_path / "rows.jsonl").read_text()
    for prompt, why in (("what?", "5 of the prompt's 5 tokens are unknown"), ("1+" * 9, "has 18 tokens, above")):
        (tmp_path / "rows.jsonl").write_text(rows + json.dumps({"prompt": prompt, "answer": "1"}) + "\n")
        with pytest.raises(wrong, match=f"rows.jsonl:65: .*{why}"):
            module.LanguageModel({**TASK.spec.settings, **settings}, 0, "cpu")
    with pytest.raises(wrong, match=r"is no model: there is no config\.json"):
        module.load(str(tmp_path), "cpu")
