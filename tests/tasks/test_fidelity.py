"""Likeness of outputs against plain definitions, and what happens to outputs that are broken."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from taut.tasks.fidelity import HIGHEST_SQNR_DB, agreement_of, cosine_of, labels_of, sqnr_of

vectors = hnp.arrays(np.float32, (2, 3), elements=st.floats(-100, 100, width=32))


@given(vectors, vectors)
def test_cosine_is_that_of_the_flattened_outputs(left: np.ndarray, right: np.ndarray) -> None:
    found = cosine_of({"y": left}, {"y": right})
    norms = np.linalg.norm(left.astype(np.float64)) * np.linalg.norm(right.astype(np.float64))
    assert -1 <= found <= 1
    if norms > 1e-12:
        expected = float((left.astype(np.float64) * right).sum() / norms)
        assert found == pytest.approx(expected, abs=1e-9)


@given(vectors)
def test_equal_outputs_are_wholly_alike(array: np.ndarray) -> None:
    assert cosine_of({"y": array}, {"y": array.copy()}) == 1.0
    assert sqnr_of({"y": array}, {"y": array.copy()}) == HIGHEST_SQNR_DB


def test_cosine_is_the_lowest_over_outputs() -> None:
    reference = {"a": np.array([1.0, 0.0]), "b": np.array([1.0, 0.0])}
    outputs = {"a": np.array([2.0, 0.0]), "b": np.array([1.0, 1.0])}
    assert cosine_of(outputs, reference) == pytest.approx(np.sqrt(0.5))


def test_integer_outputs_count_by_exact_agreement() -> None:
    reference = {"labels": np.array([1, 2, 3, 4])}
    assert cosine_of({"labels": np.array([1, 2, 3, 4])}, reference) == 1.0
    assert cosine_of({"labels": np.array([1, 2, 3, 5])}, reference) == 0.75
    assert cosine_of({"labels": np.array([1, 2])}, reference) == 0.0


def test_zeros_are_alike_only_to_zeros() -> None:
    zeros, ones = {"y": np.zeros(3)}, {"y": np.ones(3)}
    assert cosine_of(zeros, zeros) == 1.0
    assert cosine_of(zeros, ones) == cosine_of(ones, zeros) == 0.0
    assert sqnr_of(ones, zeros) == 0.0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_output_that_is_not_finite_is_like_nothing(broken: float) -> None:
    reference = {"y": np.ones(3)}
    outputs = {"y": np.array([1, 1, broken])}
    assert cosine_of(outputs, reference) == 0.0
    assert sqnr_of(outputs, reference) == 0.0


def test_same_infinities_are_left_out_of_the_comparison() -> None:
    masked = np.array([-np.inf, 1.0, 2.0])
    assert cosine_of({"y": masked}, {"y": masked.copy()}) == pytest.approx(1.0)
    assert cosine_of({"y": np.array([0.0, 1.0, 2.0])}, {"y": masked}) == 0.0


def test_other_shape_is_like_nothing() -> None:
    assert cosine_of({"y": np.ones(4)}, {"y": np.ones(3)}) == 0.0
    assert sqnr_of({"y": np.ones(4)}, {"y": np.ones(3)}) == 0.0


def test_large_values_do_not_overflow() -> None:
    huge = np.full(4, 1e300)
    assert cosine_of({"y": huge}, {"y": huge}) == pytest.approx(1.0)


def test_bfloat16_outputs_are_compared_as_floats() -> None:
    exact = np.linspace(0.1, 1, 50)
    rounded = exact.astype(ml_dtypes.bfloat16)
    assert 0.999 < cosine_of({"y": rounded}, {"y": exact}) < 1
    assert 40 < sqnr_of({"y": rounded}, {"y": exact}) < 60


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-3])
def test_sqnr_is_signal_over_noise_power_in_db(noise: float) -> None:
    signal = np.array([3.0, 4.0])
    found = sqnr_of({"y": signal + noise}, {"y": signal})
    assert found == pytest.approx(10 * np.log10(25 / (2 * noise**2)), abs=1e-6)


def test_labels_are_the_largest_logit_or_the_integers_themselves() -> None:
    logits = {"y": np.array([[0.1, 0.7, 0.2]])}
    assert labels_of(logits) is not None and labels_of(logits).tolist() == [1]  # type: ignore[union-attr]
    assert labels_of({"y": np.zeros((1, 3, 4, 4))}) is None
    assert labels_of({"y": np.zeros((1, 1))}) is None
    ids = np.array([[4, 5]])
    assert labels_of({"y": ids}) is ids


def test_agreement_is_in_points_and_absent_without_labels() -> None:
    logits, other = {"y": np.array([[0.1, 0.7]])}, {"y": np.array([[0.9, 0.7]])}
    assert agreement_of(logits, logits) == 100.0
    assert agreement_of(other, logits) == 0.0
    assert agreement_of({"y": np.array([[1, 2, 3, 9]])}, {"y": np.array([[1, 2, 3, 4]])}) == 75.0
    assert agreement_of({"y": np.zeros((1, 2, 2))}, {"y": np.zeros((1, 2, 2))}) is None
