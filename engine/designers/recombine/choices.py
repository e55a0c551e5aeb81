"""List the possible edits for a request, each with the arm that gets the credit for its outcome."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from cognition.prior import Prior
from engine.designers.recombine.bandit import Steps
from engine.designers.recombine.messages import (
    Difference,
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
"""The most changed numbers that a title names."""
_STEPS_KEPT = 1024
"""Values whose steps are remembered; a kilobyte each."""


class Choice(NamedTuple):
    """One possible edit."""

    operator: str
    """`tune`, `swap`, `exchange` or `drop`."""
    arm: str
    """The bandit's arm, `operator/PART/…`; an exchange of numbers alone is `cross`."""
    part: str
    """The function or value that it changes: a program gets at most one edit of each part."""
    edit: Callable[[random.Random, Steps], Edit]
    describe: Callable[[Sequence[Difference]], tuple[str, str]]
    """Return name and reason of the edit, given its actual changes."""
    every: Callable[[], list[Edit] | None]
    """Return all concrete edits that it may draw; None if they are too many to list."""
    prior: str = ""
    node: int | None = None


def list_choices(
    parent: ContextNode,
    others: Sequence[ContextNode],
    options: Options,
    code: Mapping[str, str],
    priors: Mapping[str, Prior],
) -> list[Choice]:
    """List every edit that a program allows, in a fixed order.

    Args:
        parent: the program's node.
        others: the other nodes of the request.
        options: the options of the parent's program.
        code: the donors' code by key.
        priors: the prior of every recipe, by the recipe's key.
    """
    choices = [_swap(option, code, priors) for option in options.swaps]
    choices += [_exchange(option, code) for option in options.exchanges]
    choices += [_cross(option, code) for option in options.crossings]
    choices += [choice for tunable in options.tunables for choice in _known_steps(tunable)]
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

    def describe(changes: Sequence[Difference]) -> tuple[str, str]:
        why = f"Node #{option.donor} has the same {option.function} with other numbers; some may suit this program."
        return f"{operator} {_changed(changes)}: from #{option.donor}", why

    # No list of edits: tuning can reach the same numbers, if its edits can be listed.
    arm = f"{'cross' if operator == 'exchange' else operator}/{option.function}"
    return Choice(operator, arm, option.function, edit, describe, list, node=int(option.donor))


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
    describe = partial(_grafted, operator, option.function, source, why)
    return Choice(operator, arm, option.function, lambda _rng, _steps: edit, describe, lambda: [edit], prior, node)


def _grafted(operator: str, function: str, source: str, why: str, changes: Sequence[Difference]) -> tuple[str, str]:
    """Describe a graft: by the function if its text changed, else by the other changes that it caused."""
    values = [change for change in changes if change.what == "value"]
    if any(change.owner == function and change.what != "value" for change in changes):
        return f"{operator} {function}: {source}" + (f" ({_changed(values)})" if values else ""), why
    return f"{operator} {_changed(values or changes)}: {source}", why


def _drop(
    nodes: Sequence[ContextNode], options: Options, code: Mapping[str, str], priors: Mapping[str, Prior]
) -> list[Choice]:
    """List other versions of a function that a lesson blames: the seed's, another node's, a recipe's."""
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
    describe = partial(_grafted, "drop", option.function, "back to the seed's", "The seed's version comes back.")
    arm = f"drop/{option.function}"
    return Choice("drop", arm, option.function, lambda _rng, _steps: edit, describe, lambda: [edit])


def _because(choice: Choice, why: str) -> Choice:
    def describe(changes: Sequence[Difference]) -> tuple[str, str]:
        name, reason = choice.describe(changes)
        return name, f"{why} {reason}"

    return choice._replace(describe=describe)


def _blamed(nodes: Sequence[ContextNode], options: Options) -> Iterator[tuple[str, str]]:
    """Yield functions of the first node, the parent, that a lesson blames for a failure, with the lesson.

    A lesson about another node counts if the parent has exactly the same function.
    """
    shared = {(option.donor, option.function) for option in options.shared}
    blamed: set[str] = set()
    for node in nodes:
        if not _BLAME.search(node.lesson):
            continue
        words = set(re.findall(r"\w+", node.lesson))
        for function in options.functions:
            own = node is nodes[0] or (str(node.id), function) in shared
            if function in words and own and function not in blamed:
                blamed.add(function)
                yield function, node.lesson


def _known_steps(tunable: Tunable) -> list[Choice]:
    """List one step in each allowed direction, from memory if possible: a program shares most values with others."""
    if tunable.kind == "choice":
        return list(_tune(tunable))
    # The value as text, since 1, 1.0 and True are equal, and so are 0.0 and -0.0.
    key = (
        tunable.owner,
        tunable.index,
        tunable.arm,
        tunable.name,
        tunable.kind,
        repr(tunable.value),
        tunable.low,
        tunable.high,
    )
    steps = _steps.get(key)
    if steps is None:
        if len(_steps) == _STEPS_KEPT:
            _steps.clear()
        steps = _steps[key] = list(_tune(tunable))
    return steps


_steps: dict[tuple[object, ...], list[Choice]] = {}


def _tune(tunable: Tunable) -> Iterator[Choice]:
    """Yield one step in each allowed direction."""
    step_of = tunable.arm.removeprefix("tune/")
    for direction in directions(tunable):

        def edit(rng: random.Random, steps: Steps, direction: str = direction) -> Edit:
            return _set(tunable, move(tunable, direction, rng, steps.size(step_of)))

        def describe(changes: Sequence[Difference]) -> tuple[str, str]:
            return f"tune {_changed(changes)}", f"{_changed(changes, most=len(changes))} ({tunable.kind})."

        def every(direction: str = direction) -> list[Edit] | None:
            values = reach(tunable, direction)
            return None if values is None else [_set(tunable, value) for value in values]

        part = f"{tunable.owner}#{tunable.index}"
        yield Choice("tune", f"{tunable.arm}/{direction}", part, edit, describe, every)


def _set(tunable: Tunable, value: Value) -> Edit:
    return SetValue(tunable.owner, tunable.index, tunable.value, value)


def _changed(changes: Sequence[Difference], most: int = _NAMED) -> str:
    """Format changes, number by number."""
    texts = [
        f"{change.name} {change.old} → {change.new}" if change.what == "value" else change.name for change in changes
    ]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _short(text: str, length: int = _TITLE_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
