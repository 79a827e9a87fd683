"""Splits hand out samples by index; the test split is read once."""

from __future__ import annotations

import numpy as np
import pytest

from taut.core.quantities import Better
from taut.core.task import ArraySplit, Batch, Metric, Sealed, Task, batches


def _split(count: int = 7) -> ArraySplit:
    return ArraySplit({"x": np.arange(count, dtype=np.float32)[:, None]}, np.arange(count))


def test_take_returns_the_samples_asked_for_with_their_labels() -> None:
    batch = _split().take(np.array([5, 2]))
    assert batch.inputs["x"].ravel().tolist() == [5, 2]
    assert batch.targets is not None and batch.targets.tolist() == [5, 2]
    assert len(batch) == 2


def test_take_applies_the_transform_to_inputs_only() -> None:
    split = ArraySplit(
        {"x": np.full((3, 1), 255, np.uint8)}, transform=lambda inputs: {"x": inputs["x"] / 255}
    )
    assert split.take(np.arange(3)).inputs["x"].tolist() == [[1.0]] * 3
    assert not split.has_targets


@pytest.mark.parametrize(("size", "limit", "expected"), [(3, None, [3, 3, 1]), (3, 4, [3, 1]), (10, 99, [7])])
def test_batches_cover_the_split_in_order(size: int, limit: int | None, expected: list[int]) -> None:
    taken = list(batches(_split(), size, limit))
    assert [len(batch) for batch in taken] == expected
    values = np.concatenate([batch.inputs["x"].ravel() for batch in taken])
    assert values.tolist() == list(range(sum(expected)))


def test_test_split_opens_once_and_the_second_reader_is_told_who_came_first() -> None:
    split = _split()
    sealed = Sealed(split)
    assert len(sealed) == 7
    assert sealed.reader is None
    assert sealed.open("the final proof") is split
    with pytest.raises(RuntimeError, match=r"already read by the final proof; a search may not"):
        sealed.open("a search")
    with pytest.raises(RuntimeError):
        sealed.open("the final proof")


def test_main_metric_is_the_first_and_its_quantity_has_no_share_of_the_original() -> None:
    metrics = tuple(
        Metric(name, "points", Better.HIGHER, lambda outputs, _targets: outputs["y"]) for name in ("a", "b")
    )
    task = Task("two", None, _split(), Sealed(_split()), metrics)
    assert task.main_metric is metrics[0]
    assert not metrics[0].quantity.is_relative_allowed
    assert Task("none", None, _split(), Sealed(_split()), ()).main_metric is None


def test_batch_counts_samples_by_its_first_input() -> None:
    assert len(Batch({"x": np.zeros((4, 2))}, None)) == 4
