"""Where evaluations run: `[executor]` in config.toml."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ExecutorSettings"]


class ExecutorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where evaluations run; a task cannot say it, a person does."""

    name: Literal["local", "ray"] = "local"
    """`local` is the engine's machine; `ray` a Ray cluster that it belongs to."""
    address: str = "auto"
    """ray: HOST:PORT of the cluster's head; `auto` is the cluster that this machine belongs to."""
    scratch: str = ""
    """ray: the folder on each machine to work in; by default one of this user in the machine's temporary folder."""

    def __post_init__(self) -> None:
        if not self.address:
            raise ValueError("`address` must be auto or HOST:PORT")
        if self.scratch and not self.scratch.startswith(("/", "~/")):
            raise ValueError(f"`scratch` starts with / or ~/, and '{self.scratch}' does not")
