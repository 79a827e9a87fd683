"""Graphs of which onnxruntime computes a part: divided, handed over, placed and priced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx.helper
import pytest
from programs import needs_compiler

from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.runtimes import get_runtime
from taut.runtimes.aot.segments import segmented
from taut.runtimes.aot.session import Session

STAGE = Stage("aot")
SHAPE = (2, 6)


def _node(op: str, inputs: str, output: str) -> Node:
    return Node(output, op, tuple(inputs.split()), (output,))


def _foreign(source: str, output: str) -> Node:
    """An operator of onnxruntime's own."""
    return Node(output, "QuickGelu", (source,), (output,), domain="com.microsoft")


def _branch(source: str, output: str) -> Node:
    """An operator that reads its input from within a subgraph."""
    made = onnx.helper.make_tensor_value_info("inner", 1, SHAPE)
    branches = {
        branch: onnx.helper.make_graph([onnx.helper.make_node(op, [source], ["inner"])], branch, [], [made])
        for branch, op in (("then_branch", "Exp"), ("else_branch", "Neg"))
    }
    return Node(output, "If", ("is_wanted",), (output,), branches)


def _graph(nodes: Sequence[Node], *outputs: Value) -> Graph:
    random = np.random.default_rng(0)
    constants = {
        "w": random.standard_normal((6, 6)).astype(np.float32),
        "is_wanted": np.array(True),
        "boxes": np.array([[0, 0, 1, 1], [0, 0, 1, 1.1], [5, 5, 6, 6]], np.float32)[None],
        "rows": np.array([4, 3], np.int64),
        "first_axis": np.array([0], np.int64),
        "most": np.array(3, np.int64),
        "overlap": np.array(0.5, np.float32),
    }
    read = {name for node in nodes for name in node.inputs}
    return with_shapes(
        Graph(
            "net",
            (Value("x", "float32", SHAPE),),
            outputs or (Value("y", "float32", SHAPE),),
            tuple(nodes),
            {name: array for name, array in constants.items() if name in read},
            opsets={"": 17, "com.microsoft": 1},
        )
    )


def _item(seed: int = 0) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)}


def _opened(runtime: str, graph: Graph, folder: Path, threads: int = 1) -> Session:
    used, stem = get_runtime(runtime), f"{runtime}_{graph.name}"
    return used.open(folder, used.save(graph, Stage(runtime), folder, stem), Stage(runtime), threads)  # type: ignore[return-value]


