"""Check a packing of circles in the unit square and measure the sum of its radii.

The candidate never runs in this process: `evolve_task.call` runs it in another sandbox and returns plain data, which
this file checks with the standard library alone.
"""

import math

import evolve_task
from written import count_written

MOST_WRITTEN = 0.5
"""Largest share of the centers that may stand in the program itself. By chance it is up to 0.2."""


def evaluate(program_path, report):
    """Run `construct_packing()` and score what it returns: the sum of the radii, shrunk until nothing overlaps."""
    count = int(report.settings["circles"])
    tolerance = float(report.settings["tolerance"])
    centers, radii = read_packing(evolve_task.call("construct_packing"), count)
    check_packing(centers, radii, tolerance)
    written = count_written(evolve_task.source(), centers)
    if written > MOST_WRITTEN * count:
        raise evolve_task.Invalid(
            f"{written} of the {count} centers are written in the program, to two digits or more (at most "
            f"{int(MOST_WRITTEN * count)} may be): a program must compute its packing"
        )
    strict = shrink(centers, radii)
    total = math.fsum(strict)
    report(step=1, sum_radii=total)
    report.picture("circles", [[x, y, r] for (x, y), r in zip(centers, strict, strict=True)])
    return {
        "sum_radii": total,
        "sum_returned": math.fsum(radii),
        "min_radius": min(strict),
        "max_radius": max(strict),
        "written": written,
        "contacts": count_contacts(centers, radii),
    }


def read_packing(result, count):
    """Return centers as a list of pairs and radii as a list of numbers, from lists or any kind of array.

    A third value after the two is ignored, as in other collections of this problem.
    """
    if not isinstance(result, (list, tuple)) or len(result) not in (2, 3):
        raise evolve_task.Invalid("construct_packing() must return (centers, radii)")
    centers, radii = (item.tolist() if hasattr(item, "tolist") else item for item in result[:2])
    if not isinstance(centers, (list, tuple)) or len(centers) != count:
        raise evolve_task.Invalid(f"centers must have the shape ({count}, 2)")
    for center in centers:
        if not isinstance(center, (list, tuple)) or len(center) != 2:
            raise evolve_task.Invalid(f"centers must have the shape ({count}, 2)")
    if not isinstance(radii, (list, tuple)) or len(radii) != count:
        raise evolve_task.Invalid(f"radii must have the shape ({count},)")
    return [(number(x, "centers"), number(y, "centers")) for x, y in centers], [number(r, "radii") for r in radii]


def number(value, where):
    """Return a finite float; refuse a boolean or a string."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise evolve_task.Invalid(f"{where} holds {type(value).__name__}, not numbers only")
    try:
        value = float(value)
    except OverflowError:
        raise evolve_task.Invalid(f"{where} holds a number beyond all bounds") from None
    if not math.isfinite(value):
        raise evolve_task.Invalid(f"{where} holds {value}")
    return value


def check_packing(centers, radii, tolerance):
    """Raise `Invalid` unless all circles lie in the square and apart, within the tolerance."""
    for i, ((x, y), r) in enumerate(zip(centers, radii, strict=True)):
        if r < 0:
            raise evolve_task.Invalid(f"circle {i} has the negative radius {r:.6g}")
        outside = max(r - x, x + r - 1, r - y, y + r - 1)
        # Written as `not <=` so that NaN cannot pass.
        if not outside <= tolerance:
            raise evolve_task.Invalid(f"circle {i} sticks out of the square by {outside:.3g}")
    for i, center in enumerate(centers):
        for j in range(i):
            overlap = radii[i] + radii[j] - math.dist(center, centers[j])
            if not overlap <= tolerance:
                raise evolve_task.Invalid(f"circles {j} and {i} overlap by {overlap:.3g}")


def shrink(centers, radii):
    """Return radii, none larger than before, with which nothing overlaps at all."""
    strict = [max(0.0, min(r, x, 1 - x, y, 1 - y)) for (x, y), r in zip(centers, radii, strict=True)]
    for i, center in enumerate(centers):
        for j in range(i):
            # Slightly more than the overlap, so that rounding does not leave one.
            excess = strict[i] + strict[j] - math.dist(center, centers[j]) * (1 - 1e-15)
            if excess > 0:
                # Take half of it from each circle, as far as the smaller radius allows.
                second = min(strict[j], max(excess / 2, excess - strict[i]))
                strict[j] -= second
                strict[i] = max(0.0, strict[i] - (excess - second))
    return strict


def count_contacts(centers, radii, gap=1e-5):
    """Count contacts between circles and with walls: a rigid packing has about as many as it has unknowns."""
    pairs = sum(
        math.dist(centers[i], centers[j]) - radii[i] - radii[j] < gap for i in range(len(radii)) for j in range(i)
    )
    walls = sum(side - r < gap for (x, y), r in zip(centers, radii, strict=True) for side in (x, 1 - x, y, 1 - y))
    return pairs + walls
