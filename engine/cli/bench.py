"""`evolve bench`: measure speed, memory and bytes against the budgets."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, app, print_json
from engine.cli.table import print_table
from engine.errors import UsageError

__all__ = ["load_bench"]

_SEARCHES = ("modes", "novelty", "peers", "samplers", "search", "standstill")
_BENCHES = Path(__file__).parents[2] / "tests" / "bench"


@app.command()
def bench(
    what: Annotated[str, typer.Argument(metavar="BENCH", help="Benchmark to run; by default all.")] = "all",
    full: Annotated[bool, typer.Option("--full", help="Measure for longer and on more data.")] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="WHAT",
            help="peers, or all: other systems with their environments, openevolve=/path/to/venv,shinka=/path/to/venv. "
            "kernels: a checkout of flash-linear-attention.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            metavar="N",
            min=2,
            help="Rounds of a search; modes, novelty, peers, samplers, search, standstill.",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", metavar="N", min=1, help="Seeds, or of peers runs of each system; like --rounds."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", min=1, help="search: runs at once; by default 1.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="search: keep the runs and a page in this folder, and go on there."),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(
            "--evaluations",
            metavar="N",
            min=20,
            help="cluster: evaluations that take no time, on a cluster and on this machine alone; by default 200.",
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots", metavar="N", min=1, help="cluster, scale: evaluations at once; by default 64, and 1,000."
        ),
    ] = None,
    landscape: Annotated[
        str | None,
        typer.Option(
            "--landscape", metavar="NAME", help="peers: compare what they find on rastrigin, rugged or circles instead."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure speed, memory and bytes against the budgets."""
    known = [path.stem.removeprefix("bench_") for path in sorted(_BENCHES.glob("bench_*.py"))]
    if not known:
        raise UsageError("the benchmarks are not installed", "Run them from a checkout of the project")
    if what != "all" and what not in known:
        raise UsageError(f"there is no benchmark '{what}'", f"There are {', '.join(known)}")
    if against is not None and what not in ("all", "kernels", "peers"):
        raise UsageError("--against compares kernels or peers", f"Leave it out, or measure those instead of {what}")
    if (rounds is not None or repeats is not None) and what not in _SEARCHES:
        raise UsageError("--rounds and --repeats are for searches", "evolve bench peers --rounds N")
    if (parallel is not None or out is not None) and what != "search":
        raise UsageError("--parallel and --out are for search", "evolve bench search --out DIR")
    if evaluations is not None and what != "cluster":
        raise UsageError("--evaluations is for cluster", "evolve bench cluster --evaluations 1000")
    if slots is not None and what not in ("cluster", "scale"):
        raise UsageError("--slots is for cluster and scale", "evolve bench cluster --slots 64")
    if landscape is not None and what != "peers":
        raise UsageError("--landscape is for peers", "evolve bench peers --landscape rastrigin")
    arguments: dict[str, tuple[Any, ...]] = dict.fromkeys(
        ("modes", "novelty", "samplers", "standstill"), (rounds, repeats)
    )
    arguments["cluster"] = (evaluations, slots)
    arguments["scale"] = (slots,)
    arguments["peers"] = (against, rounds, repeats, landscape)
    arguments["search"] = (rounds, repeats, None if out is None else out.expanduser().absolute(), parallel)
    if what == "kernels":
        arguments["kernels"] = (Path(against) if against else None,)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in known:
        if what in ("all", name):
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            try:
                rows[name] = load_bench(name).main(full, *arguments.get(name, ()))
            except UsageError as exc:
                if what == name:
                    raise
                print(f"{name} is left out: {exc}", file=sys.stderr)
    if json:
        # The shape of the kernel rows is a contract.
        print_json(rows[what] if what == "kernels" else [{"bench": n, **row} for n in rows for row in rows[n]])
        return
    kernels = rows.pop("kernels", [])
    peers = rows.pop("peers", []) if landscape is None else []
    if rows:
        print_table(
            ["bench", "what", "value", "unit", "budget", "note"],
            [
                [name, r["name"], f"{r['value']:.4g}", r["unit"], r["budget"], r.get("note", "")]
                for name in rows
                for r in rows[name]
            ],
        )
    if kernels:
        print_table(list(kernels[0]), [[_cell(value) for value in row.values()] for row in kernels])
    if peers:
        columns, lines = load_bench("peers").matrix(peers)
        print_table(columns, lines, spare=["spread"])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def load_bench(name: str) -> Any:
    """Load and return a benchmark's module; benchmarks may load each other."""
    path = _BENCHES / f"bench_{name}.py"
    spec = importlib.util.spec_from_file_location(f"evolve_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
