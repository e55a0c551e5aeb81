"""Runs in the candidate's sandbox: its layer is built, probed, counted and trained here; arrays in, arrays out.

Nothing of what this hands back is believed beyond what the candidate itself could be: `contract.py` and `evaluate.py`
compare and score where no candidate code ever ran. Held-out sequences come as inputs of single layers only, to a
process that never saw a token.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import program
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kernels.language_model import SIZES, LanguageModel, Size

_device = torch.device("cpu")
_layers: list[nn.Module] = []
_trainings: list[_Training] = []


def prepare(threads: int, cuda: bool) -> None:
    """Before anything else."""
    global _device
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if cuda else "highest")
    _device = torch.device("cuda" if cuda else "cpu")


def shape(size: str) -> list[int]:
    """Width and heads of a model by its name in `kernels.language_model`."""
    found = SIZES[size]
    return [found.width, found.heads]


def build(width: int, heads: int, seed: int) -> int:
    """A layer of fresh weights, to be probed; how many numbers it holds, buffers among them."""
    torch.manual_seed(seed)
    _layers[:] = [_make(width, heads).eval()]
    return sum(value.numel() for value in _layers[0].state_dict().values())


def load(width: int, heads: int, states: list[dict[str, np.ndarray]]) -> None:
    """Layers with the weights of a trained model."""
    _layers[:] = [_make(width, heads) for _ in states]
    for layer, state in zip(_layers, states, strict=True):
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        layer.eval()


def forward(index: int, x: np.ndarray) -> np.ndarray:
    """What a layer makes of x [B, T, width], from the start of a sequence."""
    with torch.no_grad():
        y, _ = _layers[index](_tensor(x), None)
    return _array(y)


def pieces(x: np.ndarray, lengths: list[int]) -> list[Any]:
    """What the probed layer makes of x fed in pieces, and how many numbers a sequence's state holds after each."""
    state, outputs, sizes = None, [], []
    with torch.no_grad():
        for part in _tensor(x).split(lengths, 1):
            y, state = _layers[0](part, state)
            outputs.append(_array(y))
            sizes.append(_count(state) // len(x))
    return [outputs, sizes]


def gradient(x: np.ndarray, last: int, weights: np.ndarray) -> list[Any]:
    """Gradient by x of the weighted outputs up to token `last`, and whether those by the layer's weights are finite."""
    leaf = _tensor(x).requires_grad_()
    layer = _layers[0].train()
    y, _ = layer(leaf, None)
    layer.zero_grad(set_to_none=True)
    (y[:, : last + 1] * _tensor(weights)).sum().backward()
    layer.eval()
    bad = [name for name, p in layer.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    return [_array(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad), bad[:3]]


def work(x: np.ndarray) -> list[int]:
    """What one pass over x [1, T, width] takes: multiplications and additions, numbers written, numbers of state."""
    with torch.no_grad(), _Count() as count:
        _, state = _layers[0](_tensor(x), None)
    return [count.operations, count.written, _count(state)]


class _Count(TorchDispatchMode):
    """Counts what every operator does, whatever function called it.

    Operations are those of products, convolutions and solves; `written` are elements of all results that are no views,
    so that work which is no product (a broadcast comparison, a running sum) shows as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.written = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            found = result if isinstance(result, (tuple, list)) else [result]
            outputs = [item for item in found if isinstance(item, torch.Tensor)]
            inputs = [item for item in args if isinstance(item, torch.Tensor)]
            # A sum reads more than it writes.
            self.written += max([item.numel() for item in (*outputs, *inputs)], default=0)
            self.operations += _operations(func, args, kwargs or {}, result)
        return result


def _operations(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    name = func._overloadpacket.__name__.rstrip("_")
    if name in ("mm", "bmm"):
        return 2 * result.numel() * args[0].shape[-1]
    if name in ("addmm", "baddbmm", "addbmm"):
        return 2 * result.numel() * args[1].shape[-1]
    if name in ("addmv", "mv", "dot", "vdot"):
        return 2 * max(item.numel() for item in args if isinstance(item, torch.Tensor))
    if name in ("linalg_solve_triangular", "triangular_solve", "linalg_solve_ex", "_linalg_solve_ex"):
        solved = result[0] if isinstance(result, (tuple, list)) else result
        return solved.numel() * max(args[0].shape[-1], args[1].shape[-2])
    if "scaled_dot_product" in name:
        query, key, value = args[:3]
        return 2 * query.numel() // query.shape[-1] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    formula = flop_registry.get(func._overloadpacket)
    return int(formula(*args, **kwargs, out_val=result)) if formula else 0


class _Training:
    """One language model around the candidate's layer, and what trains it.

    Args:
        options: size (fields of `kernels.language_model.Size`), seed, rate, steps, warm_up and cool_down (shares of
            the steps), weight_decay, rows (sequences that go through the model at once).
    """

    def __init__(self, options: dict[str, Any]) -> None:
        torch.manual_seed(options["seed"])
        self.model = LanguageModel(Size(**options["size"]), _make).to(_device)
        self.options, self.done = options, 0
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=options["rate"], betas=(0.9, 0.95), weight_decay=options["weight_decay"]
        )

    def rate(self) -> float:
        """Warm-up, a plateau, and a straight way down to a tenth (WSD)."""
        share = (self.done + 1) / self.options["steps"]
        rise = share / self.options["warm_up"] if self.options["warm_up"] else 1.0
        fall = (1 - share) / self.options["cool_down"] if self.options["cool_down"] else 1.0
        return float(self.options["rate"] * min(1.0, rise, 0.1 + 0.9 * fall))

    def step(self, tokens: torch.Tensor, marks: torch.Tensor | None) -> float:
        """One step on tokens [B, T + 1]; `marks` [B, T] say which predictions count, all by default."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        targets = tokens[:, 1:] if marks is None else tokens[:, 1:].masked_fill(~marks, -100)
        count = int((targets >= 0).sum())
        self.optimizer.zero_grad(set_to_none=True)
        found = 0.0
        for start in range(0, len(tokens), self.options["rows"]):
            part = targets[start : start + self.options["rows"]]
            logits, _ = self.model(tokens[start : start + self.options["rows"], :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), part.flatten()) * (int((part >= 0).sum()) / count)
            loss.backward()
            found += loss.item()
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights, 1.0))
        for name, value in (("training loss", found), ("gradient's norm", norm)):
            if not math.isfinite(value):
                raise FloatingPointError(f"the {name} is {value} at step {self.done + 1}")
        self.optimizer.step()
        self.done += 1
        return found


