"""Soft float against the processor: every bit of the generic library, normal numbers of the fast one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import needs_compiler

from taut.kernels.soft_float import Arithmetic, operate

OPERATIONS = {"add": 2, "mul": 2, "div": 2, "fma": 3, "less": 2}
HALF_ULP_OF_ONE = 0x33800000
EDGES = np.array(
    (
        *(
            0,
            1,
            2,
            0x7FFFFF,
            0x800000,
            0x800001,
            0xFFFFFF,
            0x3F7FFFFF,
            0x3F800000,
            0x3F800001,
            HALF_ULP_OF_ONE,
        ),
        *(0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF),
    ),
    np.uint32,
)
"""Zero, subnormals, around one, the largest, infinity, signalling and quiet NaN"""
_SIZE = 200_000

pytestmark = needs_compiler


def _is_nan(bits: np.ndarray) -> np.ndarray:
    return (bits & 0x7FFFFFFF) > 0x7F800000


def _is_normal(bits: np.ndarray) -> np.ndarray:
    exponent = bits >> 23 & 255
    return (exponent > 0) & (exponent < 255)


def _edges(count: int) -> np.ndarray:
    signed = np.concatenate([EDGES, EDGES | 0x80000000])
    return np.array(list(itertools.product(signed, repeat=count)), np.uint32).T


def _anything(count: int) -> np.ndarray:
    return np.random.randint(0, 2**32, (count, _SIZE), np.uint32)


def _near_one(count: int) -> np.ndarray:
    return np.random.standard_normal((count, _SIZE)).astype(np.float32).view(np.uint32)


def _cancelling(count: int) -> np.ndarray:
    """The last operand is about what the others make, negated, within a few units of the last place."""
    operands = _near_one(count)
    others = operands[:-1].view(np.float32).prod(axis=0)
    operands[-1] = (-others).view(np.uint32) + np.random.randint(0, 4, _SIZE, np.uint32)
    return operands


def _tiny(count: int) -> np.ndarray:
    """Exponents such that results are about the least normal number."""
    operands = _near_one(count)
    operands[0] = operands[0] & 0x80FFFFFF | 0x00800000
    return operands


SAMPLES = (_edges, _anything, _near_one, _cancelling, _tiny)


def _differ(operation: str, operands: np.ndarray, exact: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Where bits differ; which of several NaNs an fma passes on depends on the instruction's form."""
    both_nan = _is_nan(exact) & _is_nan(made) & _is_nan(operands).any(axis=0)
    return (exact != made) & ~(both_nan if operation == "fma" else np.zeros_like(both_nan))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_generic_has_the_bits_of_the_hardware(operation: str, sample: Callable[[int], np.ndarray]) -> None:
    operands = sample(OPERATIONS[operation])
    exact = operate(Arithmetic.HARDWARE, operation, *operands)
    made = operate(Arithmetic.SOFT_GENERIC, operation, *operands)
    assert not _differ(operation, operands, exact, made).any()


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_fast_has_the_bits_of_the_hardware_on_normal_numbers(
    operation: str, sample: Callable[[int], np.ndarray]
) -> None:
    operands = sample(OPERATIONS[operation])
    exact = operate(Arithmetic.HARDWARE, operation, *operands)
    made = operate(Arithmetic.SOFT_FAST, operation, *operands)
    counts = _is_normal(operands).all(axis=0)
    if operation != "less":
        counts &= _is_normal(exact)
    assert counts.any() and (made == exact)[counts].all()


@pytest.mark.parametrize("operation", ["add", "mul", "fma", "less"])
def test_fast_knows_zero(operation: str) -> None:
    """Sums keep what zero is added to; the sign of a zero result is free."""
    operands = _near_one(OPERATIONS[operation])
    operands[np.random.random(operands.shape) < 0.3] = 0
    exact = operate(Arithmetic.HARDWARE, operation, *operands)
    made = operate(Arithmetic.SOFT_FAST, operation, *operands)
    is_zero = (exact << 1) == 0
    assert (made == exact)[~is_zero].all() and ((made << 1) == 0)[is_zero].all()


@settings(max_examples=300)
@given(*[st.integers(0, 2**32 - 1)] * 3)
def test_generic_fma_rounds_once(x: int, y: int, z: int) -> None:
    operands = np.array([[x], [y], [z]], np.uint32)
    exact = operate(Arithmetic.HARDWARE, "fma", *operands)
    assert not _differ("fma", operands, exact, operate(Arithmetic.SOFT_GENERIC, "fma", *operands)).any()
