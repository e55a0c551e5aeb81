"""Train a candidate's model on drug-target pairs and score its predictions for held-out pairs.

The candidate and its trainer run in other sandboxes. One call trains, on training pairs alone, and returns the weights;
another gets the weights and held-out pairs without labels, and returns a number for each. Labels of held-out pairs
never leave this process, which also counts the weights and scores the pairs.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import evolve_task
import numpy as np

for library in ("torch", "rdkit", "sklearn"):
    if find_spec(library) is None:
        raise ImportError(f"{library} is not installed: this task needs the extras 'torch' and 'drug'")

import features as ft  # noqa: E402 - after the check, whose message is the clearer one
import scoring  # noqa: E402
import synthetic  # noqa: E402
from dataset import Dataset, load, split_pairs  # noqa: E402

CHUNK = 10
"""Steps per message and per report."""
REPEATED = 3
"""Stretches of so many steps that are repeated in another sandbox."""
DIFFERENT, DIFFERENT_ON_GPU = 1e-3, 0.02
"""Largest distance of repeated weights, as a share of how far they moved. A CPU repeats exactly, a GPU does not."""
KEPT = 3.2
"""The most numbers that an optimizer keeps for each of the model's: AMSGrad keeps 3."""
EFFORT = 5.0
"""The most work of a step, in forward passes over a batch."""
PROBES = 64
"""Held-out pairs that are predicted twice, in different batches."""
DRIFT = 1e-3
"""Largest difference of the two predictions of a probe, as a share of the standard deviation of all predictions."""
ROUNDING = 1e-5
"""Difference always allowed, since sums in another order round differently."""


def evaluate(program_path, report):
    """Train, predict and score: the mean of AUROC and AUPRC over the held-out sets."""
    settings = report.settings
    # The sandbox's seed is another one: labels of held-out pairs follow from this one.
    seed = report.data_seed
    data = read(settings, seed)
    split = split_pairs(
        data, settings["split"], settings["unseen_share"], settings["test_share"], settings["val_share"], seed
    )
    features = ft.featurise(data, int(settings["max_atoms"]), int(settings["max_residues"]))
    options = {
        "sizes": {
            "atom_features": ft.ATOM_FEATURES,
            "bond_types": ft.BOND_TYPES,
            "residue_types": ft.RESIDUE_TYPES,
            "width": int(settings["width"]),
        },
        "steps": int(settings["steps"]),
        "batch": int(settings["batch"]),
        "threads": int(settings["threads"]),
        "seed": report.sandbox_seed,
        "cuda": bool(report.device),
    }
    state, seconds, effort = train(data, split.train, features, options, report)
    weights = check_state(state, int(settings["max_parameters"]))
    rows = np.concatenate([split.val, *split.tests.values()])
    logits = dict(zip(rows.tolist(), predict(state, data, rows, features, options, seed), strict=True))
    return {
        **score(data, split, logits),
        "parameters": weights,
        "train_seconds": seconds,
        "step_effort": effort,
        "pairs_per_s": options["steps"] * options["batch"] / seconds,
        "data": data.name,
        "training_pairs": len(split.train),
    }


def read(settings, seed) -> Dataset:
    """Read the user's data, or generate the synthetic set."""
    if settings["data"]:
        return load(str(settings["data"]), Path(__file__).parent)
    return synthetic.generate(int(settings["drugs"]), int(settings["proteins"]), int(settings["pairs"]), seed)


def train(data, rows, features, options, report):
    """Train; return the model's state, the seconds measured in this process, and the work of a step.

    Some steps, chosen afterwards, are repeated in another sandbox that has only what the model and the optimizer kept.
    """
    chosen, pairs = select(features, data.pairs[rows])
    given = (chosen, pairs, data.labels[rows], options)
    kept, chunk = [], max(1, min(CHUNK, options["steps"] // 3))
    began = time.monotonic()
    with evolve_task.Session("trainer.py") as opened:
        opened.call("begin", *given)
        for first in range(0, options["steps"], chunk):
            count = min(chunk, options["steps"] - first)
            losses, state, optimizer = read_steps(opened.call("steps", count), count)
            kept.append((first + count, state, optimizer))
            report(first + count, loss=sum(losses) / count)
    seconds = time.monotonic() - began
    with evolve_task.Session("trainer.py") as opened:
        opened.call("begin", *given)
        check_steps(
            opened,
            kept,
            DIFFERENT_ON_GPU if options["cuda"] else DIFFERENT,
            np.random.default_rng([report.data_seed, 17]),
        )
        effort = check_effort(opened)
    return kept[-1][1], seconds, effort


def read_steps(found, count):
    """Return losses, model's state and optimizer's state, if the sandbox handed them back."""
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], list) or len(found[0]) != count:
        raise evolve_task.Invalid("the sandbox handed back no steps of training")
    if not isinstance(found[1], dict) or not all(isinstance(value, np.ndarray) for value in found[1].values()):
        raise evolve_task.Invalid("training must return the model's state as arrays by name")
    return found


def check_steps(opened, kept, different, rng):
    """Repeat steps from what the model and the optimizer kept, and compare the weights.

    Raises:
        Invalid: they are others, so that training keeps something elsewhere, such as a second model.
    """
    for number in sorted(rng.permutation(len(kept) - 1)[:REPEATED].tolist()):
        (start, before, optimizer), (end, wanted, _) = kept[number], kept[number + 1]
        held, most = size_of(optimizer), int(KEPT * sum(value.size for value in before.values())) + 1000
        if held > most:
            raise evolve_task.Invalid(f"the optimizer keeps {held:,} numbers; {most:,} may be")
        opened.call("restore", start, before, optimizer)
        _, found, _ = read_steps(opened.call("steps", end - start), end - start)
        moved = distance(wanted, before)
        apart = distance(found, wanted)
        if not apart <= different * moved + 1e-6:
            raise evolve_task.Invalid(
                f"steps {start} to {end - 1} cannot be repeated from what the model and the optimizer kept: weights "
                f"end {apart:.3g} away, where they moved by {moved:.3g}. A step may depend on nothing else"
            )


