"""The `evolve` command. Each file here holds the commands of one concern."""

from __future__ import annotations

import sys

from engine.errors import EvolveError

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    try:
        code = _run()
    except EvolveError as exc:
        print(f"error: {exc.message}", file=sys.stderr)
        if exc.hint:
            print(f"  {exc.hint}", file=sys.stderr)
        code = exc.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output (head, a pager) has enough; what is left in the buffer has nowhere to go.
        sys.stdout = None
        code = 0
    sys.exit(code)


def _run() -> int:
    if sys.stdin.isatty() and sys.stdout.isatty():
        # What a person types many times a day does without the command line's library.
        from engine.cli.way_in import way_in

        show = way_in(sys.argv[1:])
        if show is not None:
            return show()
    from typer.main import get_command

    from engine.cli.app import app

    # Loading a file adds its commands.
    from engine.cli import acts, bench, compare, control, doctor, export, fork, look, priors, replay, tasks  # noqa: F401  # isort: skip

    result = get_command(app).main(args=sys.argv[1:], prog_name="evolve", standalone_mode=True)
    return int(result or 0)
