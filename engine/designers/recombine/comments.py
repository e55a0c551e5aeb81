"""`# tune:` comments: rules on how the numbers on a line, or in brackets, may be tuned.

STEPS = 30                     # tune: effort 5..200
MODE = "best"                  # tune: choice best|first|worst
WEIGHTS = [                    # tune: scale 0.01..10
    0.5,
    2.0,                       # tune: fixed
]
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal as OneOf

from engine.designers.recombine.literals import Literal, value_of
from engine.designers.recombine.messages import Value

__all__ = ["KINDS", "Rule", "Rules", "TuneError", "match_rules", "read_rules", "said_in", "same_value"]

KINDS = ("effort", "scale", "tolerance", "flip", "choice", "fixed")

_MARK = re.compile(r"#\s*tune:\s*(?P<said>.*?)\s*(?:#.*)?$", re.IGNORECASE)
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_BOUNDS = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})(?![\w.])")
_QUOTED = re.compile(r"""(?:[^|"']|"[^"]*"|'[^']*')+""")


class TuneError(Exception):
    """A `# tune:` comment is invalid; the message says why."""


@dataclass(frozen=True)
class Rule:
    """The rule of one comment. Without bounds, those of an undeclared number of the same size apply."""

    kind: OneOf["effort", "scale", "tolerance", "flip", "choice", "fixed"]
    bounds: tuple[float, float] | None = None
    choices: list[Value] = field(default_factory=list)

    def fits(self, value: Value) -> bool:
        """Tell whether the rule applies to literals of this type."""
        match self.kind:
            case "fixed":
                return True
            case "flip":
                return isinstance(value, bool)
            case "choice":
                return any(same_value(value, choice) for choice in self.choices)
            case _:
                return isinstance(value, int | float) and not isinstance(value, bool)

    def allows(self, value: Value) -> bool:
        """Tell whether the rule lets a literal have a value."""
        if self.bounds is None or not isinstance(value, int | float):
            return self.fits(value)
        low, high = self.bounds
        return low <= (value if low < 0 else abs(value)) <= high


def same_value(a: Value, b: Value) -> bool:
    """Tell whether two literals are equal in value and type: 1, 1.0 and True all differ."""
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Rules:
    """The rules of a program's comments."""

    of: dict[tuple[int, int], Rule | TuneError]
    """Rule, or error of an invalid comment, by statement and position among its literals."""
    problems: list[tuple[int, str]]
    """Line and message of each comment that is invalid or fits no literal."""


def read_rules(code: str, statements: Sequence[tuple[Sequence[ast.stmt], Sequence[Literal]]]) -> Rules:
    """Match comments with literals.

    A comment at the end of a line applies to the literals of its type on that line; if there are none, to those in the
    list, dict, tuple, call or signature that begins or ends on the line, unless they have a comment of their own.

    Args:
        code: the program.
        statements: its top-level statements, each with its literals.
    """
    said = said_in(_comments(code))
    if not said:
        return Rules({}, [])
    places = {
        (number, index): (literal.node.lineno, literal.value)
        for number, (_, literals) in enumerate(statements)
        for index, literal in enumerate(literals)
    }
    return match_rules(said, places, [span for nodes, _ in statements for span in _spans(nodes)])


def said_in(comments: Iterable[tuple[int, str]]) -> dict[int, Rule | TuneError]:
    """Return the rule of each comment by its line, or the error of one that is invalid.

    Args:
        comments: line of each comment, and what follows `tune:` in it.
    """
    said: dict[int, Rule | TuneError] = {}
    for line, text in comments:
        try:
            said[line] = _rule(text)
        except TuneError as exc:
            said[line] = exc
    return said


def match_rules(
    said: Mapping[int, Rule | TuneError],
    places: Mapping[tuple[int, int], tuple[int, Value]],
    brackets: Iterable[tuple[int, int]],
) -> Rules:
    """Match rules with literals, as `read_rules` says.

    Args:
        said: rules by their line.
        places: line and value of every literal, by statement and position among its literals.
        brackets: first and last line of brackets, calls and signatures that span several lines.
    """
    lines: dict[int, list[tuple[int, int]]] = {}
    for place, (line, _) in places.items():
        lines.setdefault(line, []).append(place)
    spans = sorted(brackets, key=lambda span: span[0] - span[1])
    rules: dict[tuple[int, int], Rule | TuneError] = {}
    problems = {line: f"{rule}" for line, rule in said.items() if isinstance(rule, TuneError)}
    # Wide brackets first, single lines last, so that the nearest comment wins.
    reached = {line: next((span for span in spans if line in span), None) for line in said if line not in lines}
    wide = sorted(reached.items(), key=lambda item: item[1][0] - item[1][1] if item[1] else 0)
    for line, span in [*wide, *((line, (line, line)) for line in said if line in lines)]:
        rule = said[line]
        within = [] if span is None else [p for at in range(span[0], span[1] + 1) for p in lines.get(at, [])]
        fitting = [p for p in within if isinstance(rule, TuneError) or rule.fits(places[p][1])]
        for place in fitting:
            rules[place] = rule
        if isinstance(rule, Rule):
            problem = _misfit(rule, [places[place][1] for place in fitting])
            if problem:
                problems[line] = problem
    return Rules(rules, sorted(problems.items()))


def _spans(nodes: Sequence[ast.stmt]) -> Iterator[tuple[int, int]]:
    """Yield first and last line of brackets, calls and signatures that span several lines."""
    for statement in nodes:
        for node in ast.walk(statement):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Call):
                first, last = node.lineno, node.end_lineno or node.lineno
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first, last = node.lineno, node.body[0].lineno - 1
            else:
                continue
            if first < last:
                yield first, last


def _misfit(rule: Rule, values: Sequence[Value]) -> str:
    """Return why a rule does not fit its values, or an empty string."""
    if not values:
        sort = {"flip": "no True or False", "choice": "none of these values", "fixed": "nothing"}
        return f"there is {sort.get(rule.kind, 'no number')} here that could be tuned"
    for value in values:
        if not rule.fits(value) or rule.kind in ("flip", "choice", "fixed"):
            continue
        assert isinstance(value, int | float)
        if rule.bounds is None:
            if value == 0:
                return "0 has no size to start from; give bounds"
        elif not rule.bounds[0] <= (value if rule.bounds[0] < 0 else abs(value)) <= rule.bounds[1]:
            return f"{value!r} lies outside of its bounds"
    return ""


def _comments(code: str) -> Iterator[tuple[int, str]]:
    if "tune" not in code.lower():
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(code, newline="").readline):
            mark = _MARK.match(token.string) if token.type == tokenize.COMMENT else None
            if mark:
                yield token.start[0], mark["said"]
    except (tokenize.TokenError, SyntaxError):
        # The parser decides whether this is valid Python, and it has accepted this program.
        return


