"""The library for requests is loaded without what is never used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_aiohttp_is_not_loaded_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('aiohttp was imported')\n")
    code = (
        "import sys; from engine.llm.library import load_openai; print(load_openai().AsyncOpenAI.__name__);"
        "assert None not in sys.modules.values()"
    )
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3])))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert (done.returncode, done.stdout) == (0, "AsyncOpenAI\n"), done.stderr
