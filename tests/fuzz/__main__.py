"""`python -m tests.fuzz [--seconds N] [--first SEED] [TARGET…]`: exit code 1 if anything was found."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.rounds import run_rounds
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run the targets one after the other and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=300, help="time for each target")
    parser.add_argument("--first", type=int, default=0, help="seed of the first round")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = set(options.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"unknown target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = False
    for target in options.targets or TARGETS:
        count, found = run_rounds(target, options.seconds, options.first)
        print(f"{target}: {count} rounds, {len(found)} findings", flush=True)
        for kind, (seed, text) in found.items():
            failed = True
            print(f"--- {target}, --first {seed}: {kind}\n{text}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
