"""Render prompts from templates: the engine's own, or a task's in their place."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import TaskError
from engine.llm.messages import Message
from engine.text import one_line, visible

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["TEMPLATES", "Prompts", "fenced"]

TEMPLATES = (
    "researcher",
    "researcher_full",
    "researcher_diff",
    "researcher_crossover",
    "researcher_fix",
    "researcher_brief",
    "researcher_again",
    "analyzer",
    "judge",
)
"""`researcher` is the base of the four after it; `researcher_brief` stands in their place for small models.
`researcher_again` follows a refused answer within its conversation.

A task's `prompts/NAME.j2` replaces the template of that name.
"""

_FOLDER = Path(__file__).parent
_TICKS = re.compile(r"`{3,}")
_LINE_LENGTH = 500


def fenced(text: str, language: str = "") -> str:
    """Return the text between fences longer than any run of backticks in it, with invisible characters as escapes.

    So no text can close its own fence.
    """
    shown = visible(text.replace("\r\n", "\n")).strip("\n")
    longest = max((len(match[0]) for match in _TICKS.finditer(shown)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _line(text: str) -> str:
    """Return the text on one line, for use outside of fences."""
    return one_line(text, _LINE_LENGTH)


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else _line(str(value))
    return f"{value:.6g}"


_MOST_KNOWN = 4_000


class Prompts:
    """Render prompts from templates.

    Templates run in jinja2's sandbox, and an unknown variable is an error. A task's template may replace blocks of the
    engine's: `{% extends "default/researcher_full.j2" %}`.

    Args:
        folder: a task's own templates; it may not exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Sandbox(ImmutableSandboxedEnvironment):
            """Look once for each type and attribute whether it is safe, which takes jinja2 as long as all else."""

            def __init__(self, **options: Any) -> None:
                super().__init__(**options)
                self._safe: dict[tuple[type, str], bool] = {}

            def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
                found = self._safe.get((type(obj), attr))
                if found is None:
                    found = super().is_safe_attribute(obj, attr, value)
                    if len(self._safe) < _MOST_KNOWN:
                        self._safe[type(obj), attr] = found
                return found

        own = FileSystemLoader(str(_FOLDER))
        loaders = [FileSystemLoader(str(folder))] if folder is not None else []
        self._environment = Sandbox(
            loader=ChoiceLoader([*loaders, own, PrefixLoader({"default": own})]),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # the files are the run's own copies, and a look at each takes longer than to render
        )
        self._environment.filters.update(fenced=fenced, line=_line, number=_number, visible=visible)
        self._templates: dict[str, Template] = {}

    def messages(self, name: str, context: Mapping[str, Any]) -> list[Message]:
        """Return a system and a user message.

        Args:
            name: one of `TEMPLATES`.
            context: the template's variables; `part` is added, `system` or `user`.

        Raises:
            TaskError: the template is wrong; the message names file and line.
        """
        return [
            Message("system", self.text(name, "system", context)),
            Message("user", self.text(name, "user", context)),
        ]

    def text(self, name: str, part: str, context: Mapping[str, Any]) -> str:
        """Return one part of what a template makes.

        Args:
            name: of the template, without its suffix.
            part: the variable of this name; the template says which there are.
            context: its other variables.

        Raises:
            TaskError: the template is wrong; the message names file and line.
        """
        try:
            if name not in self._templates:
                self._templates[name] = self._environment.get_template(f"{name}.j2")
            return _tidy(self._templates[name].render(context, part=part))
        except Exception as exc:
            raise _template_error(exc, name) from None


def _tidy(text: str) -> str:
    return text.strip() + "\n"


def _template_error(exc: Exception, name: str) -> TaskError:
    """Translate any error of a template, with file and line: code that templates call may raise anything."""
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    if isinstance(exc, TemplateSyntaxError):
        return TaskError(f"{exc.filename or f'prompts/{name}.j2'}:{exc.lineno}: {exc.message}", _HINT)
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename.endswith(".j2")]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else f"prompts/{name}.j2"
    what = f"there is no template '{exc}'" if isinstance(exc, TemplateNotFound) else f"{type(exc).__name__}: {exc}"
    return TaskError(f"{where}: {what}", _HINT)


_HINT = "docs/prompts.md lists the variables of each prompt"
