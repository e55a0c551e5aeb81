"""The child process that edits programs: read JSON lines from stdin and write JSON lines to stdout, until end of file.

libcst and the analysis run here and not in the engine: editing a long program takes 100 ms, and libcst alone would take
a third of the engine's memory. The programs come from models and strangers; they are parsed, never run.
"""

from __future__ import annotations

import resource
import signal
import sys
import warnings
from contextlib import suppress

import msgspec

from engine.designers.recombine.crossing import take_values
from engine.designers.recombine.difference import differences
from engine.designers.recombine.graft import graft
from engine.designers.recombine.likeness import same_effect
from engine.designers.recombine.messages import (
    Apply,
    Difference,
    Edit,
    Edited,
    Failed,
    Graft,
    Hello,
    Options,
    Reply,
    Request,
    Revert,
    Survey,
    TakeValues,
)
from engine.designers.recombine.program import EditError, Program, parse_program
from engine.designers.recombine.survey import survey
from engine.designers.recombine.tune import set_value
from engine.programs.outline import ProgramError, outline

__all__ = ["Editor", "main"]

_MEMORY = 2 << 30
_RECURSION = 5_000


class Editor:
    """Carry out requests, with the parameters of `Hello`.

    Args:
        hello: seeds, required names and the size limit of the run.
    """

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._seed_functions: set[str] = set()
        for code in hello.seeds:
            with suppress(EditError):
                self._seed_functions |= parse_program(code).functions.keys()

    def handle(self, request: Survey | Apply) -> Reply:
        """Answer one request; for a program that cannot be read the answer is `Failed`."""
        try:
            program = parse_program(request.program)
            if isinstance(request, Survey):
                return self._survey(request, program)
            return self._apply(request, program)
        except EditError as exc:
            return Failed(request.id, str(exc))
        except Exception as exc:
            # No program, however strange, may keep later requests from being answered.
            return Failed(request.id, f"the program cannot be edited ({type(exc).__name__}: {exc})")

    def _components(self, program: Program) -> frozenset[str]:
        """Return the functions to keep even if nothing calls them: those of the seeds.

        If there are no seeds, all functions whose names do not begin with an underscore.
        """
        found = self._seed_functions or {name for name in program.functions if not name.startswith("_")}
        return frozenset(found | set(self._hello.required))

    def _survey(self, request: Survey, program: Program) -> Options:
        return survey(
            request.id,
            program,
            request.recipes,
            request.nodes,
            self._hello.seeds,
            self._hello.required,
            self._components(program),
        )

    def _apply(self, request: Apply, program: Program) -> Edited:
        steps: list[list[Difference]] = []
        problem = ""
        now = program
        for edit in request.edits:
            try:
                after = parse_program(self._edit(now, edit))
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
        return Edited(request.id, now.code, [_kept(step, found) for step in steps], problem, outline(now.code))

    def _edit(self, program: Program, edit: Edit) -> str:
        match edit:
            case Graft():
                return graft(program, parse_program(edit.code), edit.function, self._components(program))
            case Revert():
                seed = parse_program(self._hello.seeds[edit.seed])
                return graft(program, seed, edit.function, self._components(program))
            case TakeValues():
                donor = parse_program(edit.code)
                return take_values(program, donor, edit.function, self._components(program), edit.seed)
        return set_value(program, edit.owner, edit.index, edit.old, edit.new)

    def _check(self, program: Program) -> str:
        """Return why an edited program is not acceptable, or an empty string."""
        missing = [name for name in self._hello.required if name not in program.by_name]
        if missing:
            return f"the edit removed {', '.join(missing)}"
        if len(program.code.encode()) > self._hello.max_bytes:
            return f"the edited program is longer than {self._hello.max_bytes} bytes"
        try:
            outline(program.code)
        except ProgramError as exc:
            return exc.reason
        return ""


def _kept(step: list[Difference], found: list[Difference]) -> list[Difference]:
    """Return the changes of one edit that remain, reachable, in the program after all edits."""
    whole = {(change.what, change.name): change for change in found}
    owners = {change.owner for change in found}
    kept = [whole.get((change.what, change.name), change) for change in step]
    return [change for change in kept if change.owner in owners]


def main() -> None:
    """Serve requests until stdin ends."""
    # Ctrl-C in the engine's terminal reaches the whole group, but the engine decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # Programs are data here: ignore the compiler's warnings about their escapes.
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(_RECURSION)
    decoder = msgspec.json.Decoder(Request)
    encoder = msgspec.json.Encoder()
    editor: Editor | None = None
    for line in sys.stdin.buffer:
        request = decoder.decode(line)
        if isinstance(request, Hello):
            editor = Editor(request)
        elif editor is None:
            _answer(encoder.encode(Failed(request.id, "the first line must be a Hello")))
        else:
            _answer(encoder.encode(editor.handle(request)))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
