"""From splits to items and back: order, batches, sequences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.task import ArraySplit
from taut.tasks.items import by_sample, items_of
from taut.tasks.sequences import SequenceSplit


def _split(count: int) -> ArraySplit:
    return ArraySplit({"x": np.arange(count, dtype=np.float32)[:, None]}, np.arange(count))


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 40), st.sampled_from([1, 2, 3]))
def test_items_hold_whole_batches_in_an_order_that_targets_share(
    count: int, batch: int, limit: int, steps: int
) -> None:
    split = SequenceSplit(_split(count * steps), steps)
    fed = items_of(split, batch, limit)
    sequences = min(count * steps, limit) // steps
    assert len(fed.items) == sequences // batch * steps
    assert all(item.inputs["x"].shape == (batch, 1) for item in fed.items)
    values = [value for item in fed.items for value in item.inputs["x"].ravel()]
    assert (fed.targets is None) == (not fed.items)
    if fed.targets is not None:
        assert fed.targets.tolist() == values
    assert sorted(values) == list(range(len(values))), "nothing twice, nothing skipped"


def test_sequences_are_stepped_side_by_side_and_marked_at_their_start() -> None:
    fed = items_of(SequenceSplit(_split(12), 3), batch=2)
    assert [item.inputs["x"].ravel().tolist() for item in fed.items] == [
        [0, 3],
        [1, 4],
        [2, 5],
        [6, 9],
        [7, 10],
        [8, 11],
    ]
    assert [item.starts_sequence for item in fed.items] == [True, False, False] * 2


def test_samples_that_stand_alone_each_start_anew_and_may_lack_targets() -> None:
    fed = items_of(ArraySplit({"x": np.zeros((4, 1))}), limit=3)
    assert [item.starts_sequence for item in fed.items] == [True] * 3
    assert fed.targets is None


@pytest.mark.parametrize("batch", [1, 3])
def test_by_sample_undoes_the_batching(batch: int) -> None:
    fed = items_of(_split(6), batch)
    runs = [
        {"y": 2 * item.inputs["x"], "state": np.full((batch + 1, 2), step), "scalar": np.float32(step)}
        for step, item in enumerate(fed.items)
    ]
    samples = by_sample(runs, batch)
    assert len(samples) == 6
    assert [float(sample["y"][0, 0]) for sample in samples] == [0, 2, 4, 6, 8, 10]
    assert all(sample["y"].shape == (1, 1) and sample["state"].shape == (batch + 1, 2) for sample in samples)
    assert [float(sample["scalar"]) for sample in samples] == [index // batch for index in range(6)]
