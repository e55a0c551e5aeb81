"""Read a program with tree-sitter: its top-level parts, their names, and its syntax errors."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.programs.languages.kinds import Grammar
from engine.programs.outline import ProgramError

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Grammar", "Parsed", "Part", "is_comment", "parse", "preamble_of", "texts", "without_comments"]

_COMMENTS = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_JULIA_COMMENTS = re.compile(r"#=.*?=#|#[^\n]*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_SHOWN = 40


@dataclass(frozen=True)
class Part:
    """A top-level definition, or another top-level node."""

    index: int
    kind: str
    """`function`, `type`, `value`, `import`, `prototype` or `other`."""
    names: tuple[str, ...]
    """The names that it defines."""
    node: Node
    """The node, with a template or an export around it."""
    start: int
    """Its first byte, attributes included."""
    end: int
    """The byte after its last."""
    parameters: int
    """How many parameters the function has; 0 for other kinds."""
    text: str
    """Its tokens without comments and layout, but for those that count: equal for parts that differ in these alone."""
    reads: frozenset[str]
    """Names that occur in it, but for names of fields."""
    words: frozenset[str]
    """All names that occur in it."""
    leading: tuple[Node, ...] = ()
    """Attributes and directives before it."""


@dataclass(frozen=True)
class Parsed:
    """A program, parted at its top level."""

    source: bytes
    grammar: Grammar
    root: Node
    parts: tuple[Part, ...]
    error: str
    """Where its first syntax error is and what is wrong; empty if there is none."""

    @property
    def digest(self) -> str:
        """Return the sha256 of its tokens."""
        whole = hashlib.sha256()
        for part in self.parts:
            whole.update(part.text.encode("utf-8", "surrogatepass") + b"\n")
        return whole.hexdigest()


@lru_cache(maxsize=16)
def _parser(module: str) -> Any:
    # Lazy: few tasks are of another language than Python.
    from tree_sitter import Language, Parser

    return Parser(Language(importlib.import_module(module).language()))


# TREE
# A tree takes a hundred times the bytes of its program.
@lru_cache(maxsize=16)
def parse(grammar: Grammar, code: str) -> Parsed:
    """Read a program; recently read ones are cached. A syntax error is told by `error`.

    Raises:
        ProgramError: it is nested too deeply, or it is no text.
    """
    try:
        source = code.encode()
    except UnicodeEncodeError as exc:
        raise ProgramError("syntax", f"it is not valid UTF-8 text: {exc.reason}") from None
    root = _parser(grammar.module).parse(source).root_node
    try:
        return Parsed(source, grammar, root, tuple(_parts(grammar, root)), _first_error(root))
    except RecursionError:
        raise ProgramError("syntax", "it is nested too deeply to be read") from None


def without_comments(text: str) -> str:
    """Return text of the C preprocessor without comments, on one line."""
    return " ".join(_COMMENTS.sub(lambda match: match[1] or " ", text).split())


def texts(node: Node) -> str:
    """Return a node's text."""
    return (node.text or b"").decode("utf-8", "replace")


def is_comment(node: Node) -> bool:
    """Tell whether a node is a comment."""
    return "comment" in node.type


# Parts


def _parts(grammar: Grammar, root: Node) -> Iterator[Part]:
    start = None
    leading: list[Node] = []
    index = 0
    for node in _top_level(grammar, root):
        if _is_ignored(grammar, node):
            continue
        if node.type in grammar.leading or is_comment(node):
            start = node.start_byte if start is None else start
            leading.append(node)
            continue
        yield _part(grammar, index, node, node.start_byte if start is None else start, leading)
        index += 1
        start, leading = None, []
    for node in leading:
        yield _part(grammar, index, node, node.start_byte, [])
        index += 1


def _top_level(grammar: Grammar, node: Node) -> Iterator[Node]:
    for child in node.children:
        inside = child.child_by_field_name("body") if child.type == "linkage_specification" else child
        if child.type in grammar.containers and inside is not None and inside.type not in grammar.functions:
            yield from _top_level(grammar, inside)
        elif child.type in ("declaration_list", "block") and node.type in grammar.containers:
            yield from _top_level(grammar, child)
        elif child.is_named or child.child_count:
            yield child
        elif node.type in grammar.containers and child.type not in "{};":
            # `#ifdef` and its like: what they say belongs to the program, where they stand.
            yield child


