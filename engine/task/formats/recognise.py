"""Tell which system's task a folder holds, by its files alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.errors import TaskError
from engine.task.formats import asi_evolve, containers, openevolve, shinka
from engine.task.formats.foreign import Foreign
from engine.task.spec import Container

__all__ = ["read_foreign"]


_Reader = tuple[str, Callable[[Path], str], Callable[[Path], Foreign]]

_FORMATS: tuple[_Reader, ...] = (
    ("ASI-Evolve", asi_evolve.sign, asi_evolve.read),
    ("ShinkaEvolve", shinka.sign, shinka.read),
    ("OpenEvolve", openevolve.sign, openevolve.read),
)


def read_foreign(folder: Path, container: Container | None = None) -> Foreign | None:
    """Return what a folder of another system says of its task; None if it holds no format that is known.

    Args:
        folder: the folder.
        container: that its evaluator may be run in containers; a folder with both kinds is run so then.

    Raises:
        TaskError: two formats fit, it needs a container, or a part of it is missing or wrong.
    """
    if container is not None and containers.sign(folder):
        return containers.read(folder, containers.find_tool(), container.network)
    fitting = [(name, why, read) for name, sign, read in _FORMATS if (why := sign(folder))]
    # An ASI-Evolve task often brings an evaluator in OpenEvolve's form, which its own script calls.
    if fitting and fitting[0][0] == "ASI-Evolve":
        fitting = fitting[:1]
    if len(fitting) > 1:
        both = " and ".join(f"{name} ({why})" for name, why, _ in fitting)
        raise TaskError(
            f"{folder} fits two formats: {both}",
            "Move the files of one of them to a folder of their own",
        )
    if fitting:
        return fitting[0][2](folder)
    containers.refuse(folder)
    return None
