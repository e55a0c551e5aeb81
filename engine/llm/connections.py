"""Open connections to endpoints, one set for each address and key; say which variable keeps one from being opened."""

from __future__ import annotations

import json
import ssl
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

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


_OWN_OF_EACH = frozenset({"content-length", "cookie", "host", "idempotency-key"})
"""Headers that no two requests share."""


@dataclass
class _Open:
    """Connections to one address with one key."""

    library: AsyncOpenAI
    client: Any
    """The library's HTTP client."""
    heads: dict[str, tuple[str, list[tuple[str, str]], bool]] = field(default_factory=dict)
    """By path: address and headers of a request that the library has made, and whether each needs a key of its own."""


class Connections:
    """Connections of one engine."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, float], _Open] = {}

    async def post(self, spec: ModelSpec, path: str, body: dict[str, Any]) -> Any:
        """Send a request to a model's endpoint; return its response once its head has come, to be read and closed.

        The library makes the first request to a path; its address and headers then serve for the following ones, since
        to make them takes the library as long as all else.

        Raises:
            Fault: a variable of the environment keeps connections from being opened.
            openai.APIError: there is no response, or it has another status than 2xx.
        """
        opened = self._of(spec)
        if path in opened.heads:
            return await _repeat(opened, path, body)
        from openai import AsyncStream

        stream = await opened.library.post(
            path,
            # Only the response is used: the library's reader of events knows fewer forms than there are.
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=AsyncStream[object],
        )
        response = stream.response
        if not response.history:
            sent = response.request.headers
            kept = [(name, value) for name, value in sent.items() if name.lower() not in _OWN_OF_EACH]
            opened.heads[path] = (str(response.request.url), kept, "idempotency-key" in sent)
        return response

    def _of(self, spec: ModelSpec) -> _Open:
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
            await connection.library.close()
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


async def _repeat(opened: _Open, path: str, body: dict[str, Any]) -> Any:
    """Send a request as the library sends it, with its errors."""
    import openai

    url, headers, keyed = opened.heads[path]
    if keyed:
        headers = [*headers, ("Idempotency-Key", f"stainless-python-retry-{uuid.uuid4()}")]
    request = opened.client.build_request("POST", url, headers=headers, content=msgspec.json.encode(body))
    try:
        response = await opened.client.send(request, stream=True)
    except Exception as error:
        late = "Timeout" in type(error).__name__
        raise (openai.APITimeoutError if late else openai.APIConnectionError)(request=request) from error
    if response.is_success:
        return response
    try:
        await response.aread()
    finally:
        await response.aclose()
    said = response.text.strip()
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = said
    told = told.get("error", told) if isinstance(told, dict) else told
    raise openai.APIStatusError(said[:200], response=response, body=told)


def _connection(spec: ModelSpec, key: str) -> _Open:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    timeout: Any = Timeout(None, connect=spec.connect_seconds)
    client = DefaultAsyncHttpxClient(timeout=timeout, **http_options(spec))
    library = AsyncOpenAI(
        # An endpoint that needs no key accepts any.
        api_key=key or "none",
        base_url=spec.base_url or None,
        max_retries=0,
        timeout=timeout,
        http_client=client,
    )
    return _Open(library, client)
