from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.moves.quantize.quantize_nets import context_in, residual_net

from taut.core.task import ArraySplit, Sealed, Task
from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.moves.quantize import calibrate
from taut.moves.quantize.calibrate import activation_histograms, candidate_values


def test_candidates_are_inputs_and_results_of_whatever_can_be_quantized() -> None:
    wanted = ("image", "relu1_out", "clip_out", "conv2_out", "add_out", "pool_out", "relu3_out", "mean_out")
    assert candidate_values(residual_net()) == (*wanted, "flatten_out", "classifier_out")


def test_histograms_do_not_depend_on_how_the_work_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = activation_histograms(residual_net(), context_in(tmp_path / "whole"), 24)
    monkeypatch.setattr(calibrate, "_CHUNK_BYTES", 5000)
    cut = activation_histograms(residual_net(), context_in(tmp_path / "cut"), 24)
    for name, histogram in whole.items():
        assert cut[name].counts.sum() == histogram.counts.sum()
        np.testing.assert_allclose(cut[name].maximum, histogram.maximum, rtol=1e-5)


def test_only_as_many_samples_as_asked_are_read(tmp_path: Path) -> None:
    histograms = activation_histograms(residual_net(), context_in(tmp_path), 5)
    assert histograms["image"].counts.sum() == 5 * 4 * 8 * 8


def test_the_select_split_serves_where_there_is_no_train_split(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    histograms = activation_histograms(
        residual_net(), replace(context, task=replace(context.task, train=None)), 100
    )
    assert histograms["image"].counts.sum() == 8 * 4 * 8 * 8


def test_recurrent_state_is_carried_from_sample_to_sample(tmp_path: Path) -> None:
    """state' = state + x, of which sample after sample is 1: the states are 0, 1, 2."""
    x, state = Value("x", "float32", (1, 2)), Value("state", "float32", (1, 2))
    nodes = (Node("add", "Add", ("x", "state"), ("next",)),)
    graph = with_shapes(Graph("counter", (x, state), (Value("next", "float32", None),), nodes, {}))
    split = ArraySplit({"x": np.ones((3, 2), np.float32)})
    task = Task("ones", split, split, Sealed(split), (), digest="ones")
    context = replace(context_in(tmp_path), task=task)
    histograms = activation_histograms(graph, context, 3, {"next": "state"})
    assert (histograms["state"].minimum, histograms["state"].maximum) == (0.0, 2.0)
    assert histograms["next"].maximum == 3.0
