"""Starts the application on a folder of runs, as the command line does."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.runs.folder import Run
from tui.app import run_tui

if __name__ == "__main__":
    runs = Path(sys.argv[1])
    sys.exit(run_tui(runs, Run(runs / sys.argv[2]) if len(sys.argv) > 2 else None))
