"""A controller: its parameters are the defaults of a dataclass."""

from dataclasses import dataclass


@dataclass
class Gains:
    """What the controller goes by."""

    proportional: float = 0.3
    integral: float = 0.01
    derivative: float = 0.0
    most: float = 1.0
    window: int = 1
    hold: bool = True


GAINS = Gains()


def control(errors, gains=GAINS):
    """The input of the plant, from all errors so far."""
    recent = errors[-gains.window :]
    error = sum(recent) / len(recent)
    slope = errors[-1] - errors[-2] if len(errors) > 1 else 0.0
    past = errors[-20:] if gains.hold else errors
    wanted = gains.proportional * error + gains.integral * sum(past) + gains.derivative * slope
    return max(-gains.most, min(gains.most, wanted))
