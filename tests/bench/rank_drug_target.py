"""Does drug_target rank what is known, and does a search's best hold on fresh seeds and on real data?

See `tests.bench.rank`; `--data FOLDER` takes a folder of DrugBAN's with its own split.
"""

from engine.task.load import find_task, load_task
from tests.bench import rank

TASK = load_task(find_task("drug_target"))
SEED = TASK.seeds[0].code
BETTER = {
    "bond types": rank.with_recipes(TASK, "bond-types"),
    "bond types, gated convolutions, top-k pairs, AdamW, cosine": rank.with_recipes(
        TASK, "bond-types", "gated-sequence-convolution", "top-k-pairs", "decoupled-decay", "warm-up-and-cosine"
    ),
}
WORSE = {
    "blind to the protein": SEED
    + """

class Blind(nn.Module):
    def forward(self, x, mask):
        return 0 * x + mask[..., None]


def protein_layer(width, kernel):
    return Blind()
""",
    "DrugBAN's learning rate of 5e-5, for 100 epochs, in few steps": SEED + "\n\nRATE = 0.00005\n",
}
SHOWN = ("auroc", "auprc", "f1", "mcc", "parameters", "auroc_*", "auprc_*")

if __name__ == "__main__":
    rank.main("drug_target", BETTER, WORSE, SHOWN)