def _part(grammar: Grammar, index: int, node: Node, start: int, leading: list[Node]) -> Part:
    inner = _unwrapped(grammar, node)
    kind = _kind(grammar, inner)
    out: list[str] = []
    reads: set[str] = set()
    words: set[str] = set()
    for each in [*leading, node]:
        _dump(grammar, each, out, reads, words)
    names = tuple(dict.fromkeys(_names(grammar, inner, kind)))
    parameters = _count_parameters(inner) if kind == "function" else 0
    return Part(
        index=index,
        kind=kind,
        names=names,
        node=node,
        start=start,
        end=node.end_byte,
        parameters=parameters,
        text=" ".join(out),
        reads=frozenset(reads),
        words=frozenset(words),
        leading=tuple(leading),
    )


def _unwrapped(grammar: Grammar, node: Node) -> Node:
    while node.type in grammar.wrappers:
        known = grammar.functions | grammar.types | grammar.values | grammar.wrappers
        inner = next((child for child in node.children if child.type in known), None)
        if inner is None:
            return node
        node = inner
    return node


def _kind(grammar: Grammar, node: Node) -> str:
    if node.type == "mod_item" and node.child_by_field_name("body") is None:
        return "other"  # it names another file
    if node.type in grammar.functions:
        return "function"
    if node.type in grammar.imports:
        return "import"
    if node.type in grammar.values:
        if _declares_function(node):
            return "prototype"
        bound = _binders(grammar, node)
        values = [binder.child_by_field_name("value") for binder in bound]
        if len(bound) == 1 and values[0] is not None and values[0].type in grammar.lambdas:
            return "function"
        # In Julia `f(x) = x` defines a function.
        if node.type == "assignment" and node.children and node.children[0].type == "call_expression":
            return "function"
        return "value"
    return "type" if node.type in grammar.types else "other"


def _declares_function(node: Node) -> bool:
    """Tell whether a declaration of C is that of a function."""
    inner = node.child_by_field_name("declarator") if node.type == "declaration" else None
    while inner is not None:
        if inner.type == "function_declarator":
            inside = inner.child_by_field_name("declarator")
            return inside is not None and inside.type != "parenthesized_declarator"
        if inner.type == "init_declarator":
            return False
        inner = inner.child_by_field_name("declarator")
    return False


def _binders(grammar: Grammar, node: Node) -> list[Node]:
    found = list(node.children_by_field_name("declarator"))
    pending = [] if found else list(node.children)
    while pending:
        child = pending.pop(0)
        if child.type in grammar.binders:
            found.append(child)
        elif child.type.endswith(("_list", "_clause")):
            pending = [*child.children, *pending]
    return found or [node]


def _names(grammar: Grammar, node: Node, kind: str) -> Iterator[str]:
    if kind == "other" and node.type not in grammar.containers:
        return
    if kind == "import":
        yield "<imports>"
        return
    if node.type == "impl_item":
        return
    for binder in _binders(grammar, node) if kind != "function" or node.type in grammar.values else [node]:
        # Go allows several names in one specification: `a, b = 1, 2`.
        several = [child for child in binder.children_by_field_name("name") if child.type in grammar.names]
        if len(several) > 1:
            yield from map(texts, several)
            continue
        name = _name(grammar, binder)
        if name and node.type == "method_declaration":
            receiver = node.child_by_field_name("receiver")
            owner = _WORD.findall(texts(receiver)) if receiver is not None else []
            name = f"{owner[-1]}.{name}" if owner else name
        if name:
            yield name
    if node.type == "enum_specifier":
        body = node.child_by_field_name("body")
        for child in body.named_children if body is not None else []:
            if child.type == "enumerator":
                yield _name(grammar, child)


def _name(grammar: Grammar, node: Node) -> str:
    while True:
        if node.type == "qualified_identifier" or not node.child_count:
            return texts(node)
        inner = next(
            (found for field in ("name", "declarator") if (found := node.child_by_field_name(field)) is not None), None
        )
        if inner is None:
            break
        node = inner
    leaf = next((leaf for leaf in _leaves(node) if leaf.type in grammar.names | grammar.fields), None)
    return texts(leaf) if leaf is not None else ""


