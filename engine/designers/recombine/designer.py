"""The designer without a model: it recombines parts that people and earlier rounds wrote."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TypeVar

from cognition.prior import Prior
from engine.designers.base import Design, DesignerError, NothingToDesign
from engine.designers.recombine.bandit import Bandit, Steps
from engine.designers.recombine.choices import Choice, list_choices
from engine.designers.recombine.client import EditorClient
from engine.designers.recombine.messages import Difference, Donor, Edit, Hello
from engine.journal.events import (
    DesignDone,
    DesignRejected,
    EvalDone,
    Event,
    NodePruned,
    NodeRestored,
    PriorChanged,
    PriorsRecalled,
)
from engine.llm.requests import ContextNode, DesignRequest, Mode
from engine.programs.blocks import read_blocks
from engine.programs.errors import ProgramError
from engine.programs.folders import check_editable, file_lines
from engine.programs.languages.base import Language
from engine.programs.outline import remember_outline
from engine.task.spec import Seed, TaskSpec
from engine.text import counted

__all__ = ["OPINIONS", "RecombineDesigner"]

T = TypeVar("T")

_EDITS = (0.55, 0.30, 0.15)
"""Probabilities of one, two and three edits per design: half of a good pair may be bad alone."""
OPINIONS = {"swap": (2.0, 2.0), "exchange": (1.0, 3.0), "cross": (1.0, 6.0), "tune": (1.0, 3.0), "drop": (1.0, 2.0)}
"""Initial gains and failures of the operators: a recipe that a person wrote for a function is a better guess than
another number, and constants alone led nowhere in the study on which this designer is based. Numbers of a node that
scored worse are seldom better (`cross`)."""
_OPERATORS: dict[Mode, str] = {"crossover": "exchange", "fix": "drop"}
"""The operator that a mode requires; other modes allow every edit."""
_DRAWS = 24
"""Random combinations to try before giving a program up."""
_SWEPT = 256
"""The most combinations to enumerate if no random one is new."""
_TELLING = frozenset((DesignDone, DesignRejected, EvalDone, NodePruned, NodeRestored, PriorChanged, PriorsRecalled))
"""The events to learn from; most others are passed over with one look."""


@dataclass
class _Search:
    """The edits of one program, and the progress of trying them."""

    request: DesignRequest
    parent: ContextNode
    choices: list[Choice]
    seen: set[str]
    """Programs that do not count as new for the request."""
    shown: set[int]
    """The other nodes that may be donors."""
    tried: int = 0
    known: bool = False
    """Whether a combination gave a program that the run already has."""
    problem: str = ""
    spent: bool = False
    """Whether all combinations were tried."""

    @property
    def reason(self) -> str:
        """Return why there is no new program."""
        if not self.choices:
            return "there is nothing to recombine: no prior, node or number offers a change of this program"
        edits = counted(len(self.choices), "possible edit")
        tried = f"all combinations of {edits}" if self.spent else f"{self.tried} combinations of {edits}"
        if self.known:
            return f"nothing new: {tried} are programs that the run has had"
        return f"nothing new came of {tried}: {self.problem or 'nothing runs differently'}"


class RecombineDesigner:
    """Edit the parent's syntax tree: tune a value, swap a function for a recipe, exchange one with another node.

    It invents nothing: every part of its programs comes from a seed, a prior or an injected program, and its own
    contribution is the search among combinations. A bandit learns from the journal which operators, recipes and
    constants gain over the parent. Trees are edited in a child process (`worker.py`), started at the first design.

    Args:
        spec: the task.
        seeds: the programs the run started from. Programs keep their functions; if there are no seeds, they keep all
            functions whose names do not begin with an underscore.
        gained: returns whether an evaluated node is better than its parent (`RunState.gained`).
        bandit: chooses operators and arms; by default one that learns.
        timeout: seconds after which an edit fails.
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
        """Parent of every node whose outcome is still unknown."""
        self._credits: dict[int, dict[str, str]] = {}
        self._digests: set[str] = set()
        self._scored: set[int] = set()
        self._pruned: set[int] = set()
        self._spent: dict[int, set[int]] = {}
        """Exhausted nodes, each with the other nodes that it was tried with. It is not a fold of the journal: after a
        resume it is found again."""
        required = [*spec.interface.functions, *spec.interface.classes]
        hello = Hello(
            [seed.code for seed in seeds],
            required,
            spec.max_program_bytes,
            spec.program.language,
            spec.program.check_syntax,
        )
        self._language, self._editable = spec.language, spec.program.editable
        self._editor = EditorClient(hello, timeout)

    def apply(self, event: Event) -> None:
        """Learn from an event of the journal."""
        data = event.data
        if type(data) not in _TELLING:
            return
        if isinstance(data, DesignDone) and event.node is not None:
            if data.digest:
                self._digests.add(data.digest)
            if data.credit and data.parents:
                self._parents[event.node] = data.parents[0]
                self._credits[event.node] = data.credit
        elif isinstance(data, EvalDone) and event.node is not None:
            (self._scored.discard if data.score is None else self._scored.add)(event.node)
            self._learn_outcome(event.node, data)
        elif isinstance(data, NodePruned) and event.node is not None:
            self._pruned.add(event.node)
        elif isinstance(data, NodeRestored) and event.node is not None:
            self._pruned.discard(event.node)
        elif isinstance(data, PriorChanged):
            self._spent.clear()
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
            # Each part of a good combination gets full credit, each part of a bad one a share of the blame.
            share = 1.0 if gained else 1.0 / len(arms)
            for depth in range(1, arm.count("/") + 2):
                self._bandit.learn(_path(arm, depth), gained, share)
            if arm.startswith("tune/"):
                self._steps.learn(arm.removeprefix("tune/").rpartition("/")[0], gained)

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate from the parent or, if the parent is exhausted, from an inspiration.

        The same request after the same events gives the same design.

        Raises:
            NothingToDesign: all combinations of the run's nodes and priors have been tried.
            DesignerError: the parent cannot be edited, or every drawn combination is a program that the run has.
        """
        rng = random.Random(request.seed)
        problem, offered = "", False
        for parent in [request.parent, *request.inspirations]:
            search = await self._survey(request, parent)
            design = await self._drawn(search, rng) or await self._swept(search)
            if design is not None:
                return design
            problem, offered = problem or search.reason, offered or bool(search.choices)
            if search.spent:
                self._spent.setdefault(parent.id, set()).update(search.shown)
        if self._is_exhausted(request):
            made = "all that the run's nodes and priors can be combined to is made"
            raise NothingToDesign(made if offered else problem)
        raise DesignerError(problem)

    async def _survey(self, request: DesignRequest, parent: ContextNode) -> _Search:
        others = _others(request, parent)
        recipes, priors = _recipes(request, self._language)
        nodes = [Donor(str(node.id), node.code) for node in others]
        options = await self._editor.survey(parent.code, recipes, nodes)
        code = {donor.key: donor.code for donor in [*recipes, *nodes]}
        choices = list_choices(parent, others, options, code, priors)
        seen = {parent.code, *(rejection.code for rejection in request.rejections)}
        return _Search(request, parent, choices, seen, {node.id for node in others})

    async def _drawn(self, search: _Search, rng: random.Random) -> Design | None:
        """Draw combinations of edits with the bandit until one is new."""
        wanted: list[Choice] = []
        # If the program offers no edit of the requested kind, or no new one, take any other.
        if not search.request.rejections and search.parent is search.request.parent:
            wanted = [choice for choice in search.choices if choice.operator == _OPERATORS.get(search.request.mode)]
        for choices in (wanted, search.choices):
            for _ in range(_DRAWS if choices else 0):
                drawn = self._draw(choices, rng)
                design = await self._made(search, [(choice, choice.edit(rng, self._steps)) for choice in drawn])
                if design is not None:
                    return design
        return None

    async def _swept(self, search: _Search) -> Design | None:
        """Enumerate all single edits and all pairs of edits, if they are few enough, until one is new."""
        singles: list[tuple[Choice, Edit]] = []
        for choice in search.choices:
            every = choice.every()
            if every is None or len(singles) + len(every) > _SWEPT:
                return None
            singles += [(choice, edit) for edit in every]
        pairs = [[a, b] for a, b in combinations(singles, 2) if a[0].part != b[0].part]
        if len(singles) + len(pairs) > _SWEPT:
            return None
        for edits in [*([single] for single in singles), *pairs]:
            design = await self._made(search, edits)
            if design is not None:
                return design
        search.spent = True
        return None

    async def _made(self, search: _Search, edits: Sequence[tuple[Choice, Edit]]) -> Design | None:
        """Apply edits and return the design; None if the run already has the program."""
        edited = await self._editor.apply(search.parent.code, [edit for _, edit in edits])
        shape = edited.outline
        search.tried += 1
        if shape is None:
            search.problem = edited.problem or search.problem
            return None
        if _leaves_blocks(search.parent.code, edited.program, self._editable):
            search.known = True
            return None
        if edited.program in search.seen or shape.digest in self._digests:
            search.known = True
            return None
        if self._language.is_python:
            remember_outline(edited.program, shape)
        made = [(choice, changes) for (choice, _), changes in zip(edits, edited.changes, strict=True) if changes]
        return _describe(search, edited.program, made)

    def _is_exhausted(self, request: DesignRequest) -> bool:
        """Tell whether all sampled nodes are exhausted, each tried with all others and with all priors."""
        if not request.all_priors or len(self._spent) < len(self._scored) - len(self._pruned):
            return False
        nodes = self._scored - self._pruned | {request.parent.id}
        return all(nodes <= self._spent.get(node, set()) | {node} for node in nodes)

    def _draw(self, choices: Sequence[Choice], rng: random.Random) -> list[Choice]:
        """Choose one to three edits of different parts."""
        drawn: list[Choice] = []
        left = list(choices)
        for _ in range(rng.choices((1, 2, 3), _EDITS)[0]):
            if not left:
                break
            choice = self._choose(left, rng)
            drawn.append(choice)
            left = [other for other in left if other.part != choice.part]
        # Functions first: a number that disappears with its function is then simply skipped.
        return sorted(drawn, key=lambda choice: choice.operator == "tune")

    def _choose(self, choices: Sequence[Choice], rng: random.Random) -> Choice:
        """Choose level by level of the arm's path: the operator, the part, and its replacement."""
        depth = 1
        while True:
            arms: dict[str, list[Choice]] = {}
            for choice in choices:
                arms.setdefault(_path(choice.arm, depth), []).append(choice)
            arm = self._bandit.choose(list(arms), rng)
            choices = arms[arm]
            if all(choice.arm == arm for choice in choices):
                return rng.choice(choices)
            depth += 1

    async def aclose(self) -> None:
        """End the child process."""
        await self._editor.aclose()


