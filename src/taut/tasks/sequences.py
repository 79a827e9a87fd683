"""Sequences for networks with recurrent state: samples in order, each sequence ``steps`` long.

A split of sequences is still a split of single steps, so whoever ignores state (range calibration, say)
gets inputs of the network's own shape; ``taut.tasks.items`` keeps the order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taut.core.task import Batch, Split


@dataclass(frozen=True)
class SequenceSplit:
    """Sample ``i`` is step ``i % steps`` of sequence ``i // steps``."""

    split: Split
    steps: int

    @property
    def has_targets(self) -> bool:
        return self.split.has_targets

    def __len__(self) -> int:
        return len(self.split)

    def take(self, indices: np.ndarray) -> Batch:
        return self.split.take(indices)


def steps_of(split: Split) -> int:
    """Length of the split's sequences; 1 where samples stand alone."""
    return split.steps if isinstance(split, SequenceSplit) else 1
