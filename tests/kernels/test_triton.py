"""The Triton kernels: compared with the definition in Triton's interpreter, and compiled for GPUs that are not here.

The interpreter is chosen when the kernels are defined, so tests in it run in a process of their own, with the code
`INTERPRETED`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("triton")

INTERPRETED = """\
import pytest
import torch

from kernels.compile_report import report
from kernels.operators import linear_attention
from kernels.triton_chunk import interpreted
from tests.kernels.cases import OPERATORS, assert_close, inputs, reference, results
from tests.kernels.test_operators import poison

assert interpreted()
torch.set_num_threads(1)

SINGLE, HALF = (torch.float32, 1e-5), (torch.float16, 2e-3)
FULL, ODD = (50, 32, 32, 16), (65, 24, 40, 32)
for op in OPERATORS:
    for (dtype, bound), (length, k_width, v_width, chunk) in ((SINGLE, FULL), (SINGLE, ODD), (HALF, ODD)):
        print(op, dtype, length, flush=True)
        made = inputs(op, length, k_width, v_width, batch=1, dtype=dtype)
        with pytest.MonkeyPatch.context() as patch:
            # An element that nothing writes stays not a number.
            poison(patch)
            found = results(op, made, chunk=chunk, implementation="triton")
        assert all(x.isfinite().all() for x in found.values())
        assert_close(found, reference(op, made), bound)

x = torch.ones(1, 4, 1, 16, dtype=torch.bfloat16)
with pytest.raises(ValueError, match="computes bfloat16 wrongly"):
    linear_attention(x, x, x, implementation="triton")
with pytest.raises(ValueError, match="not torch.float64"):
    linear_attention(x.double(), x.double(), x.double(), implementation="triton")
with pytest.raises(RuntimeError, match="TRITON_INTERPRET is set"):
    report()
"""


def test_interpreted_kernels_match_definition_and_refuse_unsupported_input() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("dtype", "width"), [("bfloat16", 128), ("float32", 64)])
def test_shipped_kernels_keep_budget_on_sm_90(dtype: str, width: int) -> None:
    from kernels.compile_report import cases, over_budget, report

    chosen = [case for case in cases() if (case.dtype, case.width) == (dtype, width)]
    rows = report(["sm_90"], chosen)
    assert len(rows) == 6
    assert over_budget(rows) == []
    assert all(row["spilled"] == 0 and row["tensor_core"] > 0 for row in rows)


def test_exceeded_budget_is_named() -> None:
    from kernels.compile_report import over_budget

    row = {"case": "state", "target": "sm_90", "registers": 96, "spilled": 8, "shared": 1024}
    assert over_budget([row]) == ["state on sm_90: 8 spilled, 0 allowed"]


@pytest.mark.parametrize("target", ["sm_80", "gfx942"])
def test_kernels_compile_for_other_devices(target: str) -> None:
    from kernels.compile_report import Case, over_budget, report

    rows = report([target], [Case("state_kernel", "bfloat16", 64)])
    assert over_budget(rows) == []
    assert rows[0]["tensor_core"] > 0
