"""How each operator becomes views and kernels: one file per kind of operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from taut.graph.ir import Graph, Node
from taut.kernels.expression import C_TYPES
from taut.runtimes.aot.lowering import Lowering, NotLowered
from taut.runtimes.aot.ops.contract import contract_of

Rule = Callable[[Lowering, Node], None]


@cache
def rules() -> Mapping[str, Rule]:
    """Operator of ONNX -> rule."""
    from taut.runtimes.aot.ops import (
        constants,
        dense,
        einsum,
        elementwise,
        indexing,
        layout,
        normalise,
        padding,
        quantized,
        ranking,
        recurrent,
        reduction,
        resize,
        window,
    )

    modules = (
        constants,
        dense,
        einsum,
        elementwise,
        indexing,
        layout,
        normalise,
        padding,
        quantized,
        ranking,
        recurrent,
        reduction,
        resize,
        window,
    )
    return {op: rule for module in modules for op, rule in module.RULES.items()}


def lower_node(lowering: Lowering, node: Node) -> None:
    """Raises NotLowered where no kernel computes the node as it is."""
    lowering.lower(node, rule_of(lowering.graph, node))
    for name in filter(None, node.outputs):
        is_read = lowering.graph.consumers(name) or lowering.graph.is_output(name)
        if is_read and name not in lowering.values:
            raise NotLowered(f"{node.op} {node.name!r} does not give {name!r}")


def rule_of(graph: Graph, node: Node) -> Rule:
    """Return the rule of a node, which may refuse it still; NotLowered where there is none for it."""
    rule = rules().get(node.op) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise NotLowered(f"no kernel computes {node.op} {node.name!r}")
    _require_honoured(graph, node)
    return rule


def _require_honoured(graph: Graph, node: Node) -> None:
    """Refuse an attribute that the rule does not know, and a type that C does not compute with."""
    for attribute in node.attributes:
        if attribute not in contract_of(node.op).attributes:
            raise NotLowered(f"{node.op} {node.name!r} has the attribute {attribute!r}")
    for name in filter(None, (*node.inputs, *node.outputs)):
        value = graph.value(name)
        if value is not None and value.dtype not in C_TYPES:
            raise NotLowered(f"{node.op} {node.name!r} has a value of type {value.dtype}")
