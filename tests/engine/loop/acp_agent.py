"""An agent that speaks ACP, written with the library: it asks, writes by its client, and ends as it is told to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

HOW = sys.argv[1]
if HOW == "dies":
    sys.exit(4)  # before the library, which takes its time

import acp
from acp.schema import PermissionOption, PromptResponse, ToolCallLocation, ToolCallUpdate, Usage

OPTIONS = [
    PermissionOption(option_id="yes", name="Allow", kind="allow_once"),
    PermissionOption(option_id="no", name="Reject", kind="reject_once"),
]


class ScriptedAgent:
    """Does the same in each session."""

    def on_connect(self, client: Any) -> None:
        self.client = client

    async def initialize(self, protocol_version: int, **_: Any) -> acp.InitializeResponse:
        return acp.InitializeResponse(protocol_version=protocol_version)

    async def new_session(self, cwd: str, **_: Any) -> acp.NewSessionResponse:
        self.folder = Path(cwd)
        return acp.NewSessionResponse(session_id="one")

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> PromptResponse:
        if HOW == "fails":
            raise acp.RequestError.auth_required()
        tell = self.client.session_update
        subprocess.Popen(["sleep", "1000"])  # as an agent that starts servers, and leaves them
        for tokens in (70, 30):
            nothing = acp.update_agent_message_text("")
            usage = {"inputTokens": tokens, "outputTokens": 10, "cachedReadTokens": 5, "totalTokens": tokens + 15}
            nothing.field_meta = {"usage": usage}
            await tell(session_id=session_id, update=nothing)
        await tell(session_id=session_id, update=acp.update_agent_thought_text("which number?"))
        await tell(session_id=session_id, update=acp.update_agent_message_text(prompt[0].text.splitlines()[0]))
        for path in (str(self.folder / "program/program.py"), "/etc/passwd"):
            call = ToolCallUpdate(tool_call_id=path, title=f"edit {path}", locations=[ToolCallLocation(path=path)])
            answer = await self.client.request_permission(session_id=session_id, tool_call=call, options=OPTIONS)
            await tell(session_id=session_id, update=acp.update_agent_message_text(f"<{answer.outcome.option_id}>"))
        said = acp.tool_content(acp.text_block("sh: no such program\n"))
        await tell(session_id=session_id, update=acp.start_tool_call("run", "run it", kind="execute"))
        await tell(session_id=session_id, update=acp.update_tool_call("run", status="failed", content=[said]))
        file = str(self.folder / "program/program.py")
        code = (await self.client.read_text_file(session_id=session_id, path=file)).content
        try:
            await self.client.write_text_file(session_id=session_id, path="/tmp/../etc/x", content="x")
        except acp.RequestError as exc:
            await tell(session_id=session_id, update=acp.update_agent_message_text(f"<{exc}>"))
        changed = code.replace("X = ", "X = 2 + " if HOW == "counts" else "X = 1 + ")
        await self.client.write_text_file(session_id=session_id, path=file, content=changed)
        told = Usage(total_tokens=130, input_tokens=100, output_tokens=30, cached_read_tokens=40)
        return PromptResponse(stop_reason="end_turn", usage=None if HOW == "counts" else told)


asyncio.run(acp.run_agent(ScriptedAgent()))  # type: ignore[arg-type]
