"""Train a candidate's model and predict with it. It runs beside the candidate, so `evaluate.py` trusts no result of it.

Training and prediction run in two processes: the first never sees a held-out pair, the second never a label.
"""

import math
import os
import random
from typing import Any

import numpy as np
import torch
from torch.autograd import ProfilerConfig, ProfilerState, _disable_profiler_legacy, _enable_profiler_legacy

# isort: split
# Only now may the program's first line run.
import program

CLIP = 5.0
WINDOW = 16
"""Number of batches whose pairs are sorted by length together, to reduce padding."""


_training: dict[str, Any] = {}


def begin(features, pairs, labels, options):
    """Prepare the training of `build_model(sizes)`.

    Args:
        features: result of `features.featurise` for the drugs and proteins of the training pairs only.
        pairs: array (n, 2) of drug and protein.
        labels: array (n,) of 0 and 1.
        options: sizes, steps, batch, seed, threads, cuda.
    """
    device = prepare(options)
    model = make_model(options["sizes"]).to(device)
    optimizer = program.optimizer(model)
    _training.update(
        features=features,
        pairs=pairs,
        options=options,
        device=device,
        model=model,
        optimizer=optimizer,
        rates=[group["lr"] for group in optimizer.param_groups],
        weights=[parameter for parameter in model.parameters() if parameter.requires_grad],
        order=batches(features, pairs, options["batch"], np.random.default_rng(options["seed"])),
        targets=torch.as_tensor(labels, dtype=torch.float32),
        done=0,
        before=None,
    )
    model.train()


def steps(count):
    """Take so many steps; return the losses, the model's state as arrays, and the optimizer's as data.

    Every step begins with random numbers of its own, so that it can be repeated from these states alone.
    """
    own = _training
    model, optimizer, options, losses = own["model"], own["optimizer"], own["options"], []
    for step in range(own["done"], own["done"] + count):
        reseed(options["seed"] + 7919 * (step + 1))
        for group, rate in zip(optimizer.param_groups, own["rates"], strict=True):
            group["lr"] = rate * float(program.learning_rate(step / options["steps"]))
        loss = program.training_loss(model, *next_batch())
        if not torch.isfinite(loss):
            raise ValueError(f"step {step}: the loss is {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        now = norms(own["weights"])
        if own["before"] is not None and not torch.equal(now, own["before"]):
            raise ValueError(f"step {step}: weights were changed outside the optimizer's step")
        torch.nn.utils.clip_grad_norm_(own["weights"], CLIP)
        optimizer.step()
        own["before"] = norms(own["weights"])
        losses.append(loss.item())
    own["done"] += count
    return [losses, state_of(model), pack(optimizer.state_dict())]


def restore(done, state, optimizer_state):
    """Go on after `done` steps with the states that they left, in a process that did not take them."""
    own = _training
    for _ in range(own["done"], done):
        next(own["order"])
    own["model"].load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    own["optimizer"].load_state_dict(unpack(optimizer_state))
    own.update(done=done, before=None)


def effort():
    """Count the work of a step and of a forward pass, in numbers read by operators, as torch's profiler sees them."""
    _training["model"].train()
    step = counted(lambda: steps(1))
    batch, _ = next_batch()
    with torch.no_grad():
        forward = counted(lambda: _training["model"](batch))
    return [step, forward]


def counted(act):
    mark = [3, 1, 5, 1 + int.from_bytes(os.urandom(2), "big")]
    options = torch._C._profiler._ExperimentalConfig()
    _enable_profiler_legacy(ProfilerConfig(ProfilerState.CPU, True, False, False, False, False, options))
    torch.empty(mark).add_(1)
    act()
    torch.empty(mark).add_(1)
    marks = total = 0
    for event in (event for thread in _disable_profiler_legacy() for event in thread if event.kind() == "push"):
        shapes = [list(shape) for shape in event.shapes() if shape]
        if shapes and shapes[0] == mark and event.name().startswith("aten::add"):
            marks += 1
        elif len(shapes) > 1:
            # Sums, products and convolutions: what they work on counts, views and copies do not.
            total += max(map(math.prod, shapes))
    if marks != 2:
        raise PermissionError("the program switched the counting of its work off")
    return total


def next_batch():
    own = _training
    rows = next(own["order"])
    return make_batch(own["features"], own["pairs"][rows], own["device"]), own["targets"][rows].to(own["device"])


def state_of(model):
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def reseed(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def pack(item):
    """Return an optimizer's state as data: dicts as lists of pairs, since their keys are numbers."""
    if isinstance(item, torch.Tensor):
        return item.detach().cpu().numpy().copy()
    if isinstance(item, dict):
        return {"pairs": [[pack(name), pack(value)] for name, value in item.items()]}
    if isinstance(item, (list, tuple)):
        return {"list": [pack(part) for part in item]}
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    raise TypeError(f"the optimizer's state holds a {type(item).__name__}: only tensors and plain data can be kept")


def unpack(data):
    if isinstance(data, np.ndarray):
        return torch.from_numpy(data)
    if isinstance(data, dict):
        if "list" in data:
            return [unpack(part) for part in data["list"]]
        return {unpack(name): unpack(value) for name, value in data["pairs"]}
    return data


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
