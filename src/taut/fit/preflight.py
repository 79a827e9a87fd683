"""Before any search the original is exported, run twice, measured and judged: what cannot work stops here.

Refused with one line: outputs that are not finite or differ from run to run, a baseline at chance, a budget
on quality that the data cannot judge. Too little memory is said before the first candidate is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.network import Network
from taut.core.runner import Item
from taut.core.task import Arrays, Split, Task
from taut.fit.judge import Judge
from taut.fit.stopwatch import Stopwatch, stack_runs, unstack_runs
from taut.tasks.items import Fed, items_of
from taut.tasks.quality import quality_quantities, refuse_chance
from taut.tasks.sequences import steps_of

TIMED_ITEMS = 16
JUDGING_S = 10.0
"""Most time that one candidate's quality may take on the select split"""
LEAST_JUDGED = 32
MEMORY_COPIES = 8
"""Copies of the weights that a search may hold at once: original, candidates in a race, training"""


def timed_items(task: Task, batch: int) -> tuple[Item, ...]:
    """The first items of the select split, which every timing cycles through."""
    items = items_of(task.select, batch, whole_sequences(task.select, TIMED_ITEMS) * batch).items
    if not items:
        raise BadInput(
            f"data {task.name}", f"has fewer than {batch} samples to select on", "give more samples"
        )
    return items[:TIMED_ITEMS]


def whole_sequences(split: Split, samples: int) -> int:
    """The samples rounded up to whole sequences, which are not cut apart."""
    steps = steps_of(split)
    return -(-samples // steps) * steps


def judged(split: Split, batch: int, p50_ms: float) -> Fed:
    """As many samples of a split as a candidate can be judged on in time."""
    affordable = int(JUDGING_S * 1000 / max(p50_ms, 1e-3))  # 1e-3: faster than any clock here
    return items_of(split, batch, whole_sequences(split, max(LEAST_JUDGED, affordable)) * batch)


def check_memory(network: Network) -> None:
    """Raise EnvironmentFailed where the weights alone would not fit as often as a search holds them."""
    weights = sum(array.nbytes for array in network.graph.constants.values())
    needed, free = MEMORY_COPIES * weights, psutil.virtual_memory().available
    if needed > free:
        raise EnvironmentFailed(
            f"{network.name} with {weights / 2**20:.0f} MiB of weights",
            f"a search holds about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free",
            "free memory or use a larger machine",
        )


def check_outputs(stopwatch: Stopwatch, items: Sequence[Item]) -> int:
    """Return how many items ran; BadInput where outputs are not finite or not the same twice."""
    first, second = (stopwatch.outputs(stopwatch.original, items) for _ in range(2))
    for number, (once, again) in enumerate(zip(first, second, strict=True)):
        for name, output in once.items():
            _check_finite(name, number, output)
            if not np.allclose(output, again[name], rtol=1e-4, atol=1e-5, equal_nan=True):
                raise BadInput(
                    f"output {name!r}",
                    f"differs between two runs of sample {number}",
                    "remove its random operators",
                )
    return len(first)


def _check_finite(name: str, number: int, output: np.ndarray) -> None:
    if np.issubdtype(output.dtype, np.floating) and np.isnan(output).any():
        raise BadInput(
            f"output {name!r}", f"is NaN on sample {number}", "check the inputs' scale, or the network"
        )


@dataclass(frozen=True)
class Reference:
    """Outputs of the original on a split, kept on disk so that a resumed run judges by the same ones."""

    file: Path

    def outputs(self, stopwatch: Stopwatch, items: Sequence[Item]) -> list[dict[str, np.ndarray]]:
        if self.file.exists():
            with np.load(self.file, allow_pickle=False) as stored:
                kept: Mapping[str, np.ndarray] = dict(stored)
            runs = unstack_runs(kept)
            if len(runs) == len(items):
                return runs
        runs = stopwatch.outputs(stopwatch.original, items)
        partial = self.file.with_suffix(".partial.npz")
        np.savez(partial, allow_pickle=False, **stack_runs(runs))
        partial.replace(self.file)
        return runs


def make_judge(task: Task, network: Network, fed: Fed, batch: int, reference: Sequence[Arrays]) -> Judge:
    """Build the judge of the select split; BadInput where the original is at chance."""
    judge = Judge(task, quality_quantities(task, network.graph.outputs), fed, batch, reference)
    if task.main_metric is not None:
        refuse_chance(task, judge.per_sample(reference)[task.main_metric.name])
    return judge