def _rule(said: str) -> Rule:
    word, rest = [*said.split(None, 1), "", ""][:2]
    kind = word.lower()
    match kind:
        case "effort" | "scale" | "tolerance":
            return Rule(kind, _bounds(kind, rest))
        case "choice":
            return Rule(kind, choices=_choices(rest))
        case "flip" | "fixed":
            return Rule(kind)
    raise TuneError(f"there is no kind '{word}'; the kinds are {', '.join(KINDS)}")


def _bounds(kind: str, rest: str) -> tuple[float, float] | None:
    if not rest:
        return None
    found = _BOUNDS.match(rest)
    if found is None:
        raise TuneError(f"'{rest}' is no pair of bounds; write '{kind} 5..200'")
    low, high = float(found["low"]), float(found["high"])
    if not low < high:
        raise TuneError(f"the lower bound {found['low']} is not below the upper bound {found['high']}")
    if low < 0 and kind != "scale":
        raise TuneError(f"'{kind}' moves by factors, so that its bounds cannot be below 0; 'scale' can cross 0")
    return low, high


def _choices(rest: str) -> list[Value]:
    words = [word.strip() for word in _QUOTED.findall(rest)]
    choices = [_choice(word) for word in words if word]
    different = [a for index, a in enumerate(choices) if not any(same_value(a, b) for b in choices[:index])]
    if len(different) < 2:
        raise TuneError("a choice is among two or more different values; write 'choice best|first|worst'")
    return different


def _choice(word: str) -> Value:
    """Parse a choice: a number, True, False, None or a quoted string by its value, anything else as text."""
    try:
        found = value_of(ast.parse(word, mode="eval").body)
    except (SyntaxError, ValueError):
        found = None
    return word if found is None else found[0]
