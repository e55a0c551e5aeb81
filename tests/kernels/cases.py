"""Inputs and results of the operators, and distances between results."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.operators import delta_rule, gated_delta_rule, linear_attention, ssd

OPERATORS: dict[str, Any] = {
    "linear_attention": linear_attention,
    "ssd": ssd,
    "delta_rule": delta_rule,
    "gated_delta_rule": gated_delta_rule,
}
ARGUMENTS = {
    "linear_attention": (),
    "ssd": ("g",),
    "delta_rule": ("beta",),
    "gated_delta_rule": ("beta", "g"),
}


def inputs(
    op: str, length: int, k_width: int, v_width: int, batch: int = 2, heads: int = 2, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Return arguments of an operator with an initial state; unit keys, steps up to 1, decays down to 0.8."""
    random = torch.Generator().manual_seed(length * 1000 + k_width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    unit = torch.nn.functional.normalize
    made = {
        "q": unit(normal(batch, length, heads, k_width), dim=-1),
        "k": unit(normal(batch, length, heads, k_width), dim=-1),
        "v": normal(batch, length, heads, v_width),
    }
    made = {name: x.to(dtype) for name, x in made.items()}
    made["beta"] = torch.rand(batch, length, heads, generator=random)
    made["g"] = -0.2 * torch.rand(batch, length, heads, generator=random)
    made["initial_state"] = 0.3 * normal(batch, heads, k_width, v_width)
    wanted = {"q", "k", "v", "initial_state", *ARGUMENTS[op]}
    return {name: x for name, x in made.items() if name in wanted}


def results(op: str, given: dict[str, Tensor], **settings: Any) -> dict[str, Tensor]:
    """Return outputs, final state and gradients of all arguments, for a loss that weighs both results at random."""
    arguments = {name: x.detach().clone().requires_grad_() for name, x in given.items()}
    out, state = OPERATORS[op](**arguments, **settings)
    random = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=random).to(x.dtype) for x in (out, state)]
    (out.mul(weights[0]).sum() + state.mul(weights[1]).sum()).backward()
    gradients = {f"gradient of {name}": x.grad for name, x in arguments.items() if x.grad is not None}
    assert len(gradients) == len(arguments)
    return {"out": out.detach(), "state": state.detach(), **gradients}


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Return the root mean square of the difference over that of the wanted values."""
    return ((found.double() - wanted.double()).square().mean().sqrt() / wanted.double().square().mean().sqrt()).item()


def reference(op: str, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the definition's results in float64 for the same numbers."""
    return results(op, {name: x.double() for name, x in given.items()}, implementation="reference")


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], bound: float) -> None:
    """Check that every result is within the bound; NaN is not."""
    errors = {name: relative_error(x, wanted[name]) for name, x in found.items()}
    assert all(error <= bound for error in errors.values()), errors
