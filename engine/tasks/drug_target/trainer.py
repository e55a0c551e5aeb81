"""Train a candidate's model and predict with it. It runs beside the candidate, so `evaluate.py` trusts no result of it.

Training and prediction run in two processes: the first never sees a held-out pair, the second never a label.
"""

import evolve_task
import numpy as np
import program
import torch

CLIP = 5.0
WINDOW = 16
"""Number of batches whose pairs are sorted by length together, to reduce padding."""


def fit(features, pairs, labels, options):
    """Train `build_model(sizes)` for a number of steps and return its state as arrays.

    Args:
        features: result of `features.featurise` for the drugs and proteins of the training pairs only.
        pairs: array (n, 2) of drug and protein.
        labels: array (n,) of 0 and 1.
        options: sizes, steps, batch, seed, threads, cuda.
    """
    device = prepare(options)
    model = make_model(options["sizes"]).to(device)
    optimizer = program.optimizer(model)
    rates = [group["lr"] for group in optimizer.param_groups]
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    order = batches(features, pairs, options["batch"], np.random.default_rng(options["seed"]))
    targets = torch.as_tensor(labels, dtype=torch.float32)
    steps, losses, before = options["steps"], [], None
    model.train()
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * float(program.learning_rate(step / steps))
        rows = next(order)
        loss = program.training_loss(model, make_batch(features, pairs[rows], device), targets[rows].to(device))
        if not torch.isfinite(loss):
            raise ValueError(f"step {step}: the loss is {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        now = norms(weights)
        if before is not None and not torch.equal(now, before):
            raise ValueError(f"step {step}: weights were changed outside the optimizer's step")
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        before = norms(weights)
        losses.append(loss.item())
        if (step + 1) % max(1, steps // 30) == 0 or step + 1 == steps:
            evolve_task.progress(step=step + 1, loss=sum(losses) / len(losses))
            losses = []
    return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


def predict(state, features, pairs, options):
    """Return logits (n,) of pairs, computed in batches in the given order."""
    device = prepare(options)
    model = make_model(options["sizes"]).to(device)
    model.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(pairs), options["batch"]):
            rows = pairs[start : start + options["batch"]]
            logits = model(make_batch(features, rows, device))
            if tuple(logits.shape) != (len(rows),):
                raise ValueError(f"the model returned the shape {tuple(logits.shape)} for {len(rows)} pairs")
            found.append(logits.float().cpu().numpy())
    return np.concatenate(found)


def prepare(options):
    torch.set_num_threads(options["threads"])
    torch.manual_seed(options["seed"])
    # Not use_deterministic_algorithms(), since it imports a compiler.
    torch.set_deterministic_debug_mode("warn")
    return torch.device("cuda" if options["cuda"] else "cpu")


def make_model(sizes):
    model = program.build_model(dict(sizes))
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"build_model() returned a {type(model).__name__}, not a torch.nn.Module")
    return model


def norms(weights):
    return torch.stack([weight.detach().double().norm() for weight in weights])


def batches(features, pairs, size, rng):
    """Yield rows of batches endlessly: pairs of similar length together, in another order each epoch."""
    length = np.diff(features["residue_start"])[pairs[:, 1]]
    while True:
        order = rng.permutation(len(pairs))
        parts = []
        for start in range(0, len(order), size * WINDOW):
            window = order[start : start + size * WINDOW]
            window = window[np.argsort(length[window], kind="stable")]
            parts += [window[at : at + size] for at in range(0, len(window), size)]
        for index in rng.permutation(len(parts)):
            # Skip a batch of one pair: batch normalisation needs a variance.
            if len(parts[index]) > 1:
                yield parts[index]


def make_batch(features, pairs, device):
    """Build a batch for the candidate, as described in brief.md."""
    atoms, bonds, residues = features["atom_start"], features["bond_start"], features["residue_start"]
    count = len(pairs)
    most = int((atoms[pairs[:, 0] + 1] - atoms[pairs[:, 0]]).max())
    longest = int((residues[pairs[:, 1] + 1] - residues[pairs[:, 1]]).max())
    kinds = np.zeros((count, most, features["atoms"].shape[1]), dtype=np.float32)
    edges = np.zeros((count, most, most), dtype=np.int64)
    atom_mask = np.zeros((count, most), dtype=bool)
    letters = np.zeros((count, longest), dtype=np.int64)
    for row, (drug, protein) in enumerate(pairs):
        size = atoms[drug + 1] - atoms[drug]
        kinds[row, :size] = features["atoms"][atoms[drug] : atoms[drug + 1]]
        atom_mask[row, :size] = True
        first, second, kind = features["bonds"][bonds[drug] : bonds[drug + 1]].T
        edges[row, first, second] = edges[row, second, first] = kind
        letters[row, : residues[protein + 1] - residues[protein]] = features["residues"][
            residues[protein] : residues[protein + 1]
        ]
    arrays = {
        "atoms": kinds,
        "bonds": edges,
        "atom_mask": atom_mask,
        "residues": letters,
        "residue_mask": letters > 0,
    }
    return {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
