"""Public prices of models, for those that the user has set none for.

They come with the package `genai-prices` and need no network. A run keeps those that it began with in its settings, so
that its engine never loads the package, and a resume on another machine counts the same.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import msgspec

from engine.llm.patience import is_local
from engine.settings.model import Settings
from engine.settings.models import ModelSpec

__all__ = ["price_data", "told_prices", "with_public_prices"]

_OPENAI = "https://api.openai.com/v1"
_TOKENS = 1_000
"""Tokens that the price is asked for: some vendors ask for more above a certain length."""


def with_public_prices(settings: Settings) -> Settings:
    """Return settings whose models have their public prices, where there are some and none is set."""
    models = {name: _priced(spec) for name, spec in settings.models.items()}
    return settings if models == settings.models else msgspec.structs.replace(settings, models=models)


def price_data() -> tuple[str, datetime.date | None]:
    """Return the package's name with its version, empty if it is not installed, and the day of its newest price."""
    try:
        package = import_module("genai_prices")
    except ModuleNotFoundError:
        return "", None
    return f"genai-prices {package.__version__}", _newest()


def told_prices(settings: Settings) -> list[str]:
    """Return a sentence for each model whose prices are public ones: what they are, where from and of when."""
    return [
        f"{name}: ${spec.price_in:g} in, ${spec.price_out:g} out per million tokens, by {spec.price_source}; "
        f"models.{name}.price_in and price_out set others"
        for name, spec in settings.models.items()
        if spec.price_source
    ]


def _priced(spec: ModelSpec) -> ModelSpec:
    address = spec.base_url or os.environ.get("OPENAI_BASE_URL", "") or _OPENAI
    if (spec.price_in, spec.price_out, spec.price_cached) != (None, None, None) or is_local(address):
        return spec
    try:
        package = import_module("genai_prices")
    except ModuleNotFoundError:
        # The package is installed with us, but nothing depends on it: the model counts as one without a known price.
        return spec
    found = [
        _price(package, spec.model, address, **usage)
        for usage in (
            {"input_tokens": _TOKENS},
            {"output_tokens": _TOKENS},
            {"input_tokens": _TOKENS, "cache_read_tokens": _TOKENS},
        )
    ]
    if found[0] is None or found[1] is None:
        return spec
    return msgspec.structs.replace(
        spec, price_in=found[0], price_out=found[1], price_cached=found[2], price_source=_source(package)
    )


def _price(package: Any, model: str, address: str, **usage: int) -> float | None:
    """Return US dollars per million tokens; None if the package does not know the model at this address."""
    try:
        calculated = package.calc_price(package.Usage(**usage), model, provider_api_url=address)
    except LookupError:
        return None
    return round(float(calculated.total_price) * 1_000_000 / _TOKENS, 6)


def _source(package: Any) -> str:
    newest = _newest()
    return f"genai-prices {package.__version__}" + (f", newest price of {newest}" if newest else "")


def _newest() -> datetime.date | None:
    """Return the day of the newest price that holds today, since the data have no date of their own."""
    today = datetime.date.today()
    return max((date for date in _dates() if date <= today), default=None)


def _dates() -> Iterator[datetime.date]:
    """Yield the days from which on prices hold, as far as the package says."""
    for provider in import_module("genai_prices.data").providers:
        for model in provider.models:
            prices = model.prices if isinstance(model.prices, list) else []
            for price in prices:
                date = getattr(price.constraint, "start_date", None)
                if isinstance(date, datetime.date):
                    yield date
