"""Render a prior's Markdown as a document: front matter, headings, lists, code; hostile text is shown as text."""

from __future__ import annotations

import re

from engine.programs.languages.registry import LANGUAGES
from tui.model.document import Line, Span, clean_line, code_lines, prose_lines

__all__ = ["markdown_lines"]

_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(.*)$")
_HEADING = re.compile(r"(#{1,6})\s+(.*)$")
_ITEM = re.compile(r"(\s*(?:[-*+]|\d+[.)])\s+)(.*)$")


def markdown_lines(text: str, width: int) -> list[Line]:
    """Return the document, wrapped to a width; code keeps its lines.

    Args:
        text: a prior's text, complete or half written.
        width: cells across.
    """
    room = max(20, width - 1)
    source = text.split("\n")
    lines: list[Line] = []
    index = 0
    if source[0].rstrip() == "---" and "---" in (line.rstrip() for line in source[1:]):
        end = next(number for number, line in enumerate(source[1:], 1) if line.rstrip() == "---")
        for line in source[1:end]:
            lines += prose_lines(line, room, "dim")
        lines.append(())
        index = end + 1
        while index < len(source) and not source[index].strip():
            index += 1
    while index < len(source):
        fence = _FENCE.match(source[index])
        if fence:
            index = _take_code(source, index, fence[1], fence[2], lines)
            continue
        end = index + 1
        while end < len(source) and _continues(source[index], source[end]):
            end += 1
        lines += _prose(source[index:end], room)
        index = end
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _take_code(source: list[str], index: int, fence: str, language: str, lines: list[Line]) -> int:
    """Add a fenced block, which may have no end yet; return the line after it."""
    end = index + 1
    while end < len(source) and not source[end].strip().startswith(fence):
        end += 1
    code = "\n".join(source[index + 1 : end])
    lines.append((Span(f"── {clean_line(language) or 'code'}", "accent"),))
    lexer = _lexer(language)
    if lexer:
        # Leave out the line numbers of code_lines, which mean nothing here.
        lines += [(Span("  "), *line[1:]) for line in code_lines(code, lexer)]
    else:
        lines += [(Span(f"  {clean_line(line)}", "string"),) for line in code.split("\n")]
    return end + 1


def _lexer(info: str) -> str:
    """Return the lexer for the code behind a fence: that of the language which the fence's first word names."""
    if info.startswith("python"):
        return "python"
    word = info.strip().lower().partition(" ")[0]
    return next((language.lexer for language in LANGUAGES.values() if word in language.fences), "")


def _continues(first: str, line: str) -> bool:
    """Return whether a line belongs to the paragraph or the item that starts with another one."""
    if not first.strip() or _HEADING.match(first) or first.lstrip().startswith("|"):
        return False
    return bool(line.strip()) and not any(form.match(line) for form in (_FENCE, _HEADING, _ITEM))


def _prose(paragraph: list[str], room: int) -> list[Line]:
    line = " ".join([paragraph[0].rstrip(), *(part.strip() for part in paragraph[1:])])
    if not line.strip():
        return [()]
    heading = _HEADING.match(line)
    if heading:
        return prose_lines(heading[2], room, "heading")
    item = _ITEM.match(line)
    if item:
        sign = clean_line(item[1])
        first, *further = prose_lines(item[2], max(20, room - len(sign))) or [()]
        return [(Span(sign, "accent"), *first), *((Span(" " * len(sign)), *rest) for rest in further)]
    return prose_lines(line, room)
