"""What the linear-attention operators reach, beside softmax attention and the machine's roofline."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from engine.errors import EvolveError, UsageError


def main(full: bool, against: Path | None = None) -> list[dict[str, Any]]:
    """Measure; `full` goes on to longer sequences, `against` is a checkout of flash-linear-attention."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError("the kernels need PyTorch, which is not installed", "pip install 'asi-evolve-tui[torch]'")
    from kernels.throughput import measure

    try:
        return measure(full, against, lambda line: print(line, file=sys.stderr, flush=True))
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    except ArithmeticError as exc:
        raise EvolveError(str(exc)) from exc
