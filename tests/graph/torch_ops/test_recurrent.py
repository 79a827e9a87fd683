from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal

TIME, BATCH, INPUTS, HIDDEN = 5, 2, 3, 4
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


def layer(
    op: str, directions: int, biased: bool, layout: int = 0, stateful: bool = True
) -> list[np.ndarray | None]:
    """Inputs X, W, R, B, lengths and initial states."""
    rows = GATES[op] * HIDDEN
    x = normal(BATCH, TIME, INPUTS) if layout else normal(TIME, BATCH, INPUTS)
    state = (BATCH, directions, HIDDEN) if layout else (directions, BATCH, HIDDEN)
    states = [normal(*state, seed=seed) for seed in range(4, 6 if op == "LSTM" else 5)] if stateful else []
    bias = 0.5 * normal(directions, 2 * rows, seed=3) if biased else None
    weights = [0.5 * normal(directions, rows, size, seed=size) for size in (INPUTS, HIDDEN)]
    return [x, *weights, bias, None, *states]


@pytest.mark.parametrize("op", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("biased", "stateful"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("before_reset", [0, 1])
def test_recurrent_layer_agrees_with_onnxruntime(op, direction, biased, stateful, before_reset):
    inputs = layer(op, 2 if direction == "bidirectional" else 1, biased, stateful=stateful)
    settings = {"linear_before_reset": before_reset} if op == "GRU" else {}
    outputs = 3 if op == "LSTM" else 2
    places = (0, *range(5, len(inputs)))
    check(op, *inputs, outputs=outputs, flowing=places, hidden_size=HIDDEN, direction=direction, **settings)


def test_recurrent_layer_gives_the_last_state_alone():
    model_inputs = layer("GRU", 1, True)
    check("GRU", *model_inputs, outputs=1, hidden_size=HIDDEN, linear_before_reset=1)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("GRU", {"activations": ["Sigmoid", "Relu"]}), ("LSTM", {"input_forget": 1}), ("RNN", {"clip": 0.1})],
)
def test_unusual_recurrent_layer_stays_whole(op, attributes):
    check(op, *layer(op, 1, True), hidden_size=HIDDEN, is_opaque=True, **attributes)


def test_recurrent_layer_with_lengths_stays_whole():
    inputs = layer("GRU", 1, True)
    inputs[4] = np.array([5, 3], np.int32)
    check("GRU", *inputs, hidden_size=HIDDEN, is_opaque=True)
