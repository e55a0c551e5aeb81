"""What an evaluation needs of a cluster's machine: `[resources]` in task.toml."""

from __future__ import annotations

import math

import msgspec

__all__ = ["Resources"]


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation takes of a machine in a cluster; on the engine's own machine, `slots` says how many run."""

    cpus: float = 1.0
    """Cores; a fraction lets several share one."""
    gpus: float | None = None
    """GPUs; by default 1 if the task has `gpu = true`, else none. A fraction lets several share one."""
    custom: dict[str, float] = {}
    """Resources of the cluster's own, by the names that its machines were started with."""

    def __post_init__(self) -> None:
        for name, value in {"cpus": self.cpus, "gpus": self.gpus or 0.0, **self.custom}.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a number from 0, not {value}")
        if self.cpus == 0 and not self.gpus and not self.custom:
            raise ValueError("`cpus` may be 0 only if an evaluation needs something else")

    def of_task(self, gpu: bool) -> Resources:
        """Return them with the default number of GPUs filled in."""
        return self if self.gpus is not None else msgspec.structs.replace(self, gpus=1.0 if gpu else 0.0)

    def fit(self, total: dict[str, float]) -> int:
        """Return how many evaluations fit at once onto a machine that has these resources, by Ray's names."""
        needs = {"CPU": self.cpus, "GPU": self.gpus or 0.0, **self.custom}
        # Sums of fractions are not exact: ten times a tenth fit into one.
        return min(int(total.get(name, 0.0) / need + 1e-6) for name, need in needs.items() if need > 0)
