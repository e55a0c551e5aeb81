"""The designer that needs no model: it recombines what people and earlier rounds wrote down."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

from cognition.prior import Prior
from engine.designers.base import Design, DesignerError, DesignRequest, Mode
from engine.designers.recombine.bandit import Bandit, Steps
from engine.designers.recombine.choices import Choice, list_choices
from engine.designers.recombine.client import EditorClient
from engine.designers.recombine.messages import Donor, Edit, Hello
from engine.events import DesignDone, DesignRejected, EvalDone, Event, PriorsRecalled
from engine.program import remember_outline
from engine.task import Seed, TaskSpec

__all__ = ["OPINIONS", "RecombineDesigner"]

T = TypeVar("T")

_EDITS = (0.55, 0.30, 0.15)
"""How often a design is made of one, two and three edits: half of a good pair may look bad alone."""
OPINIONS = {"swap": (2.0, 2.0), "exchange": (1.0, 3.0), "tune": (1.0, 3.0), "drop": (1.0, 2.0)}
"""Gains and failures of the operators before the first outcome: what a person wrote down for a function is a better
guess than another number, and constants alone led nowhere in the study that this designer goes back to."""
_OPERATORS: dict[Mode, str] = {"crossover": "exchange", "fix": "drop"}
"""What is made of a program where not every edit will do."""
_DRAWS = 24
"""Combinations drawn before a request is given up."""


class RecombineDesigner:
    """Edits the parent's syntax tree: tune a number, swap a function for a recipe, exchange one with another node.

    It invents nothing: every part of its programs was written down in a seed, a prior or an injected program, and
    what it adds is the search among combinations. A bandit learns from the journal which operators, recipes and
    constants gain over the parent. Trees are edited in a child process (`worker.py`), started at the first design.

    Args:
        spec: the task.
        seeds: the programs the run started from. Their functions are the parts that programs keep; without them, all
            functions whose names do not begin with an underscore are.
        gained: whether a node, its evaluation done, is better than its parent, as `RunState.gained` tells.
        bandit: what draws operators and arms; by default one that learns.
        timeout: seconds after which an edit is given up.
    """

    name = "recombine"
    modes: tuple[Mode, ...] = ("diff", "crossover", "fix")
    reads_hints = False

    def __init__(
        self,
        spec: TaskSpec,
        seeds: Sequence[Seed] = (),
        *,
        gained: Callable[[int, int], bool],
        bandit: Bandit | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._gained = gained
        self._bandit = bandit or Bandit(priors=OPINIONS)
        self._steps = Steps()
        self._parents: dict[int, int] = {}
        """Parent of every node whose outcome is still to come."""
        self._credits: dict[int, dict[str, str]] = {}
        self._digests: set[str] = set()
        required = [*spec.interface.functions, *spec.interface.classes]
        hello = Hello([seed.code for seed in seeds], required, spec.max_program_bytes)
        self._editor = EditorClient(hello, timeout)

    def apply(self, event: Event) -> None:
        """Learn from an event of the journal."""
        data = event.data
        if isinstance(data, DesignDone) and event.node is not None:
            if data.digest:
                self._digests.add(data.digest)
            if data.credit and data.parents:
                self._parents[event.node] = data.parents[0]
                self._credits[event.node] = data.credit
        elif isinstance(data, EvalDone) and event.node is not None:
            self._learn_outcome(event.node, data)
        elif isinstance(data, PriorsRecalled):
            self._bandit.recall(data.outcomes)
        elif isinstance(data, DesignRejected) and data.check != "duplicate":
            self._credit(data.credit, gained=False)

    def _learn_outcome(self, node: int, data: EvalDone) -> None:
        parent, credit = self._parents.pop(node, None), self._credits.pop(node, {})
        if parent is None or data.status == "cancelled":
            return
        self._credit(credit, self._gained(node, parent))

    def _credit(self, credit: dict[str, str], gained: bool) -> None:
        arms = [arm for key, arm in sorted(credit.items()) if key.startswith("edit")]
        for arm in arms:
            # Each part of a good combination gets the whole praise, each part of a bad one a part of the blame.
            share = 1.0 if gained else 1.0 / len(arms)
            for depth in range(1, arm.count("/") + 2):
                self._bandit.learn(_path(arm, depth), gained, share)
            if arm.startswith("tune/"):
                self._steps.learn(arm.split("/")[1], gained)

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate.

        The same request after the same events gives the same design.

        Raises:
            DesignerError: the parent cannot be edited, or every combination drawn is a program that the run has seen.
        """
        rng = random.Random(request.seed)
        recipes, nodes, priors = _donors(request)
        options = await self._editor.survey(request.parent.code, recipes, nodes)
        choices = list_choices(request, options, {donor.key: donor.code for donor in [*recipes, *nodes]}, priors)
        # Where the program offers no edit of the kind that is asked for, or none that is new, any other is as good.
        if not request.rejections:
            choices = [choice for choice in choices if choice.operator == _OPERATORS.get(request.mode)] or choices
        if not choices:
            raise DesignerError(
                "there is nothing to recombine: no prior, node or number offers a change of this program"
            )
        seen = {request.parent.code, *(rejection.code for rejection in request.rejections)}
        problem = ""
        for _ in range(_DRAWS):
            drawn = self._draw(choices, rng)
            edits = [choice.edit(rng, self._steps) for choice in drawn]
            edited = await self._editor.apply(request.parent.code, edits)
            shape = edited.outline
            if shape is not None and edited.program not in seen and shape.digest not in self._digests:
                remember_outline(edited.program, shape)
                made = [pair for pair, done in zip(zip(drawn, edits, strict=True), edited.done, strict=True) if done]
                return _describe(request, edited.program, made)
            problem = edited.problem or "the run has had every program that was tried"
        raise DesignerError(f"nothing new came of {_DRAWS} combinations of {len(choices)} possible edits: {problem}")

    def _draw(self, choices: Sequence[Choice], rng: random.Random) -> list[Choice]:
        """One to three edits that do not touch the same part."""
        drawn: list[Choice] = []
        left = list(choices)
        for _ in range(rng.choices((1, 2, 3), _EDITS)[0]):
            if not left:
                break
            choice = self._choose(left, rng)
            drawn.append(choice)
            left = [other for other in left if other.part != choice.part]
        # Functions first: a number that goes with its function is then simply not there any more.
        return sorted(drawn, key=lambda choice: choice.operator == "tune")

    def _choose(self, choices: Sequence[Choice], rng: random.Random) -> Choice:
        """The bandit goes down the arm's path: operator, then the part it touches, then what replaces it."""
        depth = 1
        while True:
            arm = self._bandit.choose(_unique(_path(choice.arm, depth) for choice in choices), rng)
            choices = [choice for choice in choices if _path(choice.arm, depth) == arm]
            if all(choice.arm == arm for choice in choices):
                return rng.choice(choices)
            depth += 1

    async def aclose(self) -> None:
        """End the child process."""
        await self._editor.aclose()


