from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.moves.quantize.quantize_nets import (
    Sketch,
    concat_net,
    context_in,
    images,
    mixed_net,
    network_of,
    residual_net,
    swish_net,
)

from taut.core.errors import BadInput
from taut.graph import Graph
from taut.graph.onnx_export import to_onnx
from taut.moves.quantize import fixed_point, integer_kernels
from taut.moves.quantize.integer import compile_integer
from taut.moves.quantize.placement import quantizable_nodes
from taut.moves.quantize.prepare import prepare
from taut.moves.quantize.static_int8 import StaticInt8


def quantized(graph: Graph, folder: Path, **settings: Any) -> Graph:
    prepared, _ = prepare(graph, "integer")
    move = StaticInt8(quantizable_nodes(prepared, "integer"), "integer", **settings)
    quantized_graph: Graph = move.apply(network_of(graph), context_in(folder)).network.graph
    return quantized_graph


def simulated(graph: Graph, batch: np.ndarray) -> np.ndarray:
    """The QDQ graph in floats, nothing fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString(), options)
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in batch])


def steps_apart(graph: Graph, batch: np.ndarray) -> np.ndarray:
    program = compile_integer(graph)
    (output,) = program.outputs.values()
    codes = program.execute(program.encode({"image": batch}))
    (got,) = program.decode(codes).values()
    return np.abs(got - simulated(graph, batch)) / output.scale


@pytest.mark.parametrize("make", [residual_net, concat_net, mixed_net, swish_net])
@pytest.mark.parametrize("settings", [{}, {"weight_bits": 4}, {"is_per_channel": False}])
def test_engine_reproduces_the_simulated_graph_within_a_step(
    make: Callable[[], Graph], settings: dict[str, Any], tmp_path: Path
) -> None:
    apart = steps_apart(quantized(make(), tmp_path, **settings), images(40, seed=7))
    assert np.mean(apart <= 1.01) >= 0.999


@pytest.mark.parametrize("make", [residual_net, concat_net, mixed_net, swish_net])
def test_every_intermediate_is_an_integer(
    make: Callable[[], Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = compile_integer(quantized(make(), tmp_path))
    codes = program.encode({"image": images(2)})
    for module in (fixed_point, integer_kernels):
        monkeypatch.setattr(module, "np", WatchedNumpy(np))
    before = WATCH.seen
    outputs = program.execute({name: array.view(WatchedArray) for name, array in codes.items()})
    assert WATCH.seen - before > 10 * len(program.steps)
    assert all(array.dtype.kind in "iu" for array in outputs.values())


def test_the_scan_catches_a_float_multiplier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_kernels, "np", WatchedNumpy(np))
    with pytest.raises(AssertionError, match="float"):
        np.array([1, 2, 3]).view(WatchedArray) * 0.5
    with pytest.raises(AssertionError, match="float"):
        integer_kernels.np.sqrt(np.array([4, 9]))


def test_padding_is_the_zero_point() -> None:
    window = integer_kernels.Window((3, 3), pads=(1, 1, 1, 1))
    patches = window.patches(np.full((1, 1, 2, 2), 7, np.uint8), padding=128)
    assert patches[0, 0, 0, 0].tolist() == [[128, 128, 128], [128, 7, 7], [128, 7, 7]]


def test_integer_matmul_equals_the_product_of_what_the_codes_mean() -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (3, 5, 40)).astype(np.uint8)
    right = rng.integers(-128, 128, (3, 40, 6)).astype(np.int8)
    wanted = (left.astype(np.int64) - 131) @ (right.astype(np.int64) + 9)
    assert np.array_equal(integer_kernels.integer_matmul(left, right, 131, -9), wanted)


def test_a_node_that_ends_in_floats_is_named(tmp_path: Path) -> None:
    graph = residual_net()
    move = StaticInt8(("conv1", "depthwise"))
    partly = move.apply(network_of(graph), context_in(tmp_path)).network.graph
    with pytest.raises(BadInput, match="'conv2'"):
        compile_integer(partly)


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    sketch = Sketch()
    graph = sketch.graph(sketch.node("softmax", "Softmax", (sketch.conv("conv", "image", (4, 4)),)))
    with pytest.raises(BadInput, match=r"softmax.*no Softmax"):
        compile_integer(quantized(graph, tmp_path))


class Watch:
    """Counts the arrays that were looked at and fails at the first float."""

    seen = 0

    def check(self, value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            self.seen += 1
            assert value.dtype.kind in "iub", f"a float came up: {value.dtype}"
        return value.view(WatchedArray) if isinstance(value, np.ndarray) else value


WATCH = Watch()


class WatchedArray(np.ndarray):
    """An array that has every result of what is done with it looked at."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        if "out" in settings:
            settings["out"] = tuple(_plain(item) for item in settings["out"])
        return WATCH.check(getattr(ufunc, method)(*map(_plain, inputs), **settings))


def _plain(item: Any) -> Any:
    return item.view(np.ndarray) if isinstance(item, np.ndarray) else item


class WatchedNumpy:
    """numpy, every result of which is looked at."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return WatchedNumpy(found)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *inputs, **settings: WATCH.check(found(*inputs, **settings))
