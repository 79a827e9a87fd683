"""From a split to what a Runner is fed, and from its outputs back to single samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taut.core.runner import Item
from taut.core.task import Arrays, Split
from taut.tasks.sequences import steps_of


@dataclass(frozen=True)
class Fed:
    """Items to run, and the targets of their samples in the same order (None: no labels)."""

    items: tuple[Item, ...]
    targets: np.ndarray | None


def items_of(split: Split, batch: int = 1, limit: int | None = None) -> Fed:
    """Return the split's samples in order as items of ``batch`` samples each, at most ``limit`` samples.

    Every sample starts a sequence of its own, or the split's sequences are stepped, ``batch`` of them side
    by side. Samples that do not fill the last item are left out.
    """
    steps = steps_of(split)
    count = len(split) if limit is None else min(limit, len(split))
    items, targets = [], []
    for first in range(0, count // steps - batch + 1, batch):
        starts = np.arange(first, first + batch) * steps
        for step in range(steps):
            taken = split.take(starts + step)
            items.append(Item(taken.inputs, starts_sequence=step == 0))
            targets.append(taken.targets)
    labels = [target for target in targets if target is not None]
    return Fed(tuple(items), np.concatenate(labels) if labels else None)


def by_sample(runs: Sequence[Arrays], batch: int) -> list[Arrays]:
    """Cut the outputs of runs of ``batch`` samples into one entry per sample, first axis 1.

    An output without an axis of ``batch`` samples counts whole for each of them.
    """
    if batch == 1:
        return list(runs)
    return [
        {name: _sample(output, index, batch) for name, output in run.items()}
        for run in runs
        for index in range(batch)
    ]


def _sample(output: np.ndarray, index: int, batch: int) -> np.ndarray:
    has_samples = output.ndim > 0 and output.shape[0] == batch
    return output[index : index + 1] if has_samples else output
