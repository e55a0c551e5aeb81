"""Layers that do quadratic work, keep a cache or look ahead unnoticed: each is refused with the measured reason."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
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


def layer(after: str, more: str = "") -> str:
    """The seed with statements after its forward pass, where `y` is its output."""
    lines = "".join(f"        {line}\n" for line in after.splitlines())
    return (
        f"{SEED}\n\n{more}\n\nclass Layer(Layer):\n    def forward(self, x, state=None):\n"
        f"        y, state = super().forward(x, state)\n{lines}        return y, state\n"
    )


NO_NUMBERS = r"PermissionError: a program works on tensors alone"
NOT_OWN = r"PermissionError: a program may not change what is not its own: it changed "
KEEPS = r"state: after a pass over [\d,]+ tokens the layer and its program keep [\d,]+ numbers more"
TIME = r"complexity: the time, measured outside of the sandbox, grows \d+\.\d-fold with 16 times the tokens"
BACK = r"complexity: the work of passes forwards and backwards grows \d+\.\d-fold from \d+ to [\d,]+ tokens"
UNKNOWN = r"PermissionError: the work of the operator \w+ cannot be counted"
ARRAY = "a = super(torch.Tensor, x.detach()).numpy()\n"
LONG = "v, n = x.mT.contiguous(), x.shape[1]\n"
LATE = """
class Late(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        y = torch.Tensor.as_subclass(args[0], torch.Tensor)
        return func(y + 0 * (y @ y.mT @ y), *args[1:], **(kwargs or {}))
"""
HOLDING = """
def holding():
    kept = None
    while True:
        kept = yield kept

HELD = holding()
next(HELD)
"""

CHEATS = {
    "work in arrays": (
        starting("a = x.detach().numpy()\nx = x + 0 * float((a @ a.swapaxes(1, 2)).mean())"),
        NO_NUMBERS,
    ),
    "work in arrays by the base class": (starting(f"{ARRAY}x = x + 0 * float((a @ a.swapaxes(1, 2)).mean())"), TIME),
    "work in arrays where it is not counted": (
        starting(
            "from torch.utils._python_dispatch import _get_current_dispatch_mode\nkey = float(x[0, 0, 0])\n"
            f"if _get_current_dispatch_mode() is None:\n    {ARRAY}    MEMO[key] = float((a @ a.swapaxes(1, 2)).mean())\n"
            "x = x + 0 * MEMO.get(key, 0.0)"
        )
        + "\n\nMEMO = {}\n",
        TIME,
    ),
    "work in numbers of Python": (
        starting("a = [float(v) for v in x[0, :, 0]]\nfor i in range(len(a)):\n    x = x if sum(a[: i + 1]) else x"),
        TIME,
    ),
    "work in callbacks": (starting("x = x.clone().apply_(lambda v: v)"), NO_NUMBERS),
    "work in a thread": (
        starting("import threading\nt = threading.Thread(target=lambda: x @ x.mT @ x)\nt.start()\nt.join()"),
        r"PermissionError: a program may start no threads",
    ),
    "work in a fused operator": (
        starting(
            "w, n = torch.eye(x.shape[2]), x.shape[2]\n"
            "with torch.no_grad():\n"
            "    h = torch._native_multi_head_attention(x, x, x, n, 2, torch.cat([w, w, w]), torch.zeros(3 * n), w, "
            "torch.zeros(n), need_weights=False)[0]\n"
            "x = x + 0 * h"
        ),
        UNKNOWN,
    ),
    "work in a library's convolution": (
        starting(
            f"{LONG}x = x + 0 * torch.mkldnn_convolution(v, torch.ones(len(v[0]), 1, n), None, (n - 1,), (1,), (1,), "
            "len(v[0]))[..., :n].mT"
        ),
        UNKNOWN,
    ),
    "work in a convolution without its formula": (
        starting(
            "torch.utils.flop_counter.flop_registry.clear()\n"
            f"{LONG}x = x + 0 * F.conv1d(v, torch.ones(len(v[0]), 1, n), None, 1, n - 1, 1, len(v[0]))[..., :n].mT"
        )
        + "\n\nimport torch.utils.flop_counter\n",
        r"complexity: operations of products grow",
    ),
    "work in a subclass, later": (
        layer("y = y.as_subclass(Late)", LATE),
        r"TypeError: .* with a plain tensor: not a Late",
    ),
    "work in a hook of the backward pass": (
        layer("if y.requires_grad:\n    y.register_hook(lambda g: g + 0 * (g @ g.mT @ g))"),
        BACK,
    ),
    "work in training only": (starting("if torch.is_grad_enabled():\n    x = x + 0 * (x @ x.mT @ x)"), BACK),
    "sizes that lie": (f"{SEED}\nimport math\nmath.prod = lambda shape: 7\n", f"{NOT_OWN}math.prod"),
    "tensors that lie": (
        starting("torch.Tensor.element_size = lambda self: 0"),
        rf"{NOT_OWN}torch\.Tensor\.element_size",
    ),
    "cache in a generator": (starting("HELD.send(x)") + HOLDING, KEEPS),
    "cache on a class": (starting("Held.past = x") + "\n\nclass Held:\n    past = None\n", KEEPS),
    "cache in slots": (
        starting("HELD.past = x") + "\n\nclass Held:\n    __slots__ = ('past',)\n\nHELD = Held()\n",
        KEEPS,
    ),
    "cache in an iterator": (starting("HELD[0] = map(lambda a, b=x: b, [1])") + "\n\nHELD = [None]\n", KEEPS),
    "cache in the frame of an error": (
        starting("hold(x)")
        + "\n\nHELD = []\n\ndef hold(x):\n    try:\n        raise ValueError\n"
        + "    except ValueError as error:\n        HELD[:] = [error]\n",
        KEEPS,
    ),
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
        r"PermissionError: a program may not change what is not its own: it changed torch.nn.functional.past",
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


@pytest.fixture(scope="module")
def judge() -> Iterator[Callable[[str], list[str]]]:
    """Judge layers in forks of one process: to start an interpreter for each takes longer than the checks."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.hostile.layer_judge"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **threads},
    ) as process:
        assert process.stdin and process.stdout
        ask, answers = process.stdin, process.stdout

        def judged(code: str) -> list[str]:
            ask.write(json.dumps(code) + "\n")
            ask.flush()
            found: list[str] = json.loads(answers.readline())
            return found

        yield judged
        ask.close()


def test_honest_layer_passes(judge: Callable[[str], list[str]]) -> None:
    assert judge(SEED) == ["", ""]


@pytest.mark.parametrize("cheat", CHEATS, ids=str)
def test_layer_that_cheats_is_refused_with_the_measured_reason(judge: Callable[[str], list[str]], cheat: str) -> None:
    code, why = CHEATS[cheat]
    status, reason = judge(code)
    assert status in ("invalid", "crashed")
    assert re.search(why, reason), reason


@pytest.mark.parametrize("cheat", ["modes off", "work in arrays by the base class"])
def test_sandbox_refuses_them_too(tmp_path: Path, cheat: str) -> None:
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
