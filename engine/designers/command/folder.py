"""The folder that a command edits: the files that it is given, and the program among those that it leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.llm.prompts.build import design_context
from engine.llm.prompts.templates import Prompts
from engine.llm.requests import DesignRequest
from engine.programs.errors import ProgramError
from engine.programs.folders import join_files, split_files
from engine.settings.command import CommandSettings
from engine.task.spec import TaskSpec

__all__ = ["files_of", "given_files", "read_program"]

_TEMPLATE = "default/researcher_command"


def given_files(
    prompts: Prompts,
    spec: TaskSpec,
    brief: str,
    request: DesignRequest,
    settings: CommandSettings,
    fixed: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Return the files that a command is given, by path.

    Args:
        prompts: the templates.
        spec: the task.
        brief: its problem statement.
        request: the design that is wanted.
        settings: those of the command.
        fixed: the files beside the program's own in its folder.

    Raises:
        TaskError: a template of the task is invalid.
    """
    refused = request.rejections[-1].code if request.rejections else ""
    context: dict[str, Any] = {
        **design_context(spec, brief, request),
        "seconds": settings.seconds,
        "tokens": settings.tokens,
        "network": settings.network,
        "refused": bool(refused),
    }
    texts = {f"{part}.md": prompts.text(_TEMPLATE, part, context) for part in ("lessons", "failures")}
    texts = {name: text if text.strip() else "There is nothing to tell yet.\n" for name, text in texts.items()}
    texts |= {"README.md": prompts.text(_TEMPLATE, "readme", context), "brief.md": f"{brief.strip()}\n"}
    for number, prior in enumerate(context["priors"], start=1):
        texts[f"priors/{number:02}-{_plain(prior['title'])}.md"] = f"# {prior['title']}\n\n{prior['body'].strip()}\n"
    files = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    programs = [("program", request.parent.code, fixed), ("refused", refused, {})]
    programs += [(f"inspirations/node-{node.id}", node.code, {}) for node in request.inspirations]
    for folder, code, beside in programs:
        if code:
            files |= {f"{folder}/{path}": content for path, content in {**beside, **files_of(code, spec)}.items()}
    return files


def files_of(code: str, spec: TaskSpec) -> dict[str, bytes]:
    """Return the files of a program, by path; one that has no folder is one file."""
    if not spec.program.files:
        return {spec.language.file("program"): code.encode("utf-8", "surrogatepass")}
    try:
        return {path: text.encode("utf-8", "surrogatepass") for path, text in split_files(code).items()}
    except ProgramError:
        # A refused attempt may be no folder; it is shown as it is.
        return {"program.txt": code.encode("utf-8", "surrogatepass")}


def read_program(left: Mapping[str, bytes], before: str, spec: TaskSpec, fixed: Mapping[str, bytes]) -> str:
    """Return the program among the files that a command left in `program/`.

    Args:
        left: the files, by path.
        before: the program that it was given.
        spec: the task.
        fixed: the files beside it that must stay.

    Raises:
        ProgramError: nothing changed, a file is no text, or one is there, or changed, that may not be.
    """
    for path, content in fixed.items():
        if left.get(path) != content:
            what = "changed" if path in left else "removed"
            raise ProgramError("files", f"it {what} program/{path}, which must stay as it is")
    own = {path: content for path, content in left.items() if path not in fixed}
    given = files_of(before, spec)
    if not spec.program.files:
        name = next(iter(given))
        strange = sorted(path for path in own if path != name)
        if name not in own:
            raise ProgramError("files", f"it removed program/{name}; the program must stand there")
        if strange:
            raise ProgramError("files", f"it left program/{strange[0]}; the program is the one file program/{name}")
    if own == given:
        raise ProgramError("answer", "it changed nothing in program/")
    texts = {path: _text(path, content) for path, content in own.items()}
    if not texts:
        raise ProgramError("files", "it left no file in program/")
    return join_files(texts, spec.language) if spec.program.files else next(iter(texts.values()))


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise ProgramError("files", f"program/{path} is not UTF-8 text: {exc.reason} at byte {exc.start}") from None


def _plain(title: str) -> str:
    """Return a title as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "prior"
