"""Open connections to endpoints, one set for each address and key; say which variable keeps one from being opened."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from engine.llm.environment import address_of, blamed, is_loopback, problem_of
from engine.llm.faults import Fault, key_of, place_of
from engine.settings.models import ModelSpec
from engine.text import one_line

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["Connections", "environment_fault", "http_options"]


def environment_fault(spec: ModelSpec, problem: str) -> Fault:
    """Return the fault of a variable of the environment."""
    return Fault("environment", f"{place_of(spec)} cannot be asked: {problem}")


class Connections:
    """Connections of one engine."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, float], AsyncOpenAI] = {}

    def of(self, spec: ModelSpec) -> AsyncOpenAI:
        """Return the connections to a model's endpoint.

        Raises:
            Fault: a variable of the environment keeps them from being opened.
        """
        key = key_of(spec)
        name = (spec.base_url, key, spec.connect_seconds)
        if name not in self._open:
            problem = problem_of(spec.base_url)
            if problem:
                raise environment_fault(spec, problem)
            try:
                self._open[name] = _connection(spec, key)
            except Exception as error:
                why = one_line(str(error) or type(error).__name__, 200)
                raise environment_fault(spec, f"{blamed(spec.base_url)}: {why}") from None
        return self._open[name]

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            await connection.close()
        self._open.clear()


def http_options(spec: ModelSpec) -> dict[str, Any]:
    """Return what an HTTP client must know to reach a model's endpoint."""
    address = address_of(spec.base_url)
    if not is_loopback(address):
        return {}
    # What runs on this machine is reached without a proxy, whatever the environment says.
    options: dict[str, Any] = {"trust_env": False}
    if address.startswith("http:"):
        # To load the certificates of all authorities takes longer than all else, and plain HTTP needs none.
        options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options


def _connection(spec: ModelSpec, key: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    timeout: Any = Timeout(None, connect=spec.connect_seconds)
    return AsyncOpenAI(
        # An endpoint that needs no key accepts any.
        api_key=key or "none",
        base_url=spec.base_url or None,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAsyncHttpxClient(timeout=timeout, **http_options(spec)),
    )
