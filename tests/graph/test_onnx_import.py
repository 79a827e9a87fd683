from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_nets import random_array, residual_net, run

from taut.core.errors import BadInput
from taut.graph.onnx_export import save_onnx, to_onnx
from taut.graph.onnx_import import from_onnx, load_onnx


def _zip_of(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"content")
    return content.getvalue()


_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is no model\n" * 10, "is not an ONNX file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not an ONNX file"),
    "pickle": (pickle.dumps({"weight": [1.0]}), "pickled checkpoint refused"),
    "torch checkpoint": (_zip_of("archive/data.pkl"), "pickled checkpoint refused"),
    "zip": (_zip_of("readme.txt"), "is a zip archive"),
    "damaged zip": (_zip_of("readme.txt")[:-9], "is a zip archive"),
    "no graph": (onnx.ModelProto(ir_version=9).SerializeToString(), "has no graph"),
}


@pytest.mark.parametrize(("content", "rule"), _FILES.values(), ids=_FILES.keys())
def test_load_onnx_refuses_what_is_no_model(content: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rule) as raised:
        load_onnx(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_load_onnx_names_the_safe_way_when_it_refuses_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(BadInput, match=r"export it to ONNX or save as \.pt2/safetensors"):
        load_onnx(path)


def test_load_onnx_refuses_a_missing_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    rules = {"missing.onnx": "does not exist", ".": "is a folder", "pipe.onnx": "not a regular file"}
    for name, rule in rules.items():
        with pytest.raises(BadInput, match=rule):
            load_onnx(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_load_onnx_refuses_a_truncated_file(share: float, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save_onnx(residual_net(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadInput, match="truncated"):
        load_onnx(path)


def test_load_onnx_refuses_a_file_cut_off_between_graph_and_opsets(tmp_path: Path) -> None:
    model = to_onnx(residual_net())
    del model.opset_import[:]
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match="names no opset, so it was cut off"):
        load_onnx(tmp_path / "net.onnx")


def test_load_onnx_refuses_a_file_above_the_size_bound(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)  # sparse: takes no room on the disk
    with pytest.raises(BadInput, match="the bound is 2 GiB"):
        load_onnx(path)


def _model(*nodes: onnx.NodeProto, **fields: object) -> onnx.ModelProto:
    """A model from x to y, both float[2], of the given nodes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph(list(nodes), "made", [x], [y], **fields)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def _with_external(location: str, *, offset: int = 0, length: int = 24, size: int = 6) -> onnx.ModelProto:
    """x + weight, where the weight of `size` floats lies in another file."""
    model = _model(helper.make_node("Add", ["x", "weight"], ["y"]))
    model.graph.initializer.append(TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[size]))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(offset), "length": str(length)}
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
    return model


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_load_onnx_reads_external_data_inside_its_folder(tmp_path: Path) -> None:
    weight = random_array(6)
    path = _saved(_with_external("data/weights.bin", offset=8), tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights.bin").write_bytes(b"8 bytes!" + weight.tobytes())
    graph = load_onnx(path)
    np.testing.assert_array_equal(graph.constants["weight"], weight)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "sub/../../secret.bin", "{outside}/secret.bin", "link.bin"]
)
def test_load_onnx_refuses_external_data_outside_its_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    path = _saved(_with_external(location.format(outside=tmp_path)), tmp_path / "model")
    (tmp_path / "model/sub").mkdir()
    (tmp_path / "model/link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(BadInput, match="external data outside its folder"):
        load_onnx(path)


_BAD_EXTERNAL: dict[str, tuple[onnx.ModelProto, str]] = {
    "missing": (_with_external("other.bin"), "'other.bin', which is missing"),
    "no location": (_with_external(""), "without a location"),
    "beyond the end": (_with_external("weights.bin", offset=8), "beyond the end"),
    "wrong length": (_with_external("weights.bin", length=20), "20 bytes of external data.*needs 24"),
    "above the bound": (_with_external("weights.bin", size=2**30), "the bound is 2 GiB"),
}


@pytest.mark.parametrize(("model", "rule"), _BAD_EXTERNAL.values(), ids=_BAD_EXTERNAL.keys())
def test_load_onnx_refuses_bad_external_data(model: onnx.ModelProto, rule: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    with pytest.raises(BadInput, match=rule):
        load_onnx(_saved(model, tmp_path))


def test_from_onnx_refuses_external_data_when_no_folder_is_given() -> None:
    with pytest.raises(BadInput, match="without its folder"):
        from_onnx(_with_external("weights.bin"))


def test_from_onnx_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    model = _with_external("weights.bin")
    before = model.SerializeToString(deterministic=True)
    from_onnx(model, tmp_path)
    assert model.SerializeToString(deterministic=True) == before


def _twice(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.initializer.extend([numpy_helper.from_array(np.float32([1, 2]), "w")] * 2)
    return model


_INVALID: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "value made twice": (
        lambda: _model(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])),
        "defines the value 'y' more than once",
    ),
    "initialiser twice": (
        lambda: _twice(_model(helper.make_node("Relu", ["x"], ["y"]))),
        "'w' more than once",
    ),
    "cycle": (
        lambda: _model(helper.make_node("Add", ["x", "b"], ["y"]), helper.make_node("Neg", ["y"], ["b"])),
        "a cycle goes through or leads to node 'Add_0'",
    ),
    "undefined": (
        lambda: _model(helper.make_node("Add", ["x", "ghost"], ["y"], name="sum")),
        "node 'sum' reads 'ghost', which nothing makes",
    ),
    "output unmade": (lambda: _model(helper.make_node("Relu", ["x"], ["z"])), "nothing makes its output 'y'"),
}


@pytest.mark.parametrize(("make", "rule"), _INVALID.values(), ids=_INVALID.keys())
def test_from_onnx_refuses_an_invalid_graph(make: Callable[[], onnx.ModelProto], rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        from_onnx(make())


def test_from_onnx_refuses_a_tensor_whose_content_does_not_fit_its_shape() -> None:
    model = _model(helper.make_node("Add", ["x", "w"], ["y"]))
    model.graph.initializer.append(TensorProto(name="w", dims=[10**12], data_type=1, raw_data=bytes(8)))
    with pytest.raises(BadInput, match="is not valid ONNX"):
        from_onnx(model)


def test_from_onnx_refuses_a_sequence_at_the_boundary() -> None:
    model = _model(helper.make_node("SequenceConstruct", ["x"], ["y"]))
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [2])
    model.graph.output[0].CopyFrom(sequence)
    with pytest.raises(BadInput, match="output 'y' has the type sequence"):
        from_onnx(model)


def test_from_onnx_sorts_nodes_that_are_out_of_order() -> None:
    model = _model(
        helper.make_node("Relu", ["b"], ["y"], name="last"),
        helper.make_node("Neg", ["a"], ["b"], name="middle"),
        helper.make_node("Tanh", ["x"], ["a"], name="first"),
    )
    assert [node.name for node in from_onnx(model)] == ["first", "middle", "last"]


def test_from_onnx_names_unnamed_and_repeated_nodes() -> None:
    model = _model(
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"], name="same"),
        helper.make_node("Neg", ["b"], ["c"], name="same"),
        helper.make_node("Tanh", ["c"], ["d"], name="Relu_4"),
        helper.make_node("Relu", ["d"], ["y"]),
    )
    assert [node.name for node in from_onnx(model)] == ["Relu_0", "same", "same_1", "Relu_4", "Relu_4_1"]


def test_from_onnx_turns_every_kind_of_constant_into_an_array() -> None:
    attributes = {
        "value": numpy_helper.from_array(np.int8([[1]])),
        "value_float": 1.5,
        "value_floats": [1.5, 2.5],
        "value_int": 3,
        "value_ints": [3, 4],
        "value_string": "a",
        "value_strings": ["a", "b"],
        "sparse_value": _sparse("", [1, 4], [5.0, 6.0], [2, 3]),
    }
    nodes = [helper.make_node("Constant", [], [key], **{key: item}) for key, item in attributes.items()]
    constants = from_onnx(_model(*nodes, helper.make_node("Relu", ["x"], ["y"]))).constants
    expected = {
        "value": np.int8([[1]]),
        "value_float": np.float32(1.5),
        "value_floats": np.float32([1.5, 2.5]),
        "value_int": np.int64(3),
        "value_ints": np.int64([3, 4]),
        "value_string": np.array("a", object),
        "value_strings": np.array(["a", "b"], object),
        "sparse_value": np.float32([[0, 5, 0], [0, 6, 0]]),
    }
    assert set(constants) == set(expected)
    for name, array in expected.items():
        assert constants[name].dtype == array.dtype and constants[name].shape == array.shape
        np.testing.assert_array_equal(constants[name], array)


def _sparse(name: str, indices: list[int] | list[list[int]], values: list[float], dims: list[int]) -> object:
    content = numpy_helper.from_array(np.float32(values), name)
    return helper.make_sparse_tensor(content, numpy_helper.from_array(np.int64(indices)), dims)


def test_from_onnx_makes_sparse_initialisers_dense() -> None:
    model = _model(
        helper.make_node("Relu", ["x"], ["y"]),
        sparse_initializer=[_sparse("w", [[0, 2], [1, 0]], [7.0, 8.0], [2, 3])],
    )
    np.testing.assert_array_equal(from_onnx(model).constants["w"], [[0, 0, 7], [8, 0, 0]])


def test_from_onnx_refuses_a_sparse_tensor_that_is_too_large_when_dense() -> None:
    model = _model(
        helper.make_node("Relu", ["x"], ["y"]), sparse_initializer=[_sparse("w", [1], [7.0], [2**40])]
    )
    with pytest.raises(BadInput, match="more than 2 GiB when dense"):
        from_onnx(model)


def test_from_onnx_takes_an_initialised_input_as_a_constant() -> None:
    model = _model(helper.make_node("Add", ["x", "w"], ["y"]))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2]), "w"))
    graph = from_onnx(model)
    assert [value.name for value in graph.inputs] == ["x"] and set(graph.constants) == {"w"}


def test_from_onnx_carries_unknown_operators_and_functions_whole() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 20, "local" : 1, "strange" : 7]>
        agraph (float[2] x) => (float[2] y, float[2] z) {
            y = local.doubled(x)
            z = strange.Thing <depth = 3, mode = "odd"> (x)
        }
        <domain: "local", opset_import: ["" : 20]> doubled (a) => (b) { b = Add(a, a) }
        """
    )
    graph = from_onnx(model)
    thing = graph.by_name["Thing_1"]
    assert (thing.domain, dict(thing.attributes)) == ("strange", {"depth": 3, "mode": "odd"})
    assert [function.name for function in graph.functions] == ["doubled"]
    assert graph.opsets == {"": 20, "local": 1, "strange": 7}


def test_from_onnx_inlines_overloaded_functions() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 20, "local" : 1]>
        agraph (float[2] x) => (float[2] y) { y = local.act(x) }
        <domain: "local", overload: "double", opset_import: ["" : 20]> act (a) => (b) { b = Add(a, a) }
        """
    )
    model.graph.node[0].overload = "double"
    graph = from_onnx(model)
    assert [node.op for node in graph] == ["Add"]
    np.testing.assert_array_equal(run(graph, x=np.float32([1, 2]))["y"], [2, 4])


def test_from_onnx_keeps_metadata() -> None:
    model = _model(helper.make_node("Relu", ["x"], ["y"]))
    helper.set_model_props(model, {"alphabet": "abc"})
    assert from_onnx(model).metadata == {"alphabet": "abc"}


@pytest.mark.parametrize("seed", range(150))
def test_load_onnx_refuses_or_reads_a_damaged_file(seed: int, tmp_path: Path) -> None:
    """A few bytes of the structure are changed; what still loads can be written back."""
    random = np.random.default_rng(seed)
    content = bytearray(to_onnx(residual_net()).SerializeToString())
    weights = content.index(b"conv1.w", content.index(b"logits"))
    for place in random.integers(0, weights, 3):
        content[place] = random.integers(256)
    (tmp_path / "net.onnx").write_bytes(content)
    try:
        graph = load_onnx(tmp_path / "net.onnx")
    except BadInput:
        return
    assert from_onnx(to_onnx(graph)).digest() == graph.digest()


def test_from_onnx_refuses_a_name_that_is_no_text() -> None:
    content = to_onnx(residual_net()).SerializeToString().replace(b"flatten", b"fl\xe1tten")
    with pytest.raises(BadInput, match="is no text"):
        from_onnx(onnx.ModelProto.FromString(content))
