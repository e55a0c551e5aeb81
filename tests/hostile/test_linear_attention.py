"""Layers that do quadratic work, keep a cache or look ahead unnoticed: each is refused with the measured reason."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.needs import require

require("torch")

from engine.programs.outline import ProgramError
from engine.task.interface import check_program
from tests.engine.tasks.builtin import BuiltIn

LINEAR = BuiltIn("linear_attention")

ATTENTION = '''
import torch
from torch import nn
from torch.nn import functional as F
from kernels.operators import linear_attention

KEPT = {}


class Layer(nn.Module):
    """Softmax attention over all that was seen; BEFORE runs first, SEEN is what is kept and AFTER what is handed on."""

    def __init__(self, width, heads):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.own = []

    def forward(self, x, state=None):
        q, k, v = self.qkv(x).chunk(3, -1)
        BEFORE
        if state is not None:
            past = SEEN
            k, v = torch.cat([past[0], k], 1), torch.cat([past[1], v], 1)
        score = q @ k.mT / q.shape[-1] ** 0.5
        mask = torch.ones(score.shape[-2:], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        y = score.masked_fill(~mask, -1e9).softmax(-1) @ v
        AFTER
'''


def attention(before: str = "", seen: str = "state", after: str = "return y, [k, v]") -> str:
    """The layer with statements filled in."""
    code = ATTENTION.replace("SEEN", seen)
    for name, text in (("BEFORE", before or "pass"), ("AFTER", after)):
        code = code.replace(f"        {name}\n", "".join(f"        {line}\n" for line in text.splitlines()))
    return code


CHEAP = "return linear_attention(q[:, :, None], k[:, :, None], v[:, :, None])[0][:, :, 0], None"
SEED = LINEAR.seed


def starting(statements: str) -> str:
    """The seed with statements at the start of its forward pass."""
    lines = "".join(f"        {line}\n" for line in statements.splitlines())
    return SEED.replace("        state = state or {}\n", f"{lines}        state = state or {{}}\n")


IDLE = """
class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x, state=None):
        return x * self.w, None
"""
LOOK = """

def make():
    held = []

    def look(*new):
        held[:] = new or held
        return held

    return look


look = make()
"""

CHEATS = {
    "cache on the module": (
        attention(seen="self.own[0]", after="self.own[:] = [(k, v)]\nreturn y, [x[:, -1:]]"),
        r"pieces: fed in pieces|list index out of range|state: after a pass .* keep",
    ),
    "cache in the program": (
        attention(seen="KEPT['past']", after="KEPT['past'] = (k, v)\nreturn y, [x[:, -1:]]"),
        r"KeyError: 'past'|pieces: |state: after a pass .* keep",
    ),
    "cache on a module of torch": (
        attention(seen="F.past", after="F.past = (k, v)\nreturn y, [x[:, -1:]]"),
        r"complexity: (operations|numbers)",
    ),
    "cache in a closure": (
        attention(seen="look()", after="look(k, v)\nreturn y, [x[:, -1:]]") + LOOK,
        r"not enough values|list index|pieces: |state: after a pass .* keep",
    ),
    "work in lengths that were counted once": (
        attention(before=f"if len(x) == 1 and x.shape[1] in (16, 32, 64, 128, 256, 1024, 4096):\n    {CHEAP}"),
        r"state: it holds|complexity: ",
    ),
    "work in single sequences": (attention(before=f"if len(x) == 1:\n    {CHEAP}"), r"batch independence: "),
    "work in long sequences": (attention(before=f"if x.shape[1] > 130:\n    {CHEAP}"), r"state: it holds|complexity: "),
    "state in half precision": (
        attention(
            seen="[part.view(torch.float16).float() for part in state]",
            after="small = [part.half().contiguous().view(torch.float32) for part in (k, v)]\nreturn y, small",
        ),
        r"state: it holds|complexity: ",
    ),
    "modes off": (
        starting(
            "with torch.utils._python_dispatch._disable_current_modes():\n    x = x + 0 * (x @ x.mT @ x)",
        ),
        r"PermissionError: a program may load no files and libraries, and not switch the counting",
    ),
    "modes off by popping them": (
        starting(
            "from torch.utils import _python_dispatch as d\n"
            "mode = d._pop_mode() if torch._C._len_torch_dispatch_stack() else None\n"
            "x = x + 0 * (x @ x.mT @ x)\n"
            "if mode is not None:\n    d._push_mode(mode)"
        ),
        r"complexity: [\d,]+ operations of products were done .* hides its work|complexity: operations in all grow",
    ),
    "profiler off": (
        starting("torch.autograd._disable_profiler_legacy()"),
        r"PermissionError: a program may load no files and libraries, and not switch the counting",
    ),
    "no work": (
        SEED.split("TAPS")[0] + IDLE,
        r"complexity: operations of products in a pass over [\d,]+ tokens are 0",
    ),
    "weights in a list": (
        SEED.replace("        initialise(self)", "        self.more = [torch.ones(40000)]\n        initialise(self)"),
        r"parameter budget: the layer holds [\d,]+ numbers",
    ),
    "looks ahead in batches": (
        SEED.replace(
            "return self.out(y), {", "y = y + x.roll(-1, 1) * float(x.shape[0] > 2)\n        return self.out(y), {"
        ),
        r"causality: |batch independence: |complexity: ",
    ),
    "a file by torch": (
        starting("torch.from_file('/etc/passwd', size=9, dtype=torch.uint8)"),
        r"PermissionError: a program may load no files and libraries",
    ),
    "a library by torch": (
        starting("torch.ops.load_library('/tmp/a.so')"),
        r"PermissionError: a program may load no files and libraries",
    ),
}


@pytest.mark.parametrize("cheat", CHEATS, ids=str)
def test_layer_that_cheats_is_refused_with_the_measured_reason(tmp_path: Path, cheat: str) -> None:
    code, why = CHEATS[cheat]
    outcome, _ = asyncio.run(LINEAR.evaluate(tmp_path, code, stage="quick"))
    assert outcome.status in ("invalid", "crashed") and outcome.score is None
    assert re.search(why, outcome.reason), outcome.reason


@pytest.mark.parametrize(
    "name", ["modes off", "modes off by popping them", "profiler off", "a file by torch", "a library by torch"]
)
def test_names_that_lead_there_are_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(ProgramError, match="which the task forbids"):
        check_program(CHEATS[name][0], LINEAR.spec)
