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

from engine.designers.recombine.editor import Editor, Means
from engine.designers.recombine.files import graft_into_file
from engine.designers.recombine.languages import splice
from engine.designers.recombine.languages.source import Source, read_source
from engine.designers.recombine.messages import Failed, Hello, Request
from engine.designers.recombine.program import Program, parse_program
from engine.designers.recombine.tune import tunables
from engine.programs.languages.registry import LANGUAGES, language_named
from engine.programs.outline import outline

__all__ = ["editor_of", "main"]

_MEMORY = 2 << 30
_RECURSION = 5_000


def editor_of(hello: Hello) -> Editor[Program] | Editor[Source]:
    """Return what edits the programs of a run, by its language."""
    if LANGUAGES[hello.language].is_python:
        return Editor(
            hello,
            Means(
                read=parse_program,
                outline=outline,
                tunables=tunables,
                graft=lambda program, donor, function, components, _: graft_into_file(
                    program, donor, function, components
                ),
            ),
        )
    language = language_named(hello.language, hello.strict)
    return Editor(
        hello,
        Means(
            read=lambda code: read_source(code, language),
            outline=language.outline,
            tunables=Source.tunables,
            graft=splice.graft,
        ),
    )


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
    editor: Editor[Program] | Editor[Source] | None = None
    for line in sys.stdin.buffer:
        request = decoder.decode(line)
        if isinstance(request, Hello):
            editor = editor_of(request)
        elif editor is None:
            _answer(encoder.encode(Failed(request.id, "the first line must be a Hello")))
        else:
            _answer(encoder.encode(editor.handle(request)))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
