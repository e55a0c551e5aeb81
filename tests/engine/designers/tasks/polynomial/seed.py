"""The cosine as a polynomial: its parameters stand in a list."""

COEFFICIENTS = [0.8, 0.1, -0.6, 0.0, 0.05]


def cosine(x):
    """The value at x, by Horner's rule."""
    value = 0.0
    for coefficient in reversed(COEFFICIENTS):
        value = value * x + coefficient
    return value
