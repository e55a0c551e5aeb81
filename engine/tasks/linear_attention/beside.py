"""Build, probe and train the candidate's layer in its sandbox, and count its work; arrays in, arrays out.

These results are no more trustworthy than the candidate: `contract.py` and `evaluate.py` compare and score in a process
that never runs candidate code. Held-out sequences arrive only as inputs of single layers, in a process that never saw
a token. But the interpreter could read the files from which the text is made: `prepare` denies the candidate access to
them before its first line runs.
"""

from __future__ import annotations

import _thread
import gc
import math
import operator
import os
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd import ProfilerConfig, ProfilerState, _disable_profiler_legacy, _enable_profiler_legacy
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kernels.language_model import SIZES, LanguageModel, Size

_device = torch.device("cpu")
_layers: list[nn.Module] = []
_shape = (0, 0)
_trainings: list[_Training] = []
_seals: list[Callable[[], None]] = []

_formulas = dict(flop_registry)
_to_numpy = torch.Tensor.numpy

LOOSE = 1024
"""The most characters and bytes of names, strings and plain numbers in a state."""


def prepare(threads: int, cuda: bool) -> None:
    """Install the guard and set up torch; call it first, before the candidate's first line runs."""
    global _device
    sys.addaudithook(make_guard())
    lock_up()
    _seals.append(make_seal())
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if cuda else "highest")
    _device = torch.device("cuda" if cuda else "cpu")


def shape(size: str) -> list[int]:
    """Return width, heads and context of a model of `kernels.language_model` by its name."""
    found = SIZES[size]
    return [found.width, found.heads, found.context]


def build(width: int, heads: int, seed: int) -> int:
    """Build a layer with fresh weights to probe; return how many numbers it and its program hold, buffers included."""
    global _shape
    _shape = width, heads
    torch.manual_seed(seed)
    _layers[:] = [_make(width, heads).eval()]
    named = sum(value.numel() for value in _layers[0].state_dict().values())
    return max(named, _held(_layers[0]))


def load(width: int, heads: int, states: list[dict[str, np.ndarray]]) -> None:
    """Build layers with the weights of a trained model, by a program that is loaded anew."""
    global _shape
    _shape = width, heads
    sys.modules.pop("program", None)
    _layers[:] = [_make(width, heads) for _ in states]
    for layer, state in zip(_layers, states, strict=True):
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        layer.eval()


def forward(index: int, x: np.ndarray, counted: bool = False) -> list[Any]:
    """Return a layer's outputs for x [B, T, width], from the start of a sequence, and the work of that pass or None.

    The work is `_Work.found`, and the numbers that the layer keeps: in all sequences' states, and elsewhere.
    """
    layer = _layers[index]
    with torch.no_grad():
        if not counted:
            return [_array(layer(_tensor(x), None)[0]), None]
        before = _held(layer, True)
        with _Work() as work:
            y, state = layer(_tensor(x), None)
            y = _array(y)
    return [y, [*work.found, _copy(state)[1], _held(layer, True) - before]]