@lru_cache(maxsize=8192)
def _path(arm: str, depth: int) -> str:
    """Return the first parts of an arm's name: `swap/refine/some-prior` at depth 2 is `swap/refine`."""
    return "/".join(arm.split("/")[:depth])


def _leaves_blocks(parent: str, program: str, editable: Sequence[str]) -> bool:
    """Tell whether a program differs from its parent in what must stay: outside of EVOLVE-BLOCKs, in its files.

    Args:
        parent: the parent.
        program: the program.
        editable: patterns of the files that may change; empty for all.
    """
    if file_lines(parent) != file_lines(program):
        return True
    if editable:
        try:
            check_editable(parent, program, editable)
        except ProgramError:
            return True
    before = read_blocks(parent)
    if before is None:
        return False
    after = read_blocks(program)
    return after is None or after.outside != before.outside


def _unique(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))


def _describe(search: _Search, code: str, made: Sequence[tuple[Choice, Sequence[Difference]]]) -> Design:
    """Describe a design by the actual differences between the parent and the program."""
    described = [choice.describe(changes) for choice, changes in made]
    motivation = " ".join(why for _, why in described)
    if len(made) > 1:
        motivation += " Made together, since a change that fails alone may need its partner."
    parent = search.parent.id
    return Design(
        code=code,
        operator=made[0][0].operator,
        name=" + ".join(name for name, _ in described),
        motivation=motivation,
        parents=_unique([parent, *(choice.node for choice, _ in made if choice.node is not None)]),
        priors=_unique(choice.prior for choice, _ in made if choice.prior),
        # A repaired program that runs again is no evidence that the replacement is good.
        credit={}
        if search.request.mode == "fix"
        else {f"edit{number}": choice.arm for number, (choice, _) in enumerate(made, start=1)},
    )


def _others(request: DesignRequest, parent: ContextNode) -> list[ContextNode]:
    """Return the other nodes of the request, without failed ones."""
    shown = {node.id: node for node in [request.parent, *request.inspirations] if node.score is not None}
    return [node for node in shown.values() if node.id != parent.id]


def _recipes(request: DesignRequest, language: Language) -> tuple[list[Donor], dict[str, Prior]]:
    """Return the request's recipes, and the prior of each by its key."""
    recipes: list[Donor] = []
    priors: dict[str, Prior] = {}
    for prior in request.priors:
        own = [recipe for recipe in prior.recipes if recipe.language in language.fences]
        for index, recipe in enumerate(own):
            key = prior.id if index == 0 else f"{prior.id}#{index + 1}"
            recipes.append(Donor(key, recipe.code))
            priors[key] = prior
    return recipes, priors
