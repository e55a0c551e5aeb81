"""Analyze by rules: write a note and a one-line lesson from metrics, the changed parts and the traceback.

The rules invent no priors. If the evaluator of a new best names its worst faults in metrics called `issue` or
`issue_…`, of the form `TITLE: WHAT WAS MEASURED`, they propose those as priors.
"""

from __future__ import annotations

import re

from engine.analyzers.report import Proposal, Report
from engine.llm.requests import Facts
from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError
from engine.state.node import Node

__all__ = ["analyze_by_rules", "is_unchanged", "outcome_of"]

_FRAME = re.compile(r'^[ \t]*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>[^\s,]+)', re.MULTILINE)
_IN_FUNCTION = re.compile(r"\b[Ii]n (?:member )?function ['‘](?:[^'’(]*?[\s*&:])?(?P<function>\w+)\s*[('’]")
"""What compilers of C and C++ say before an error."""
_LESSON_LENGTH = 300
_REASON_LENGTH = 160
_METRICS_SHOWN = 12
_TRACEBACK_LENGTH = 20_000
_ROUNDING = 1e-15
"""Share of a value that the order of sums alone may change."""
_ISSUE = re.compile(r"(?P<title>[^:\n]{1,120}): (?P<told>.+)", re.DOTALL)


def analyze_by_rules(facts: Facts) -> Report:
    """Compare a node with its parent and say what the change did."""
    node, parent = facts.node, facts.parent
    changed = _changed(facts.parent_code, facts.code, facts.spec.language) if parent is not None else []
    what = node.name if node.round or node.name == "seed" or node.operator == "warm" else f"seed {node.name}"
    # What was measured comes first: it is certain, and a long name must not push it out.
    lesson = f"{outcome_of(facts)}: {what}"
    if changed and not is_unchanged(facts) and not what.startswith("changed "):
        lesson += f" [changed {', '.join(changed[:4])}{' …' if len(changed) > 4 else ''}]"
    note = _note(facts, changed)
    return Report(_clip(" ".join(lesson.split()), _LESSON_LENGTH), note, proposals=_proposals(facts))


def is_unchanged(facts: Facts) -> bool:
    """Return whether a node's result is no other than its parent's, so that nothing can be learnt from the change."""
    node, parent = facts.node, facts.parent
    if parent is None or node.status != "ok" or parent.score is None:
        return False
    return node.same_as is not None or _gain(facts, parent) == 0


def _gain(facts: Facts, parent: Node) -> float | None:
    """Return by how much a node is better than its parent: 0 within noise or rounding, None if either has no value."""
    gain = facts.ranked_by.gain(facts.node, parent)
    if gain is None:
        return None
    values = [abs(facts.ranked_by.of(node) or 0.0) for node in (facts.node, parent)]
    return gain if abs(gain) > max(facts.least_gain, _ROUNDING * max(values)) else 0.0


def outcome_of(facts: Facts) -> str:
    """Describe a node's result against its parent's, in figures."""
    spec, node, parent = facts.spec, facts.node, facts.parent
    if node.status != "ok":
        blamed = _blamed(facts.stderr, facts.code, facts.spec.language)
        where = f" in {blamed}()" if blamed else ""
        return f"{node.status}{where}: {_clip(node.reason or 'no reason given', _REASON_LENGTH)}"
    assert node.score is not None
    ranking = facts.ranked_by
    told = f"{spec.metric} {node.score:.6g}"
    if ranking.by_fitness:
        told = f"{'not ranked' if node.fitness is None else f'fitness {node.fitness:.6g}'}, {told}"
    if node.check is not None and node.doubted:
        # A lesson that told of a gain would lead later designs the same way.
        return f"{_clip(node.check.reason, _REASON_LENGTH)}; {told}"
    if node.broken:
        return f"{_clip(node.broken, _REASON_LENGTH)}, so that it cannot be the best; {told}"
    if parent is None:
        return told if node.round else f"{told}, the starting point"
    if parent.score is None:
        return f"{told}, where #{parent.id} {parent.status}"
    if node.taken_from is not None:
        return f"behaves the same as #{node.taken_from} in the probe, {told}"
    if node.same_as is not None:
        return f"behaves the same as #{node.same_as}, {told}"
    gain = _gain(facts, parent)
    if gain is None:
        return told if node.fitness is None else f"{told}, where #{parent.id} was not ranked"
    of = " of fitness" if ranking.by_fitness else ""
    if gain > 0:
        return f"gained {gain:.4g}{of} over #{parent.id}, {told}"
    if gain < 0:
        return f"lost {-gain:.4g}{of} against #{parent.id}, {told}"
    return f"no difference{of} to #{parent.id}, {told}"


