"""What of this machine's configuration holds on the machines of a cluster."""

from __future__ import annotations

import json
import os

import msgspec

from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, VARIABLE, WARM_VARIABLE, sandbox_settings
from engine.evaluation.cgroups import CGROUP_VARIABLE
from engine.settings.named_paths import named_interpreters, named_mounts

__all__ = ["config_text", "passed_environment"]

_PASSED = (VARIABLE, LANDLOCK_VARIABLE, WARM_VARIABLE, CGROUP_VARIABLE)


def passed_environment() -> dict[str, str]:
    """Return the variables of this process that hold there, too: those of the sandbox, never a key."""
    return {name: os.environ[name] for name in _PASSED if name in os.environ}


def config_text() -> str:
    """Return the config.toml for them: `[sandbox]`, and the paths that a person named.

    Raises:
        UsageError: config.toml holds something else there.
    """
    tables = {
        "sandbox": msgspec.to_builtins(sandbox_settings()),
        "interpreters": {"paths": named_interpreters()},
        "mounts": {"paths": named_mounts()},
    }
    # Strings and lists of strings are the same in JSON and TOML.
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
