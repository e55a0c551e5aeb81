"""Centers for points in the plane: the parameters stand in a NumPy array."""

import numpy as np

CENTERS = np.array(
    [
        [0.2, 0.2],
        [0.2, 0.8],
        [0.8, 0.2],
        [0.8, 0.8],
        [0.5, 0.1],
        [0.5, 0.9],
        [0.1, 0.5],
        [0.9, 0.5],
    ]
)


def centers():
    """Centers, shape (8, 2)."""
    return CENTERS.tolist()
