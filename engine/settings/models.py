"""Settings of models: `[models.NAME]` and `[roles]` of config.toml, `[run.models.NAME]` of a task."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

__all__ = ["NO_ANALYZER", "RULES", "Api", "ModelSpec", "RoleSettings", "check_models"]

RULES = "rules"
"""Value of `roles.analyzer` for the analyzer that needs no model."""
NO_ANALYZER = "off"
"""Value of `roles.analyzer` for no analysis, to measure what the analyzer is worth."""

Api = Literal["chat", "responses"]

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model behind an OpenAI-compatible endpoint."""

    model: str = ""
    """Its name at the endpoint; required."""
    base_url: str = ""
    """Address of the endpoint, usually ending in `/v1`; if empty, OpenAI's."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; empty if the endpoint needs none."""
    api: Api = "chat"
    """`chat` for chat completions, `responses` for the Responses API; an endpoint that offers only the other one is
    asked by that."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Most tokens of an answer; sent only if it is set."""
    max_completion_tokens: int | None = None
    """The same limit under the name that reasoning models use, thoughts included."""
    reasoning_effort: str | None = None
    extra_body: dict[str, Any] = {}
    """Further fields of the request, as the endpoint documents them."""
    structured: Literal["auto", "json_schema", "off"] = "auto"
    """Whether to send a JSON schema of the answer; `auto` does until the endpoint refuses it."""
    brief_prompts: bool | None = None
    """Whether it gets the short form of prompts: about 1,200 tokens that ask for one function. By default it does as
    soon as most of its designs of the run could not be used."""
    system_role: Literal["auto", "merge"] = "auto"
    """`merge` puts the system's text before the user's; `auto` does so once the endpoint refuses a system role."""
    stream: bool = True
    """Whether answers are streamed; once the endpoint refuses that, they are not."""
    context_tokens: int = 32768
    """Tokens that prompt and answer may have together."""
    price_in: float | None = None
    """US dollars per million tokens of a prompt; without a price the model counts as free."""
    price_out: float | None = None
    """US dollars per million tokens of an answer, thoughts included."""
    price_cached: float | None = None
    """US dollars per million prompt tokens from the endpoint's cache; by default `price_in`."""
    price_source: str = ""
    """Where its prices are from if nobody set them, with their date; for people."""
    concurrency: int = 8
    """Requests to the endpoint at once; models that share an endpoint share the smallest number."""
    retries: int = 3
    """Retries after a temporary failure, before the endpoint counts as down."""
    connect_seconds: float = 10.0
    first_token_seconds: float | None = None
    """Longest silence from the request to the first piece of the answer, in seconds; by default as long as the endpoint
    has shown to need for a prompt of that length, see `engine.llm.patience`."""
    idle_seconds: float = 60.0
    """Longest silence within an answer, in seconds."""
    total_seconds: float | None = None
    """Seconds from the request to the end of the answer; by default 900 from its first piece."""
    cap_tokens: int | None = None
    """Tokens of an answer, thoughts left out, at which the engine hangs up; 0: never. By default none if the answer is
    limited by `max_tokens` or `max_completion_tokens`; else it follows from the program's size."""

    def __post_init__(self) -> None:
        check_address(self.base_url, self.key_env)
        for name in ("connect_seconds", "first_token_seconds", "idle_seconds", "total_seconds", "context_tokens",
                     "concurrency", "max_tokens", "max_completion_tokens"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, not {value}")
        for name in ("price_in", "price_out", "price_cached", "retries", "temperature", "top_p", "cap_tokens"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"`{name}` must not be below 0, not {value}")

    @property
    def priced(self) -> bool:
        """Return whether any price above 0 is known."""
        return any((self.price_in, self.price_out, self.price_cached))

    @property
    def answer_tokens(self) -> int:
        """Return the most tokens of an answer; without a limit 4,096, but at most half of the context."""
        return self.max_completion_tokens or self.max_tokens or min(4096, self.context_tokens // 2)


class RoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model has which role, by the names under `models`."""

    researcher: dict[str, float] = {}
    """Weights by which a model is drawn for each design; empty: all models evenly."""
    choice: Literal["weights", "ucb", "thompson"] = "weights"
    """How a model is chosen for each round's design: by weight alone, or by what each gained for its cost so far, with
    the weights as a prior; see `engine.state.model_choice`."""
    per: Literal["usd", "tokens"] = "usd"
    """ucb, thompson: what counts as cost; tokens if a model has no price."""
    analyzer: str = ""
    """`rules` for the analyzer that needs no model, `off` for no analysis; empty: the first model."""
    judge: str = ""
    """Empty: the first model. Only a task with criteria is judged."""
    fixer: str = ""
    """Model for designs that fix a failed program; empty: a model of the researcher."""
    fallback: list[str] = []
    """Models to ask, in this order, while the endpoint of another is down. If empty, the models of the researcher
    replace each other."""


def check_address(base_url: str, key_env: str) -> None:
    """Raise ValueError for a bad address of an endpoint or a bad name of a variable, because both are recorded."""
    if base_url:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("`base_url` must be an address such as http://127.0.0.1:8000/v1")
        if url.username or url.password or url.query:
            raise ValueError(
                "`base_url` must hold neither a name, a password nor a query: the key goes into the environment "
                "variable that `key_env` names"
            )
    if key_env and not _VARIABLE.fullmatch(key_env):
        raise ValueError("`key_env` must be the name of an environment variable, not the key itself")


def check_models(models: Mapping[str, ModelSpec], roles: RoleSettings) -> None:
    """Raise ValueError for a model without a name, or a role whose model is not configured."""
    known = set(models)
    for name, spec in models.items():
        if not _NAME.fullmatch(name) or name in (RULES, NO_ANALYZER):
            raise ValueError(f"models: {name!r} cannot name a model: letters, digits, '-' and '_' can")
        if not spec.model:
            raise ValueError(f"models.{name}.model: missing: the model's name at the endpoint")
    named = {
        "researcher": list(roles.researcher),
        "analyzer": [roles.analyzer] if roles.analyzer not in ("", RULES, NO_ANALYZER) else [],
        "judge": [roles.judge] if roles.judge else [],
        "fixer": [roles.fixer] if roles.fixer else [],
        "fallback": roles.fallback,
    }
    for role, names in named.items():
        for name in names:
            if name not in known:
                raise ValueError(
                    f"roles.{role} names the model '{name}', and there is no models.{name}"
                    + (f" (there are {', '.join(sorted(known))})" if known else "")
                )
    if any(weight < 0 for weight in roles.researcher.values()):
        raise ValueError("roles.researcher: a weight must not be below 0")
    if roles.researcher and not any(roles.researcher.values()):
        raise ValueError("roles.researcher: at least one weight must be above 0")
