"""Speak the Agent Client Protocol with a coding agent: a script that runs in the sandbox, between engine and agent.

    python acp_client.py AGENT ARGUMENT…

It starts the agent in the folder that it is started in, gives it README.md as its prompt, answers its questions, and
prints what it tells. So what an agent says is read where the agent itself is confined, never by the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

__all__: list[str] = []

_LIMIT = 16 << 20
"""Bytes of one message."""
_END_SECONDS = 5.0
_MOST_OF_A_FAILURE = 4000
"""Characters of what a failed call of a tool gave back, the last of it."""


class _Client:
    """The client's side: what an agent may ask, and what it tells.

    Args:
        folder: the agent's folder, without links in its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._titles: dict[str, str] = {}
        self._last = ""
        """The kind of text that was printed last."""
        self.usage: dict[str, float] = {}

    def on_connect(self, agent: Any) -> None:
        """Nothing to do."""

    async def request_permission(self, session_id: str, tool_call: Any, options: list[Any], **_: Any) -> Any:
        """Allow what names no path outside of the folder: the sandbox confines all the rest."""
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        paths = [
            item.path for item in [*(tool_call.locations or []), *(tool_call.content or [])] if hasattr(item, "path")
        ]
        outside = [path for path in paths if not self._is_inside(path)]
        wanted = ("reject_once", "reject_always") if outside else ("allow_once", "allow_always")
        chosen = next((option for kind in wanted for option in options if option.kind == kind), None)
        why = f"refused, since it names {outside[0]}" if outside else "allowed"
        self._say("note", f"[permission {why}] {self._title(tool_call)}\n")
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen.option_id))

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Print what an agent tells of its work."""
        kind = update.session_update
        self._count(update.field_meta)
        if kind in ("agent_message_chunk", "agent_thought_chunk"):
            text = getattr(update.content, "text", None)
            self._say(kind, f"[{update.content.type}]" if text is None else text)
        elif kind == "tool_call":
            self._say("note", f"[{update.kind or 'tool'}] {self._title(update)}\n")
        elif kind == "tool_call_update" and update.status in ("completed", "failed"):
            self._say("note", f"[{update.status}] {self._title(update)}\n")
            if update.status == "failed":
                self._say("note", _text_of(update)[-_MOST_OF_A_FAILURE:])
        elif kind == "plan":
            self._say("note", "".join(f"[plan, {entry.status}] {entry.content}\n" for entry in update.entries))
        elif kind == "usage_update" and update.cost is not None and update.cost.currency == "USD":
            self.tell_usage(usd=update.cost.amount)

    async def read_text_file(
        self, session_id: str, path: str, line: int | None = None, limit: int | None = None, **_: Any
    ) -> Any:
        """Return lines of a file of the folder."""
        from acp.schema import ReadTextFileResponse

        text = self._inside(path).read_text(encoding="utf-8", errors="replace")
        if line is not None or limit is not None:
            first = max(0, (line or 1) - 1)
            text = "".join(text.splitlines(keepends=True)[first : None if limit is None else first + limit])
        return ReadTextFileResponse(content=text)

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> Any:
        """Write a file of the folder."""
        from acp.schema import WriteTextFileResponse

        file = self._inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        self._say("note", f"[written] {file.relative_to(self._folder)}\n")
        return WriteTextFileResponse()

    def _count(self, meta: Any) -> None:
        """Count the tokens of one call of a model, which some agents tell beside an update, by the protocol's names."""
        told = meta.get("usage") if isinstance(meta, dict) else None
        if not isinstance(told, dict):
            return
        names = ("inputTokens", "outputTokens", "totalTokens", "cachedReadTokens", "cachedWriteTokens", "thoughtTokens")
        figures = [told.get(name) for name in names]
        new = _cost(*(figure if isinstance(figure, int) and figure > 0 else 0 for figure in figures))
        if any(new.values()):
            self.tell_usage(**{name: self.usage.get(name, 0) + figure for name, figure in new.items()})

    def tell_usage(self, **figures: float) -> None:
        """Write what it has cost so far to usage.json, where the engine counts it."""
        self.usage |= figures
        partial = self._folder / "usage.json.new"
        partial.write_text(json.dumps(self.usage))
        partial.replace(self._folder / "usage.json")

    def _is_inside(self, path: str) -> bool:
        return Path(os.path.realpath(self._folder / path)).is_relative_to(self._folder)

    def _inside(self, path: str) -> Path:
        """Return a path in the folder.

        Raises:
            RequestError: it leads out of it.
        """
        from acp import RequestError

        if not self._is_inside(path):
            raise RequestError.invalid_params({"path": f"{path} is outside of {self._folder}"})
        return self._folder / path

    def _title(self, call: Any) -> str:
        title = call.title or self._titles.get(call.tool_call_id, "")
        self._titles[call.tool_call_id] = title
        return str(title)

    def _say(self, kind: str, text: str) -> None:
        """Print text, on a new line where another kind of it begins."""
        if not text:
            return
        if self._last not in ("", kind, "note"):
            print(flush=True)
        if kind == "agent_thought_chunk" and self._last != kind:
            print("(thinks) ", end="")
        print(text, end="", flush=True)
        self._last = kind


