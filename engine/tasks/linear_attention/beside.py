"""Build, probe and train the candidate's layer in its sandbox, and count its work; arrays in, arrays out.

These results are no more trustworthy than the candidate: `contract.py` and `evaluate.py` compare and score in a process
that never runs candidate code. Held-out sequences arrive only as inputs of single layers, in a process that never saw
a token. But the interpreter could read the files from which the text is made: `prepare` denies the candidate access to
them before its first line runs.
"""

from __future__ import annotations

import math
import os
import sys
import sysconfig
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kernels.language_model import SIZES, LanguageModel, Size

_device = torch.device("cpu")
_layers: list[nn.Module] = []
_trainings: list[_Training] = []

LOOSE = 1024
"""The most characters and bytes of names, strings and plain numbers in a state."""


def prepare(threads: int, cuda: bool) -> None:
    """Install the guard and set up torch; call it first, before the candidate's first line runs."""
    global _device
    sys.addaudithook(make_guard())
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if cuda else "highest")
    _device = torch.device("cuda" if cuda else "cpu")


def shape(size: str) -> list[int]:
    """Return width, heads and context of a model of `kernels.language_model` by its name."""
    found = SIZES[size]
    return [found.width, found.heads, found.context]


def build(width: int, heads: int, seed: int) -> int:
    """Build a layer with fresh weights to probe; return how many numbers it holds, buffers included."""
    torch.manual_seed(seed)
    _layers[:] = [_make(width, heads).eval()]
    return sum(value.numel() for value in _layers[0].state_dict().values())


def load(width: int, heads: int, states: list[dict[str, np.ndarray]]) -> None:
    """Build layers with the weights of a trained model."""
    _layers[:] = [_make(width, heads) for _ in states]
    for layer, state in zip(_layers, states, strict=True):
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        layer.eval()


def forward(index: int, x: np.ndarray) -> np.ndarray:
    """Return a layer's outputs for x [B, T, width], from the start of a sequence."""
    with torch.no_grad():
        y, _ = _layers[index](_tensor(x), None)
    return _array(y)


