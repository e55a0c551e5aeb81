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


def _is_plain_way_in(arguments: list[str]) -> bool:
    """Whether the command is `evolve`, `evolve attach RUN` or `evolve replay RUN`, with no option."""
    return not arguments or (
        len(arguments) == 2 and arguments[0] in ("attach", "replay") and not arguments[1].startswith("-")
    )


def _run() -> int:
    if sys.stdin.isatty() and sys.stdout.isatty() and _is_plain_way_in(sys.argv[1:]):
        # What a person types many times a day does without the command line's library.
        from engine.run import find_run
        from engine.workspace import runs_folder
        from tui.app import run_tui

        runs = runs_folder()
        run = find_run(sys.argv[2], runs) if len(sys.argv) == 3 else None
        return run_tui(runs, run, replay=(None, 10.0, True) if sys.argv[1:2] == ["replay"] else None)
    from typer.main import get_command

    from engine.cli.app import app

    # Loading a file adds its commands.
    from engine.cli import acts, bench, compare, control, doctor, export, fork, look, priors, replay, tasks  # noqa: F401  # isort: skip

    result = get_command(app).main(args=sys.argv[1:], prog_name="evolve", standalone_mode=True)
    return int(result or 0)