def _cost(tokens_in: int, tokens_out: int, total: int, read: int, written: int, thought: int) -> dict[str, int]:
    """Return tokens as usage.json tells them; some agents count those of the cache or of thoughts beside the others."""
    beside = total - tokens_in - tokens_out
    if thought and beside in (thought, thought + read + written):
        tokens_out, beside = tokens_out + thought, beside - thought
    if beside >= read + written:
        tokens_in += read + written
    return {"tokens_in": max(tokens_in, read), "tokens_out": tokens_out, "tokens_cached": read}


def _text_of(call: Any) -> str:
    """Return what a call of a tool gave back, a line's end after each part."""
    inner = [getattr(item, "content", None) for item in call.content or []]
    texts = [text for item in inner if isinstance(text := getattr(item, "text", None), str)]
    if not texts and isinstance(call.raw_output, str):
        texts = [call.raw_output]
    return "".join(f"{text.rstrip()}\n" for text in texts if text.strip())


@contextlib.asynccontextmanager
async def _ended_in_time(started: Any) -> AsyncIterator[Any]:
    """Enter what starts an agent, and leave it in time: what an agent leaves running can keep its output open."""
    opened = await started.__aenter__()
    try:
        yield opened
    finally:
        # However it ends: its answer counts.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_END_SECONDS):
                await started.__aexit__(None, None, None)


async def _work(words: list[str]) -> str:
    """Have the agent do what README.md says; return why it did not, empty if it did."""
    import acp
    from acp.schema import ClientCapabilities, FileSystemCapabilities, Implementation

    folder = Path.cwd().resolve()
    client = _Client(folder)
    transport = {"stderr": None, "limit": _LIMIT}
    started = acp.spawn_agent_process(
        client, words[0], *words[1:], env=os.environ, cwd=folder, transport_kwargs=transport
    )
    async with _ended_in_time(started) as (agent, process):
        files = FileSystemCapabilities(read_text_file=True, write_text_file=True)

        async def talk() -> Any:
            await agent.initialize(
                protocol_version=acp.PROTOCOL_VERSION,
                client_capabilities=ClientCapabilities(fs=files, terminal=False),
                client_info=Implementation(name="evolve", version="1"),
            )
            session = await agent.new_session(cwd=str(folder), mcp_servers=[])
            prompt = [acp.text_block((folder / "README.md").read_text(encoding="utf-8"))]
            return await agent.prompt(session_id=session.session_id, prompt=prompt)

        talking, ending = asyncio.ensure_future(talk()), asyncio.ensure_future(process.wait())
        await asyncio.wait([talking, ending], return_when=asyncio.FIRST_COMPLETED)
        if not talking.done() or isinstance(talking.exception(), ConnectionError):
            talking.cancel()
            await asyncio.wait([ending], timeout=_END_SECONDS)  # it may have closed its output first
            return f"the agent ended (exit code {process.returncode}) before it had answered"
        ending.cancel()
        answer = talking.result()
    if answer.usage is not None:
        told = answer.usage
        others = (told.cached_read_tokens or 0, told.cached_write_tokens or 0, told.thought_tokens or 0)
        client.tell_usage(**_cost(told.input_tokens, told.output_tokens, told.total_tokens, *others))
    return "" if answer.stop_reason == "end_turn" else f"the agent stopped: {answer.stop_reason}"


def _main() -> None:
    try:
        problem = asyncio.run(_work(sys.argv[1:]))
    except Exception as exc:  # whatever the agent or the library does, one line says it
        told = getattr(exc, "data", None)
        problem = f"no agent could be talked to by ACP: {type(exc).__name__}: {exc}{f' {told}' if told else ''}"
    if problem:
        print(f"\n{problem}", flush=True)
    sys.stdout.flush()
    # Not by `sys.exit`: what an agent leaves running holds pipes, of which the library would complain.
    os._exit(1 if problem else 0)


if __name__ == "__main__":
    _main()
