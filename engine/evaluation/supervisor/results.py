"""A result as the engine may take it: nothing in it but what a result may hold."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own constant without typing, which takes time to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["clean_result", "is_number", "plain_number", "plain_text"]

_LARGEST = 1e300
_STATUSES = ("ok", "invalid", "crashed", "timeout")


def is_number(value: object) -> bool:
    """Whether it is a number that can be reckoned with: finite, and so small that no sum or difference overflows."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def plain_number(value: Any) -> int | float:
    """A number as every reader takes it: a whole one that does not fit a float exactly becomes a float."""
    return float(value) if isinstance(value, int) and abs(value) > 2**53 else value


def plain_text(value: object, length: int) -> str:
    """A string that any encoder takes, cut to a length; empty for what is no string."""
    return value[:length].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def clean_result(message: dict[str, Any]) -> dict[str, Any]:
    """A result message with nothing in it but what a result may hold.

    Raises:
        ValueError: it claims a status that there is not, or is `ok` without a finite score.
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
    }
