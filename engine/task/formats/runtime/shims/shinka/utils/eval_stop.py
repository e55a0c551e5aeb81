"""End the repeated runs of a program once its mean is surely above or below a threshold."""

import math
import statistics
from dataclasses import dataclass


@dataclass
class EarlyStopDecision:
    """What is known after some runs: `prediction` is `beats`, `fails` or `uncertain`."""

    should_stop: bool
    prediction: str
    confidence: float
    trials_used: int
    reason: str = None


class EarlyStopMethod:
    """A rule; `check(scores, threshold)` decides after each run."""

    name = ""
    min_trials = 1

    def check(self, scores, threshold):
        """Return the decision."""
        count = len(scores)
        if count < self.min_trials:
            return EarlyStopDecision(False, "uncertain", 0.5, count, f"need at least {self.min_trials} trials")
        mean = statistics.fmean(scores)
        error = statistics.stdev(scores) / math.sqrt(count) if count > 1 else 1.0
        if error < 1e-10:
            above = mean > threshold
            where = "above" if above else "below"
            reason = f"all scores identical and {where} threshold"
            return EarlyStopDecision(True, "beats" if above else "fails", 1.0, count, reason)
        return self.decide(mean, error, count, threshold)

    def decide(self, mean, error, count, threshold):
        """Return the decision for a mean with a standard error."""
        raise NotImplementedError

    def reset(self):
        """Forget what earlier evaluations showed."""


class NoEarlyStop(EarlyStopMethod):
    """All runs are made."""

    name = "no_early_stop"

    def check(self, scores, threshold):
        """Return the decision to go on."""
        return EarlyStopDecision(False, "uncertain", 0.5, len(scores), "early stopping disabled")


def _chance(mean, error, threshold):
    """Return the probability that the true mean is above the threshold, by the normal distribution."""
    return 1.0 - statistics.NormalDist(mean, error).cdf(threshold)


def _interval(mean, error, count, confidence):
    """Return the ends of the two-sided interval of Student's t."""
    from scipy import stats

    reach = float(stats.t.ppf(1 - (1 - confidence) / 2, df=count - 1)) * error
    return mean - reach, mean + reach


class BayesianEarlyStop(EarlyStopMethod):
    """Stop if the probability to beat the threshold is below `prob_cutoff` or above 1 - `prob_cutoff`."""

    def __init__(self, prob_cutoff=0.05, min_trials=2):
        self.prob_cutoff, self.min_trials = prob_cutoff, min_trials
        self.name = f"bayesian_p{prob_cutoff}"

    def decide(self, mean, error, count, threshold):
        """Return the decision for a mean with a standard error."""
        chance = _chance(mean, error, threshold)
        said = f"P(beats)={chance:.4f}"
        if chance < self.prob_cutoff:
            return EarlyStopDecision(True, "fails", 1 - chance, count, f"{said} < {self.prob_cutoff}")
        if chance > 1 - self.prob_cutoff:
            return EarlyStopDecision(True, "beats", chance, count, f"{said} > {1 - self.prob_cutoff}")
        return EarlyStopDecision(False, "uncertain", chance, count, f"{said}, continuing")


class ConfidenceIntervalEarlyStop(EarlyStopMethod):
    """Stop if the interval of the mean lies wholly above or below the threshold."""

    def __init__(self, confidence=0.90, min_trials=3):
        self.confidence, self.min_trials = confidence, min_trials
        self.name = f"ci_{int(confidence * 100)}"

    def decide(self, mean, error, count, threshold):
        """Return the decision for a mean with a standard error."""
        low, high = _interval(mean, error, count, self.confidence)
        said = f"CI [{low:.4f}, {high:.4f}] against threshold {threshold}"
        if high < threshold:
            return EarlyStopDecision(True, "fails", self.confidence, count, said)
        if low > threshold:
            return EarlyStopDecision(True, "beats", self.confidence, count, said)
        return EarlyStopDecision(False, "uncertain", self.confidence, count, said)


class HybridEarlyStop(EarlyStopMethod):
    """Stop if the interval lies below the threshold, else as the Bayesian rule does."""

    name = "hybrid"

    def __init__(self, prob_cutoff=0.05, ci_confidence=0.90, min_trials=3):
        self.prob_cutoff, self.ci_confidence, self.min_trials = prob_cutoff, ci_confidence, min_trials

    def decide(self, mean, error, count, threshold):
        """Return the decision for a mean with a standard error."""
        high = _interval(mean, error, count, self.ci_confidence)[1]
        if high < threshold:
            said = f"CI upper {high:.4f} < threshold {threshold}"
            return EarlyStopDecision(True, "fails", self.ci_confidence, count, said)
        return BayesianEarlyStop(self.prob_cutoff).decide(mean, error, count, threshold)


def create_early_stop_method(method="none", prob_cutoff=0.05, ci_confidence=0.90, min_trials=3):
    """Return the rule of a name: `none`, `bayesian`, `ci` or `hybrid`.

    Raises:
        ValueError: there is no rule of that name.
    """
    name = method.lower()
    if name in ("none", "no_early_stop"):
        return NoEarlyStop()
    if name == "bayesian":
        return BayesianEarlyStop(prob_cutoff, min_trials)
    if name in ("ci", "confidence_interval"):
        return ConfidenceIntervalEarlyStop(ci_confidence, min_trials)
    if name == "hybrid":
        return HybridEarlyStop(prob_cutoff, ci_confidence, min_trials)
    raise ValueError(f"Unknown early stop method: {method}. Choose from: none, bayesian, ci, hybrid")
