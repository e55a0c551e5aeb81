"""A Ray cluster on this machine, as a process: reads orders from stdin, a line each, and answers with a line.

`add NAME CPUS` starts a machine, `kill NAME` kills all of its processes at once; both answer with the id of its raylet.
The first line is the address.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ray.cluster_utils import Cluster

T = TypeVar("T")


def main() -> None:
    """Serve until stdin ends."""
    cluster = _patiently(
        lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    )
    print(cluster.address, flush=True)
    nodes = {}
    try:
        for line in sys.stdin:
            order, name, *cpus = line.split()
            if order == "add":
                options = {"num_cpus": int(*cpus), "node_name": name, "object_store_memory": 80 << 20}
                nodes[name] = _patiently(partial(cluster.add_node, **options))
            raylet = nodes[name].all_processes["raylet"][0].process.pid
            if order == "kill":
                cluster.remove_node(nodes.pop(name), allow_graceful=False)
            print(raylet, flush=True)
    finally:
        cluster.shutdown()


def _patiently(start: Callable[[], T]) -> T:
    """Start a machine; Ray gives up after 15 s, which a busy machine may need more than once."""
    for _ in range(4):
        try:
            return start()
        except Exception:
            continue
    return start()


main()
