"""Small problems with verifiable answers: sorting, addition, string transforms.

A problem has a vocabulary, a way to draw prompts, and one right answer to each. Prompts are rows of `width` tokens,
padded with blanks on the left; answers end with END and are padded with it, so that an answer's own tokens are those up
to the first END. A fifth of all prompts, selected by a hash of the row, is held out: training never draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["PROBLEMS", "Problem", "draw", "find", "mark", "rewards"]

HELD_OUT = 5
"""One prompt in this many is held out."""

Draw = Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Problem:
    """A problem over the tokens 0 to symbols-1, BLANK (also the separator) and END."""

    name: str
    symbols: int
    width: int
    """Tokens of a prompt, including the separator at its end."""
    longest: int
    """Tokens of the longest answer, including its END."""
    make: Draw
    """Draw prompts [n, width] and answers [n, longest]."""

    @property
    def blank(self) -> int:
        return self.symbols

    @property
    def end(self) -> int:
        return self.symbols + 1

    @property
    def vocabulary(self) -> int:
        return self.symbols + 2


def _strings(count: int, rng: torch.Generator, symbols: int, shortest: int, longest: int) -> torch.Tensor:
    """Draw random strings, right-aligned: [count, longest], padded with -1."""
    text = torch.randint(0, symbols, (count, longest), generator=rng)
    length = torch.randint(shortest, longest + 1, (count, 1), generator=rng)
    return text.masked_fill(torch.arange(longest) < longest - length, -1)


def _prompt(text: torch.Tensor, blank: int) -> torch.Tensor:
    """Replace padding by blanks and append the separator."""
    return torch.cat([text.masked_fill(text < 0, blank), torch.full((len(text), 1), blank)], 1)


def _answer(text: torch.Tensor, end: int) -> torch.Tensor:
    """Move the text to the left, and end and pad it with END."""
    order = torch.sort((text < 0).int(), dim=1, stable=True).indices
    moved = text.gather(1, order)
    return torch.cat([moved.masked_fill(moved < 0, end), torch.full((len(text), 1), end)], 1)


def _string_problem(name: str, symbols: int, shortest: int, longest: int, change: Callable) -> Problem:
    def make(count: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        text = _strings(count, rng, symbols, shortest, longest)
        return _prompt(text, symbols), _answer(change(text), symbols + 1)

    return Problem(name, symbols, longest + 1, longest + 1, make)


def _sorted(text: torch.Tensor) -> torch.Tensor:
    return text.sort(1).values


def _reversed(text: torch.Tensor) -> torch.Tensor:
    return text.flip(1)


def _without_repeats(text: torch.Tensor) -> torch.Tensor:
    """Keep only the first of equal neighbours."""
    repeats = torch.zeros_like(text, dtype=torch.bool)
    repeats[:, 1:] = text[:, 1:] == text[:, :-1]
    return text.masked_fill(repeats, -1)


def _sum_problem(name: str, base: int, digits: int) -> Problem:
    """Add two numbers, lowest digits first in the prompt (in pairs) and in the answer."""

    def make(count: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = torch.randint(0, base, (count, digits, 2), generator=rng)
        total = (pairs.sum(2) * base ** torch.arange(digits)).sum(1, keepdim=True)
        figures = total // base ** torch.arange(digits + 1) % base
        # Drop a leading zero.
        figures[:, -1:] = figures[:, -1:].masked_fill(figures[:, -1:] == 0, -1)
        return _prompt(pairs.reshape(count, -1), base), _answer(figures, base + 1)

    return Problem(name, base, 2 * digits + 1, digits + 2, make)


PROBLEMS = {
    problem.name: problem
    for problem in (
        _string_problem("sort", 7, 3, 5, _sorted),
        _string_problem("sort_long", 8, 4, 6, _sorted),
        _string_problem("reverse", 8, 3, 5, _reversed),
        _string_problem("reverse_long", 10, 4, 6, _reversed),
        _string_problem("unrepeat", 3, 3, 6, _without_repeats),
        _sum_problem("add", 4, 2),
        _sum_problem("add_long", 5, 2),
    )
}


def find(name: str) -> Problem:
    """Return the problem with this name.

    Raises:
        ValueError: there is none.
    """
    if name not in PROBLEMS:
        raise ValueError(f"`problems` in the settings names '{name}'; there are {', '.join(PROBLEMS)}")
    return PROBLEMS[name]


def _is_held_out(prompts: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor([pow(31, place, 10007) for place in range(prompts.shape[1])])
    return ((prompts + 1) * weights).sum(1) * 7919 % 10007 % HELD_OUT == 0


def draw(problem: Problem, count: int, rng: torch.Generator, *, held_out: bool = False) -> tuple[torch.Tensor, ...]:
    """Draw prompts and answers from one side of the split: [count, width], [count, longest]."""
    prompts, answers = [], []
    found = 0
    while found < count:
        x, y = problem.make(2 * count, rng)
        side = _is_held_out(x) == held_out
        prompts.append(x[side])
        answers.append(y[side])
        found += int(side.sum())
    return torch.cat(prompts)[:count], torch.cat(answers)[:count]


def mark(tokens: torch.Tensor, end: int) -> torch.Tensor:
    """Return a float mask, in the tokens' shape, of those that belong to an answer: up to and with the first END."""
    ended = (tokens == end).int().cumsum(-1)
    return ((ended - (tokens == end).int()) == 0).float()


def rewards(tokens: torch.Tensor, answers: torch.Tensor, end: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reward answers: half for tokens at the right position, half for a completely right answer.

    Args:
        tokens: the written tokens, [n, longest].
        answers: the right tokens, [n, longest].

    Returns:
        The reward in [0, 1], the share of right tokens, and 1.0 for completely right answers, else 0.0: [n] each.
    """
    ours, theirs = mark(tokens, end), mark(answers, end)
    span = torch.maximum(ours, theirs)
    share = ((tokens == answers) * ours * theirs).sum(1) / span.sum(1)
    exact = (share == 1.0).float()
    return 0.5 * share + 0.5 * exact, share, exact
