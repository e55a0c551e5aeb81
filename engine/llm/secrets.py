"""Keep secrets, such as keys of endpoints, out of texts."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["held_back_of", "hide", "is_secret"]

_SHORTEST_SECRET = 8
"""Least length of a secret to hide: shorter ones are placeholders and could occur anywhere in a text."""


def is_secret(value: str) -> bool:
    """Return whether a value is long enough to be one."""
    return len(value) >= _SHORTEST_SECRET


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text with each secret as `***`, the longest first: one may hold another."""
    for secret in sorted(filter(is_secret, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def held_back_of(text: str, secrets: Iterable[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a secret."""
    return max((_begun(text, secret) for secret in secrets if is_secret(secret)), default=0)


def _begun(text: str, secret: str) -> int:
    longest = min(len(secret) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(secret[:size])), 0)
