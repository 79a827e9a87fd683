from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.moves.prune.prune_nets import run
from tests.moves.prune.toy_task import small_graph, toy_context

from taut.graph import Graph
from taut.moves.prune.cut import Kept
from taut.moves.prune.groups import trace_channels
from taut.moves.prune.in_order import cut_and_refit_in_order
from taut.moves.prune.reconstruct import cut_and_refit, stored_moments


def _outputs(graph: Graph) -> np.ndarray:
    return np.concatenate([run(graph, seed) for seed in range(30)])


def test_refitting_in_order_loses_less_than_from_the_originals_moments(tmp_path: Path) -> None:
    channels, context = trace_channels(small_graph()), toy_context(tmp_path)
    assert context.task.train is not None
    kept = Kept.units(channels, {"first": [0, 2, 5], "second": range(0, 12, 2)})
    wanted = _outputs(channels.graph)
    in_order = cut_and_refit_in_order(kept, context.task.train, 1)
    at_once = cut_and_refit(kept, stored_moments(channels, context))
    errors = [np.square(_outputs(graph) - wanted).sum() for graph in (in_order, at_once)]
    assert errors[0] < errors[1]


def test_both_ways_agree_when_nothing_before_the_reader_was_cut(tmp_path: Path) -> None:
    channels, context = trace_channels(small_graph()), toy_context(tmp_path)
    assert context.task.train is not None
    kept = Kept.units(channels, {"first": [0, 1, 2, 4, 6, 7]})
    in_order = cut_and_refit_in_order(kept, context.task.train, 1)
    at_once = cut_and_refit(kept, stored_moments(channels, context))
    np.testing.assert_allclose(
        in_order.constants["second.weight"], at_once.constants["second.weight"], rtol=1e-2, atol=1e-3
    )
