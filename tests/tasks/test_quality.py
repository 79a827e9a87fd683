"""Quality in a task's terms: which quantities a budget may name, and their values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from taut.core.budget import parse_budget
from taut.core.errors import BadInput
from taut.core.quantities import Better
from taut.core.task import ArraySplit, Metric, Sealed, Task
from taut.graph.ir import Value
from taut.tasks.classification import ACCURACY
from taut.tasks.quality import (
    quality_of,
    quality_quantities,
    refuse_chance,
    refuse_drop_without_labels,
    summary,
)

SPLIT = ArraySplit({"x": np.zeros((4, 2), np.float32)}, np.arange(4))
LABELLED = Task("four", SPLIT, SPLIT, Sealed(SPLIT), (ACCURACY,), chance=25.0)
UNLABELLED = replace(LABELLED, name="bare", metrics=(), chance=None)
LOGITS = Value("y", "float32", (1, 4))


def _one_hot(labels: list[int]) -> list[dict[str, np.ndarray]]:
    return [{"y": np.eye(4, dtype=np.float32)[[label]]} for label in labels]


def test_labelled_task_may_be_limited_by_drop_metric_and_fidelity() -> None:
    quantities = quality_quantities(LABELLED, [LOGITS])
    assert [quantity.name for quantity in quantities] == ["drop", "accuracy", "cosine", "agree", "sqnr"]
    drop = quantities[0]
    assert (drop.unit, drop.better, drop.is_relative_allowed) == ("points", Better.LOWER, False)
    budget = parse_budget("drop<=1%, accuracy>=90, cosine>=0.999, agree>=99%, sqnr>=30dB", quantities)
    assert [limit.value for limit in budget] == [1.0, 90.0, 0.999, 99.0, 30.0]


@pytest.mark.parametrize(
    ("output", "has_agree"),
    [
        (LOGITS, True),
        (Value("y", "int64", (1, 20)), True),
        (Value("y", "float32", (1, 4, 8, 8)), False),
        (Value("y", "float32", (1, 1)), False),
        (Value("y", "float32", None), False),
    ],
)
def test_agreement_may_be_limited_where_there_are_labels_to_agree_on(output: Value, has_agree: bool) -> None:
    names = [quantity.name for quantity in quality_quantities(UNLABELLED, [output])]
    assert names == (["cosine", "agree", "sqnr"] if has_agree else ["cosine", "sqnr"])
    assert "agree" in [quantity.name for quantity in quality_quantities(UNLABELLED)]


def test_drop_without_labels_is_refused_with_what_to_limit_instead() -> None:
    refuse_drop_without_labels("p50<=2ms, drop<=1", LABELLED)
    refuse_drop_without_labels("p50<=2ms", UNLABELLED)
    with pytest.raises(BadInput, match=r"drop needs labels.*cosine>=.*agree>=") as refusal:
        refuse_drop_without_labels("p50<=2ms, drop<=1", UNLABELLED)
    assert "'bare'" in str(refusal.value)


def test_quality_gives_one_number_per_sample_and_quantity() -> None:
    found = quality_of(LABELLED, _one_hot([0, 1, 1, 3]), np.arange(4), _one_hot([0, 1, 2, 3]))
    assert found["accuracy"].tolist() == [100, 100, 0, 100]
    assert found["agree"].tolist() == [100, 100, 0, 100]
    assert found["cosine"].tolist() == [1, 1, 0, 1]
    assert found["sqnr"][2] == pytest.approx(10 * np.log10(0.5))


def test_quality_without_labels_is_fidelity_alone() -> None:
    reference = [{"y": np.ones((1, 2, 2), np.float32)}] * 3
    found = quality_of(UNLABELLED, reference, None, reference)
    assert set(found) == {"cosine", "sqnr"}


def test_summary_shows_the_first_percentile_beside_the_mean() -> None:
    values = np.linspace(0, 1, 101)
    found = summary({"cosine": values, "agree": np.full(101, 50.0)})
    assert found == {"cosine": pytest.approx(0.5), "cosine_p1": pytest.approx(0.01), "agree": 50.0}


def _right(count: int, samples: int) -> np.ndarray:
    return np.where(np.arange(samples) < count, 100.0, 0.0)


@pytest.mark.parametrize("right", [20, 25, 28])
def test_original_at_chance_is_refused(right: int) -> None:
    with pytest.raises(BadInput, match=r"the original reaches accuracy .* guessing reaches 25"):
        refuse_chance(LABELLED, _right(right, 100))


def test_original_that_beats_chance_is_accepted() -> None:
    refuse_chance(LABELLED, _right(40, 100))
    refuse_chance(LABELLED, _right(100, 100))
    refuse_chance(UNLABELLED, np.zeros(3))


def test_chance_of_a_metric_where_lower_is_better_is_an_upper_bound() -> None:
    error = Metric("error", "points", Better.LOWER, lambda outputs, _targets: outputs["y"])
    task = replace(LABELLED, metrics=(error,), chance=75.0)
    refuse_chance(task, _right(60, 100)[::-1])
    with pytest.raises(BadInput):
        refuse_chance(task, _right(80, 100))
