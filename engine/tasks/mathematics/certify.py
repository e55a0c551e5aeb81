"""Measure an answer by a task's `exact.py`: `python certify.py FOLDER`, from JSON on stdin to JSON on stdout.

It is a process of its own, since the tasks' files have the same names, and an answer may come from anywhere.
"""

import importlib
import json
import resource
import sys

CPU_SECONDS = 120
MEMORY = 4 << 30


def main() -> None:
    """Read `{"instance", "answer"}`; write `{"low", "high", "score", "direction", "metric"}` or `{"refused"}`."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, sys.argv[1])
    exact = importlib.import_module("exact")
    try:
        asked = json.load(sys.stdin)
        found = exact.measure(asked["answer"], asked["instance"])
        direction = exact.direction_of(asked["instance"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        said = {"refused": f"{exc}" if type(exc).__name__ == "Refused" else f"{type(exc).__name__}: {exc}"}
    else:
        said = {
            "low": _text(found.low),
            "high": _text(found.high),
            "score": found.worst(direction),
            "direction": direction,
            "metric": exact.METRIC,
        }
    json.dump(said, sys.stdout)


def _text(value) -> str:
    """Return a fraction as two hexadecimal integers: decimal ones of many digits are refused by Python."""
    return f"{value.numerator:#x}/{value.denominator:#x}"


main()
