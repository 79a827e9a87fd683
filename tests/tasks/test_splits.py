from __future__ import annotations

import numpy as np

from taut.core.task import ArraySplit
from taut.tasks.splits import Subset


def test_subset_counts_and_takes_within_its_own_samples() -> None:
    whole = ArraySplit({"x": np.arange(10.0)}, np.arange(10))
    subset = Subset(whole, np.array([7, 2, 5]))
    batch = subset.take(np.array([2, 0]))
    assert len(subset) == 3 and subset.has_targets
    assert batch.inputs["x"].tolist() == [5.0, 7.0]
    assert batch.targets is not None and batch.targets.tolist() == [5, 7]