def begin(options: dict[str, Any]) -> int:
    """Make a model and its optimizer; the number to call the training by."""
    _trainings.append(_Training(options))
    return len(_trainings) - 1


def train(number: int, tokens: np.ndarray, marks: np.ndarray | None) -> list[float]:
    """Some steps of a training, one for each batch of [steps, B, T + 1]; their losses."""
    training = _trainings[number]
    training.model.train()
    found = []
    for index, batch in enumerate(tokens):
        counted = None if marks is None else torch.from_numpy(marks[index]).to(_device)
        found.append(training.step(torch.from_numpy(batch.astype(np.int64)).to(_device), counted))
    return found


def weights(number: int) -> dict[str, np.ndarray]:
    """A model's weights and buffers by name."""
    return {name: _array(value) for name, value in _trainings[number].model.state_dict().items()}


def _make(width: int, heads: int) -> nn.Module:
    layer = program.Layer(width, heads)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"Layer(width, heads) is a {type(layer).__name__}, not a torch.nn.Module")
    return layer.to(_device)


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).to(_device)


def _array(x: Any) -> np.ndarray:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"forward(x, state) must return (tensor, state), not a {type(x).__name__} in the first place")
    return x.detach().float().cpu().numpy()


def _count(state: Any) -> int:
    """Numbers in the tensors of a state, however they are nested."""
    if isinstance(state, torch.Tensor):
        return state.numel()
    if isinstance(state, dict):
        return sum(_count(item) for item in state.values())
    return sum(_count(item) for item in state) if isinstance(state, (list, tuple)) else 0
