"""Random programs whose statements need each other at their definition: decorators, defaults, bases, class bodies."""

from __future__ import annotations

import sys
import types
from random import Random
from typing import Any

__all__ = ["answers", "loads", "random_program"]

_VALUES = ("K", "L", "LIMIT")
_HELPERS = ("helper", "other")
_CLASSES = ("Config", "Base")


class _Writer:
    """Writes one program; every name that a statement needs at its definition is defined above it."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._above: list[str] = []
        self._later: list[str] = []

    def write(self) -> str:
        rng = self._rng
        names = [name for name in (*_VALUES, *_HELPERS, *_CLASSES, "deco", "TABLE") if rng.random() < 0.6]
        rng.shuffle(names)
        names.insert(rng.randrange(len(names) + 1), "step")
        names.append("run")
        # A function may read names that stand below it, unless something above calls it.
        self._later = [name for name in names if name != "run"]
        parts = ["from __future__ import annotations"] if rng.random() < 0.2 else []
        for name in names:
            parts.append(self._definition(name))
            self._above.append(name)
            if rng.random() < 0.2:
                parts += self._loose()
        return "\n\n\n".join(parts) + "\n"

    def _has(self, *names: str) -> list[str]:
        return [name for name in names if name in self._above]

    def _now(self) -> str:
        """Return an expression that can be evaluated at this place."""
        rng = self._rng
        choices = [str(rng.randrange(1, 9)), *self._has(*_VALUES)]
        choices += [f"{name}({rng.randrange(5)})" for name in self._has(*_HELPERS, "step")]
        choices += [f"{name}.size" for name in self._has(*_CLASSES)] + ["sum(TABLE)"] * len(self._has("TABLE"))
        choices += [f"sum(v + {name} for v in range(2))" for name in self._has(*_VALUES)]
        choices += [f"len([{name} for {name} in range({name} % 5)])" for name in self._has(*_VALUES)]
        return rng.choice(choices)

    def _lazy(self, own: str) -> str:
        """Return an expression in the parameter `x` that may read what stands below."""
        rng = self._rng
        names = [name for name in self._later if name not in (own, "step", "deco", *_HELPERS)]
        names += [name for name in self._has(*_HELPERS) if name != own]
        name = rng.choice(names) if names and rng.random() < 0.8 else "3"
        if name in _HELPERS:
            return f"{name}(x)"
        if name in _CLASSES:
            return rng.choice([f"{name}.size", f"{name}().grown(x)"])
        if name == "TABLE":
            return "sum(TABLE)"
        return rng.choice(
            [name, f"(lambda v: v + {name})(x)", f"(lambda {name}: {name})(x) + {name}" if name != "3" else name]
        )

    def _function(self, name: str) -> str:
        rng = self._rng
        deco = rng.choice(["", "@deco\n"]) if self._has("deco") else ""
        default = f", *, k={self._now()}" if rng.random() < 0.4 else ""
        note = f": {rng.choice(self._has(*_CLASSES))}" if self._has(*_CLASSES) and rng.random() < 0.3 else ""
        extra = " + k" if default else ""
        return f"{deco}def {name}(x{note}{default}):\n    return x + {self._lazy(name)}{extra}"

    def _definition(self, name: str) -> str:
        rng = self._rng
        if name in _VALUES:
            return f"{name} = {self._now()}"
        if name == "TABLE":
            return f"TABLE = [{self._now()}, {self._now()}]"
        if name == "deco":
            return rng.choice(
                [
                    "def deco(f):\n    return f",
                    f"def deco(f):\n    f.mark = {self._now()}\n    return f",
                    f"def deco(f):\n    g = lambda x, *rest: f(x, *rest) + {rng.randrange(5)}\n    g(1)\n    return g",
                ]
            )
        if name in _CLASSES:
            return self._class(name)
        return self._function(name)

    def _class(self, name: str) -> str:
        rng = self._rng
        base = f"({rng.choice(bases)})" if (bases := self._has(*_CLASSES)) and rng.random() < 0.5 else ""
        body = [f"    size = {self._now()}"]
        for value in self._has(*_VALUES):
            if rng.random() < 0.3:
                body.append(f"    {value} = {value} + 1")
                body.append(f"    size = size + {value}")
        if rng.random() < 0.3:
            body.append(f"    field: {rng.choice([*bases, 'int'])} = {self._now()}")
        body.append(f"    def grown(self, x, k={self._now()}):\n        return x + k + self.size")
        if rng.random() < 0.2:
            body.append("    most = grown(type('', (), {'size': 1})(), 2)")
        return f"class {name}{base}:\n" + "\n\n".join(body)

    def _loose(self) -> list[str]:
        choices = [f"TABLE.append({self._now()})", f"for k in range(2):\n    TABLE[0] += {self._now()}"]
        found = choices if self._has("TABLE") else []
        found += [f"{name}.size = {self._now()}" for name in self._has(*_CLASSES)]
        found += [f"assert {name} is not None" for name in self._has(*_VALUES)]
        return [self._rng.choice(found)] if found else []


def random_program(rng: Random) -> str:
    """Write a program with the functions `step(x)` and `run(x)`; it need not load."""
    return _Writer(rng).write()


def loads(code: str) -> dict[str, Any]:
    """Execute a program as a module.

    Raises:
        Exception: whatever the program raises.
    """
    module = types.ModuleType("candidate")
    # Dataclasses look their module up by its name.
    sys.modules["candidate"] = module
    try:
        exec(compile(code, "candidate", "exec", dont_inherit=True), vars(module))
    finally:
        del sys.modules["candidate"]
    return vars(module)


def answers(code: str) -> list[Any]:
    """Return what a program's `step` gives for a few numbers."""
    step = loads(code)["step"]
    return [step(2), step(5)]
