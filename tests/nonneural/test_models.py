"""Compiled models say what scikit-learn says, in every arithmetic, by any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fitted import BUILD, digits, fitted, training, unseen
from programs import needs_compiler, run_compiled
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from taut import nonneural
from taut.core.errors import BadInput
from taut.kernels.soft_float import Arithmetic
from taut.nonneural.base import Build
from taut.nonneural.clusters import lloyd, lloyd_program
from taut.runtimes.aot.program import run_plainly

CLASSIFIERS = [name for name in BUILD if name != "clusters"]


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", BUILD)
def test_labels_are_those_of_scikit_learn(name: str, threads: int) -> None:
    model = fitted(name)
    labels = nonneural.compile(model, rows=301, settings=Build(threads))(unseen())
    assert (labels == model.predict(unseen())).mean() >= 0.999


@needs_compiler
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_odd_sizes_and_two_classes(name: str) -> None:
    model = fitted(name, classes=2, features=37)
    predict = nonneural.compile(model, rows=5)
    wanted = model.predict(unseen(37)[:13])
    np.testing.assert_array_equal(predict(unseen(37)[:13]), wanted)
    np.testing.assert_array_equal(predict(unseen(37)[:1]), wanted[:1])
    assert predict(unseen(37)[:0]).shape == (0,)


@needs_compiler
@pytest.mark.parametrize("name", BUILD)
def test_programs_compute_what_their_references_do(name: str) -> None:
    program = nonneural.read(fitted(name)).program(77)
    rows = unseen()[:77]
    for made, plain in zip(run_compiled(program, [rows]), run_plainly(program, [rows]), strict=True):
        np.testing.assert_array_equal(made, plain)


@needs_compiler
@pytest.mark.parametrize("library", [Arithmetic.SOFT_GENERIC, Arithmetic.SOFT_FAST])
@pytest.mark.parametrize("name", BUILD)
def test_soft_float_gives_the_same_labels(name: str, library: Arithmetic) -> None:
    model = fitted(name)
    rows = unseen()[:40]
    labels = nonneural.compile(model, 40, Build(1, library))(rows)
    np.testing.assert_array_equal(labels, model.predict(rows))


@needs_compiler
@pytest.mark.parametrize("library", [Arithmetic.HARDWARE, Arithmetic.SOFT_FAST])
def test_lloyd_ends_where_scikit_learn_does(library: Arithmetic) -> None:
    # Means of rows: from single rows of whole numbers distances would be equal, and ties go either way.
    x, start = training()[0], digits()[0][:70].reshape(7, 10, 64).mean(axis=1)
    known = KMeans(7, init=start, n_init=1).fit(x)
    ours = lloyd(x, start, settings=Build(1, library))
    assert (ours.labels == known.labels_).mean() >= 0.999
    assert ours.inertia == pytest.approx(known.inertia_, rel=1e-3)
    assert abs(ours.iterations - known.n_iter_) <= 1


@needs_compiler
def test_lloyd_has_the_same_bits_on_two_threads() -> None:
    x, start = training()[0], digits()[0][:70].reshape(7, 10, 64).mean(axis=1)
    one, two = (lloyd(x, start, settings=Build(threads)) for threads in (1, 2))
    np.testing.assert_array_equal(one.centroids, two.centroids)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.inertia, one.iterations) == (two.inertia, two.iterations)


@needs_compiler
def test_a_cluster_without_rows_stays_where_it_is() -> None:
    x = np.array([[0.0, 0], [0, 1], [4, 4], [4, 5]], np.float32)
    start = np.array([[0, 0], [4, 4], [90, 90]], np.float32)
    ended = lloyd(x, start)
    np.testing.assert_allclose(ended.centroids, [[0, 0.5], [4, 4.5], [90, 90]])
    assert ended.labels.tolist() == [0, 0, 1, 1] and ended.inertia == pytest.approx(1.0)


@needs_compiler
def test_an_iteration_computes_what_its_references_do() -> None:
    x, start = training()[0][:97], digits()[0][:30].reshape(3, 10, 64).mean(axis=1)
    program = lloyd_program(97, 3, 64)
    for made, plain in zip(run_compiled(program, [x, start]), run_plainly(program, [x, start]), strict=True):
        np.testing.assert_allclose(made, plain, rtol=1e-5, atol=1e-4)


@needs_compiler
def test_bayes_with_a_constant_feature_that_is_not_zero() -> None:
    """Its variance is almost nothing, and expanding the square about zero would cancel all digits."""
    x, y = training()
    shifted = np.concatenate([x, np.full((len(x), 1), 7, np.float32)], axis=1)
    model = GaussianNB().fit(shifted, y)
    wanted = model.predict(shifted)
    assert (nonneural.compile(model)(shifted) == wanted).mean() >= 0.999


@needs_compiler
def test_labels_may_be_words() -> None:
    x, y = training(classes=3)
    words = np.array(["nought", "one", "two"])[y]
    model = KNeighborsClassifier(3).fit(x, words)
    np.testing.assert_array_equal(nonneural.compile(model)(x), model.predict(x))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LinearRegression(), "model LinearRegression: is not compiled; one of: LinearSVC"),
        (LinearSVC(), "model LinearSVC: is not fitted"),
        (KNeighborsClassifier(weights="distance"), "weights 'distance'"),
        (KNeighborsClassifier(metric="cosine"), "metric 'cosine'"),
        (RandomForestClassifier(2), "several outputs"),
        (KNeighborsClassifier(), "several outputs"),
    ],
)
def test_what_is_not_compiled_is_refused_in_one_line(model: Any, reason: str) -> None:
    x, y = training()
    if "several" in reason:
        model.fit(x, np.stack([y, y], axis=1))
    elif "not fitted" not in reason:
        model.fit(x, y)
    with pytest.raises(BadInput, match=reason) as refused:
        nonneural.compile(model)
    assert "\n" not in str(refused.value)


@needs_compiler
@pytest.mark.parametrize("x", [np.zeros((3, 63)), np.zeros(64), [["a"] * 64], np.zeros((2, 3, 64))])
def test_rows_of_another_shape_are_refused(x: Any) -> None:
    with pytest.raises(BadInput, match="64"):
        nonneural.compile(fitted("bayes"))(x)


def test_other_bad_numbers_are_refused() -> None:
    with pytest.raises(BadInput, match="at least one row"):
        nonneural.compile(fitted("bayes"), rows=0)
    with pytest.raises(BadInput, match="fewer than 10 clusters"):
        lloyd(np.zeros((4, 3)), np.zeros((10, 3)))
    with pytest.raises(BadInput, match="start of shape"):
        lloyd(np.zeros((4, 3)), np.zeros(3))
