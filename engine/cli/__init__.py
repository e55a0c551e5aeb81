"""The `evolve` command. Each file here holds the commands of one concern."""

from __future__ import annotations

import os
import sys

from engine.cli.output import prepare_streams
from engine.cli.utf8 import check_names, insist_on_utf8
from engine.errors import EvolveError
from engine.text import visible

__all__ = ["main"]

_COMPLETE = "_EVOLVE_COMPLETE"
"""Environment variable by which a shell asks for completions."""


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    prepare_streams()
    try:
        insist_on_utf8()
        check_names()
        code = _run()
    except EvolveError as exc:
        print(f"error: {exc.message}", file=sys.stderr)
        if exc.hint:
            print(f"  {exc.hint}", file=sys.stderr)
        code = exc.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The reader of our output (head, a pager) has closed it; the rest of the buffer cannot be written.
        sys.stdout = None
        code = 0
    except OSError as exc:
        # The command named a file that cannot be used: permissions, a name too long, a loop of links.
        if exc.filename is None:
            raise
        print(f"error: {visible(str(exc.filename))}: {exc.strerror}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _run() -> int:
    if sys.argv[1:] and sys.argv[1].partition("=")[0] == "--host":
        from engine.cli.remote import run_remotely

        run_remotely(sys.argv[1:])
    if sys.stdin.isatty() and sys.stdout.isatty() and _COMPLETE not in os.environ:
        # Start the application without the command line's library, which takes as long to load as Textual.
        from engine.cli.way_in import way_in

        show = way_in(sys.argv[1:])
        if show is not None:
            return show()
    from typer.main import get_command

    from engine.cli.app import app

    # Importing a module registers its commands.
    # isort: off
    from engine.cli import acts, bench, campaign, compare, control, digest, distil, doctor, export, fork  # noqa: F401
    from engine.cli import imports, look, priors, replay, run_list, steer, tasks, verify, web  # noqa: F401
    # isort: on

    result = get_command(app).main(args=sys.argv[1:], prog_name="evolve", standalone_mode=True)
    return int(result or 0)
