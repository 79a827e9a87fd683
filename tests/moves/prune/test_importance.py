from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.prune_nets import with_zeros
from tests.moves.prune.toy_task import small_graph, toy_context, toy_task

from taut.graph import Graph
from taut.graph.to_torch import to_torch
from taut.moves.prune.groups import Channels, Group, trace_channels
from taut.moves.prune.importance import Importance, best_units, taylor_scores, unit_scores


def _with_silent_unit(unit: int) -> Channels:
    """Channels of the small net in which one unit of the first group is never anything but zero."""
    channels = trace_channels(small_graph())
    return with_zeros(channels, {"first": {unit}})


@pytest.mark.parametrize(
    "importance", [importance for importance in Importance if importance is not Importance.L1_INPUTS]
)
@pytest.mark.parametrize("has_labels", [True, False])
def test_unit_that_is_always_zero_matters_least(
    importance: Importance, has_labels: bool, tmp_path: Path
) -> None:
    scores = unit_scores(_with_silent_unit(3), importance, toy_context(tmp_path, has_labels=has_labels))
    assert scores["first"].argmin() == 3
    assert (np.delete(scores["first"], 3) > scores["first"][3]).all()


def test_l1_of_inputs_ranks_by_what_reads_the_channel(tmp_path: Path) -> None:
    channels = trace_channels(small_graph())
    expected = np.abs(channels.graph.constants["second.weight"]).sum(axis=(0, 2, 3))
    scores = unit_scores(channels, Importance.L1_INPUTS, toy_context(tmp_path))
    np.testing.assert_array_equal(np.argsort(scores["first"]), np.argsort(expected))


def test_taylor_scores_equal_finite_differences_of_the_loss() -> None:
    graph, task = small_graph(), toy_task(samples=32)
    assert task.loss is not None and task.train is not None
    expected = np.array([_slope(graph, unit) ** 2 for unit in range(8)])
    scores = taylor_scores(trace_channels(graph), task)
    np.testing.assert_allclose(scores["first"], expected, rtol=0.05, atol=1e-7)


def _slope(graph: Graph, unit: int, step: float = 1e-4) -> float:
    """Change of the loss per relative change of batch norm's factor and offset of one unit."""
    import torch

    task = toy_task(samples=32)
    assert task.loss is not None and task.train is not None
    batch = task.train.take(np.arange(32))
    losses = []
    for scale in (1 + step, 1 - step):
        module = to_torch(graph).double()
        with torch.no_grad():
            for name in ("bn.scale", "bn.bias"):
                module.weights[name][unit] *= scale
            outputs = module(torch.from_numpy(batch.inputs["image"]).double())
        losses.append(float(task.loss(outputs, torch.from_numpy(batch.targets))))
    return (losses[0] - losses[1]) / (2 * step)


def test_taylor_scores_are_read_back_from_the_work_folder(tmp_path: Path) -> None:
    channels, context = trace_channels(small_graph()), toy_context(tmp_path)
    first = unit_scores(channels, Importance.TAYLOR, context)
    (file,) = tmp_path.glob("*.npz")
    written = file.stat().st_mtime_ns
    again = unit_scores(channels, Importance.TAYLOR, context)
    assert file.stat().st_mtime_ns == written
    assert {name: score.tolist() for name, score in first.items()} == {
        name: score.tolist() for name, score in again.items()
    }


def test_best_units_leave_one_of_every_set_that_must_not_vanish() -> None:
    group = Group("g", 6, (), subsets=((0, 1), (4, 5)))
    scores = np.array([0.0, 0.1, 9.0, 8.0, 0.3, 0.2])
    assert best_units(group, scores, 3) == [1, 2, 4]
    assert best_units(group, scores, 1) == [1, 4]
