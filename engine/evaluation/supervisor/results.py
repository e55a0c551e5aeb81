"""Validate a result before it reaches the engine: keep only what a result may contain."""

from __future__ import annotations

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

__all__ = ["clean_result", "is_number", "plain_number", "plain_text"]

_LARGEST = 1e300
_FEEDBACK = 20480
_PICTURE = 131072
_CONSTRUCTION = 524288
_STATUSES = ("ok", "invalid", "crashed", "timeout")


def is_number(value: object) -> bool:
    """Tell whether it is a usable number: finite, and small enough that no sum or difference overflows."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def plain_number(value: Any) -> int | float:
    """Return a number that every JSON reader accepts: a whole one that no float holds exactly becomes a float."""
    return float(value) if isinstance(value, int) and abs(value) > 2**53 else value


def plain_text(value: object, length: int) -> str:
    """Return a string that every encoder accepts, cut to a length; empty if the value is not a string."""
    return value[:length].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def clean_result(message: dict[str, Any]) -> dict[str, Any]:
    """Return a result message reduced to the allowed content.

    Raises:
        ValueError: its status is unknown, or it is `ok` without a finite score.
    """
    status, score = message.get("status"), message.get("score")
    if status not in _STATUSES or (status == "ok") is not is_number(score):
        raise ValueError("a result without a finite score or a known status")
    metrics: dict[str, object] = {}
    found = message.get("metrics")
    for name, value in list((found if isinstance(found, dict) else {}).items())[:256]:
        key = plain_text(name, 128)
        if isinstance(value, str):
            metrics[key] = plain_text(value, 4096)
            continue
        if value is None or isinstance(value, bool):
            metrics[key] = value
        elif isinstance(value, (int, float)):
            metrics[key] = plain_number(value) if is_number(value) else None
        elif isinstance(value, list) and len(value) <= 64 and all(is_number(item) for item in value):
            metrics[key] = [plain_number(item) for item in value]
    reason = " ".join(plain_text(message.get("reason"), 4096).split())
    return {
        "status": status,
        "score": float(score) if status == "ok" else None,  # type: ignore[arg-type]
        "metrics": metrics,
        "reason": reason,
        "feedback": plain_text(message.get("feedback"), _FEEDBACK),
        "picture": plain_text(message.get("picture"), _PICTURE),
        "construction": plain_text(message.get("construction"), _CONSTRUCTION),
    }
