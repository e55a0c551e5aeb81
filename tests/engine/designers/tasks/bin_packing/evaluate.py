import random
import runpy


def evaluate(program_path):
    pack = runpy.run_path(program_path)["pack"]
    fills = []
    for instance in range(8):
        rng = random.Random(instance)
        items = [rng.choice((rng.uniform(0.1, 0.35), rng.uniform(0.3, 0.7))) for _ in range(80)]
        bins = {}
        for item, chosen in zip(items, pack(items), strict=True):
            bins[chosen] = bins.get(chosen, 0.0) + item
        if max(bins.values()) > 1 + 1e-9:
            raise ValueError("a bin is overfull")
        fills.append(sum(fill * fill for fill in bins.values()) / len(bins))
    return {"fill": sum(fills) / len(fills)}
