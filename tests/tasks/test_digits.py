"""The digits of scikit-learn, cut into three."""

from __future__ import annotations

import numpy as np

from taut.tasks.digits import digits


def test_digits_are_cut_60_20_20_without_overlap() -> None:
    task = digits()
    assert task.train is not None
    splits = (task.train, task.select, task.test.open("a test"))
    assert [len(split) for split in splits] == [1006, 539, 252]
    assert sum(len(split) for split in splits) == 1797
    batch = splits[0].take(np.arange(1006))
    assert batch.inputs["image"].shape == (1006, 1, 8, 8)
    assert batch.inputs["image"].dtype == np.float32
    assert batch.inputs["image"].min() == 0 and batch.inputs["image"].max() == 1
    assert batch.targets is not None
    assert np.bincount(batch.targets).min() > 80


def test_digits_are_the_same_every_time() -> None:
    first, second = digits(), digits()
    assert first.digest == second.digest and len(first.digest) == 64
    taken = [task.select.take(np.arange(539)).inputs["image"] for task in (first, second)]
    assert np.array_equal(*taken)
