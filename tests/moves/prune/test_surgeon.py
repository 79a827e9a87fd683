from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.moves.prune.prune_nets import run
from tests.moves.prune.toy_task import small_graph, toy_context

from taut.moves.prune.cut import Kept
from taut.moves.prune.groups import Channels, trace_channels
from taut.moves.prune.reconstruct import Moments, cut_and_refit, projection, readers, stored_moments
from taut.moves.prune.surgeon import _state, surgeon_scores


def _error(channels: Channels, moments: Moments, gone: list[int]) -> float:
    """Squared error of the first group's reader after removing units and refitting, over its power."""
    reader = next(reader for reader in readers(channels) if reader.node.name == "second")
    matrix = reader.matrix(channels.graph.constants[reader.weight])
    stays = np.repeat([unit not in gone for unit in range(8)], 9)
    change = projection(moments["second"], stays, has_bias=True) @ matrix[~stays]
    difference = np.zeros((73, 12))
    difference[np.append(stays, True)] = change
    difference[np.flatnonzero(~stays)] = -matrix[~stays]
    second = moments["second"].astype(np.float64)
    power = np.sum(np.append(matrix, np.zeros((1, 12)), axis=0) * (second[:, :-1] @ matrix))
    return float(np.sum(difference * (second @ difference)) / power)


def test_costs_are_the_errors_after_refitting(tmp_path: Path) -> None:
    channels = trace_channels(small_graph())
    moments = stored_moments(channels, toy_context(tmp_path))
    reader = next(reader for reader in readers(channels) if reader.node.name == "second")
    state = _state(channels, channels.by_name["first"], reader, moments)
    assert state is not None
    expected = [_error(channels, moments, [unit]) for unit in range(8)]
    np.testing.assert_allclose(state.costs(), expected, rtol=0.05)
    state.remove(2)
    expected = [_error(channels, moments, [2, unit]) - _error(channels, moments, [2]) for unit in range(8)]
    np.testing.assert_allclose(np.delete(state.costs(), 2), np.delete(expected, 2), rtol=0.1)


def test_unit_that_others_make_up_for_goes_first(tmp_path: Path) -> None:
    graph = small_graph()
    for name in ("first.weight", "bn.scale", "bn.bias", "bn.mean", "bn.var"):
        graph.constants[name][5] = graph.constants[name][2]
    channels = trace_channels(graph)
    scores = surgeon_scores(
        channels, channels.by_name["first"], stored_moments(channels, toy_context(tmp_path))
    )
    assert scores is not None
    assert int(scores.argmin()) in (2, 5)
    assert scores[[2, 5]].max() > 0


@pytest.mark.parametrize("count", [3, 5])
def test_units_chosen_by_the_surgeon_lose_less_than_those_by_norm(count: int, tmp_path: Path) -> None:
    channels = trace_channels(small_graph())
    moments = stored_moments(channels, toy_context(tmp_path))
    by_norm = np.argsort(np.abs(channels.graph.constants["first.weight"]).sum(axis=(1, 2, 3)))
    by_surgeon = surgeon_scores(channels, channels.by_name["first"], moments)
    assert by_surgeon is not None
    errors = [
        _error(channels, moments, sorted(order[: 8 - count].tolist()))
        for order in (by_norm, np.argsort(by_surgeon))
    ]
    assert errors[1] <= errors[0]
    assert np.isfinite(run(cut_and_refit(Kept.units(channels, {"first": [0, 1]}), moments))).all()
