"""Settings of models that contradict each other are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import UsageError
from engine.settings.model import merge_settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"roles": {"analyzer": "x"}}, r"there is no models\.x"),
        ({"models": {"m": {"base_url": "http://127.0.0.1/v1"}}}, r"models\.m\.model: missing"),
        ({"models": {"m": {"base_url": "https://me:secret@example.org/v1"}}}, "neither a name, a password nor"),
        ({"models": {"m": {"key_env": "sk-abc-123"}}}, "not the key itself"),
    ],
)
def test_settings_are_checked_as_a_whole(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        merge_settings(("test", {"models": {"m": {"model": "m"}}, **settings}))
