"""The rules' promises: each attribute of the specification is honoured or refused, and the page says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from taut.graph import Graph, from_onnx
from taut.runtimes.aot.lower import lower
from taut.runtimes.aot.lowering import NotLowered
from taut.runtimes.aot.operators import page
from taut.runtimes.aot.ops import rules
from taut.runtimes.aot.ops.contract import CONTRACTS, contract_of

_PAGE = Path(__file__).parent.parent.parent / "docs" / "operators.md"
_FIRST_OPSET = 7
_REFUSED = {
    "Cast": {"round_mode"},
    "CastLike": {"round_mode"},
    "DequantizeLinear": {"output_dtype"},
    "GRU": {"activation_alpha", "activation_beta"},
    "LSTM": {"activation_alpha", "activation_beta"},
    "QuantizeLinear": {"output_dtype", "precision"},
    "RNN": {"activation_alpha", "activation_beta"},
    "Range": {"stash_type"},
    "SpaceToDepth": {"mode"},
}
"""Attributes of the specification that no rule reads"""


def _specified() -> dict[str, set[str]]:
    """Attributes of each operator, in any opset from the first on."""
    found: dict[str, set[str]] = {op: set() for op in rules()}
    for op in found:
        for version in range(_FIRST_OPSET, onnx.defs.onnx_opset_version() + 1):
            if onnx.defs.has(op, version, ""):
                found[op] |= set(onnx.defs.get_schema(op, version, "").attributes)
    return found


def test_every_attribute_of_the_specification_is_honoured_or_refused() -> None:
    for op, attributes in _specified().items():
        assert contract_of(op).attributes == attributes - _REFUSED.get(op, set()), op


def test_every_contract_is_of_a_rule() -> None:
    assert set(CONTRACTS) <= set(rules())


def test_page_of_operators_says_what_the_rules_do() -> None:
    assert _PAGE.read_text(encoding="utf-8") == page()


def _graph(
    op: str, inputs: list[Any], opset: int = 20, outputs: int = 1, dtype: str = "float32", **attributes: Any
) -> Graph:
    """A graph of one node named ``odd``: shapes are inputs, arrays are constants."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    names = [f"x{place}" if one is not None else "" for place, one in enumerate(inputs)]
    given = [
        helper.make_tensor_value_info(name, kind, one)
        for name, one in zip(names, inputs, strict=True)
        if isinstance(one, tuple)
    ]
    constants = [
        numpy_helper.from_array(one, name)
        for name, one in zip(names, inputs, strict=True)
        if isinstance(one, np.ndarray)
    ]
    made = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(op, names, made, "odd", **attributes)
    proto = helper.make_graph(
        [node], "net", given, [onnx.ValueInfoProto(name=one) for one in made], constants
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)])
    return from_onnx(onnx.shape_inference.infer_shapes(model))


def _ones(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


def _refusals() -> Iterator[tuple[str, Graph]]:
    image, scales = (1, 2, 5, 5), np.array([1, 1, 2, 2], np.float32)
    yield "no kernel computes NonZero", _graph("NonZero", [(2, 3)])
    yield "float32 only", _graph("Conv", [image, _ones(3, 2, 3, 3, dtype="float64")], dtype="float64")
    yield "is not constant", _graph("Conv", [image, (3, 2, 3, 3)])
    yield "is not constant", _graph("Conv", [image, _ones(3, 2, 3, 3), (3,)])
    yield "is not constant", _graph("ConvTranspose", [image, (2, 3, 3, 3)])
    yield (
        "strides and dilations",
        _graph("ConvTranspose", [image, _ones(2, 3, 3, 3)], strides=[2, 2], dilations=[2, 2]),
    )
    yield "float32 only", _graph("MatMul", [(2, 3), (3, 2)], dtype="float64")
    yield "float32 only", _graph("Gemm", [(2, 3), (3, 2)], dtype="float64")
    yield "float32 only", _graph("Round", [(2, 3)], dtype="float64")
    yield "float32 only", _graph("Softmax", [(2, 3)], dtype="float64")
    yield "of float64", _graph("Mod", [(2, 3), (2, 3)], dtype="float64", fmod=1)
    yield "type float16", _graph("Add", [(2, 3), (2, 3)], dtype="float16")
    yield "type float16", _graph("Cast", [(2, 3)], to=TensorProto.FLOAT16)
    yield "does not give 'y1'", _graph("MaxPool", [image], outputs=2, kernel_shape=[2, 2])
    yield (
        "behind the end",
        _graph("MaxPool", [(1, 1, 3, 3)], kernel_shape=[1, 1], strides=[3, 3], ceil_mode=1),
    )
    yield "does not give 'y1'", _graph("Dropout", [(2, 3)], outputs=2)
    yield (
        "does not give 'y1'",
        _graph("LayerNormalization", [(2, 3), _ones(3)], outputs=2),
    )
    yield "trains", _graph("Dropout", [(2, 3), np.array(0.5, np.float32), np.array(True)])
    unchanged = np.array([1, 1, 1.1, 1], np.float32)
    yield "change no size", _graph("Resize", [image, None, unchanged])
    yield "antialiasing", _graph("Resize", [image, None, scales], mode="linear", antialias=1)
    yield (
        "coordinates 'tf_crop_and_resize'",
        _graph(
            "Resize",
            [image, np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), scales],
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
    )
    yield (
        "ratio of sides",
        _graph("Resize", [image, None, None, np.array([1, 2, 9, 8])], keep_aspect_ratio_policy="not_larger"),
    )
    weights = [_ones(1, 18, 5), _ones(1, 18, 6)]
    yield "batch first", _graph("GRU", [(4, 2, 5), *weights], hidden_size=6, layout=1)
    yield "clips", _graph("GRU", [(4, 2, 5), *weights], hidden_size=6, clip=1.0)
    yield (
        "'activation_alpha'",
        _graph("GRU", [(4, 2, 5), *weights], hidden_size=6, activation_alpha=[0.1, 0.2]),
    )
    yield "has the reduction", _graph("ScatterND", [(2, 3), np.array([[0]]), (1, 3)], reduction="or")


@pytest.mark.parametrize(("reason", "graph"), list(_refusals()))
def test_what_no_kernel_computes_as_it_is_is_refused_by_name(reason: str, graph: Graph) -> None:
    with pytest.raises(NotLowered) as caught:
        lower(graph)
    assert reason in str(caught.value)
    node = graph.nodes[0]
    assert f"{node.op} 'odd'" in str(caught.value)


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(NotLowered, match="opset 6"):
        lower(_graph("Relu", [(2, 3)], opset=6))
