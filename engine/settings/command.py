"""The command that designs, if `designer.name` is `command`: `[command]` in config.toml."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

__all__ = ["INSTRUCTION", "CommandSettings", "check_bounds"]

INSTRUCTION = "{prompt}"
"""Stands in a word of the command for the sentence that tells it what to do."""
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
_STARTS_OTHERS = re.compile(r"python[\d.]*|node|bun|deno|sh|bash|env|uv|uvx|npx|run")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
"""Such a word before its program is what `env` is given."""


_MOST_MEMORY_MB = 1_000_000_000
_MOST_PROCESSES = 250_000
"""The kernel counts up to 4,194,304 threads, and 16 are counted for each process."""


def check_bounds(memory_mb: int, processes: int) -> None:
    """Raise ValueError for a limit that is none, since no kernel can be told it; for commands and for evaluations.

    It is checked where people give it, and not in a journal.
    """
    for name, value, most in (("memory_mb", memory_mb, _MOST_MEMORY_MB), ("processes", processes, _MOST_PROCESSES)):
        if value > most:
            raise ValueError(f"`{name}` must be at most {most:,}, not {value:,}")


class CommandSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that edits a folder; a task cannot name one, a person does."""

    run: list[str] = []
    """Its words: the program's name or path, then its arguments. `{prompt}` in one of them stands for the sentence
    "Read README.md …"; if none has it, README.md is its standard input."""
    name: str = ""
    """What it is called where it is shown; by default the name of its program."""
    protocol: Literal["plain", "acp"] = "plain"
    """`acp`: it is an agent that speaks the Agent Client Protocol on its standard input and output."""
    seconds: float = 600.0
    """Wall-clock seconds of one design, not counted while it is frozen."""
    tokens: int | None = None
    """Tokens in and out of one design; it is ended once its `usage.json` tells more."""
    network: bool = False
    """Whether it may use the network. It then reaches whatever you reach, services of this machine included."""
    environment: list[str] = []
    """Names of the engine's variables that it gets, such as one with a key. Their values are never recorded."""
    readable: list[str] = []
    """Files and folders that it may read beside the system's, such as where it is installed."""
    memory_mb: int = 4096
    """MiB of memory of all its processes together; its folder lies in memory, too."""
    processes: int = 256
    """Processes alive at once."""
    concurrency: int = 4
    """How many of them run at once."""

    def __post_init__(self) -> None:
        if self.run and not self.run[0]:
            raise ValueError("`run` begins with a program, and its first word is empty")
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError("`name` is at most 40 letters, digits, dots and dashes")
        if any("\0" in word for word in (*self.run, *self.readable)):
            raise ValueError("no word of `run` or `readable` may hold a zero byte")
        for name in ("seconds", "tokens", "memory_mb", "processes", "concurrency"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, not {value}")
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                # Not shown: it may be a key that was put there in place of its name.
                raise ValueError("`environment` holds names of variables, such as OPENAI_API_KEY, and one is no name")
        for path in self.readable:
            if not path.startswith(("/", "~/")):
                raise ValueError(f"`readable` holds paths that start with / or ~/, and '{path}' does not")

    @property
    def label(self) -> str:
        """Return a name for people: the one set, or that of its program, or of what an interpreter is to run."""
        if self.name:
            return self.name
        words = [word for word in self.run if not word.startswith("-") and not _ASSIGNMENT.match(word)]
        names = [word.rpartition("/")[2] for word in words]
        names = [name for name in names if _NAME.fullmatch(name)] or ["command"]
        return next((name for name in names if not _STARTS_OTHERS.fullmatch(name)), names[0])
