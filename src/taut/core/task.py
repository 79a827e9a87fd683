"""A Task: data in three splits, a loss, and the metrics by which a network is judged.

The train split feeds recovery, the select split every choice, the test split the final proof and nothing
else. The test split is sealed: it is read once through ``Sealed.open`` and a second reader is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from taut.core.quantities import Better, Quantity

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Inputs by graph input name, first axis samples; targets likewise, or None where there are none."""

    inputs: Arrays
    targets: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class Split(Protocol):
    """An indexable set of samples."""

    @property
    def has_targets(self) -> bool: ...

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> Batch:
        """Return the samples at the indices, ready to be fed (normalised, right dtype)."""
        ...


@dataclass(frozen=True)
class ArraySplit:
    """A split held in memory; ``transform`` makes stored samples (say uint8) ready to be fed."""

    arrays: Arrays
    labels: np.ndarray | None = None
    transform: Callable[[Arrays], Arrays] | None = None

    @property
    def has_targets(self) -> bool:
        return self.labels is not None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, indices: np.ndarray) -> Batch:
        inputs: Arrays = {name: array[indices] for name, array in self.arrays.items()}
        if self.transform is not None:
            inputs = self.transform(inputs)
        return Batch(inputs, None if self.labels is None else self.labels[indices])


def batches(split: Split, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
    """Yield the split in order, in batches of at most ``batch_size``, at most ``limit`` samples."""
    count = len(split) if limit is None else min(limit, len(split))
    for start in range(0, count, batch_size):
        yield split.take(np.arange(start, min(start + batch_size, count)))


@dataclass
class Sealed:
    """The test split behind a seal that breaks once."""

    split: Split
    reader: str | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.split)

    def open(self, reader: str) -> Split:
        """Return the split to its one reader, named so that a second one knows who came first."""
        if self.reader is not None:
            raise RuntimeError(f"the test split was already read by {self.reader}; {reader} may not read it")
        self.reader = reader
        return self.split


@dataclass(frozen=True)
class Metric:
    """A quality figure that is the mean of one number per sample."""

    name: str
    unit: str
    better: Better
    per_sample: Callable[[Arrays, np.ndarray | None], np.ndarray]
    """(outputs by name, targets) -> one float per sample, already in ``unit``"""

    @property
    def quantity(self) -> Quantity:
        return Quantity(self.name, self.unit, self.better, is_relative_allowed=False)


@dataclass(frozen=True)
class Task:
    """What a network is for. The first metric is the main one: it defines ``drop``, in its own unit.

    A task without targets has no metric of its own: quality is then fidelity to the original
    (``taut.tasks.fidelity``), and ``drop`` is refused.
    """

    name: str
    train: Split | None
    select: Split
    test: Sealed
    metrics: tuple[Metric, ...]
    loss: Callable[[Any, Any], Any] | None = None
    """(output tensors by name, target tensor) -> scalar tensor; torch, used only for training"""
    augment: Callable[[Arrays, np.random.Generator], Arrays] | None = None
    """Random change of a ready training batch"""
    chance: float | None = None
    """Value of the main metric that guessing reaches; a baseline at chance is refused"""
    is_random: bool = False
    """Made-up inputs: the verdict then reads ``quality unknown`` and calibrated moves are not offered"""
    digest: str = ""
    """Content hash of the data, part of every trial's key"""

    @property
    def main_metric(self) -> Metric | None:
        return self.metrics[0] if self.metrics else None
