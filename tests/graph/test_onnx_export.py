from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from small_nets import DTYPES, odd_graphs, onnx_dtype, parse, random_array, residual_net, run

from taut.core.errors import EnvironmentFailed
from taut.graph import Editor, Graph, Node, Value
from taut.graph.onnx_export import save_onnx, to_onnx
from taut.graph.onnx_import import from_onnx, load_onnx


@settings(max_examples=150, deadline=None)
@given(odd_graphs())
def test_to_onnx_loses_nothing_when_read_back(graph: Graph) -> None:
    again = from_onnx(onnx.ModelProto.FromString(to_onnx(graph).SerializeToString()))
    assert again.digest() == graph.digest()
    assert again.values == graph.values
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
    assert (again.name, again.metadata, again.opsets) == (graph.name, graph.metadata, graph.opsets)


def test_to_onnx_passes_the_checker_and_writes_known_types() -> None:
    edit = Editor(residual_net())
    edit.set_value(Value("c1", "float32", (1, 4, 8, 8)))
    model = to_onnx(edit.graph())
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.value_info] == ["c1"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_onnx_keeps_constants_of_every_type(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(onnx_dtype(dtype))
    graph = Graph(
        "typed",
        (),
        (Value("y", dtype, (2, 2)),),
        (Node("same", "Identity", ("x",), ("y",)),),
        {"x": array},
        opsets={"": 23},
    )
    model = to_onnx(graph)
    onnx.checker.check_model(model)
    kept = from_onnx(model).constants["x"]
    assert kept.dtype == array.dtype and kept.tobytes() == array.tobytes()


def test_to_onnx_writes_a_float_when_a_whole_number_stands_for_one() -> None:
    node = Node("leaky", "LeakyRelu", ("x",), ("y",), {"alpha": 1})
    value = Value("x", "float32", (2,))
    graph = Graph("leaky", (value,), (Value("y", "float32", (2,)),), (node,), {})
    onnx.checker.check_model(to_onnx(graph), full_check=True)
    np.testing.assert_array_equal(run(graph, x=np.float32([-1, 1]))["y"], [-1, 1])


def test_to_onnx_refuses_a_domain_without_opset_naming_the_node() -> None:
    node = Node("mine", "Custom", (), ("y",), {}, "my.domain")
    graph = Graph("custom", (), (Value("y", "float32", ()),), (node,), {})
    with pytest.raises(ValueError, match=r"'mine'.*'my.domain'.*require_opset"):
        to_onnx(graph)


def test_to_onnx_keeps_subgraphs_with_their_captures() -> None:
    graph = parse(
        """
        agraph (float[2] x, bool flag) => (float[2] y) {
            doubled = Add(x, x)
            y = If (flag) <
                then_branch = yes () => (float[2] t) { t = Neg(doubled) },
                else_branch = no () => (float[2] e) { e = Identity(doubled) }
            >
        }
        """
    )
    again = from_onnx(to_onnx(graph))
    assert again.digest() == graph.digest()
    x = random_array(2)
    np.testing.assert_array_equal(run(again, x=x, flag=np.array(True))["y"], -2 * x)
    np.testing.assert_array_equal(run(again, x=x, flag=np.array(False))["y"], 2 * x)


def test_digest_changes_with_an_opset_a_constant_and_an_attribute() -> None:
    graph = residual_net()
    edits = [Editor(graph) for _ in range(3)]
    edits[0].require_opset(21)
    edits[1].set_constant("fc.b", graph.constants["fc.b"] + 1)
    edits[2].change("flatten", attributes={"axis": 2})
    digests = {graph.digest(), *(edit.graph().digest() for edit in edits)}
    assert len(digests) == 4


def test_save_onnx_writes_a_file_that_loads_to_the_same_graph(tmp_path: Path) -> None:
    save_onnx(residual_net(), tmp_path / "net.onnx")
    assert load_onnx(tmp_path / "net.onnx").digest() == residual_net().digest()
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_save_onnx_leaves_the_old_file_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def fail(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self), None, len(content))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(EnvironmentFailed, match="No space left"):
        save_onnx(residual_net(), path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
