"""`python -m engine RUN_FOLDER`: the detached engine of a run. Its output goes to the run's engine.log.

With `--unattended` after the folder it stops if it would have to wait for a person.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.errors import EvolveError
from engine.loop.serve import serve
from engine.runs.folder import Run


def main() -> int:
    """Serve the run named on the command line; return 0 if it finished, 1 if not, 2 for wrong usage."""
    folders = [word for word in sys.argv[1:] if word != "--unattended"]
    if len(folders) != 1:
        sys.stderr.write("usage: python -m engine RUN_FOLDER [--unattended]\n")
        return 2
    try:
        status = serve(Run(Path(folders[0]).absolute()), attended="--unattended" not in sys.argv)
    except EvolveError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_code
    return 0 if status == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
