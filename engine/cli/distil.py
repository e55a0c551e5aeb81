"""`evolve distil`: lessons of a run into proposed priors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.app import JsonOption, RunArgument, RunsOption, app, pick, print_json
from engine.cli.prior_base import opened
from engine.cli.progress import tell
from engine.cli.table import print_table
from engine.errors import EvolveError, RunError, UsageError
from engine.journal.reader import JournalReader
from engine.state.fold import fold_run
from engine.text import one_line, visible

if TYPE_CHECKING:
    from engine.llm.messages import Message

__all__: list[str] = []


@app.command()
def distil(
    run: RunArgument = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Let this model write them with one call, by its name in config.toml or at the endpoint; by default "
            "lessons are grouped by their words.",
        ),
    ] = "",
    base_url: Annotated[str, typer.Option(metavar="URL", help="Address of the model's endpoint.")] = "",
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Propose priors from the lessons of a run that helped; a person accepts or rejects them."""
    from cognition.entry import slug
    from engine.analyzers.distil import distil_by_words, distil_prompt, parse_distilled, tried_in
    from engine.llm.answers import AnswerError

    if base_url and not model:
        raise UsageError("--base-url needs --model NAME, the model's name at the endpoint")
    picked = pick(run, runs)
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
        brief = reader.text(state.start.files["brief.md"]) if "brief.md" in state.start.files else ""
    if not any(item.helped for item in tried_in(state)):
        raise RunError(f"run '{picked.name}' has no lesson of a design that gained over its parent")
    if model:
        answer = asyncio.run(_ask(model, base_url, distil_prompt(state, brief)))
        try:
            found = parse_distilled(answer, state)
        except AnswerError as exc:
            raise EvolveError(f"model {model}: {exc}", f"It wrote: {one_line(answer, 300)}") from None
    else:
        found = distil_by_words(state, picked.name)
    with opened(str(picked.folder)) as collection:
        proposed = [
            (collection.propose(slug(item.title), item.text, run=picked.name, nodes=item.nodes, name=name), item)
            for item in found
            for name in [f"distil-{slug(item.title)}"]
        ]
    if json:
        print_json(
            [
                {"id": entry.id, "title": item.title, "nodes": item.nodes, "status": entry.status}
                for entry, item in proposed
            ]
        )
        return
    if not proposed:
        print("No lesson is backed by several designs, or lies on the way to the best.")
        return
    rows = [
        [entry.id, entry.status, ", ".join(f"#{node}" for node in item.nodes), visible(item.title)]
        for entry, item in proposed
    ]
    print_table(["id", "state", "nodes", "title"], rows, wrap=True)
    print(f"'evolve priors show ID --task {picked.folder}' shows one; accept or reject takes or refuses it.")


async def _ask(model: str, base_url: str, messages: list[Message]) -> str:
    """Return a model's answer to one call."""
    from engine.analyzers.distil import DISTIL_SCHEMA
    from engine.llm.client import Client, Spent
    from engine.llm.faults import Fault
    from engine.runs.configure import model_table, own_layers
    from engine.settings.model import merge_settings

    name, table = model_table(model, base_url)
    spec = merge_settings(*own_layers([("command line", {"models": {name: table}})])).models[name]
    client, spent = Client(asyncio.sleep), Spent()
    try:
        reply = await client.ask(spec, messages, spent, lambda piece, thought: None, DISTIL_SCHEMA)
    except Fault as fault:
        raise EvolveError(f"model {model}: {fault.message}") from None
    finally:
        await client.aclose()
    tell(f"{spent.tokens_in + spent.tokens_out:,} tokens, ${spent.usd:.4f}")
    return reply.text
