"""Find the literals of a top-level statement, with their places and readable names."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal as OneOf

from engine.designers.recombine.messages import Value

__all__ = ["Literal", "Place", "find_literals", "is_main_guard", "spelled", "value_of"]

Place = OneOf["named", "element", "local", "loose", "structure"]
"""`named`: the whole value of a name of a module or class; `element`: in a list, dict, tuple, array, dataclass, keyword
argument or default; `local`: the whole value of a local name; `loose`: elsewhere in an expression; `structure`: an axis
or a shape."""

_LARGEST = 2**53
"""Larger whole numbers may lose digits as JSON."""
_KEY_LENGTH = 24
_ARRAYS = {"array", "asarray", "tensor", "as_tensor", "list", "tuple", "set", "frozenset", "dict", "field", "deque"}
"""Calls that keep their arguments as elements, so that `W = np.array([1, 2])` has a `W[0]`."""
_SHAPED = {
    *("zeros", "ones", "empty", "eye", "identity", "reshape", "resize", "view", "expand", "permute", "transpose"),
    *("broadcast_to", "tile"),
}
_STRUCTURE = {"axis", "axes", "dim", "dims", "shape", "size", "dtype", "keepdims", "keepdim", "ndmin", "indent"}


@dataclass(frozen=True)
class Literal:
    """A literal on one line whose value can be changed."""

    node: ast.expr
    value: Value
    label: str
    """`WEIGHTS[2]`, `CONFIG['rate']`, `score(depth)`, `minimize(tol)`; empty if it has no name."""
    place: Place
    company: float
    """The largest magnitude among the numbers in the same list or tuple; 0 if there is none."""


def value_of(node: ast.expr) -> tuple[Value] | None:
    """Return a literal's value, in a tuple since it may be None; a number may have a minus sign and must be finite."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = node.operand
        if not isinstance(inner, ast.Constant) or isinstance(inner.value, bool):
            return None
        found = value_of(inner)
        return (-found[0],) if found and isinstance(found[0], int | float) else None
    if not isinstance(node, ast.Constant):
        return None
    value = node.value
    if isinstance(value, int | float) and abs(value) > (_LARGEST if isinstance(value, int) else 1e300):
        return None
    return (value,) if value is None or isinstance(value, bool | int | float | str) else None


def spelled(value: Value, old: str, loose: bool) -> str:
    """Return a literal's text, with the quotes of the old one."""
    text = repr(value)
    if isinstance(value, str) and old.endswith('"') and '"' not in text:
        return f'"{text[1:-1]}"'
    # `x ** 2` with a negative number for x would be parsed as -(x ** 2).
    return f"({text})" if loose and text.startswith("-") and not old.startswith("-") else text


def find_literals(statements: Sequence[ast.stmt]) -> list[Literal]:
    """Return the literals of a top-level statement whose value can be changed, in the order of the text.

    Literals in annotations, decorators, subscripts, dict keys, patterns, docstrings and f-strings are left out.
    """
    finder = _Finder()
    for statement in statements:
        if not is_main_guard(statement):
            finder.statement(statement, "module", "")
    return finder.literals()


def is_main_guard(statement: ast.stmt) -> bool:
    """Tell whether a statement is `if __name__ == "__main__":`."""
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


Scope = OneOf["module", "class", "function"]


