"""A Ray cluster on this machine, as a process: reads orders from stdin, a line each, and answers with a line.

`add NAME CPUS` starts a machine, `kill NAME` kills all of its processes at once; both answer with the id of its raylet.
The first line is the address.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    """Serve until stdin ends."""
    cluster = _start()
    print(cluster.address, flush=True)
    nodes = {}
    try:
        for line in sys.stdin:
            order, name, *cpus = line.split()
            if order == "add":
                nodes[name] = cluster.add_node(num_cpus=int(*cpus), node_name=name, object_store_memory=80 << 20)
            raylet = nodes[name].all_processes["raylet"][0].process.pid
            if order == "kill":
                cluster.remove_node(nodes.pop(name), allow_graceful=False)
            print(raylet, flush=True)
    finally:
        cluster.shutdown()


def _start() -> Cluster:
    """Start the head; Ray gives up after 30 s, which a busy machine may need more than once."""
    for _ in range(4):
        try:
            return Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        except Exception:
            continue
    return Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})


main()
