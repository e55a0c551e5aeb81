"""Find the literals of a program in another language than Python, and write another value in the place of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.designers.recombine.literals import Place
from engine.designers.recombine.messages import Value
from engine.programs.languages.kinds import Grammar
from engine.programs.languages.parsed import is_comment, texts

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Number", "brackets_of", "find_numbers", "numbers_in_text", "spelled", "value_of"]

_LARGEST = 2**53
_LABEL = 24
_DIGITS = r"[0-9](?:[0-9_']*[0-9])?"
_FORM = re.compile(
    rf"(?P<sign>-?)\s*(?:(?P<hex>0[xX][0-9a-fA-F_']+)|(?P<float>(?:{_DIGITS})?\.(?:{_DIGITS})?(?:[eE][-+]?[0-9]+)?"
    rf"|{_DIGITS}[eE][-+]?[0-9]+)|(?P<whole>{_DIGITS}))(?P<suffix>_?[fF](?:32|64)|_?[iu](?:8|16|32|64|128|size)"
    r"|[fFlL]|[uUlLzZ]{0,3})"
)
_IN_TEXT = re.compile(r"(?<![\w.])-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.])")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w.]*)\s*(?::=|=|:)\s*\Z")
_BINDING = (("declarator", "value"), ("name", "value"), ("pattern", "value"), ("left", "right"))
_PAIRS = frozenset({"keyed_element", "pair", "initializer_pair", "field_initializer"})
_TYPED = frozenset({"composite_literal", "compound_literal_expression"})
"""Lists with their type before them."""
_DEFAULTS = frozenset({"optional_parameter_declaration", "assignment_pattern", "named_argument", "parameter"})


@dataclass(frozen=True)
class Number:
    """A literal whose value can be changed."""

    start: int
    """Its first byte in the program."""
    end: int
    line: int
    """From 1."""
    value: Value
    label: str
    place: Place
    company: float = 0.0


def value_of(text: str) -> tuple[Value] | None:
    """Return the value of a number's text, in a tuple; None if it is none that can be changed."""
    found = _FORM.fullmatch(text.strip())
    if found is None or found["float"] == ".":
        return None
    sign = -1 if found["sign"] else 1
    plain = re.sub("[_']", "", found["hex"] or found["float"] or found["whole"])
    is_float = bool(found["float"]) or "f" in found["suffix"].lower()
    if found["hex"]:
        value: int | float = int(plain, 16)
    elif is_float:
        value = float(plain)
    elif plain.startswith("0") and plain.strip("0"):
        return None  # octal in C
    else:
        value = int(plain)
    if abs(value) > (1e300 if is_float else _LARGEST):
        return None
    return (sign * value,)