def check_effort(opened):
    """Compare the work of a step with that of a forward pass over a batch.

    Returns:
        The former in units of the latter.

    Raises:
        Invalid: a step does so much that it must hold several.
    """
    found = opened.call("effort")
    if not isinstance(found, list) or len(found) != 2 or not all(type(item) is int and item > 0 for item in found):
        raise evolve_task.Invalid("the sandbox handed back no counts of the work of a step")
    ratio = found[0] / found[1]
    if ratio > EFFORT:
        raise evolve_task.Invalid(
            f"a step does {ratio:.1f} times the work of the model's pass over a batch; up to {EFFORT:g} times may be, "
            "and one gradient takes less than 2"
        )
    return ratio


def distance(one, other):
    """Return the distance of two states; infinite if they do not have the same parts."""
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return float("inf")
    return float(np.sqrt(sum(np.square(one[name].astype(float) - other[name]).sum() for name in one)))


def size_of(data):
    """Count the numbers in an optimizer's state."""
    if isinstance(data, np.ndarray):
        return data.size
    if isinstance(data, dict):
        return sum(map(size_of, data.values()))
    if isinstance(data, list):
        return sum(map(size_of, data))
    return len(data) if isinstance(data, str) else 1


def predict(state, data, rows, features, options, seed):
    """Predict a logit for each row, and check that it does not depend on the other pairs of the batch.

    The order reveals nothing about labels or sets, and some pairs occur twice, in different batches.
    """
    rng = np.random.default_rng([seed, 13])
    order = rng.permutation(len(rows))
    probes = rng.permutation(len(rows))[:PROBES]
    chosen, pairs = select(features, data.pairs[np.concatenate([rows[order], rows[probes]])])
    found = evolve_task.call("trainer.py:predict", state, chosen, pairs, options)
    found = np.asarray(found)
    if found.dtype.kind not in "fiu" or found.shape != (len(pairs),):
        raise evolve_task.Invalid(f"predictions must be {len(pairs)} numbers, not {found.dtype} {found.shape}")
    found = found.astype(float)
    if not np.isfinite(found).all():
        raise evolve_task.Invalid(f"{int((~np.isfinite(found)).sum())} of {len(found)} predictions are not finite")
    logits = np.empty(len(rows))
    logits[order] = found[: len(rows)]
    drift = float(np.abs(logits[probes] - found[len(rows) :]).max())
    allowed = DRIFT * float(logits.std()) + ROUNDING * max(1.0, float(np.abs(logits).max()))
    if drift > allowed:
        raise evolve_task.Invalid(
            f"the prediction of a pair depends on the other pairs in its batch, or on chance: the same pair's logit "
            f"moved by {drift:.3g}, more than {allowed:.3g}"
        )
    return logits


def select(features, pairs):
    """Return the features of only the drugs and proteins of some pairs, and the pairs with matching indices."""
    drugs, first = np.unique(pairs[:, 0], return_inverse=True)
    proteins, second = np.unique(pairs[:, 1], return_inverse=True)
    chosen = {}
    for name, start, wanted in (
        ("atoms", "atom_start", drugs),
        ("bonds", "bond_start", drugs),
        ("residues", "residue_start", proteins),
    ):
        starts = features[start]
        chosen[name] = np.concatenate([features[name][starts[k] : starts[k + 1]] for k in wanted])
        sizes = starts[wanted + 1] - starts[wanted]
        chosen[start] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return chosen, np.column_stack([first, second]).astype(np.int32)


def check_state(state, most):
    """Count the numbers in a model's state, and refuse more than `most`; buffers count, as they can hold anything."""
    if not isinstance(state, dict) or not state or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise evolve_task.Invalid("training must return the model's state as arrays by name")
    count = sum(value.size for value in state.values())
    if count > most:
        raise evolve_task.Invalid(f"the model keeps {count:,} numbers, more than max_parameters = {most:,}")
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise evolve_task.Invalid(f"the trained weights {name[:60]!r} are not finite")
    return count


def score(data, split, logits):
    """Return the metrics of every held-out set, their means, and a description of the model's failures."""

    def at(rows):
        return np.array([logits[row] for row in rows.tolist()])

    threshold = scoring.best_threshold(data.labels[split.val], at(split.val))
    found = {name: scoring.measure(data.labels[rows], at(rows), threshold) for name, rows in split.tests.items()}
    metrics = {f"{key}_{name}": value for name, values in found.items() for key, value in values.items()}
    for key in ("auroc", "auprc", "f1", "mcc"):
        metrics[key] = float(np.mean([values[key] for values in found.values()]))
    rows = np.unique(np.concatenate(list(split.tests.values())))
    scaffolds = ft.scaffolds(data.smiles)
    modes, text = scoring.failure_modes(
        data.labels[rows],
        at(rows),
        threshold,
        np.array([len(data.proteins[protein]) for protein in data.pairs[rows, 1]]),
        [scaffolds[drug] for drug in data.pairs[rows, 0]],
        {scaffolds[drug] for drug in data.pairs[split.train, 0]},
    )
    return {"score": (metrics["auroc"] + metrics["auprc"]) / 2, **metrics, **modes, "failures": text}
