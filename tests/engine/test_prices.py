"""Public prices: of models that nobody set a price for, at endpoints elsewhere; told with their source and date."""

from __future__ import annotations

import datetime
import re
import sys
from typing import Any

import pytest

from engine.cli.doctor_models import check_prices
from engine.runs import prices
from engine.runs.prices import told_prices, with_public_prices
from engine.settings.model import merge_settings
from engine.settings.models import ModelSpec
from tests.conftest import Evolve, TaskMaker


def price(**spec: Any) -> ModelSpec:
    settings = with_public_prices(merge_settings(("test", {"models": {"m": spec}})))
    return settings.models["m"]


def test_known_model_gets_its_public_prices_with_their_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    found = price(model="gpt-5-mini")
    assert found.price_in and found.price_out and found.price_cached
    assert found.price_cached < found.price_in < found.price_out
    settings = merge_settings(("test", {"models": {"m": {"model": "gpt-5-mini"}}}))
    (told,) = told_prices(with_public_prices(settings))
    assert re.fullmatch(
        r"m: \$[\d.]+ in, \$[\d.]+ out per million tokens, by genai-prices [\d.]+, newest price of 20\d\d-\d\d-\d\d; "
        r"models\.m\.price_in and price_out set others",
        told,
    )
    assert not told_prices(settings)


@pytest.mark.parametrize(
    "spec",
    [
        {"model": "gpt-5-mini", "price_in": 0.0},
        {"model": "gpt-5-mini", "price_out": 7.0},
        {"model": "gpt-5-mini", "base_url": "http://127.0.0.1:8000/v1"},
        {"model": "gpt-5-mini", "base_url": "https://proxy.example.com/v1"},
        {"model": "no-such-model", "base_url": "https://api.openai.com/v1"},
    ],
)
def test_own_prices_local_servers_and_unknown_models_stay_as_they_are(spec: dict[str, Any]) -> None:
    assert price(**spec) == ModelSpec(**spec)


def test_vendor_is_known_by_its_address() -> None:
    assert price(model="qwen/qwen3-32b", base_url="https://openrouter.ai/api/v1").price_in
    assert price(model="gemini-2.5-flash", base_url="https://generativelanguage.googleapis.com/v1beta/openai/").price_in


def test_run_with_a_public_price_asks_for_a_limit(make_task: TaskMaker, evolve: Evolve) -> None:
    refused = evolve(
        "run", make_task(), "--model", "gpt-5-mini", "--headless", OPENAI_API_KEY="sk-none", OPENAI_BASE_URL=""
    )
    assert (refused.code, "Give one with --usd" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("newest", "state", "told"),
    [
        (datetime.date(2026, 9, 1), "ok", r"genai-prices [\d.]+, its newest price is of 2026-09-01, 9 days ago"),
        (datetime.date(2026, 1, 1), "note", "252 days ago"),
        (None, "note", "have no date"),
    ],
)
def test_doctor_says_how_old_prices_are(
    monkeypatch: pytest.MonkeyPatch, newest: datetime.date | None, state: str, told: str
) -> None:
    class Day(datetime.date):
        @classmethod
        def today(cls) -> datetime.date:
            return datetime.date(2026, 9, 10)

    monkeypatch.setattr(prices, "_dates", lambda: [date for date in (newest, datetime.date(2027, 1, 1)) if date])
    monkeypatch.setattr(datetime, "date", Day)
    check = check_prices()
    assert (check.state, bool(re.search(told, check.found))) == (state, True), check.found
    assert ("pip install -U" in check.advice) == (state == "note")


def test_doctor_says_that_prices_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    check = check_prices()
    assert (check.state, "counts as free" in check.found) == ("note", True)
