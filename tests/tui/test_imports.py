"""What the application may load: a start over a slow disk pays for every module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "numpy", "scipy", "libcst", "sqlite_utils", "networkx", "openai", "engine.loop.engine", "wordllama",
    "cognition.collection", "engine.journal.writer", "engine.programs.outline", "ray",
)  # fmt: skip


def loaded(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_application_loads_no_heavy_module() -> None:
    modules = loaded(
        "import tui.app, tui.feed.live, tui.graphics, tui.textual_app, "
        "tui.screens.runs, tui.screens.live, tui.screens.node"
    )
    assert not modules.intersection(HEAVY)


@pytest.mark.parametrize("module", ["tui.app", "tui.session", "tui.feed.live", "tui.feed.runs_watch"])
def test_modules_below_the_screens_load_no_textual(module: str) -> None:
    assert "textual" not in loaded(f"import {module}")


def test_model_imports_no_terminal_library() -> None:
    folder = Path(__file__).parents[2] / "tui" / "model"
    names = ", ".join(f"tui.model.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")
    modules = loaded(f"import {names}")
    assert not {name for name in modules if name.partition(".")[0] in ("textual", "rich")}


def test_ray_is_loaded_by_no_process_but_its_bridge() -> None:
    modules = loaded("import engine.cli, engine.loop.engine, engine.evaluation.executors.ray, tui.app")
    assert "ray" not in modules
    assert "engine.evaluation.executors.ray" not in loaded("import engine.loop.engine")
