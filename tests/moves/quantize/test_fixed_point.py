from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from taut.moves.quantize.fixed_point import FixedPoint, doubling_high_multiply, rounding_right_shift

ACCUMULATORS = st.integers(-(2**31) + 1, 2**31 - 1)


def rounded_away(value: Fraction) -> int:
    """Nearest integer, ties away from zero, in exact arithmetic."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


@given(ACCUMULATORS, st.integers(2**30, 2**31 - 1))
def test_high_multiply_rounds_exactly(left: int, right: int) -> None:
    got = doubling_high_multiply(np.array(left), np.array(right))
    assert int(got) == rounded_away(Fraction(left * right, 2**31))


@given(ACCUMULATORS, st.integers(0, 31))
def test_right_shift_rounds_exactly(value: int, shift: int) -> None:
    got = rounding_right_shift(np.array(value), np.array(shift))
    assert int(got) == rounded_away(Fraction(value, 2**shift))


@given(st.floats(1e-9, 0.999), ACCUMULATORS)
def test_multiplier_below_one_is_within_one_of_the_real_product(real: float, value: int) -> None:
    got = int(FixedPoint.of(real).multiply(np.array(value)))
    # The multiplier has 31 bits and both steps round: half a unit each, and 2^-31 of the value.
    assert abs(got - Fraction(real) * value) <= 1 + abs(value) * Fraction(1, 2**30)


@given(st.floats(1e-4, 0.999), st.integers(-4000, 4000))
def test_free_bits_make_the_product_the_nearest_integer_but_for_ties(real: float, value: int) -> None:
    exact = Fraction(real) * value
    got = int(FixedPoint.of(real, largest=4000).multiply(np.array(value)))
    assert abs(got - exact) <= Fraction(1, 2) + Fraction(1, 2**16)


def test_multipliers_above_one_shift_to_the_left() -> None:
    assert FixedPoint.of(3.0).multiply(np.array([5, -7])).tolist() == [15, -21]


def test_mantissa_stays_in_its_half_open_interval_when_it_rounds_up() -> None:
    multiplier = FixedPoint.of(1 - 2.0**-40)
    assert multiplier.mantissa == 2**30 and multiplier.left == 1 and multiplier.right == 0
    assert multiplier.multiply(np.array(1000)) == 1000


def test_channels_have_multipliers_of_their_own() -> None:
    real = np.array([0.5, 0.25, 0.001]).reshape(3, 1)
    got = FixedPoint.of(real).multiply(np.full((3, 2), 2000))
    assert got.tolist() == [[1000, 1000], [500, 500], [2, 2]]


def test_everything_is_integer() -> None:
    multiplier = FixedPoint.of(np.array([0.3, 0.7]))
    assert {array.dtype.kind for array in (multiplier.mantissa, multiplier.left, multiplier.right)} == {"i"}
    assert multiplier.multiply(np.array([5, 6], np.int32)).dtype == np.int64