class _Finder:
    """Walk a statement and track the name of each literal."""

    def __init__(self) -> None:
        self._found: list[tuple[ast.expr, Value, str, Place, ast.AST | None]] = []

    def literals(self) -> list[Literal]:
        """Return the found literals in the order of the text."""
        company: dict[int, float] = {}
        for _, value, _, _, box in self._found:
            if isinstance(value, int | float) and not isinstance(value, bool):
                company[id(box)] = max(company.get(id(box), 0.0), abs(value))
        found = sorted(self._found, key=lambda item: (item[0].lineno, item[0].col_offset))
        return [
            Literal(node, value, label, place, company.get(id(box), 0.0) if box is not None else 0.0)
            for node, value, label, place, box in found
        ]

    # Statements

    def statement(self, node: ast.stmt, scope: Scope, prefix: str) -> None:
        """Visit a statement; `prefix` is the enclosing class with a dot, or empty."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._arguments(node.args, prefix[:-1] if node.name == "__init__" and prefix else prefix + node.name)
                self._body(node.body, "function", "")
            case ast.ClassDef():
                self._body(node.body, "class", f"{prefix}{node.name}.")
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
                for name, value in zip(names, values, strict=True):
                    self._assigned(name, value, "local" if scope == "function" else "named", prefix)
            case ast.Assign(targets=targets, value=value):
                self._assigned(targets[0], value, "local" if scope == "function" else "named", prefix)
            case ast.AnnAssign(target=target, value=value):
                # An annotated name in a class is a field of a dataclass or a named tuple.
                places: dict[Scope, Place] = {"module": "named", "class": "element", "function": "local"}
                if value is not None:
                    self._assigned(target, value, places[scope], prefix)
            case ast.AugAssign(target=target, value=value):
                self._assigned(target, value, "loose", prefix)
            case ast.For(target=target, iter=iterated) | ast.AsyncFor(target=target, iter=iterated):
                self._assigned(target, iterated, "loose", "")
                self._body(node.body + node.orelse, scope, prefix)
            case ast.Expr(value=ast.Constant()):
                pass
            case _:
                self._parts(node, "", scope, prefix)

    def _body(self, body: Sequence[ast.stmt], scope: Scope, prefix: str) -> None:
        for statement in body:
            self.statement(statement, scope, prefix)

    def _arguments(self, arguments: ast.arguments, function: str) -> None:
        every = [*arguments.posonlyargs, *arguments.args]
        pairs = [*zip(every[len(every) - len(arguments.defaults) :], arguments.defaults, strict=True)]
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        for argument, default in pairs:
            place: Place = "structure" if argument.arg in _STRUCTURE else "element"
            self._expression(default, f"{function}({argument.arg})" if function else argument.arg, place)

    def _assigned(self, target: ast.expr, value: ast.expr, place: Place, prefix: str) -> None:
        plain = isinstance(target, ast.Name | ast.Attribute | ast.Subscript)
        name = ast.unparse(target) if plain else ""
        self._expression(value, f"{prefix}{name}" if len(name) <= _KEY_LENGTH else "", place)

    # Expressions

    def _expression(self, node: ast.expr, name: str, place: Place, box: ast.AST | None = None) -> None:
        """Visit an expression with a name; a literal that is the whole expression gets `place`."""
        value = value_of(node)
        if value is not None:
            if node.lineno == node.end_lineno:
                # One of several literals in an expression has no name of its own.
                self._found.append((node, value[0], "" if place == "loose" else name, place, box))
            return
        inside: Place = "structure" if place == "structure" else "element"
        match node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                for index, part in enumerate(parts):
                    self._expression(part, f"{name}[{index}]", inside, node)
            case ast.Dict(keys=keys, values=values):
                for key, part in zip(keys, values, strict=True):
                    shown = f"[{ast.unparse(key)[:_KEY_LENGTH]}]" if isinstance(key, ast.Constant) else ""
                    self._expression(part, name + shown, inside)
            case ast.Call():
                self._call(node, name, place)
            case ast.Lambda():
                self._arguments(node.args, "")
                self._expression(node.body, name, "loose")
            case ast.Subscript():
                self._expression(node.value, name, "loose")
            case _ if type(node).__name__ in ("JoinedStr", "TemplateStr"):
                pass
            case _:
                self._parts(node, name, "function", "")

    def _call(self, node: ast.Call, name: str, place: Place) -> None:
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else ""
        called = function.id if isinstance(function, ast.Name) else called
        self._expression(function, "", "loose")
        within = name if called in _ARRAYS else called
        for index, argument in enumerate(node.args):
            structure = place == "structure" or called in _SHAPED or (called == "full" and index == 0)
            self._expression(argument, within, "structure" if structure else "loose")
        for keyword in node.keywords:
            if keyword.arg is None:
                self._expression(keyword.value, within, "loose")
            elif called == "field" and keyword.arg in ("default", "default_factory"):
                self._expression(keyword.value, name, "element")
            else:
                owned = place in ("named", "element") and name
                label = f"{name}.{keyword.arg}" if owned else f"{called}({keyword.arg})"
                structure = place == "structure" or keyword.arg in _STRUCTURE
                self._expression(keyword.value, label, "structure" if structure else "element")

    def _parts(self, node: ast.AST, name: str, scope: Scope, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child, scope, prefix)
            elif isinstance(child, ast.expr):
                self._expression(child, name, "loose")
            elif not isinstance(child, ast.pattern):
                self._parts(child, name, scope, prefix)
