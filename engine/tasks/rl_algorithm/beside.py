"""Call the program's functions on tensors in the candidate's sandbox; arrays in, arrays out.

Its results are not trusted: `candidate.py` checks them in a process that never runs candidate code. Each training
loads the program anew, so that a program remembers only this training.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import program
import torch

torch.set_num_threads(1)
_programs: dict[str, ModuleType] = {}


def _program(run: str) -> ModuleType:
    if run not in _programs:
        module = ModuleType("program")
        module.__file__ = program.__file__
        with open(program.__file__, encoding="utf-8") as file:
            text = file.read()
        torch.manual_seed(len(_programs))
        exec(compile(text, program.__file__, "exec"), module.__dict__)  # noqa: S102 - running it is what this is for
        _programs[run] = module
    return _programs[run]


def _array(found: Any) -> np.ndarray | None:
    """Convert the program's result to an array, or return None if it is not a tensor."""
    return found.detach().to(torch.float32).cpu().numpy() if isinstance(found, torch.Tensor) else None


def advantages(
    run: str, rewards: np.ndarray, mask: np.ndarray, logp_old: np.ndarray, progress: float
) -> np.ndarray | None:
    """Return the result of the program's `advantages`."""
    tensors = [torch.from_numpy(array) for array in (rewards, mask, logp_old)]
    return _array(_program(run).advantages(*tensors, progress))


def gradient(run: str, parts: dict[str, np.ndarray], progress: float) -> list[Any]:
    """Return the program's loss and its gradients by `logp` and `entropy`; None for one that it does not depend on."""
    tensors = {name: torch.from_numpy(array) for name, array in parts.items()}
    by = [tensors[name].requires_grad_() for name in ("logp", "entropy")]
    names = ("logp", "logp_old", "logp_ref", "advantages", "mask", "entropy")
    loss = _program(run).policy_loss(*(tensors[name] for name in names), progress)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
        return [_array(loss), None, None]
    found = torch.autograd.grad(loss.sum(), by, allow_unused=True)
    return [_array(loss), *(None if item is None else _array(item) for item in found)]
