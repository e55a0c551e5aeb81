"""Does linear_attention rank what is known, and does a search's best hold on fresh seeds? See `tests.bench.rank`."""

from engine.task.load import find_task, load_task
from tests.bench import rank

TASK = load_task(find_task("linear_attention"))
SEED = TASK.seeds[0].code
ELU = "\n\ndef {name}_features(x):\n    return F.elu(x) + 1\n"
BETTER = {
    "convolutions with a shortcut": rank.with_recipes(TASK, "convolution-with-a-shortcut"),
    "queries that begin as keys": rank.with_recipes(TASK, "start-with-matching-keys"),
}
WORSE = {
    # Better on text; but its recall comes later, and how soon it comes counts.
    "gated DeltaNet": rank.with_recipes(TASK, "decay-that-starts-at-one", "gate-with-silu"),
    "plain linear attention": rank.with_recipes(TASK, "memory-that-only-adds")
    + ELU.format(name="query")
    + ELU.format(name="key"),
    "no memory": SEED + "\n\ndef memory(q, k, v, beta, g, state):\n    return v, None\n",
}
SHOWN = ("loss", "bits", "recall", "recall_at_the_end", "tokens_per_s", "operations_per_token")

if __name__ == "__main__":
    rank.main("linear_attention", BETTER, WORSE, SHOWN)
