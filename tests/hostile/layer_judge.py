"""Check layers of linear_attention against their contract, each in a process of its own that is forked after PyTorch.

`python -m tests.hostile.layer_judge` reads programs, one JSON string a line, and writes for each a JSON list: the kind of
the refusal (`invalid`, `crashed`, or empty if there is none), and its reason. It does what the evaluator of the stage
`quick` and a supervisor do, without starting an interpreter for each: the layer sits in a process with the task's guards
and answers calls over a socket; the checks and the clock are in another.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

from engine.evaluation import evolve_task

CPU_SECONDS = 60
WIDTH, HEADS, STATE = 32, 2, 2048


class Away:
    """A session whose process is a fork of this one."""

    def __init__(self, code: str, beside: Any) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            _answer(theirs, code, beside)
        theirs.close()
        self.stream = ours.makefile("rwb")
        ours.close()
        self.cpu_seconds = 0.0

    def call(self, function: str, *arguments: Any) -> Any:
        self.stream.write(function.encode() + b"\n" + evolve_task._encode(list(arguments)) + b"\n")
        self.stream.flush()
        found = self.stream.readline()
        self.cpu_seconds = time.clock_gettime((~self.pid << 3) | 2)
        if not found.startswith(b"+"):
            raise evolve_task.CandidateError(found[1:].decode().strip() or "the candidate ended")
        return evolve_task._decode(found[1:])

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.stream.close()


def _answer(channel: socket.socket, code: str, beside: Any) -> None:
    sys.meta_path.insert(0, evolve_task._Program("program.py", code))
    stream = channel.makefile("rwb")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    while function := stream.readline().strip().decode():
        arguments = evolve_task._decode(stream.readline())
        try:
            found = b"+" + evolve_task._encode(getattr(beside, function)(*arguments))
        except Exception as exc:
            found = b"-" + f"{type(exc).__name__}: {' '.join(str(exc).split())}".encode()
        stream.write(found + b"\n")
        stream.flush()
    os._exit(0)


def main() -> None:
    """Judge each program of the standard input."""
    from engine.task.load import find_task

    sys.path.insert(0, str(find_task("linear_attention")))
    sys.modules["evolve_task"] = evolve_task
    import beside
    import contract

    # Passes of 2,300 tokens show what is quadratic as well as the 4,600 of the task do, for a quarter of the work.
    contract.SHORTEST = (20, 36)
    budget = contract.Budget(weights=8192, state=STATE)
    for line in sys.stdin:
        opened = Away(json.loads(line), beside)
        try:
            opened.call("prepare", 1, False)
            contract.check_layer(opened, WIDTH, HEADS, budget, int.from_bytes(os.urandom(4), "big"))
            found = ["", ""]
        except evolve_task.Invalid as exc:
            found = ["invalid", str(exc)]
        except evolve_task.CandidateError as exc:
            found = ["crashed", str(exc)]
        finally:
            opened.close()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