@lru_cache(maxsize=8192)
def _path(arm: str, depth: int) -> str:
    """The first parts of an arm's name: `swap/refine/some-prior` of depth 2 is `swap/refine`."""
    return "/".join(arm.split("/")[:depth])


def _unique(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))


def _describe(request: DesignRequest, code: str, made: Sequence[tuple[Choice, Edit]]) -> Design:
    told = [choice.told(edit) for choice, edit in made]
    motivation = " ".join(why for _, why in told)
    if len(made) > 1:
        motivation += " Made together, since a change that fails alone may need its partner."
    return Design(
        code=code,
        operator=made[0][0].operator,
        name=" + ".join(name for name, _ in told),
        motivation=motivation,
        parents=_unique([request.parent.id, *(choice.node for choice, _ in made if choice.node is not None)]),
        priors=_unique(choice.prior for choice, _ in made if choice.prior),
        # That a program which failed runs again is no praise for what was put in the place of the failure.
        credit={}
        if request.mode == "fix"
        else {f"edit{number}": choice.arm for number, (choice, _) in enumerate(made, start=1)},
    )


def _donors(request: DesignRequest) -> tuple[list[Donor], list[Donor], dict[str, Prior]]:
    """Recipes and nodes that functions may come from, and the prior of every recipe by its key."""
    recipes: list[Donor] = []
    priors: dict[str, Prior] = {}
    for prior in request.priors:
        for index, recipe in enumerate(prior.recipes):
            key = prior.id if index == 0 else f"{prior.id}#{index + 1}"
            recipes.append(Donor(key, recipe.code))
            priors[key] = prior
    others = {node.id: node for node in request.inspirations if node.id != request.parent.id}
    return recipes, [Donor(str(node.id), node.code) for node in others.values()], priors
