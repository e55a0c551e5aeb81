"""Hooks: the user's shell commands at a new best and at the end."""

from __future__ import annotations

import gc
import os
import warnings
from pathlib import Path

from engine.loop.hooks import Hooks
from tests.conftest import TaskMaker
from tests.e2e.runs import make_run, wait_for
from tests.engine.loop.parts import open_parts


async def test_hooks_run_beside_the_engine_and_leave_no_warning_and_no_zombie(
    make_task: TaskMaker, tmp_path: Path
) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    pids, gate = tmp_path / "pids", tmp_path / "gate"
    os.mkfifo(gate)
    opened = os.open(gate, os.O_RDWR)
    command = f"echo $$ >>{pids}; read word <{gate}"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with open_parts(run, Hooks(on_best=command, on_stop=command)) as parts:
            node = parts.session.state.nodes[0]
            parts.hooks.new_best(node)
            wait_for(lambda: pids.exists() and pids.read_text().count("\n") == 1, "the first hook")
            gc.collect()
            first = int(pids.read_text())
            os.write(opened, b"end\n")
            wait_for(lambda: "\nState:\tZ" in Path(f"/proc/{first}/status").read_text(), "its end")
            parts.hooks.new_best(node)
            assert not Path(f"/proc/{first}").exists()
            parts.hooks.ended()
            wait_for(lambda: pids.read_text().count("\n") == 3, "the last hook")
        del parts, node
        gc.collect()
    assert [str(item.message) for item in seen if item.category is ResourceWarning] == []
    os.write(opened, b"end\nend\n")
    os.close(opened)
