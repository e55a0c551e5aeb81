"""What `evolve doctor` says of models: their endpoints, the environment around them, and a real call of each role."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.llm.environment import address_of, is_loopback, problem_of, proxy_of
from engine.llm.faults import Fault, key_of, place_of
from engine.llm.models_listed import list_models
from engine.runs.prices import price_data
from engine.settings.models import ModelSpec
from engine.text import counted, one_line

if TYPE_CHECKING:
    from engine.llm.trial import Trial

__all__ = ["Check", "check_calls", "check_environment", "check_models", "check_prices"]

_OLD_DAYS = 180
"""Age of price data from which they are likely to be wrong for some models."""
_ENDPOINT_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: str
    """`ok`, `note` (works, but less well) or `bad` (something will not work)."""
    found: str
    advice: str = ""


def check_environment(models: Iterable[ModelSpec]) -> Check:
    """Say which proxies requests to models pass, or which variable keeps them from being sent."""
    addresses = list(dict.fromkeys(spec.base_url for spec in models)) or [""]
    told: list[str] = []
    for address in addresses:
        problem = problem_of(address)
        if problem:
            return Check("environment", "bad", problem, "Unset or correct it: no model can be asked with it")
        via = proxy_of(address)
        if via:
            told.append(f"{address_of(address)} is asked through {via}")
        elif is_loopback(address_of(address)):
            told.append(f"{address_of(address)} is asked directly")
    return Check("environment", "ok", "; ".join(told) or "models are asked directly, without a proxy")


def check_prices() -> Check:
    """Say whether public prices of models are known, and how old they are."""
    package, newest = price_data()
    if not package:
        found = "genai-prices is not installed: a model without price_in and price_out counts as free"
        return Check("prices", "note", found, "pip install genai-prices, or set the prices of each model that costs")
    if newest is None:
        return Check("prices", "note", f"{package}, whose data have no date", "pip install -U genai-prices")
    days = (datetime.date.today() - newest).days
    found = f"{package}, its newest price is of {newest}, {counted(days, 'day')} ago"
    old = days > _OLD_DAYS
    return Check("prices", "note" if old else "ok", found, "pip install -U genai-prices" if old else "")


def check_models(models: Mapping[str, ModelSpec]) -> list[Check]:
    """Check each model: whether its endpoint answers, takes the key and lists the model."""
    listed: dict[tuple[str, str], list[str] | Fault] = {}
    for spec in models.values():
        if (spec.base_url, spec.key_env) not in listed:
            listed[spec.base_url, spec.key_env] = list_models(spec, _ENDPOINT_SECONDS)
    return [_model(name, spec, listed[spec.base_url, spec.key_env]) for name, spec in models.items()]


def _model(name: str, spec: ModelSpec, known: list[str] | Fault) -> Check:
    where = f"{spec.model} at {place_of(spec)}"
    key = f", key in {spec.key_env}" if key_of(spec) else f", {spec.key_env} is not set" if spec.key_env else ""
    if isinstance(known, Fault):
        if known.kind in ("model", "bad_request"):
            found = f"{where}{key}: the endpoint lists no models, so this one is not verified ({known.message})"
            return Check(f"model {name}", "note", found, "'evolve doctor --call' asks it")
        return Check(f"model {name}", "bad", f"{where}{key}: {known.message}", "A run would wait for it")
    if spec.model not in known:
        some = ", ".join(one_line(other, 60) for other in known[:8]) or "none"
        return Check(f"model {name}", "note", f"{where}{key}: the endpoint does not list it", f"It lists {some}")
    return Check(f"model {name}", "ok", f"{where}{key}")


def check_calls(models: Mapping[str, ModelSpec]) -> list[Check]:
    """Ask each model once in each role, and say what its endpoint can do. This costs what the calls cost."""
    return asyncio.run(_calls(models))


async def _calls(models: Mapping[str, ModelSpec]) -> list[Check]:
    from engine.llm.client import Client
    from engine.llm.trial import ROLES, try_role

    client = Client(asyncio.sleep)
    checks: list[Check] = []
    try:
        for name, spec in models.items():
            for role in ROLES:
                trial = await try_role(client, spec, role)
                checks.append(_call(name, spec, trial))
                if trial.fault is not None and trial.fault.kind in ("auth", "model", "quota", "environment"):
                    # The other roles would fail alike.
                    break
    finally:
        await client.aclose()
    return checks


def _call(name: str, spec: ModelSpec, trial: Trial) -> Check:
    title = f"call {name} {trial.role}"
    if trial.fault is not None:
        return Check(title, "bad", trial.fault.message, "; ".join(trial.changes))
    spent = trial.spent
    price = f"${spent.usd:.6f}" if spec.priced or spent.usd else "no price known"
    strays = ", but does not keep to it" if trial.strays else ""
    found = [
        *(["Responses API"] if trial.responses else []),
        "streams" if trial.streamed else "does not stream",
        "counts tokens" if trial.counted else "counts no tokens (estimated)",
        *({True: [f"takes a schema{strays}"], False: ["takes no schema"], None: []}[trial.schema]),
        f"thoughts in {trial.thoughts}" if trial.thoughts else "no thoughts",
        f"{trial.tokens_per_second:.0f} tokens/s",
        f"{spent.tokens_in:,} + {spent.tokens_out:,} tokens, {price}",
    ]
    if trial.unusable:
        found.append(f"the answer could not be used: {trial.unusable}")
    advice = [*trial.changes, *([f"models.{name}.max_tokens sets the length of answers"] if trial.cut else [])]
    state = "note" if trial.unusable or trial.strays or advice else "ok"
    return Check(title, state, ", ".join(found), "; ".join(advice))
