"""Many samples of a network's inputs, whose first axis counts samples in one of two ways.

Either every sample has the input's whole shape, batch of one included ((100, 1, 3, 32, 32) for 1x3x32x32), or
the axis of samples stands in place of that batch ((100, 3, 32, 32)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Arrays
from taut.graph.ir import Value


class Samples:
    """Takes arrays apart into single runs and puts results back the way the arrays were."""

    def __init__(self, values: Sequence[Value], arrays: Arrays) -> None:
        self._arrays = arrays
        counts = {len(array) for array in arrays.values()}
        if len(counts) != 1 or counts == {0}:
            raise BadInput(
                "the inputs", f"have {sorted(counts)} samples", "give as many of each, at least one"
            )
        self._count = counts.pop()
        ranks = {value.name: len(value.shape or ()) for value in values}
        extra = {array.ndim - ranks.get(name, array.ndim) for name, array in arrays.items()}
        if extra not in ({0}, {1}):
            shapes = ", ".join(f"{value.name}: {value.shape}" for value in values)
            raise BadInput("the inputs", "are not samples of the network's", f"give samples of {shapes}")
        self._has_own_axis = extra == {1}

    def __len__(self) -> int:
        return self._count

    def one(self, index: int) -> dict[str, np.ndarray]:
        """Return a sample as the network takes it."""
        if self._has_own_axis:
            return {name: array[index] for name, array in self._arrays.items()}
        return {name: array[index : index + 1] for name, array in self._arrays.items()}

    def like_inputs(self, stacked: np.ndarray) -> np.ndarray:
        """Return values stacked over samples without the batch of one, where the inputs have none either."""
        has_unit_batch = stacked.ndim > 1 and stacked.shape[1] == 1
        return stacked if self._has_own_axis or not has_unit_batch else stacked[:, 0]

    def first_difference(self) -> tuple[int, int] | None:
        """Return two samples that differ; None where all are equal."""
        for index in range(1, self._count):
            if any(not np.array_equal(array[0], array[index]) for array in self._arrays.values()):
                return 0, index
        return None
