"""Tidying of a freshly exported graph: what an exporter writes for any shape and type, here both are known.

Shape arithmetic becomes constants, nodes that change nothing go, and weights that are turned once keep a
name one recognises. What the graph computes stays the same.
"""

from __future__ import annotations

import numpy as np

from taut.graph.editor import Editor
from taut.graph.fold import fold_constants, fold_shapes
from taut.graph.ir import Graph, Node
from taut.graph.onnx_types import ELEMENTS


def tidy(graph: Graph) -> Graph:
    """Return the graph, whose values must all have static types, without what only a dynamic one needs."""
    stated = set(graph.constants)
    graph = _without_copies(_with_plain_casts(fold_shapes(graph)))
    graph = fold_constants(_with_named_transposes(graph))
    return _without_zero_biases(_with_plain_splits(_with_plain_gathers(graph)), stated)


def _with_plain_casts(graph: Graph) -> Graph:
    """A cast to the type of another value names the type itself."""
    edit = Editor(graph)
    for node in graph:
        like = graph.value(node.inputs[1]) if node.op == "CastLike" else None
        if like is not None:
            edit.change(node.name, op="Cast", inputs=node.inputs[:1], attributes={"to": ELEMENTS[like.dtype]})
    return edit.graph()


def _with_plain_gathers(graph: Graph) -> Graph:
    """A gather of every place in order is a reshape, which also holds for other batches."""
    edit = Editor(graph)
    for node in graph:
        output = graph.value(node.outputs[0])
        if node.op == "GatherND" and output is not None and output.is_static and _takes_all(graph, node):
            shape = edit.set_constant(edit.fresh(f"{node.outputs[0]}.shape"), np.array(output.static_shape))
            edit.change(node.name, op="Reshape", inputs=(node.inputs[0], shape), attributes={})
    return edit.graph()


def _takes_all(graph: Graph, node: Node) -> bool:
    source, places = graph.value(node.inputs[0]), graph.constants.get(node.inputs[1])
    if places is None or source is None or not source.is_static or node.attributes.get("batch_dims", 0):
        return False
    axes = source.static_shape[: places.shape[-1]]
    return np.array_equal(places.reshape(-1, places.shape[-1]), np.indices(axes).reshape(len(axes), -1).T)


def _with_plain_splits(graph: Graph) -> Graph:
    """A split into a sequence whose entries are all taken by number is a split into values."""
    edit = Editor(graph)
    for node in graph:
        sizes = _split_sizes(graph, node) if node.op == "SplitToSequence" else None
        takers = graph.consumers(node.outputs[0])
        if sizes is None or not all(_is_taken_by_number(graph, taker) for taker in takers):
            continue
        parts = [edit.fresh(f"{node.outputs[0]}.{place}") for place in range(len(sizes))]
        for taker in takers:
            part = parts[int(graph.constants[taker.inputs[1]])]
            edit.redirect(taker.outputs[0], part)
        shape = edit.set_constant(edit.fresh(f"{node.outputs[0]}.sizes"), np.array(sizes))
        inputs, attributes = (node.inputs[0], shape), {"axis": node.attributes.get("axis", 0)}
        edit.change(node.name, op="Split", inputs=inputs, outputs=tuple(parts), attributes=attributes)
    return edit.graph()


def _split_sizes(graph: Graph, node: Node) -> list[int] | None:
    """Sizes of the parts: listed, or all of one size but for the last; None where they are not known."""
    source = graph.value(node.inputs[0])
    given = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None or source is None or not source.is_static:
        return None
    if given.ndim:
        return [int(size) for size in given]
    whole, part = source.static_shape[node.attributes.get("axis", 0)], int(given)
    return [min(part, whole - start) for start in range(0, whole, part)]


def _is_taken_by_number(graph: Graph, node: Node) -> bool:
    is_output = graph.is_output(node.outputs[0])
    return node.op == "SequenceAt" and node.inputs[1] in graph.constants and not is_output


def _without_copies(graph: Graph) -> Graph:
    """Readers of a copy read its source; a copy that is an output stays, since its source has a name."""
    edit = Editor(graph)
    source_of: dict[str, str] = {}
    for node in graph:
        if _is_copy(graph, node) and not graph.is_output(node.outputs[0]):
            source = source_of.get(node.inputs[0], node.inputs[0])
            source_of[node.outputs[0]] = source
            edit.redirect(node.outputs[0], source)
    return edit.graph()


def _is_copy(graph: Graph, node: Node) -> bool:
    if node.op == "Transpose":
        order = node.attributes.get("perm")
        return order is not None and list(order) == sorted(order)
    if node.op not in ("Identity", "Cast", "Reshape", "Expand"):
        return False
    source, output = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    if source is None or output is None or not source.is_static:
        return node.op == "Identity"
    return (source.dtype, source.shape) == (output.dtype, output.shape)


def _with_named_transposes(graph: Graph) -> Graph:
    """A weight that is turned before use will be a constant of its own; it is called ``weight.T``."""
    edit = Editor(graph)
    for node in graph:
        if (
            node.op == "Transpose"
            and node.inputs[0] in graph.constants
            and not graph.is_output(node.outputs[0])
        ):
            name = edit.fresh(f"{node.inputs[0]}.T")
            edit.redirect(node.outputs[0], name)
            edit.change(node.name, outputs=(name,))
    return edit.graph()


def _without_zero_biases(graph: Graph, stated: set[str]) -> Graph:
    """The exporter gives each convolution without a bias one of zeros, which are none of the module's."""
    edit = Editor(graph)
    for node in graph:
        bias = node.inputs[2] if node.op in ("Conv", "ConvTranspose") and len(node.inputs) == 3 else ""
        if bias in graph.constants and bias not in stated and not graph.constants[bias].any():
            edit.change(node.name, inputs=node.inputs[:2])
    return edit.graph()