def piece(index: int, x: np.ndarray, state: Any) -> list[Any]:
    """Feed a layer a piece of sequences; return its outputs, its state as data, and the numbers of a sequence's state.

    Args:
        state: as data, from an earlier piece, perhaps in another process; None at the start.
    """
    with torch.no_grad():
        y, after = _layers[index](_tensor(x), _unpack(state))
    after, size = _copy(after)
    return [_array(y), _pack(after), size // len(x)]


def pieces(x: np.ndarray, lengths: list[int]) -> list[Any]:
    """Feed x in pieces to the probed layer; return its outputs and the numbers in a sequence's state after each.

    Each piece gets a copy of the state as data, and a layer that is built anew by a program that is loaded anew: what
    is kept anywhere but in the state is lost.
    """
    state, outputs, sizes = None, [], []
    weights = {name: value.clone() for name, value in _layers[0].state_dict().items()}
    for part in np.split(x, np.cumsum(lengths)[:-1], 1):
        y, state, size = piece(0, part, state)
        outputs.append(y)
        sizes.append(size)
        sys.modules.pop("program", None)
        _layers[0] = _make(*_shape).eval()
        _layers[0].load_state_dict(weights)
    return [outputs, sizes]


def gradient(x: np.ndarray, last: int, weights: np.ndarray, counted: bool = False) -> list[Any]:
    """Return the gradient by x of the weighted outputs up to token `last`, and names of weights with a bad gradient.

    The third is the work of the pass forwards and backwards, as `_Work.found`, or None.
    """
    leaf = _tensor(x).requires_grad_()
    layer = _layers[0].train()
    work = _Work() if counted else None
    with work or nullcontext():
        y, _ = layer(leaf, None)
        layer.zero_grad(set_to_none=True)
        (_plain(y)[:, : last + 1] * _tensor(weights)).sum().backward()
    layer.eval()
    bad = [name for name, p in layer.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    found = _array(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    return [found, bad[:3], work.found if work else None]


class _Work:
    """Count the work of a pass twice: by a dispatch mode, and by torch's profiler, which no mode switches off.

    `found` has operations of products and numbers written by the one, and both by the other. They are not equal, since
    the profiler sees an operator and those that it calls; but each must grow with the length alone.
    """

    # Kept where no program can reach: lock_up() takes them from torch's modules.
    _begin, _end = staticmethod(_enable_profiler_legacy), staticmethod(_disable_profiler_legacy)

    def __enter__(self) -> _Work:
        self.found: list[int] = []
        options = torch._C._profiler._ExperimentalConfig()
        self._mark = [3, 1, 5, 1 + int.from_bytes(os.urandom(2), "big")]
        self._begin(ProfilerConfig(ProfilerState.CPU, True, False, False, False, False, options))
        torch.empty(self._mark).add_(1)
        self._count = _Count()
        self._count.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._count.__exit__(*error)
        torch.empty(self._mark).add_(1)
        threads = self._end()
        for check in _seals:
            check()
        operations = written = marks = 0
        for name, shapes in (event for thread in threads for event in _outermost(thread)):
            if shapes and name == "add" and shapes[0] == self._mark:
                marks += 1
            elif name not in _VIEWS:
                written += _largest(shapes)
                operations += _products(name, shapes)
        if marks != 2:
            raise PermissionError("the program switched the counting of its work off")
        self.found = [self._count.operations, self._count.written, operations, written]


def _outermost(events: list[Any]) -> Iterator[tuple[str, list[list[int]]]]:
    """Yield names and input shapes of operators; one that a mode hands on to itself counts once."""
    within: list[tuple[str, list[list[int]]]] = []
    for event in events:
        if event.kind() == "pop":
            within.pop()
        elif event.kind() == "push":
            shapes = [list(shape) for shape in event.shapes() if shape]
            here = event.name().removeprefix("aten::").rstrip("_"), shapes
            if here not in within[-2:]:
                yield here
            within.append(here)


_VIEWS = {
    *("as_strided", "view", "reshape", "_reshape_alias", "_unsafe_view", "expand", "unsqueeze", "squeeze", "transpose"),
    *(
        "permute",
        "t",
        "slice",
        "select",
        "narrow",
        "unbind",
        "split",
        "split_with_sizes",
        "chunk",
        "diagonal",
        "detach",
    ),
    *("alias", "flatten", "unflatten", "unfold", "numpy_T", "mT", "mH", "resolve_conj", "resolve_neg", "empty"),
    *("empty_like", "empty_strided", "PythonDispatchMode"),
}


_UNKNOWN = re.compile(r"conv|attention|ctc|transformer|cdist|pdist|mm$|fbgemm|mkldnn_linear|linear_int|linear_fp")
"""Names of operators whose work may grow faster than what they read and write, and must be known."""


def _largest(shapes: list[list[int]]) -> int:
    """Return the largest number of elements of the inputs, or of what they are broadcast to."""
    sizes = [math.prod(shape) for shape in shapes]
    try:
        sizes.append(math.prod(torch.broadcast_shapes(*shapes)) if len(shapes) > 1 else 0)
    except RuntimeError:
        pass  # they are not broadcast
    return max(sizes, default=0)


def _products(name: str, shapes: list[list[int]]) -> int:
    if name in ("mm", "bmm") and len(shapes) > 1:
        return 2 * math.prod(shapes[0]) * shapes[1][-1]
    if name in ("addmm", "baddbmm", "addbmm") and len(shapes) > 2:
        return 2 * math.prod(shapes[1]) * shapes[2][-1]
    if name.startswith("_scaled_dot_product_flash") and len(shapes) > 2:
        query, key, value = shapes[:3]
        return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return 0


class _Count(TorchDispatchMode):
    """Count the work of every operator, independent of its caller.

    Operations are those of products, convolutions and solves; `written` counts elements of all results that are not
    views, so that other work (a broadcast comparison, a cumulative sum) counts too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.written = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped by the compiler takes its import, which takes a second

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
    if func.namespace not in ("aten", "prims", "prim"):
        raise PermissionError(f"the work of operators outside of PyTorch's own cannot be counted: {func}")
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
    formula = _formulas.get(func._overloadpacket)
    if formula is None and _UNKNOWN.search(name) and not name.endswith("_backward"):
        raise PermissionError(f"the work of the operator {name} cannot be counted: write it with others")
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
    if not _trainings:
        # The first optimizer replaces functions of PyTorch, which the program may not.
        for check in _seals:
            check()
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
        _seals[:] = [make_seal() for _ in _seals]
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


def _held(layer: nn.Module, texts: bool = False) -> int:
    """Count the numbers of up to four bytes that can be reached from a layer and from its program's names.

    Containers, modules, objects and classes of the program's, and what waits to go on (generators, iterators, partial
    and bound functions) are gone through, without calling the program's code.
    """
    look, seen, size = object.__getattribute__, set(), 0
    pending: list[Any] = [layer, vars(sys.modules["program"])]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        kind = type(item)
        if issubclass(kind, torch.Tensor):
            storage = torch.Tensor.untyped_storage(item) if item.layout is torch.strided else None
            if storage is not None and storage._cdata not in seen:
                seen.add(storage._cdata)
                size += -(-storage.nbytes() // 4)
        elif issubclass(kind, dict):
            # Each of its own classes' dicts could answer otherwise.
            pending += [*dict.keys(item), *dict.values(item)]
        elif issubclass(kind, (list, tuple, set, frozenset)):
            base = next(base for base in (list, tuple, set, frozenset) if issubclass(kind, base))
            pending += base.__iter__(item)
        elif issubclass(kind, bytearray) or (texts and issubclass(kind, (bytes, str))):
            size += len(item) // 4
        elif issubclass(kind, np.ndarray):
            size += -(-np.ndarray.__dict__["nbytes"].__get__(item) // 4)
        elif issubclass(kind, type):
            names = type.__dict__["__dict__"].__get__(item)
            if names.get("__module__") == "program":
                pending += names.values()
        elif kind.__name__ == "frame":
            pending += item.f_locals.values()
        elif kind.__module__ == "program" or issubclass(kind, nn.Module):
            try:
                pending.append(look(item, "__dict__"))
            except AttributeError:
                pending += gc.get_referents(item)  # it has slots
        elif kind.__name__ in ("function", "method"):
            code = getattr(item, "__func__", item)
            if getattr(code, "__module__", "") == "program":
                cells = [cell.cell_contents for cell in code.__closure__ or () if cell != type(cell)()]
                pending += [*cells, code.__defaults__, code.__kwdefaults__, vars(code)]
        elif kind.__module__ in _HOLDERS and kind.__name__ not in ("module", "code"):
            pending += gc.get_referents(item)
    return size


_HOLDERS = {"builtins", "collections", "functools", "itertools", "operator", "weakref", "_weakref", "types"}
"""Modules whose objects may hold others: generators, bound methods of C, cells, queues, partial functions."""


def _pack(item: Any) -> Any:
    """Return a copied state as data."""
    if isinstance(item, torch.Tensor):
        raw = _to_numpy(item.contiguous().reshape(-1).view(torch.uint8).cpu())
        return {"tensor": raw, "kind": str(item.dtype).removeprefix("torch."), "shape": list(item.shape)}
    if isinstance(item, dict):
        return {"dict": [[_pack(name), _pack(value)] for name, value in item.items()]}
    if isinstance(item, (list, tuple)):
        return {"list" if isinstance(item, list) else "tuple": [_pack(part) for part in item]}
    return {"plain": item}


def _unpack(data: Any) -> Any:
    if data is None:
        return None
    if "tensor" in data:
        kind, raw = getattr(torch, data["kind"]), torch.from_numpy(data["tensor"].copy())
        found = raw.view(kind) if len(raw) else torch.empty(0, dtype=kind)
        return found.reshape(data["shape"]).to(_device)
    if "dict" in data:
        return {_unpack(name): _unpack(value) for name, value in data["dict"]}
    if "list" in data or "tuple" in data:
        parts = [_unpack(part) for part in data.get("list", data.get("tuple"))]
        return parts if "list" in data else tuple(parts)
    return data["plain"]


def make_seal() -> Callable[[], None]:
    """Note what PyTorch's and this project's modules and classes hold; return a check that nothing of it is replaced.

    Counting relies on them, and a program could keep there what belongs in its state. What PyTorch itself loads late
    may come in addition. The check raises PermissionError.
    """
    same, small = operator.is_, (bool, int, float, str, type(None))
    library = os.path.dirname(torch.__file__) + os.sep  # noqa: PTH120 - pathlib would be one more thing to seal
    places: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("torch", "kernels", "math", "operator", "functools", "beside"):
            places[name] = vars(module)
    for module in list(places.values()):
        for found in list(module.values()):
            if issubclass(type(found), type) and found.__module__.split(".")[0] in ("torch", "kernels", "beside"):
                places.setdefault(f"{found.__module__}.{found.__qualname__}", type.__dict__["__dict__"].__get__(found))
    kept = {name: (place, list(place), list(place.values())) for name, place in places.items()}
    own = {"_device", "_shape", "_layers"}

    def is_late(value: Any, before: Any) -> bool:
        if isinstance(value, small) and isinstance(before, small):
            return not isinstance(value, (int, str)) or len(str(value)) < 20
        if type(value) is type(sys):
            return before is None
        # Its code's file cannot be forged, unlike its module.
        return type(value) is type(check) and value.__code__.co_filename.startswith(library)

    def check() -> None:
        for name, (place, keys, values) in kept.items():
            if len(place) == len(values) and all(map(same, place.values(), values)):
                continue
            was = dict(zip(keys, values, strict=True))
            for key in {**was, **place}:
                if place.get(key) is was.get(key) or (name == "beside" and key in own):
                    continue
                if key not in place or not is_late(place[key], was.get(key)):
                    raise PermissionError(f"a program may not change what is not its own: it changed {name}.{key}")
            kept[name] = place, list(place), list(place.values())

    return check


def lock_up() -> None:
    """Take from torch's modules what reads files, loads libraries, replaces operators or switches counting off.

    Names can be spelled in many ways, so the functions themselves are looked for, under whatever name.
    """

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError("a program may load no files and libraries, and not switch the counting of its work off")

    for name in ("numpy", "tolist", "__array__", "__dlpack__", "apply_", "map_", "map2_"):
        # Work outside of tensors has no gradients and is seen by no count.
        setattr(torch.Tensor, name, _no_escape)
    for module in (_thread, threading):
        for name in ("start_new_thread", "start_new", "start_joinable_thread"):
            for own in (name, f"_{name}"):
                if hasattr(module, own):
                    setattr(module, own, _no_thread)
    taken = {id(found): found for found in _dangerous()}
    for module in [found for name, found in sys.modules.items() if name.split(".")[0] == "torch"]:
        for name, found in list(getattr(module, "__dict__", {}).items()):
            if id(found) in taken:
                setattr(module, name, refuse)


def _dangerous() -> list[Any]:
    from torch.utils import _python_dispatch as dispatch

    for place in (torch.ops, torch.classes):
        # An attribute of an object, not of a module.
        place.load_library = _no_library
    places = [
        (torch, "from_file load"),
        (torch.serialization, "load save"),
        (torch.autograd, "_enable_record_function _enable_profiler _disable_profiler _prepare_profiler"),
        (torch.autograd, "_enable_profiler_legacy _disable_profiler_legacy _kineto_step"),
        (torch._C, "_DisableTorchDispatch _ExcludeDispatchKeyGuard _IncludeDispatchKeyGuard _ForceDispatchKeyGuard"),
        (dispatch, "_disable_current_modes _disable_infra_mode _pop_mode_temporarily"),
    ]
    return [found for place, names in places for name in names.split() if (found := getattr(place, name, None))]


def _no_thread(*_: Any, **__: Any) -> Any:
    raise PermissionError("a program may start no threads")


def _no_escape(*_: Any, **__: Any) -> Any:
    raise PermissionError("a program works on tensors alone: it may not take numbers out of them to compute elsewhere")


def _no_library(*_: Any, **__: Any) -> Any:
    raise PermissionError("a program may load no files and libraries")


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).to(_device)


def _plain(x: Any) -> torch.Tensor:
    """Return a tensor as it is, unless it could compute its numbers later or otherwise."""
    if type(x) not in (torch.Tensor, nn.Parameter) or x.layout is not torch.strided or x.device.type != _device.type:
        raise TypeError(
            f"forward(x, state) must return (tensor, state), with a plain tensor: not a {type(x).__name__}"
            + (f" of {x.layout} on {x.device}" if isinstance(x, torch.Tensor) else "")
        )
    return x


def _array(x: Any) -> np.ndarray:
    return _to_numpy(_plain(x).detach().float().cpu())


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
