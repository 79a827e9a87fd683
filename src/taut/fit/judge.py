"""Quality of an artifact: run it in its runtime on a split, compare with the original's own outputs.

Choices are made with a one-sided 95% margin: beside each figure stands its bound, under the name
``NAME_bound``, the value that the truth is on the good side of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taut.core.budget import Limit
from taut.core.quantities import Better, Quantity
from taut.core.task import Arrays, Task
from taut.tasks.drop import PairedDrop, paired_drop
from taut.tasks.items import Fed, by_sample
from taut.tasks.quality import quality_of
from taut.tasks.quality import summary as means_of

TWO_SIDED = 0.90
"""A two-sided 90% interval has one-sided 95% ends."""
Z_ONE_SIDED_95 = 1.645


@dataclass(frozen=True)
class Judge:
    """Compares the outputs of candidates with those of the original on the same items."""

    task: Task
    quantities: tuple[Quantity, ...]
    fed: Fed
    batch: int
    reference: Sequence[Arrays]
    """Outputs of the original, one entry per item"""

    def per_sample(self, runs: Sequence[Arrays]) -> dict[str, np.ndarray]:
        """One number per sample for every metric of the task and every measure of fidelity."""
        outputs, reference = by_sample(runs, self.batch), by_sample(self.reference, self.batch)
        return quality_of(self.task, outputs, self.fed.targets, reference)

    def quality(self, runs: Sequence[Arrays]) -> dict[str, float]:
        """Means with their bounds, and ``drop`` paired with the original where the task has labels."""
        per_sample = self.per_sample(runs)
        figures = means_of(per_sample)
        for quantity in self.quantities:
            if quantity.name in per_sample:
                figures[f"{quantity.name}_bound"] = _bound(per_sample[quantity.name], quantity)
        if self.task.main_metric is not None:
            drop = self.drop(per_sample)
            figures |= {"drop": drop.mean, "drop_bound": drop.high}
        return figures

    def drop(
        self, per_sample: Mapping[str, np.ndarray], limit: float = np.inf, confidence: float = TWO_SIDED
    ) -> PairedDrop:
        """Loss of the main metric against the original on the same samples."""
        metric = self.task.main_metric
        assert metric is not None, f"task {self.task.name} has no metric"
        original = self.per_sample(self.reference)[metric.name]
        return paired_drop(original, per_sample[metric.name], metric, limit, confidence)


def _bound(values: np.ndarray, quantity: Quantity) -> float:
    """The pessimistic one-sided 95% bound of a mean."""
    margin = Z_ONE_SIDED_95 * float(np.std(values)) / np.sqrt(max(1, len(values)))
    return float(np.mean(values)) + (margin if quantity.better is Better.LOWER else -margin)


def keeps(limit: Limit, quality: Mapping[str, float]) -> bool:
    """Whether a quality limit holds with its margin; the original's own drop of zero always does."""
    name = limit.quantity.name
    if name == "drop" and quality["cosine"] == 1.0 and quality["drop"] == 0.0:
        return limit.holds(0.0)
    return limit.holds(quality[f"{name}_bound"])