def spelled(value: Value, old: str, loose: bool) -> str:
    """Return the text of a value in the place of another's text, with its suffix.

    Args:
        value: the value.
        old: the text that stands there.
        loose: whether it stands within an expression, where a sign could be read otherwise.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    found = _FORM.fullmatch(old.strip())
    text = repr(value) + (found["suffix"] if found is not None else "")
    return f"({text})" if loose and text.startswith("-") and not old.startswith("-") else text


def find_numbers(grammar: Grammar, root: Node, name: str) -> list[Number]:
    """Return the literals of a top-level definition in the order of the text.

    Args:
        grammar: of its language.
        root: the definition.
        name: its name.
    """
    finder = _Finder(grammar, name)
    finder.visit(root, "", "loose", None)
    return finder.numbers()


class _Finder:
    def __init__(self, grammar: Grammar, owner: str) -> None:
        self._grammar, self._owner = grammar, owner
        self._found: list[tuple[Number, int | None]] = []
        self._depth = 0
        """How many functions are around what is visited."""

    def numbers(self) -> list[Number]:
        sizes: dict[int, float] = {}
        for number, box in self._found:
            if box is not None and isinstance(number.value, int | float) and not isinstance(number.value, bool):
                sizes[box] = max(sizes.get(box, 0.0), abs(number.value))
        numbers = [
            number if box is None else Number(**{**vars(number), "company": sizes.get(box, 0.0)})
            for number, box in self._found
        ]
        return sorted(numbers, key=lambda number: number.start)

    def visit(self, node: Node, name: str, place: Place, box: int | None) -> None:
        """Visit a node with a name; a literal that is all of it gets `place`."""
        grammar = self._grammar
        if is_comment(node) or "string" in node.type:
            return
        if node.type in grammar.opaque:
            self._macro(node)
            return
        literal = self._literal(node)
        if literal is not None:
            shown = "" if place == "loose" else name
            line = node.start_point[0] + 1
            self._found.append((Number(node.start_byte, node.end_byte, line, literal[0], shown, place), box))
            return
        if node.type in grammar.sizes:
            place = "structure"
        children = [child for child in node.children if child.is_named and not is_comment(child)]
        if node.type in grammar.lists and place != "structure":
            for index, child in enumerate(children):
                shown = name if child.type in _PAIRS else f"{name}[{index}]"
                self.visit(child, shown if len(name) <= _LABEL else "", "element", node.id)
            return
        if len(children) == 1 and node.type in ("expression_list", "literal_element", "parenthesized_expression"):
            self.visit(children[0], name, place, box)
            return
        if self._bound(node, name, place, box):
            return
        inside = node.type in grammar.functions or node.type in grammar.lambdas
        self._depth += inside
        for child in node.children:
            shown = name if node.type in _TYPED and child.type in grammar.lists else ""
            self.visit(child, shown, "structure" if place == "structure" else "loose", None)
        self._depth -= inside

    def _bound(self, node: Node, name: str, place: Place, box: int | None) -> bool:
        """Visit a node that gives a value a name; return False if it does not."""
        value = node.child_by_field_name("default_value")
        target = node.child_by_field_name("declarator")
        pair = node.type in _PAIRS
        for left, right in _BINDING:
            ends = node.child_by_field_name(left), node.child_by_field_name(right)
            if value is None and all(ends) and (left != "left" or "assignment" in node.type or "var" in node.type):
                target, value = ends
        if pair and len(node.named_children) == 2:
            target, value = node.named_children
        elif node.type in ("assignment", "named_argument") and len(node.children) == 3 and value is None:
            target, value = node.children[0], node.children[2]  # Julia names no fields
        if value is None or target is None or node.type in self._grammar.functions:
            return False
        if target.type == "call_expression":
            return False  # a function of Julia
        self.visit(target, "", "structure" if place == "structure" else "loose", None)
        word = re.search(r"[A-Za-z_][\w.]*", texts(target))
        label = word[0] if word is not None and len(word[0]) <= _LABEL else ""
        if pair:
            self.visit(value, f"{name}[{label}]", "element", box)
        elif node.type in _DEFAULTS:
            self.visit(value, f"{self._owner}({label})", "element", None)
        elif "assignment" in node.type and node.type != "assignment" and self._depth:
            operator = node.child_by_field_name("operator")
            plain = operator is None or texts(operator) == "="
            self.visit(value, label, "local" if plain else "loose", None)
        else:
            self.visit(value, label, "local" if self._depth else "named", None)
        return True

    def _literal(self, node: Node) -> tuple[Value] | None:
        grammar = self._grammar
        if node.type in grammar.numbers:
            return value_of(texts(node))
        if node.type in grammar.truths:
            return (texts(node) == "true",)
        if node.type in ("unary_expression", "unary_op") and len(node.children) == 2:
            sign, operand = node.children
            if texts(sign) == "-" and operand.type in grammar.numbers and node.start_point[0] == node.end_point[0]:
                found = value_of(texts(operand))
                return (-found[0],) if found and isinstance(found[0], int | float) else None
        return None

    def _macro(self, node: Node) -> None:
        """Find numbers in the text of a macro, which the grammar does not take apart."""
        text = re.split(r"//|/\*", texts(node))[0]
        line = node.start_point[0] + 1
        whole = value_of(text)
        for match in _FORM.finditer(text):
            before, behind = text[: match.start()][-1:], text[match.end() :][:1]
            if before.isalnum() or before in ("_", ".", '"') or behind.isalnum() or behind in ("_", "."):
                continue
            found = value_of(match[0])
            if found is None:
                continue
            start = node.start_byte + len(text[: match.start()].encode())
            place: Place = "named" if whole is not None else "loose"
            label = self._owner if whole is not None else ""
            self._found.append((Number(start, start + len(match[0].encode()), line, found[0], label, place), None))


def numbers_in_text(code: str) -> list[Number]:
    """Return the numbers of a text in an unknown language; one behind `NAME =` or `NAME:` has that name."""
    found: list[Number] = []
    at = 0
    for line, text in enumerate(code.split("\n"), 1):
        for match in _IN_TEXT.finditer(text):
            value = value_of(match[0])
            if value is None:
                continue
            named = _NAMED.search(text[: match.start()])
            whole = named is not None and not text[match.end() :].strip(" \t;,#").startswith(tuple("+-*/"))
            start = at + len(text[: match.start()].encode())
            label = named["name"][:_LABEL] if named is not None and whole else ""
            end = start + len(match[0].encode())
            found.append(Number(start, end, line, value[0], label, "named" if label else "loose"))
        at += len(text.encode()) + 1
    return found


def brackets_of(grammar: Grammar, root: Node) -> Iterator[tuple[int, int]]:
    """Yield first and last line of lists, calls and signatures that span several lines."""
    kinds = grammar.lists | {"argument_list", "arguments", "parameter_list", "parameters", "formal_parameters"}
    pending = [root]
    while pending:
        node = pending.pop()
        first, last = node.start_point[0] + 1, node.end_point[0] + 1
        if first == last:
            continue
        if node.type in kinds:
            yield first, last
        pending += node.children
