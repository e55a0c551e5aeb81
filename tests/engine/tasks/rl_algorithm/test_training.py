"""Problems, policy, trainer and contract of the task rl_algorithm, and that its recipes keep the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.needs import require

require("torch")

import torch

from cognition.prior import Prior
from engine.evaluation import evolve_task

from .conftest import RL, ROLES, SEED, SMALL

torch.set_num_threads(1)

# The folder


def test_task_folder_passes_check() -> None:
    assert RL.spec.guarded and RL.spec.noisy
    assert RL.parts == ROLES | {"advantages", "policy_loss"}
    RL.check_folder()


def test_every_prior_has_source_and_every_part_has_recipe() -> None:
    assert len(RL.priors) >= 15 and len(RL.with_recipes) >= 6
    made = [names & ROLES for prior in RL.priors for names in RL.functions_of(prior)]
    assert all(len(names) == 1 for names in made)
    assert set().union(*made) == ROLES


@pytest.mark.parametrize("prior", RL.with_recipes, ids=lambda prior: prior.id)
def test_every_recipe_keeps_contract(load: Any, hand: Any, prior: Prior) -> None:
    load("candidate").probe(hand(RL.graft(prior)))


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


# Problems


def expected(name: str, symbols: int, prompt: list[int]) -> list[int]:
    """Compute the right answer in another way."""
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
        ([1, 2, 3, 9, 5], 1.0),  # tokens after the end do not count
        ([1, 2, 4, 9, 9], 0.75),
        ([1, 2, 9, 9, 9], 0.5),
        ([1, 2, 3, 3, 9], 0.6),
        ([9, 1, 2, 3, 9], 0.0),
        ([9, 9, 9, 9, 9], 0.0),  # an END does not count after an earlier one
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
    settings = {**RL.spec.settings, **SMALL, "batches": 1}
    runs = [trainer.Run(problems.PROBLEMS["sort"], 5, settings) for _ in range(2)]
    program: dict[str, Any] = {}
    exec(code, program)

    class Direct:
        """Compute the program's loss on the policy's own graph."""

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
    settings = {**RL.spec.settings, "prompts": 16, "steps": 12, "held_out": 128, "width": 32}
    learned = {}
    for name, code in {"seed": SEED, "reversed": SEED.replace("return -average", "return average")}.items():
        run, algorithm = trainer.Run(problem, 1, settings), hand(code)
        before = run.measure()[1]
        for _ in range(settings["steps"]):
            run.step(algorithm)
        learned[name] = run.measure()[1] - before
    assert learned["seed"] > 0.1
    assert learned["reversed"] < 0.05
