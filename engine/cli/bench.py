"""`evolve bench`: measure what the project promises."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, app, print_json
from engine.cli.look import print_table
from engine.errors import UsageError

__all__ = ["load_bench"]

_BENCHES = Path(__file__).parents[2] / "tests" / "bench"


@app.command()
def bench(
    what: Annotated[str, typer.Argument(metavar="[engine|tui|...]", help="What to measure; all by default.")] = "all",
    full: Annotated[bool, typer.Option("--full", help="Measure longer and larger.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure speed, memory and bytes against the budgets."""
    known = [path.stem.removeprefix("bench_") for path in sorted(_BENCHES.glob("bench_*.py"))]
    if not known:
        raise UsageError("the benchmarks are not installed", "Run them from a checkout of the project")
    if what != "all" and what not in known:
        raise UsageError(f"there is no benchmark '{what}'", f"There are {', '.join(known)}")
    rows: list[dict[str, Any]] = []
    for name in known:
        if what in ("all", name):
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows += [{"bench": name, **row} for row in load_bench(name).main(full)]
    if json:
        print_json(rows)
        return
    print_table(
        ["bench", "what", "value", "unit", "budget", "note"],
        [[r["bench"], r["name"], f"{r['value']:.4g}", r["unit"], r["budget"], r.get("note", "")] for r in rows],
    )


def load_bench(name: str) -> Any:
    """The module of a benchmark; one benchmark may stand on another."""
    path = _BENCHES / f"bench_{name}.py"
    spec = importlib.util.spec_from_file_location(f"evolve_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
