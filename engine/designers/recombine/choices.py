"""The edits open to one request, each with the arm that its outcome is credited to."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cognition.prior import Prior
from engine.designers.base import DesignRequest
from engine.designers.recombine.bandit import Steps
from engine.designers.recombine.messages import (
    Constant,
    Edit,
    Graft,
    Options,
    Replaced,
    Revert,
    SetConstant,
    SetLiteral,
)

__all__ = ["Choice", "list_choices"]

_BLAME = re.compile(r"\b(crashed|failed|fails|invalid|lost|rejected|slower|timeout|worse|worsened)\b", re.IGNORECASE)
_TITLE_LENGTH = 48


class Choice(NamedTuple):
    """One edit that could be made."""

    operator: str
    """`tune`, `swap`, `exchange` or `drop`."""
    arm: str
    """`operator/what/…`: what the bandit learns about."""
    part: str
    """The function or constant that it touches: a program gets one edit of it."""
    edit: Callable[[random.Random, Steps], Edit]
    told: Callable[[Edit], tuple[str, str]]
    """Name and reason of the edit as made."""
    prior: str = ""
    node: int | None = None


def list_choices(
    request: DesignRequest, options: Options, code: Mapping[str, str], priors: Mapping[str, Prior]
) -> list[Choice]:
    """Every edit that the request allows, in a fixed order.

    Args:
        request: what the round knows.
        options: what the parent's program offers.
        code: the donors' code by key.
        priors: the prior of every recipe, by the recipe's key.
    """
    choices = [_swap(option, code, priors) for option in options.swaps]
    choices += [_exchange(option, code) for option in options.exchanges]
    choices += [choice for constant in options.constants for choice in _tune(constant)]
    choices += _drop(request, options, code, priors)
    return choices


def _swap(option: Replaced, code: Mapping[str, str], priors: Mapping[str, Prior], operator: str = "swap") -> Choice:
    prior = priors[option.donor]
    why = f"The prior “{prior.title}” offers another {option.function}."
    return _graft(option, code, operator, _short(prior.title), why, prior=prior.id)


def _exchange(option: Replaced, code: Mapping[str, str], operator: str = "exchange") -> Choice:
    why = f"Node #{option.donor} has another {option.function}, which may suit this program too."
    return _graft(option, code, operator, f"from #{option.donor}", why, node=int(option.donor))


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
    told = (f"{operator} {option.function}: {source}", why)
    return Choice(operator, arm, option.function, lambda _rng, _steps: edit, lambda _edit: told, prior, node)


def _drop(
    request: DesignRequest, options: Options, code: Mapping[str, str], priors: Mapping[str, Prior]
) -> list[Choice]:
    """Other versions of what a lesson blames: the seed's, another node's, a recipe's."""
    found: list[Choice] = []
    for function, lesson in _blamed(request, options):
        why = f"A lesson blames {function} (“{_short(lesson, 90)}”)."
        versions = [
            *(_swap(option, code, priors, "drop") for option in options.swaps if option.function == function),
            *(_exchange(option, code, "drop") for option in options.exchanges if option.function == function),
            *(_reverted(option) for option in options.reverts if option.function == function),
        ]
        found += [_because(version, why) for version in versions]
    return found


def _reverted(option: Replaced) -> Choice:
    edit = Revert(option.function, int(option.donor))
    told = (f"drop {option.function}: back to the seed's", "The seed's version comes back.")
    return Choice("drop", f"drop/{option.function}", option.function, lambda _rng, _steps: edit, lambda _edit: told)


def _because(choice: Choice, why: str) -> Choice:
    def told(edit: Edit) -> tuple[str, str]:
        name, reason = choice.told(edit)
        return name, f"{why} {reason}"

    return Choice(choice.operator, choice.arm, choice.part, choice.edit, told, choice.prior, choice.node)


def _blamed(request: DesignRequest, options: Options) -> Iterator[tuple[str, str]]:
    """Functions of the parent that a lesson names in connection with a failure, and the lesson.

    A lesson on another node counts where the parent has the very same function.
    """
    shared = {(option.donor, option.function) for option in options.shared}
    told: set[str] = set()
    for node in [request.parent, *request.inspirations]:
        if not _BLAME.search(node.lesson):
            continue
        words = set(re.findall(r"\w+", node.lesson))
        for function in options.functions:
            own = node.id == request.parent.id or (str(node.id), function) in shared
            if function in words and own and function not in told:
                told.add(function)
                yield function, node.lesson


def _tune(constant: Constant) -> Iterator[Choice]:
    """A step up and a step down, as far as the bounds allow."""
    label = constant.name if constant.index is None else f"{constant.name}()"
    for direction in ("up", "down"):
        if _extreme(constant, direction) == constant.value:
            continue

        def edit(rng: random.Random, steps: Steps, direction: str = direction) -> Edit:
            value = _moved(constant, direction, rng, steps.size(label))
            if constant.index is not None:
                return SetLiteral(constant.name, constant.index, float(value))
            return SetConstant(constant.name, value)

        def told(made: Edit) -> tuple[str, str]:
            assert isinstance(made, SetConstant | SetLiteral)
            where = constant.name if constant.index is None else f"a number in {constant.name}"
            change = f"{constant.value:.5g} → {made.value:.5g}"
            return f"tune {where} {change}", f"{where} goes {change} ({constant.kind})."

        part = label if constant.index is None else f"{label}/{constant.index}"
        yield Choice("tune", f"tune/{label}/{direction}", part, edit, told)


def _extreme(constant: Constant, direction: str) -> float:
    """The farthest value in a direction; for an effort that steps down past its bound, the value itself."""
    size = abs(constant.value)
    bound = max(constant.high, size) if direction == "up" else min(constant.low, size)
    return math.copysign(bound, constant.value)


def _moved(constant: Constant, direction: str, rng: random.Random, step: float) -> int | float:
    """The constant's next value."""
    if constant.kind == "effort":
        factor = 2.0
    elif constant.kind == "tolerance":
        factor = 10.0
    else:
        factor = math.exp(min(math.log(10), step * (0.1 + abs(rng.gauss(0, 1)))))
    size = abs(constant.value) * factor if direction == "up" else abs(constant.value) / factor
    size = min(max(size, constant.low), constant.high)
    if isinstance(constant.value, int):
        moved = round(size)
        if moved == abs(constant.value):
            moved += 1 if direction == "up" else -1
        return int(math.copysign(min(max(moved, math.ceil(constant.low)), math.floor(constant.high)), constant.value))
    return float(f"{math.copysign(size, constant.value):.4g}")


def _short(text: str, length: int = _TITLE_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
