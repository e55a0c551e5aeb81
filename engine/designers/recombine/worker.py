"""The child process that edits programs: JSON lines in on stdin, JSON lines out on stdout, until end of file.

libcst and the analysis live here and not in the engine: editing a long program takes 100 ms, and libcst alone would
take a third of the engine's memory. What is edited is text from models and strangers; it is parsed, never run.
"""

from __future__ import annotations

import resource
import signal
import sys
import warnings
from contextlib import suppress

import msgspec

from engine.designers.recombine.graft import graft
from engine.designers.recombine.messages import (
    Apply,
    Edit,
    Edited,
    Failed,
    Graft,
    Hello,
    Options,
    Reply,
    Request,
    Revert,
    SetConstant,
    Survey,
)
from engine.designers.recombine.program import EditError, Program, parse_program
from engine.designers.recombine.survey import same_effect, survey
from engine.designers.recombine.tune import set_constant, set_literal
from engine.program import ProgramError, outline

__all__ = ["Editor", "main"]

_MEMORY = 2 << 30
_RECURSION = 5_000


class Editor:
    """Carries out requests; what it knows beside them is what `Hello` said.

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
        """Answer one request; a program that cannot be read makes a `Failed`."""
        try:
            program = parse_program(request.program)
            if isinstance(request, Survey):
                return self._survey(request, program)
            return self._apply(request, program)
        except EditError as exc:
            return Failed(request.id, str(exc))
        except Exception as exc:
            # Whatever a strange program brings about, the next request gets its answer.
            return Failed(request.id, f"the program cannot be edited ({type(exc).__name__}: {exc})")

    def _components(self, program: Program) -> frozenset[str]:
        """Functions that stay even while nothing calls them: those of the seeds.

        Without seeds, those whose names do not begin with an underscore.
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
        done: list[bool] = []
        problem = ""
        now = program
        for edit in request.edits:
            try:
                after = parse_program(self._edit(now, edit))
            except EditError as exc:
                problem = problem or str(exc)
                done.append(False)
                continue
            done.append(after.code != now.code)
            now = after
        if now is not program:
            problem = problem or self._check(now)
            if self._check(now):
                return Edited(request.id, program.code, [False] * len(done), problem)
        changed = now.code != program.code and not same_effect(program, now, self._hello.required)
        return Edited(request.id, now.code, done, problem, outline(now.code) if changed else None)

    def _edit(self, program: Program, edit: Edit) -> str:
        if isinstance(edit, Graft):
            return graft(program, parse_program(edit.code), edit.function, self._components(program))
        if isinstance(edit, Revert):
            seed = parse_program(self._hello.seeds[edit.seed])
            return graft(program, seed, edit.function, self._components(program))
        if isinstance(edit, SetConstant):
            return set_constant(program, edit.name, edit.value)
        return set_literal(program, edit.function, edit.index, edit.value)

    def _check(self, program: Program) -> str:
        """What makes an edited program unfit, or an empty string."""
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


def main() -> None:
    """Serve requests until stdin ends."""
    # Ctrl-C in the engine's terminal reaches the whole group; the engine decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # Programs are data here: what the compiler thinks of their escapes is of no concern.
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
