"""Does data_curation rank what is known, and does a search's best hold on fresh corpora?

See `tests.bench.rank`; a seed is a draw of documents, of the noise in them and of the order of training. `--data` takes
a folder or a JSONL file of the user's.
"""

from engine.task.load import find_task, load_task
from tests.bench import rank

TASK = load_task(find_task("data_curation"))
SEED = TASK.seeds[0].code
BETTER = {
    "scripts and entities": rank.with_recipes(TASK, "scripts-and-entities"),
    "scripts and entities, shingles, lines that come again, figures and no words, offers and links": rank.with_recipes(
        TASK, "scripts-and-entities", "shingles", "lines-that-come-again", "figures-and-no-words", "offers-and-links"
    ),
}
WORSE = {
    "raw": SEED + "\n\ndef curate(document, category):\n    return document\n",
    "C4's rule for web prose: lines end with a full stop": SEED
    + """

def normalise(text, category):
    return "\\n".join(line for line in text.splitlines() if line.endswith((".", "!", "?", '"')))
""",
}
SHOWN = ("learned", "cleaned", "bits_per_byte", "raw_bits_per_byte", "oracle_bits_per_byte", "removed", "kept")
SHOWN += ("precision", "removed_*", "kept_*", "invented", "characters_per_s")

if __name__ == "__main__":
    rank.main("data_curation", BETTER, WORSE, SHOWN)
