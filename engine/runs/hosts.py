"""Other machines with runs of their own, reached by the user's own ssh: their list, and commands on them."""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn, cast

import msgspec

from engine.errors import EvolveError, RunError, UsageError
from engine.settings.decode import convert_table, read_toml
from engine.text import one_line
from engine.workspace import workspace

__all__ = [
    "Host",
    "Question",
    "RemoteRun",
    "Unreachable",
    "check_address",
    "find_host",
    "read_hosts",
    "remote_command",
    "remote_runs",
]
__all__ += ["run_on"]

LIST_SECONDS = 20.0
_QUIET = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=8", "-o", "ServerAliveInterval=5", "-o", "ControlMaster=no")
"""A connection that is open already is used, but none is left open: it would hold our pipes."""
_SILENT = f"no answer within {LIST_SECONDS:g} s"
_MOST_BYTES = 32 << 20
_ADDRESS = re.compile(r"(ssh://)?(\w[\w.+-]*@)?[\w\[:][\w.:%\]-]*", re.ASCII)


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine under `[hosts]` in config.toml."""

    address: str = ""
    """How ssh knows it: a `Host` of ~/.ssh/config, `user@machine` or `ssh://user@machine:port`; by default its name."""
    evolve: str = "evolve"
    """How its shell starts this program, if it is not on the path there, as in `~/venv/bin/evolve`."""


class RemoteBest(msgspec.Struct, frozen=True):
    """The best node of a run of another machine."""

    node: int = 0
    score: float | None = None
    fitness: float | None = None


class RemoteRun(msgspec.Struct, frozen=True):
    """A run of another machine: what `evolve runs --json` there says of it. Earlier versions say less."""

    run: str
    name: str
    status: str
    task: str = ""
    reason: str = ""
    rounds: int = 0
    nodes: int = 0
    best: RemoteBest | None = None
    ranked_by: str = "score"
    started: str = "1970-01-01T00:00:00Z"
    host: str = ""
    usd: float = 0.0
    tokens: int = 0
    to_record: float | None = None
    tags: tuple[str, ...] = ()
    archived: bool = False
    disk: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what would later fail: a time that is none, a path that no command can name."""
        time.strptime(self.started, "%Y-%m-%dT%H:%M:%SZ")
        if "\0" in self.run:
            raise ValueError("a path without NUL is expected")


class Unreachable(EvolveError):
    """A machine did not tell which runs it has."""


class _Config(msgspec.Struct, frozen=True):
    hosts: dict[str, Host] = {}


def read_hosts(config: Path | None = None) -> dict[str, Host]:
    """Return the machines under `[hosts]` in a config.toml, by default the workspace's, by name.

    Raises:
        UsageError: the file is not TOML, or an entry is not valid.
    """
    path = workspace() / "config.toml" if config is None else config
    if not path.exists():
        return {}
    table = read_toml(path, UsageError).get("hosts", {})
    hosts = convert_table({"hosts": table}, _Config, str(path), UsageError).hosts
    for name, host in hosts.items():
        check_address(name if not host.address else host.address)
        if not name.isprintable() or not host.evolve.strip():
            raise UsageError(f"{path}: hosts.{one_line(name, 40)} is not valid")
    return {name: host if host.address else Host(name, host.evolve) for name, host in hosts.items()}


def find_host(name: str) -> Host:
    """Return the machine of a name in config.toml, or else of an address for ssh.

    Raises:
        UsageError: it cannot be an address, or config.toml is not valid.
    """
    host = read_hosts().get(name)
    if host is None:
        check_address(name)
    return host or Host(name)


def check_address(address: str) -> None:
    """Raise UsageError for what ssh might take for an option, or a shell for a command."""
    if not _ADDRESS.fullmatch(address) or len(address) > 255:
        raise UsageError(
            f"'{one_line(address, 60)}' cannot be a host", "Name one of ~/.ssh/config, or write user@machine"
        )


def remote_command(host: Host, arguments: Sequence[str], terminal: bool) -> list[str]:
    """Return the command that runs this program on another machine.

    Args:
        host: the machine.
        arguments: of the program there.
        terminal: whether it gets a terminal.
    """
    check_address(host.address)
    remote = " ".join([host.evolve, *map(shlex.quote, arguments)])
    return ["ssh", "-t" if terminal else "-T", "--", host.address, remote]


class Question:
    """`evolve runs --json` on another machine, started at once. It asks for no password.

    Args:
        host: the machine.
        arguments: further ones of the command.

    Raises:
        Unreachable: ssh cannot be started.
    """

    def __init__(self, host: Host, arguments: Iterable[str] = ()) -> None:
        self._host = host
        command = remote_command(host, ["runs", "--json", *arguments], False)
        try:
            self._process = subprocess.Popen(
                [*command[:2], *_QUIET, *command[2:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise Unreachable(f"ssh cannot be started: {exc.strerror}") from None

    def answer(self) -> list[RemoteRun]:
        """Return the runs there; wait for at most 20 s.

        Raises:
            Unreachable: ssh failed, or there was no answer that can be read.
        """
        try:
            out, err = self._gather(time.monotonic() + LIST_SECONDS)
        finally:
            self.cancel()
            self._process.wait()
            for pipe in self._pipes():
                pipe.close()
        return _read(self._host, self._process.returncode, out, err)

    def _gather(self, deadline: float) -> tuple[bytes, bytes]:
        """Return what ssh prints on stdout and stderr until it ends, never more than is kept of an answer."""
        out, err = kept = bytearray(), bytearray()
        with selectors.DefaultSelector() as pipes:
            for pipe, text in zip(self._pipes(), kept, strict=True):
                pipes.register(pipe, selectors.EVENT_READ, text)
            while pipes.get_map():
                for key, _ in pipes.select(max(0.0, deadline - time.monotonic())):
                    got = os.read(key.fd, 1 << 16)
                    if not got:
                        pipes.unregister(key.fileobj)
                    key.data.extend(got)
                if len(out) + len(err) > _MOST_BYTES:
                    raise Unreachable(f"its answer is longer than {_MOST_BYTES >> 20} MiB")
                if time.monotonic() > deadline:
                    raise Unreachable(_SILENT)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Unreachable(_SILENT) from None
        return bytes(out), bytes(err)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        return cast("IO[bytes]", self._process.stdout), cast("IO[bytes]", self._process.stderr)

    def cancel(self) -> None:
        """End ssh, with what it started to get there; `answer` then raises Unreachable."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def remote_runs(host: Host, arguments: Iterable[str] = ()) -> list[RemoteRun]:
    """Return the runs of another machine, as `Question` does."""
    return Question(host, arguments).answer()


def _read(host: Host, code: int, out: bytes, err: bytes) -> list[RemoteRun]:
    said = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    last = one_line(said[-1], 200) if said else ""
    if code == 127:
        raise Unreachable(
            f"there is no '{one_line(host.evolve, 60)}' on its path: set `evolve` of the host in config.toml"
        )
    if code:
        raise Unreachable(last or f"ssh ended with code {code}")
    # What a shell prints at its start stands before the answer.
    lines = out.splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else b"", type=list[RemoteRun])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreachable("its answer cannot be read: is evolve there of another version?") from None


def run_on(name: str, arguments: Sequence[str], terminal: bool) -> NoReturn:
    """Become this program on another machine; its exit code is ours.

    Raises:
        UsageError: the name cannot be a host.
        RunError: ssh cannot be started.
    """
    command = remote_command(find_host(name), arguments, terminal)
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        raise RunError(f"ssh cannot be started: {exc.strerror}", "Install an ssh client") from None
