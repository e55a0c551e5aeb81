"""Enclose natural logarithms of fractions, by integers alone."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["logarithm"]

BITS = 160
"""Binary digits after the point that are computed."""


def logarithm(value: Fraction) -> tuple[Fraction, Fraction]:
    """Return two fractions, less than 2^-120 apart, between which ln(value) lies.

    Args:
        value: above 0 and of less than 2^20 binary digits before and after the point.
    """
    if value == 1:
        return Fraction(0), Fraction(0)
    # value = 2^power · part with part from 2/3 to 4/3, whose logarithm is a fast series.
    power = value.numerator.bit_length() - value.denominator.bit_length()
    part = value / Fraction(2) ** power
    while part > Fraction(4, 3):
        part, power = part / 2, power + 1
    while part < Fraction(2, 3):
        part, power = part * 2, power - 1
    middle, slack = _series(part)
    two, slack_of_two = _series(Fraction(1, 2))
    whole = middle - power * two
    reach = slack + abs(power) * slack_of_two
    return Fraction(whole - reach, 1 << BITS), Fraction(whole + reach, 1 << BITS)


def _series(part: Fraction) -> tuple[int, int]:
    """Return ln(part) · 2^BITS as an integer, and by how much it may be wrong; part is from 1/2 to 3/2.

    ln(part) is 2 (z + z³/3 + z⁵/5 + …) with z = (part − 1) / (part + 1), at most 1/3 in size. Each of the two divisions
    of a term is wrong by less than 1, and what is left out after the last term is smaller than that term.
    """
    z = (part - 1) / (part + 1)
    square = z * z
    term = (z.numerator << BITS) // z.denominator
    total, count = 0, 0
    while term not in (0, -1):
        total += term // (2 * count + 1)
        term = term * square.numerator // square.denominator
        count += 1
    return 2 * total, 2 * (2 * count + 4)
