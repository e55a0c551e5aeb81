"""Does rl_algorithm rank what is known, and does a search's best hold on fresh seeds? See `tests.bench.rank`."""

from engine.task.load import find_task, load_task
from tests.bench import rank

TASK = load_task(find_task("rl_algorithm"))
SEED = TASK.seeds[0].code
ROOM = "higher-clip-for-good-tokens"
BETTER = {
    "a bonus for entropy that fades, more room upwards": rank.with_recipes(TASK, "entropy-bonus", ROOM),
    "entropy held above a floor, more room upwards": rank.with_recipes(TASK, "entropy-target", ROOM),
}
WORSE = {
    "no baseline": SEED + "\n\ndef normalise(rewards):\n    return rewards\n",
    "advantages of other answers": SEED + "\n\ndef reshape(scores, progress):\n    return scores.roll(1, 1)\n",
}
SHOWN = ("exact", "area", "tokens_right", "exact_*", "entropy", "kl", "collapsed", "diverged", "steps_per_s")
SHOWN += ("algorithm_share",)

if __name__ == "__main__":
    rank.main("rl_algorithm", BETTER, WORSE, SHOWN)
