"""Answer the designer's requests, for programs in any language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.designers.recombine.crossing import take_values
from engine.designers.recombine.difference import differences, kept_changes
from engine.designers.recombine.likeness import same_effect
from engine.designers.recombine.messages import (
    Apply,
    Difference,
    Edit,
    Edited,
    Failed,
    Hello,
    Options,
    Reply,
    Revert,
    SetValue,
    Survey,
    TakeValues,
    Tunable,
)
from engine.designers.recombine.parted import Parted
from engine.designers.recombine.program import EditError
from engine.designers.recombine.survey import survey
from engine.designers.recombine.tune import set_value
from engine.programs.outline import Outline, ProgramError

__all__ = ["Editor", "Means"]

P = TypeVar("P", bound=Parted)


@dataclass(frozen=True)
class Means(Generic[P]):
    """How programs of a language are read and edited."""

    read: Callable[[str], P]
    """Take a program apart; raise EditError if it cannot be read."""
    outline: Callable[[str], Outline]
    """Return a program's outline; raise ProgramError if it has none."""
    tunables: Callable[[P, Sequence[str]], list[Tunable]]
    """List the values that can be tuned and are reachable from the required names."""
    graft: Callable[[P, P, str, frozenset[str], Sequence[str]], str]
    """Put a donor's function in the place of the program's, given the functions to keep and the required names."""


class Editor(Generic[P]):
    """Carry out requests, with the parameters of `Hello`.

    Args:
        hello: seeds, required names and the size limit of the run.
        means: how programs of its language are read and edited.
    """

    def __init__(self, hello: Hello, means: Means[P]) -> None:
        self._hello, self._means = hello, means
        self._seed_functions: set[str] = set()
        for code in hello.seeds:
            with suppress(EditError):
                self._seed_functions |= means.read(code).parameters.keys()

    def handle(self, request: Survey | Apply) -> Reply:
        """Answer one request; for a program that cannot be read the answer is `Failed`."""
        try:
            program = self._means.read(request.program)
            if isinstance(request, Survey):
                return self._survey(request, program)
            return self._apply(request, program)
        except EditError as exc:
            return Failed(request.id, str(exc))
        except Exception as exc:
            # No program, however strange, may keep later requests from being answered.
            return Failed(request.id, f"the program cannot be edited ({type(exc).__name__}: {exc})")

    def _components(self, program: P) -> frozenset[str]:
        """Return the functions to keep even if nothing calls them: those of the seeds.

        If there are no seeds, the program's own.
        """
        found = self._seed_functions or program.public
        return frozenset(found | set(self._hello.required))

    def _survey(self, request: Survey, program: P) -> Options:
        return survey(
            request.id,
            program,
            self._means.read,
            self._means.tunables,
            request.recipes,
            request.nodes,
            self._hello.seeds,
            self._hello.required,
            self._components(program),
        )

    def _apply(self, request: Apply, program: P) -> Edited:
        steps: list[list[Difference]] = []
        problem = ""
        now = program
        for edit in request.edits:
            try:
                after = self._means.read(self._edit(now, edit))
            except EditError as exc:
                problem = problem or str(exc)
                steps.append([])
                continue
            steps.append(differences(now, after))
            now = after
        unfit = self._check(now) if now is not program else ""
        if unfit:
            return Edited(request.id, program.code, [[] for _ in steps], problem or unfit)
        required = self._hello.required
        found = differences(program, now, program.live(required) | now.live(required))
        if not found or same_effect(program, now, required):
            return Edited(request.id, now.code, [[] for _ in steps], problem)
        return Edited(
            request.id, now.code, [kept_changes(step, found) for step in steps], problem, self._means.outline(now.code)
        )

    def _edit(self, program: P, edit: Edit) -> str:
        if isinstance(edit, SetValue):
            return set_value(program, edit.owner, edit.index, edit.old, edit.new)
        donor = self._means.read(self._hello.seeds[edit.seed] if isinstance(edit, Revert) else edit.code)
        components = self._components(program)
        if isinstance(edit, TakeValues):
            return take_values(program, donor, edit.function, components, edit.seed)
        return self._means.graft(program, donor, edit.function, components, self._hello.required)

    def _check(self, program: P) -> str:
        """Return why an edited program is not acceptable, or an empty string."""
        missing = [name for name in self._hello.required if name not in program.by_name]
        if missing:
            return f"the edit removed {', '.join(missing)}"
        if len(program.code.encode("utf-8", "surrogatepass")) > self._hello.max_bytes:
            return f"the edited program is longer than {self._hello.max_bytes} bytes"
        try:
            self._means.outline(program.code)
        except ProgramError as exc:
            return exc.reason
        return ""
