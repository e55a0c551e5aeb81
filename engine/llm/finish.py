"""What the reasons mean that endpoints give for the end of an answer."""

from __future__ import annotations

from typing import Literal

__all__ = ["Ended", "ended"]

Ended = Literal["", "whole", "cut", "filtered", "broken"]
"""Empty: the endpoint has not said."""

_WHOLE = frozenset({
    "stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "complete", "completed", "finished", "done",
    "tool_calls", "tool_call", "tool_use", "function_call",
})  # fmt: skip
_FILTERED = frozenset({
    "content_filter", "content_filtered", "safety", "image_safety", "recitation", "blocklist", "prohibited_content",
    "spii", "sensitive", "refusal", "guardrail_intervened", "error_toxic", "language", "moderation",
})  # fmt: skip
_BROKEN = frozenset({
    "error", "network_error", "server_error", "internal_error", "insufficient_system_resource", "failed", "failure",
    "exception",
})  # fmt: skip


def ended(reason: object) -> Ended:
    """Return what an endpoint's `finish_reason` means; one that is not known means that the answer is not whole."""
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason")
    if not isinstance(reason, str):
        return ""
    name = reason.strip().lower().replace("-", "_").removeprefix("finish_reason_")
    if name in ("", "null", "none", "unspecified"):
        return ""
    if name in _WHOLE:
        return "whole"
    if name in _FILTERED:
        return "filtered"
    return "broken" if name in _BROKEN else "cut"
