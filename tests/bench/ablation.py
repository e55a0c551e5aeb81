"""What the parts of the system are worth: a campaign in which each part is left out, or put in, in turn.

    python -m tests.bench.ablation FOLDER --seeds 10 --rounds 100
    evolve campaign FOLDER/ablation.toml

It writes two open problems, made cheaper so that no search can buy a better score with more solves, and the campaign
file. Parts that are off by default are put in.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.bench.search.tasks import write_problem

__all__ = ["write_campaign"]

PROBLEMS = {"circle_packing_bounded": "circle_packing", "autocorrelation_bounded": "autocorrelation"}

_CAMPAIGN = """\
tasks = [{tasks}]
seeds = {seeds}
checkpoints = [20, 50, 100]

[run]
rounds = {rounds}
designer.name = "recombine"

[settings.whole]

[settings.no_cognition]
retrieval = {{top_k = 0, drawn = 0}}

[settings.no_analyzer]
roles.analyzer = "off"

[settings.bandit_frozen]
designer.bandit = "frozen"

[settings.no_bandit]
designer.bandit = "even"

[settings.novelty]
novelty.near = "lines"

[settings.standstill]
standstill.action = "act"
"""


def write_campaign(folder: Path, seeds: int, rounds: int) -> Path:
    """Write the tasks, unless they are there, and the campaign; return its file.

    Args:
        folder: where to.
        seeds: how many.
        rounds: of each run.
    """
    for name, builtin in PROBLEMS.items():
        if not (folder / "tasks" / name).exists():
            write_problem(builtin, folder / "tasks" / name)
    file = folder / "ablation.toml"
    tasks = ", ".join(f'"tasks/{name}"' for name in PROBLEMS)
    file.write_text(_CAMPAIGN.format(tasks=tasks, seeds=seeds, rounds=rounds))
    return file


def main() -> None:
    """Write them where the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    print(f"evolve campaign {write_campaign(options.folder, options.seeds, options.rounds)}")


if __name__ == "__main__":
    main()
