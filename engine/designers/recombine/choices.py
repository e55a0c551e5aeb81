"""The edits open to one request, each with the arm that its outcome is credited to."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from cognition.prior import Prior
from engine.designers.recombine.bandit import Steps
from engine.designers.recombine.messages import (
    Change,
    Edit,
    Graft,
    Options,
    Replaced,
    Revert,
    SetValue,
    TakeValues,
    Tunable,
    Value,
)
from engine.designers.recombine.moves import directions, move, reach
from engine.llm.requests import ContextNode

__all__ = ["Choice", "list_choices"]

_BLAME = re.compile(r"\b(crashed|failed|fails|invalid|lost|rejected|slower|timeout|worse|worsened)\b", re.IGNORECASE)
_TITLE_LENGTH = 48
_NAMED = 2
"""Changed numbers that a title names."""


class Choice(NamedTuple):
    """One edit that could be made."""

    operator: str
    """`tune`, `swap`, `exchange` or `drop`."""
    arm: str
    """`operator/what/…`: what the bandit learns about; an exchange of numbers alone is `cross`."""
    part: str
    """The function or value that it touches: a program gets one edit of it."""
    edit: Callable[[random.Random, Steps], Edit]
    told: Callable[[Sequence[Change]], tuple[str, str]]
    """Name and reason of the edit, by what it changed in fact."""
    every: list[Edit] | None
    """All edits that it may come to; None where they are too many to be listed."""
    prior: str = ""
    node: int | None = None


def list_choices(
    parent: ContextNode,
    others: Sequence[ContextNode],
    options: Options,
    code: Mapping[str, str],
    priors: Mapping[str, Prior],
) -> list[Choice]:
    """Every edit that a program allows, in a fixed order.

    Args:
        parent: the program's node.
        others: the other nodes shown.
        options: what the parent's program offers.
        code: the donors' code by key.
        priors: the prior of every recipe, by the recipe's key.
    """
    choices = [_swap(option, code, priors) for option in options.swaps]
    choices += [_exchange(option, code) for option in options.exchanges]
    choices += [_cross(option, code) for option in options.crossings]
    choices += [choice for tunable in options.tunables for choice in _tune(tunable)]
    choices += _drop([parent, *others], options, code, priors)
    return choices


def _swap(option: Replaced, code: Mapping[str, str], priors: Mapping[str, Prior], operator: str = "swap") -> Choice:
    prior = priors[option.donor]
    why = f"The prior “{prior.title}” offers another {option.function}."
    return _graft(option, code, operator, _short(prior.title), why, prior=prior.id)


def _exchange(option: Replaced, code: Mapping[str, str], operator: str = "exchange") -> Choice:
    why = f"Node #{option.donor} has another {option.function}, which may suit this program too."
    return _graft(option, code, operator, f"from #{option.donor}", why, node=int(option.donor))


def _cross(option: Replaced, code: Mapping[str, str], operator: str = "exchange") -> Choice:
    def edit(rng: random.Random, _steps: Steps) -> Edit:
        return TakeValues(option.function, code[option.donor], rng.getrandbits(32))

    def told(changes: Sequence[Change]) -> tuple[str, str]:
        why = f"Node #{option.donor} has the same {option.function} with other numbers; some may suit this program."
        return f"{operator} {_changed(changes)}: from #{option.donor}", why

    # What numbers there are to take is in reach of tuning as well, where that can be listed.
    arm = f"{'cross' if operator == 'exchange' else operator}/{option.function}"
    return Choice(operator, arm, option.function, edit, told, [], node=int(option.donor))


def _graft(
    option: Replaced,
    code: Mapping[str, str],
    operator: str,
    source: str,
    why: str,
    prior: str = "",
    node: int | None = None,
) -> Choice:
    edit = Graft(option.function, code[option.donor])
    arm = f"{operator}/{option.function}" + (f"/{option.donor}" if prior else "")
    told = partial(_grafted, operator, option.function, source, why)
    return Choice(operator, arm, option.function, lambda _rng, _steps: edit, told, [edit], prior, node)


def _grafted(operator: str, function: str, source: str, why: str, changes: Sequence[Change]) -> tuple[str, str]:
    """The function where its text is another one; else what became different by its coming."""
    values = [change for change in changes if change.what == "value"]
    if any(change.owner == function and change.what != "value" for change in changes):
        return f"{operator} {function}: {source}" + (f" ({_changed(values)})" if values else ""), why
    return f"{operator} {_changed(values or changes)}: {source}", why


def _drop(
    nodes: Sequence[ContextNode], options: Options, code: Mapping[str, str], priors: Mapping[str, Prior]
) -> list[Choice]:
    """Other versions of what a lesson blames: the seed's, another node's, a recipe's."""
    found: list[Choice] = []
    for function, lesson in _blamed(nodes, options):
        why = f"A lesson blames {function} (“{_short(lesson, 90)}”)."
        versions = [
            *(_swap(option, code, priors, "drop") for option in options.swaps if option.function == function),
            *(_exchange(option, code, "drop") for option in options.exchanges if option.function == function),
            *(_cross(option, code, "drop") for option in options.crossings if option.function == function),
            *(_reverted(option) for option in options.reverts if option.function == function),
        ]
        found += [_because(version, why) for version in versions]
    return found


def _reverted(option: Replaced) -> Choice:
    edit = Revert(option.function, int(option.donor))
    told = partial(_grafted, "drop", option.function, "back to the seed's", "The seed's version comes back.")
    arm = f"drop/{option.function}"
    return Choice("drop", arm, option.function, lambda _rng, _steps: edit, told, [edit])


def _because(choice: Choice, why: str) -> Choice:
    def told(changes: Sequence[Change]) -> tuple[str, str]:
        name, reason = choice.told(changes)
        return name, f"{why} {reason}"

    return choice._replace(told=told)


def _blamed(nodes: Sequence[ContextNode], options: Options) -> Iterator[tuple[str, str]]:
    """Functions of the first node, the parent, that a lesson names in connection with a failure, and the lesson.

    A lesson on another node counts where the parent has the very same function.
    """
    shared = {(option.donor, option.function) for option in options.shared}
    told: set[str] = set()
    for node in nodes:
        if not _BLAME.search(node.lesson):
            continue
        words = set(re.findall(r"\w+", node.lesson))
        for function in options.functions:
            own = node is nodes[0] or (str(node.id), function) in shared
            if function in words and own and function not in told:
                told.add(function)
                yield function, node.lesson


def _tune(tunable: Tunable) -> Iterator[Choice]:
    """A step in every direction that is open."""
    step_of = tunable.arm.removeprefix("tune/")
    for direction in directions(tunable):

        def edit(rng: random.Random, steps: Steps, direction: str = direction) -> Edit:
            return _set(tunable, move(tunable, direction, rng, steps.size(step_of)))

        def told(changes: Sequence[Change]) -> tuple[str, str]:
            return f"tune {_changed(changes)}", f"{_changed(changes, most=len(changes))} ({tunable.kind})."

        values = reach(tunable, direction)
        every = None if values is None else [_set(tunable, value) for value in values]
        part = f"{tunable.owner}#{tunable.index}"
        yield Choice("tune", f"{tunable.arm}/{direction}", part, edit, told, every)


def _set(tunable: Tunable, value: Value) -> Edit:
    return SetValue(tunable.owner, tunable.index, tunable.value, value)


def _changed(changes: Sequence[Change], most: int = _NAMED) -> str:
    """What changed, number by number."""
    texts = [
        f"{change.name} {change.old} → {change.new}" if change.what == "value" else change.name for change in changes
    ]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _short(text: str, length: int = _TITLE_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