def _assert_alike(made: Arrays, wanted: Arrays) -> None:
    assert made.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (made[name].dtype, made[name].shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(made[name], array, rtol=1e-5, atol=1e-5)


IN_THE_MIDDLE = [_node("MatMul", "x w", "a"), _foreign("a", "b"), _node("MatMul", "b w", "y")]
GRAPHS = {
    "middle": (IN_THE_MIDDLE, "aot onnxruntime aot"),
    "start": ([_foreign("x", "a"), _node("MatMul", "a w", "y")], "onnxruntime aot"),
    "end": ([_node("MatMul", "x w", "a"), _foreign("a", "y")], "aot onnxruntime"),
    "neighbours": (
        [_node("Exp", "x", "a"), _foreign("a", "b"), _foreign("b", "c"), _node("Neg", "c", "y")],
        "aot onnxruntime aot",
    ),
    "two_apart": (
        [_foreign("x", "a"), _node("MatMul", "a w", "b"), _foreign("b", "c"), _node("MatMul", "c w", "y")],
        "onnxruntime aot onnxruntime aot",
    ),
    # Both foreign nodes can run once a is there, though one is listed behind what reads the other.
    "side_by_side": (
        [
            _node("Exp", "x", "a"),
            _foreign("a", "b"),
            _node("Neg", "b", "c"),
            _foreign("a", "d"),
            _node("Add", "c d", "y"),
        ],
        "aot onnxruntime aot",
    ),
    "many_readers": (
        [
            _node("MatMul", "x w", "a"),
            _foreign("a", "b"),
            _node("Add", "a b", "c"),
            _foreign("b", "d"),
            _node("Mul", "c d", "e"),
            _node("Sub", "e a", "f"),
            _node("Add", "f x", "y"),
        ],
        "aot onnxruntime aot",
    ),
    "subgraph": (
        [_node("MatMul", "x w", "a"), _branch("a", "b"), _node("Neg", "b", "y")],
        "aot onnxruntime aot",
    ),
    "all_ours": ([_node("MatMul", "x w", "a"), _node("Neg", "a", "y")], "aot"),
}


@pytest.fixture(params=GRAPHS, ids=str)
def case(request: pytest.FixtureRequest) -> tuple[Graph, list[str]]:
    nodes, sides = GRAPHS[request.param]
    return _graph(nodes), sides.split()


def _side_of(node: Node) -> str:
    return "onnxruntime" if node.domain or node.op in ("If", "NonZero", "NonMaxSuppression") else "aot"


def test_segments_are_as_few_as_sides_change(case: tuple[Graph, list[str]]) -> None:
    graph, sides = case
    segments = segmented(graph, "float32")
    assert ["aot" if segment.program else "onnxruntime" for segment in segments] == sides


@needs_compiler
def test_outputs_equal_those_of_onnxruntime_alone(case: tuple[Graph, list[str]], tmp_path: Path) -> None:
    graph, _ = case
    whole, parts = (_opened(runtime, graph, tmp_path) for runtime in ("onnxruntime", "aot"))
    for seed in range(3):
        _assert_alike(parts.run(_item(seed)), whole.run(_item(seed)))


@needs_compiler
def test_every_node_is_placed_on_its_side(case: tuple[Graph, list[str]], tmp_path: Path) -> None:
    graph, _ = case
    placed = [(one.node, one.where) for one in _opened("aot", graph, tmp_path).placement()]
    assert placed == [(node.name, _side_of(node)) for node in graph]


@needs_compiler
def test_profile_lists_foreign_segments_and_boundaries(case: tuple[Graph, list[str]], tmp_path: Path) -> None:
    graph, sides = case
    aot = get_runtime("aot")
    times = aot.profile(tmp_path, aot.save(graph, STAGE, tmp_path, "main"), STAGE, 1, [_item()] * 3)
    boundaries = [time for time in times if time.kernel.startswith("boundary")]
    assert len(boundaries) == len(sides) - 1
    assert all(time.latency_ms > 0 and not time.nodes for time in boundaries)
    foreign = {name for time in times if time.kernel == "onnxruntime" for name in time.nodes}
    assert foreign == {node.name for node in graph if _side_of(node) == "onnxruntime"}


@needs_compiler
def test_boundary_says_what_is_handed_over(tmp_path: Path) -> None:
    aot, graph = get_runtime("aot"), _graph(IN_THE_MIDDLE)
    times = aot.profile(tmp_path, aot.save(graph, STAGE, tmp_path, "main"), STAGE, 1, [_item()])
    assert [time.kernel for time in times if not time.nodes] == [
        "boundary aot -> onnxruntime: 48 bytes in a",
        "boundary onnxruntime -> aot: 48 bytes in b",
    ]


@needs_compiler
def test_output_may_be_read_by_the_other_side(tmp_path: Path) -> None:
    outputs = [Value(name, "float32", SHAPE) for name in ("a", "b", "y")]
    graph = _graph(IN_THE_MIDDLE, *outputs)
    whole, parts = (_opened(runtime, graph, tmp_path) for runtime in ("onnxruntime", "aot"))
    _assert_alike(parts.run(_item()), whole.run(_item()))


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_sizes_that_depend_on_data_are_onnxruntimes_own(threads: int, tmp_path: Path) -> None:
    """Made by one of its segments, read by a later one, and an output; another size for each item."""
    nodes = [
        _node("Neg", "x", "a"),
        _node("Relu", "a", "positive"),
        _node("NonZero", "positive", "places"),
        _foreign("a", "b"),
        _node("Exp", "b", "c"),
        _foreign("c", "y"),
        _node("Transpose", "places", "turned"),
        _node("GatherND", "y turned", "picked"),
    ]
    outputs = Value("picked", "float32", ("n",)), Value("places", "int64", (2, "n"))
    graph = _graph(nodes, *outputs, Value("y", "float32", SHAPE))
    whole = _opened("onnxruntime", graph, tmp_path)
    parts = _opened("aot", graph, tmp_path, threads)
    sizes = set()
    for seed in range(5):
        wanted = whole.run(_item(seed))
        sizes.add(wanted["picked"].size)
        _assert_alike(parts.run(_item(seed)), wanted)
    assert len(sizes) > 1


@needs_compiler
def test_boxes_are_suppressed_at_the_end(tmp_path: Path) -> None:
    nodes = [
        _node("Exp", "x", "a"),
        _node("Reshape", "a rows", "b"),
        Node("best", "ReduceMax", ("b",), ("best",), {"axes": [0]}),
        _node("Unsqueeze", "best first_axis", "scores"),
        _node("NonMaxSuppression", "boxes scores most overlap", "kept"),
    ]
    graph = _graph(nodes, Value("kept", "int64", ("n", 3)))
    whole, parts = (_opened(runtime, graph, tmp_path) for runtime in ("onnxruntime", "aot"))
    wanted = whole.run(_item())
    assert wanted["kept"].shape == (2, 3)
    _assert_alike(parts.run(_item()), wanted)


def test_graph_of_which_nothing_is_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no kernel computes QuickGelu 'y'"):
        get_runtime("aot").save(_graph([_foreign("x", "y")]), STAGE, tmp_path, "main")


def test_node_that_only_its_rule_refuses_is_onnxruntimes() -> None:
    """CumSum has a rule, which refuses an axis that is not constant."""
    nodes = [
        _node("Exp", "x", "a"),
        Node("highest", "ReduceMax", ("a",), ("highest",), {"axes": [1], "keepdims": 0}),
        Node("axis", "ArgMax", ("highest",), ("axis",), {"axis": 0, "keepdims": 0}),
        _node("CumSum", "a axis", "y"),
    ]
    segments = segmented(_graph(nodes), "float32")
    foreign = [node.op for segment in segments if not segment.program for node in segment.graph]
    assert foreign == ["CumSum"]