def _leaves(node: Node) -> Iterator[Node]:
    if not node.child_count:
        yield node
    for child in node.children:
        yield from _leaves(child)


def _count_parameters(node: Node) -> int:
    found = _parameters(node)
    if found is None:
        return 0
    count = 0
    for child in found.children:
        if child.type == ";":
            break  # what follows in Julia is passed by name
        if not child.is_named or is_comment(child) or texts(child) == "void":
            continue
        count += max(1, len(child.children_by_field_name("name"))) if child.type == "parameter_declaration" else 1
    return count


def _parameters(node: Node) -> Node | None:
    """Return the node that holds a function's parameters."""
    pending = [node]
    while pending:
        here = pending.pop(0)
        found = here.child_by_field_name("parameters")
        if found is not None:
            return found
        if here.type == "argument_list":
            return here
        fields = ("declarator", "value")
        inner = [child for field in fields if (child := here.child_by_field_name(field)) is not None]
        pending += inner or [child for child in here.children if child.type in _BEFORE_PARAMETERS]
    return None


_BEFORE_PARAMETERS = frozenset({"signature", "call_expression", "argument_list", "variable_declarator"})


# Tokens


def _is_ignored(grammar: Grammar, node: Node) -> bool:
    """Tell whether a node is a comment that no compiler obeys."""
    return is_comment(node) and (grammar.directives is None or not grammar.directives.match(texts(node)))


def preamble_of(node: Node) -> list[Node]:
    """Return the comments directly before an import of `"C"`, first to last: they are code of C."""
    found: list[Node] = []
    if '"C"' not in texts(node):
        return found
    before = node.prev_sibling
    while before is not None and is_comment(before) and before.end_point[0] + 1 >= node.start_point[0]:
        found.insert(0, before)
        node, before = before, before.prev_sibling
    return found


def _dump(grammar: Grammar, node: Node, out: list[str], reads: set[str], words: set[str], spaced: bool = False) -> None:
    """Serialise a node without comments and layout, and collect its names.

    Brackets mark the nodes, so that statements that a new line ends stay apart; kinds of nodes are left out, since
    they differ between releases of a grammar.
    """
    if _is_ignored(grammar, node):
        return
    if node.type in grammar.preambles:
        out += map(texts, preamble_of(node))
    if not node.child_count or "string" in node.type or "char" in node.type:
        text = texts(node)
        if node.type in grammar.opaque:
            text = without_comments(text)
            found = _WORD.findall(text)
            reads.update(found)
            words.update(found)
        elif node.type in grammar.names:
            reads.add(text)
            words.add(text)
        elif node.type in grammar.fields:
            words.add(text)
        out.append(text.strip() if node.is_named else text)
        return
    out.append("(")
    spaced = spaced or node.type in grammar.spaced
    whole, end = node.text or b"" if spaced else b"", node.start_byte
    for child in node.children:
        if spaced and not is_comment(child):
            # The grammar hides signs such as `;;`, too.
            gap = whole[end - node.start_byte : child.start_byte - node.start_byte].decode("utf-8", "replace")
            if gap:
                out.append(_gap(gap))
            end = child.end_byte
        _dump(grammar, child, out, reads, words, spaced)
    out.append(")")


def _gap(text: str) -> str:
    """Return what stands between two elements: its signs, and whether a new line or only spaces part them."""
    bare = _JULIA_COMMENTS.sub("", text)
    signs = "".join(bare.split())
    return f"{signs}⏎" if "\n" in bare else f"{signs}␣" if bare != signs else signs


# Errors


def _first_error(root: Node) -> str:
    if not root.has_error:
        return ""
    node = root
    while True:
        inner = next((child for child in node.children if child.has_error or child.is_missing or child.is_error), None)
        if node.is_missing:
            return f"line {node.start_point[0] + 1}: '{node.type}' is missing"
        if inner is None or (node.is_error and not inner.has_error):
            text = " ".join(texts(node).split())
            shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
            return f"line {node.start_point[0] + 1}: syntax error at '{shown}'"
        node = inner
