"""The result of an evaluation, as evaluators of OpenEvolve and SkyDiscover return it."""

from dataclasses import dataclass, field


@dataclass
class EvaluationResult:
    """Metrics by name, and artifacts: texts or bytes that later prompts show."""

    metrics: dict
    artifacts: dict = field(default_factory=dict)

    @classmethod
    def from_dict(cls, metrics):
        """Return a result without artifacts."""
        return cls(metrics=metrics)

    def to_dict(self):
        """Return the metrics."""
        return self.metrics

    def has_artifacts(self):
        """Return whether there are any."""
        return bool(self.artifacts)

    def get_artifact_keys(self):
        """Return the names of the artifacts."""
        return list(self.artifacts)

    def get_artifact_size(self, key):
        """Return the bytes of one; 0 if there is none of that name."""
        value = self.artifacts.get(key, b"")
        return len(value if isinstance(value, bytes) else str(value).encode("utf-8"))

    def get_total_artifact_size(self):
        """Return the bytes of all."""
        return sum(self.get_artifact_size(key) for key in self.artifacts)