def _proposals(facts: Facts) -> list[Proposal]:
    """Return proposals for the issues of a new best, except those that its parent had or that were proposed before."""
    node, parent = facts.node, facts.parent
    if node.status != "ok" or facts.best is None or facts.best.id != node.id:
        return []
    known = {*facts.proposed, *(issue["title"] for issue in _issues(parent))} if parent is not None else facts.proposed
    return [
        Proposal(issue["title"], f"Measured for #{node.id}, the best so far: {issue['told']}", [node.id])
        for issue in _issues(node)
        if issue["title"] not in known
    ]


def _issues(node: Node) -> list[re.Match[str]]:
    told = [value for key, value in node.metrics.items() if key == "issue" or key.startswith("issue_")]
    return [found for value in told if isinstance(value, str) and (found := _ISSUE.fullmatch(value.strip()))]


def _blamed(stderr: str, code: str, language: Language) -> str:
    """Return the program's own function nearest to where the error was raised; empty if there is none."""
    try:
        functions = language.outline(code).functions
    except ProgramError:
        return ""
    # The innermost frames come last; the output before them may be of any length.
    tail = "\n".join(stderr[-_TRACEBACK_LENGTH:].splitlines()[-200:])
    for match in reversed(list((_FRAME if language.is_python else _IN_FUNCTION).finditer(tail))):
        if match["function"] in functions:
            return match["function"]
    return ""


def _changed(before: str, after: str, language: Language) -> list[str]:
    try:
        return language.changed_parts(before, after)
    except ProgramError:
        return []


def _note(facts: Facts, changed: list[str]) -> str:
    spec, node, parent, best, describe = facts.spec, facts.node, facts.parent, facts.best, facts.ranked_by.describe
    lines = [f"**{node.status}** {describe(node)} ({spec.metric}, {spec.direction})"]
    if node.reason:
        lines.append(f"Reason: {_clip(node.reason, 500)}")
    if node.broken:
        lines.append(f"Never the best: {_clip(node.broken, 500)}")
    if parent is not None:
        lines.append(f"Made from #{parent.id} ({describe(parent)}) by {node.operator}: {node.motivation}")
    if changed:
        lines.append(f"Changed: {', '.join(changed)}")
    deltas = _deltas(node, parent)
    if deltas:
        lines.append("")
        lines += ["| metric | parent | node | change |", "|---|---|---|---|", *deltas]
    if best is not None and best.id != node.id and node.score is not None and best.score is not None:
        lines.append(f"\nBest so far is #{best.id} with {describe(best)}.")
    if node.status != "ok" and facts.stderr.strip():
        tail = "\n".join(facts.stderr.strip().splitlines()[-12:])
        lines.append("\n" + "\n".join(f"    {line}" for line in tail.splitlines()))
    return "\n".join(lines)


def _deltas(node: Node, parent: Node | None) -> list[str]:
    rows = []
    before = parent.metrics if parent is not None else {}
    for key, value in list(node.metrics.items())[:_METRICS_SHOWN]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        old = before.get(key)
        if isinstance(old, int | float) and not isinstance(old, bool):
            rows.append(f"| {key} | {old:.6g} | {value:.6g} | {value - old:+.4g} |")
        else:
            rows.append(f"| {key} | | {value:.6g} | |")
    return rows


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
