"""Elementary functions of our own, against double precision."""

from __future__ import annotations

import numpy as np
import pytest
from programs import TARGETS, needs_compiler, run_compiled
from scipy import special

from taut.kernels.expression import Load, apply
from taut.kernels.map import Map
from taut.kernels.target import Target
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.program import Program, Step

_WANTED = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "log": np.log,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "abs": np.abs,
}
_EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.624,
    0.626,
    3.99,
    4.01,
    87.0,
    88.7,
    89.5,
    -86.0,
    -100.0,
    1e-30,
    np.inf,
    -np.inf,
]


@needs_compiler
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("op", _WANTED)
def test_function_is_right_to_single_precision(op: str, target: Target) -> None:
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(-10, 10, 3000), random.uniform(-90, 90, 1000), _EDGES, [np.nan]])
    x = (np.abs(x) if op in ("log", "sqrt") else x).astype(np.float32)
    given = View.whole(Buffer(Storage.INPUT, "float32", len(x)), x.shape)
    made = View.whole(Buffer(Storage.OUTPUT, "float32", len(x)), x.shape)
    program = Program((Step(Map(made, apply(op, Load(given)))),), (given.buffer,), (made.buffer,))
    (computed,) = run_compiled(program, [x], target)
    with np.errstate(all="ignore"):
        wanted = _WANTED[op](x.astype(np.float64))
        expected = wanted.astype(np.float32)
    is_normal = np.isfinite(expected) & (np.abs(expected) > 1e-37)
    np.testing.assert_allclose(computed[is_normal], wanted[is_normal], rtol=5e-7)
    np.testing.assert_array_equal(computed[~np.isfinite(expected)], expected[~np.isfinite(expected)])
    assert (np.abs(computed[np.abs(expected) <= 1e-37]) <= 1.2e-37).all()


@needs_compiler
def test_floor_and_ceil_keep_what_is_whole() -> None:
    x = np.array([-2.0, -1.5, -0.5, 0.0, 0.5, 1.5, 2.0, 2.5, 3.5] * 3, np.float32)
    given = View.whole(Buffer(Storage.INPUT, "float32", len(x)), x.shape)
    for op, wanted in (("floor", np.floor), ("ceil", np.ceil), ("round", np.rint)):
        made = View.whole(Buffer(Storage.OUTPUT, "float32", len(x)), x.shape)
        program = Program((Step(Map(made, apply(op, Load(given)))),), (given.buffer,), (made.buffer,))
        np.testing.assert_array_equal(run_compiled(program, [x])[0], wanted(x))
