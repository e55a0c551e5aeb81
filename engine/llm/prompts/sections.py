"""Sections of prompts: differences between programs, measured values side by side, priors and briefs cut short."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cognition.prior import Prior
from engine.llm.prompts.excerpts import shortened
from engine.llm.requests import ContextNode
from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError
from engine.task.spec import TaskSpec

__all__ = [
    "change_of",
    "functions_of",
    "lead_of",
    "measured",
    "metrics_told",
    "prior_body",
    "shorter_change",
]

_DIFF_LINES = 3
_SHORTER = 0.7
"""Most length of a difference, as a share of the program, to be shown in its place."""
_MOST_COMPARED = 2_000
"""Most lines of programs whose difference is looked for."""
_METRICS_SHOWN = 20
_VALUE_LENGTH = 60
_LEAD_LENGTH = 1_200


def change_of(before: str, after: str, language: Language) -> str:
    """Return a unified diff; empty if only layout or comments differ."""
    if language.same(before, after):
        return ""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "parent", "program", n=_DIFF_LINES, lineterm=""
    )
    return "\n".join(lines)


@lru_cache(maxsize=64)
def shorter_change(parent: str, code: str) -> str:
    """Return what a program has other than the parent, where that is shorter than the program; else nothing."""
    before, after = parent.splitlines(), code.splitlines()
    if max(len(before), len(after)) > _MOST_COMPARED:
        return ""
    lines = list(difflib.unified_diff(before, after, n=_DIFF_LINES, lineterm=""))[2:]
    change = "\n".join(lines)
    return change if len(change) <= _SHORTER * len(code) else ""


def functions_of(code: str, language: Language) -> list[str]:
    """Return the names of a program's functions and classes in order; none if it is not a valid program."""
    try:
        shape = language.outline(code)
    except ProgramError:
        return []
    return [name for name in shape.parts if name in shape.functions or name in shape.classes]


@lru_cache(maxsize=16)
def _fenced(word: str) -> re.Pattern[str]:
    """Return a pattern of fenced code that this word opens."""
    end = "" if word == "python" else r"(?![\w+#])"  # python3 is Python, but c++ is not C
    return re.compile(
        rf"^(?P<fence>`{{3,}}|~{{3,}})[ \t]*{re.escape(word)}{end}[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$",
        re.DOTALL | re.MULTILINE,
    )


def prior_body(prior: Prior, language: Language, functions: Collection[str] = ()) -> str:
    """Return a prior's text without a heading that only repeats its title.

    Args:
        prior: the prior.
        language: of its recipes.
        functions: shorten its recipes to those of these functions that they define; by default leave them whole.
    """
    first, _, rest = prior.body.lstrip().partition("\n")
    body = (rest if first.lstrip("# ").strip() == prior.title else prior.body).strip()
    if not functions:
        return body

    def shorten(match: re.Match[str]) -> str:
        return f"{match['fence']}{language.fence}\n{shortened(match['code'], functions, language)}{match['fence']}"

    return _fenced(language.fence).sub(shorten, body) if language.has_functions else body


def lead_of(brief: str) -> str:
    """Return the first paragraphs of a brief, about 1,200 characters: the first of all, and those that still fit."""
    paragraphs = re.split(r"\n\s*\n", brief.strip())
    kept: list[str] = []
    length = 0
    for paragraph in paragraphs:
        length += len(paragraph) + 2
        heading = paragraph.startswith("#") and "\n" not in paragraph
        if length > _LEAD_LENGTH and any(not item.startswith("#") for item in kept):
            break
        kept.append(paragraph)
        if length > _LEAD_LENGTH and not heading:
            break
    while len(kept) > 1 and (kept[-1].endswith(":") or (kept[-1].startswith("#") and "\n" not in kept[-1])):
        # What it announces was left out.
        kept.pop()
    return "\n\n".join(kept)


def metrics_told(spec: TaskSpec) -> list[dict[str, str]]:
    """Return what task.toml says of metrics: name, which way is better, meaning."""
    told = []
    parts = spec.run.get("fitness", {})
    parts = parts.get("parts", {}) if isinstance(parts, Mapping) else {}
    for name in dict.fromkeys([*spec.metrics, *parts]):
        known = spec.metrics.get(name)
        part = parts.get(name)
        direction = (known.direction if known else None) or (part.get("direction") if isinstance(part, Mapping) else "")
        better = {"maximize": "higher is better", "minimize": "lower is better"}.get(direction or "", "")
        if name == spec.metric:
            better = ""
        if better or (known and known.text):
            told.append({"name": name, "better": better, "text": known.text if known else ""})
    return told


def measured(
    spec: TaskSpec, parent: ContextNode, best: ContextNode | None, others: Sequence[ContextNode]
) -> list[dict[str, Any]]:
    """Return the metrics beside the score, each with its value for the parent, the best and the nodes beside them.

    A metric that all of them share has one value, which stands for all.
    """
    nodes = list({node.id: node for node in [parent, *([best] if best else []), *others] if node.metrics}.values())
    # Those that the task speaks of come first: there may be more than are shown.
    told = [item["name"] for item in metrics_told(spec)]
    names = dict.fromkeys([*told, *(name for node in nodes for name in node.metrics)])
    names.pop(spec.metric, None)
    rows: list[dict[str, Any]] = []
    for name in names:
        values = [(node.id, node.metrics[name]) for node in nodes if _is_value(node.metrics.get(name))]
        if not values:
            continue
        if len(rows) == _METRICS_SHOWN:
            break
        shared = len(values) == len(nodes) > 1 and all(value == values[0][1] for _, value in values)
        rows.append({"name": name, "all": values[0][1] if shared else None, "values": [] if shared else values})
    return rows


def _is_value(value: Any) -> bool:
    """Tell whether a metric is a figure or a short word; longer texts are the evaluator's feedback."""
    if isinstance(value, str):
        return len(value) < _VALUE_LENGTH and "\n" not in value.strip()
    return isinstance(value, int | float)
