"""The chunk-wise operators against the float64 definition: outputs, states and all gradients.

EVOLVE_FULL_GRID=1 takes every combination of length, width and chunk; otherwise each value of each meets each operator.
"""

from __future__ import annotations

import functools
import itertools
import os
from typing import Any

import pytest

from tests.needs import require

require("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.cases import OPERATORS, assert_close, inputs, reference, results

LENGTHS, WIDTHS, CHUNKS = (1, 63, 64, 65, 500, 1000), (32, 60, 64, 128), (16, 32, 64)
COVERING = [(1, 64, 32), (63, 32, 64), (64, 128, 16), (65, 60, 32), (65, 32, 16), (500, 60, 64), (1000, 32, 32)]
FULL = os.environ.get("EVOLVE_FULL_GRID") == "1"
GRID = list(itertools.product(LENGTHS, WIDTHS, CHUNKS)) if FULL else COVERING


@pytest.mark.parametrize(("length", "width", "chunk"), GRID)
@pytest.mark.parametrize("op", OPERATORS)
def test_chunk_results_match_definition(op: str, length: int, width: int, chunk: int) -> None:
    made, wanted = defined(op, length, width)
    assert_close(results(op, made, chunk=chunk, implementation="chunk"), wanted, 1e-5)


@functools.cache
def defined(op: str, length: int, width: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return inputs and the definition's results, which are the same for every chunk."""
    made = inputs(op, length, width, width, batch=1 if length > 500 else 2)
    return made, reference(op, made)


@pytest.mark.parametrize("op", OPERATORS)
def test_keys_and_values_may_differ_in_width(op: str) -> None:
    made = inputs(op, 70, 24, 40, batch=3, heads=1)
    assert_close(results(op, made), reference(op, made), 1e-5)


@pytest.mark.parametrize("op", OPERATORS)
def test_float64_is_kept(op: str) -> None:
    made = {name: x.double() for name, x in inputs(op, 130, 32, 32).items()}
    found = results(op, made)
    assert found["out"].dtype == found["state"].dtype == torch.float64
    assert_close(found, reference(op, made), 1e-12)


@pytest.mark.parametrize("op", OPERATORS)
def test_half_precision_is_kept(op: str) -> None:
    made = inputs(op, 100, 32, 32, dtype=torch.bfloat16)
    found = results(op, made)
    assert (found["out"].dtype, found["state"].dtype) == (torch.bfloat16, torch.float32)
    assert_close(found, reference(op, made), 0.01)


@pytest.mark.parametrize("op", OPERATORS)
def test_long_sequences_span_segments(op: str) -> None:
    """With more tokens than a segment holds, states and gradients pass from segment to segment."""
    made = inputs(op, 1100, 64, 64, batch=2, heads=4)
    whole = results(op, made, chunk=64)
    assert_close(results(op, made, chunk=16), whole, 2e-6)


@pytest.mark.parametrize("op", OPERATORS)
def test_near_parallel_keys_cost_no_accuracy(op: str) -> None:
    made = inputs(op, 128, 32, 32)
    k = made["k"][:, :1] + 1e-2 * made["k"]
    made["k"] = k / k.norm(dim=-1, keepdim=True)
    assert_close(results(op, made, chunk=64), reference(op, made), 1e-5)


def test_steps_of_zero_and_two_and_decays_down_to_e_to_the_minus_five() -> None:
    made = inputs("gated_delta_rule", 150, 32, 32)
    made["beta"] = (made["beta"] * 3).floor()
    assert {0.0, 1.0, 2.0} == set(made["beta"].unique().tolist())
    made["g"] = made["g"] * 25
    assert_close(results("gated_delta_rule", made, chunk=64), reference("gated_delta_rule", made), 1e-5)


@settings(max_examples=25)
@given(
    op=st.sampled_from(sorted(OPERATORS)),
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    chunk=st.sampled_from(CHUNKS),
)
def test_sequence_may_be_fed_in_pieces(op: str, pieces: list[int], chunk: int) -> None:
    made = inputs(op, sum(pieces), 16, 16, batch=1)
    whole, end = OPERATORS[op](**made, chunk=chunk)
    state = made.pop("initial_state")
    outs, first = [], 0
    for length in pieces:
        part = {name: x[:, first : first + length] for name, x in made.items()}
        out, state = OPERATORS[op](**part, initial_state=state)
        outs.append(out)
        first += length
    assert_close({"out": torch.cat(outs, 1), "state": state}, {"out": whole, "state": end}, 1e-5)


@pytest.mark.parametrize("op", OPERATORS)
def test_outputs_do_not_depend_on_later_tokens(op: str) -> None:
    made = inputs(op, 90, 16, 16)
    before = OPERATORS[op](**made, chunk=32)[0]
    for name in made.keys() - {"initial_state"}:
        made[name][:, 50:] = made[name][:, 50:].flip(1)
    after = OPERATORS[op](**made, chunk=32)[0]
    assert torch.equal(before[:, :50], after[:, :50])
    assert not torch.allclose(before[:, 50:], after[:, 50:])


@pytest.mark.parametrize("op", OPERATORS)
def test_state_and_scale_have_defaults(op: str) -> None:
    made = inputs(op, 20, 16, 16)
    zero = torch.zeros_like(made.pop("initial_state"))
    out, state = OPERATORS[op](**made)
    same_out, same_state = OPERATORS[op](**made, scale=0.25, initial_state=zero)
    assert torch.equal(out, same_out) and torch.equal(state, same_state)


@pytest.mark.parametrize("op", OPERATORS)
def test_every_element_is_written(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allocated memory holds NaN, so that an element that nothing writes would show."""
    poison(monkeypatch)
    made = inputs(op, 77, 24, 40)
    found = results(op, made, chunk=32)
    assert all(x.isfinite().all() for x in found.values())


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill what `torch.empty` and its kind return with NaN."""
    made = []

    def poisoned(allocate: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> torch.Tensor:
            made.append(1)
            tensor: torch.Tensor = allocate(*args, **kwargs)
            return tensor.fill_(float("nan"))

        return wrapper

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, poisoned(getattr(torch, name)))
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.ones(2, 5, 16)}, r"q has the shape \[2, 5, 16\]"),
        ({"k": torch.ones(2, 5, 2, 8)}, r"k has the shape \[2, 5, 2, 8\]: \[2, 5, 2, 16\] is needed"),
        ({"v": torch.ones(2, 4, 2, 16)}, "v has the shape"),
        ({"v": torch.ones(2, 5, 2, 16, dtype=torch.float64)}, "one type is needed"),
        ({"beta": torch.ones(2, 5, 2, dtype=torch.int64)}, "beta is torch.int64"),
        ({"g": torch.ones(2, 5, 3)}, "g has the shape"),
        ({"initial_state": torch.ones(2, 2, 16, 8)}, "initial_state has the shape"),
        ({"chunk": 48}, "chunk is 48"),
        ({"implementation": "cuda"}, "implementation is 'cuda'"),
        ({"implementation": "triton"}, "Triton needs a GPU"),
    ],
)
def test_unfit_argument_is_named(change: dict[str, Any], message: str) -> None:
    made: dict[str, Any] = {**inputs("gated_delta_rule", 5, 16, 16), **change}
    with pytest.raises(ValueError, match=message):
        OPERATORS["gated_delta_rule"](**made)


def test_backward_memory_grows_linearly_with_length() -> None:
    """The memory kept for the backward pass doubles with the length: nothing is quadratic."""
    kept = {}
    for length in (256, 512):
        sizes: list[int] = []

        def pack(x: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(x.numel())
            return x

        made = {name: x.requires_grad_() for name, x in inputs("gated_delta_rule", length, 32, 32).items()}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            OPERATORS["gated_delta_rule"](**made, implementation="chunk")
        kept[length] = sum(sizes)
    assert 1.9 < kept[512] / kept[256] < 2.1