def pieces(x: np.ndarray, lengths: list[int]) -> list[Any]:
    """Feed x in pieces to the probed layer; return its outputs and the numbers in a sequence's state after each.

    Each piece gets a copy of the state, so that attributes of its tensors other than their numbers are lost.
    """
    state, outputs, sizes = None, [], []
    with torch.no_grad():
        for part in _tensor(x).split(lengths, 1):
            y, state = _layers[0](part, state)
            outputs.append(_array(y))
            state, size = _copy(state)
            sizes.append(size // len(x))
    return [outputs, sizes]


def gradient(x: np.ndarray, last: int, weights: np.ndarray) -> list[Any]:
    """Return the gradient by x of the weighted outputs up to token `last`, and names of weights with a bad gradient."""
    leaf = _tensor(x).requires_grad_()
    layer = _layers[0].train()
    y, _ = layer(leaf, None)
    layer.zero_grad(set_to_none=True)
    (y[:, : last + 1] * _tensor(weights)).sum().backward()
    layer.eval()
    bad = [name for name, p in layer.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    return [_array(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad), bad[:3]]


def work(x: np.ndarray) -> list[int]:
    """Count one pass over x [1, T, width]: multiplications and additions, numbers written, numbers of state."""
    with torch.no_grad(), _Count() as count:
        _, state = _layers[0](_tensor(x), None)
    return [count.operations, count.written, _copy(state)[1]]


class _Count(TorchDispatchMode):
    """Count the work of every operator, independent of its caller.

    Operations are those of products, convolutions and solves; `written` counts elements of all results that are not
    views, so that other work (a broadcast comparison, a cumulative sum) counts too.
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
            # Inputs count too: a sum reads more than it writes.
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
    """A language model with the candidate's layer, and its optimizer.

    Args:
        options: size (fields of `kernels.language_model.Size`), seed, rate, steps, warm_up and cool_down (shares of
            the steps), weight_decay, rows (sequences per forward pass).
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
        """Return the learning rate: warm-up, a plateau, and a linear decay to a tenth (WSD)."""
        share = (self.done + 1) / self.options["steps"]
        rise = share / self.options["warm_up"] if self.options["warm_up"] else 1.0
        fall = (1 - share) / self.options["cool_down"] if self.options["cool_down"] else 1.0
        return float(self.options["rate"] * min(1.0, rise, 0.1 + 0.9 * fall))

    def step(self, tokens: torch.Tensor, marks: torch.Tensor | None) -> float:
        """Take one step on tokens [B, T + 1] and return the loss; `marks` [B, T] select predictions, default all."""
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
    """Create a model and its optimizer; return the number of the training."""
    _trainings.append(_Training(options))
    return len(_trainings) - 1


def train(number: int, tokens: np.ndarray, marks: np.ndarray | None) -> list[float]:
    """Take one training step for each batch of [steps, B, T + 1] and return the losses."""
    training = _trainings[number]
    training.model.train()
    found = []
    for index, batch in enumerate(tokens):
        counted = None if marks is None else torch.from_numpy(marks[index]).to(_device)
        found.append(training.step(torch.from_numpy(batch.astype(np.int64)).to(_device), counted))
    return found


def weights(number: int) -> dict[str, np.ndarray]:
    """Return a model's weights and buffers by name."""
    return {name: _array(value) for name, value in _trainings[number].model.state_dict().items()}


def _make(width: int, heads: int) -> nn.Module:
    # Imported here because it runs the candidate's file: the guard must be installed by then.
    import program

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


def _copy(state: Any) -> tuple[Any, int]:
    """Copy a state of dicts, lists and tensors, and count the numbers of up to four bytes in its tensors.

    Raises:
        TypeError: it contains other objects, or too many names, strings and plain numbers.
    """
    size = loose = 0

    def copied(item: Any) -> Any:
        nonlocal size, loose
        kind = type(item)
        if kind in (torch.Tensor, nn.Parameter) and item.layout is torch.strided:
            size += item.numel() * -(-item.element_size() // 4)
            return item.detach().clone()
        if kind is dict:
            return {copied(name): copied(value) for name, value in item.items()}
        if kind in (list, tuple):
            return kind(map(copied, item))
        if kind is int:
            loose += item.bit_length() // 8 + 1
        elif kind is str:
            loose += len(item)
        elif kind in (bool, float):
            loose += 8
        elif item is not None:
            raise TypeError(
                f"a state is a nest of dicts, lists and tensors, with numbers and texts in them; a {kind.__name__} is "
                "none of these"
            )
        return item

    found = copied(state)
    if loose > LOOSE:
        raise TypeError(f"names, texts and plain numbers of a state take {loose:,} bytes; {LOOSE:,} may be")
    return found, size


def make_guard() -> Callable[[str, tuple[Any, ...]], None]:
    """Return an audit hook that denies the candidate files and other programs, and denies all code the text.

    An access counts as the candidate's if no library is between it and the interpreter's own modules on the stack, so
    that torch and Triton may open and start what they need. Files that may be the text's source (a module in a folder
    of Python's own, a .txt or a .jsonl) may only be opened by the import system. The hook raises PermissionError.
    """
    # All in a closure: names in a module's namespace can be replaced.
    frame_now, real, decode, split, text = sys._getframe, os.path.realpath, os.fsdecode, os.path.split, str.__str__
    slash = os.sep
    library = real(sysconfig.get_paths()["stdlib"]) + slash
    importer, refused = "<frozen importlib._bootstrap_external>", PermissionError
    started = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"})
    watched = started | {"open", "compile", "code.__new__", "ctypes.dlopen", "ctypes.dlsym"}
    known: dict[str, bool] = {}

    def is_library(file: str) -> bool:
        if file not in known:
            place = real(file)
            packages = place.startswith((library + "site-packages", library + "dist-packages"))
            known[file] = file.startswith("<frozen ") or (place.startswith(library) and not packages)
        return known[file]

    def is_candidate(file: str) -> bool:
        return (file.startswith("<") and not file.startswith("<frozen ")) or split(file)[1] == "program.py"

    def is_text(path: str) -> bool:
        folder, name = split(real(path))
        if "site-packages" in folder or "dist-packages" in folder:
            # Libraries read files of their own.
            return False
        if not name.endswith(".py"):
            return name.endswith((".txt", ".jsonl"))
        # A relative path may start from any folder.
        return not path.startswith(slash) or folder + slash == library or split(folder)[1].startswith("python3")

    def guard(event: str, details: tuple[Any, ...]) -> None:
        if event not in watched:
            return
        frame, what = frame_now(1), event
        if event in ("compile", "code.__new__"):
            # Such code could claim any file's name.
            if is_candidate(frame.f_code.co_filename):
                raise refused("no code out of text: a program is what stands in its file")
            return
        if event == "open":
            if details[0] is None or isinstance(details[0], int):
                return
            here, back = frame.f_code, frame.f_back and frame.f_back.f_code
            # Not `get_source`, since it returns the text.
            if here.co_filename == importer and back and (back.co_filename, back.co_name) == (importer, "get_code"):
                return
            named = isinstance(details[0], str)
            what = text(details[0]) if named else decode(details[0]) if type(details[0]) is bytes else "a path"
            if is_text(what):
                raise refused(f"no files: {what} may be what held-out text is made of")
        while is_library(frame.f_code.co_filename) and frame.f_back is not None:
            frame = frame.f_back
        file = frame.f_code.co_filename
        if is_candidate(file) or is_library(file):
            raise refused(f"no files and no other programs: the candidate reached for {what}")

    return guard
