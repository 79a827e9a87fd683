"""How each operator becomes views and kernels: one file per kind of operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from taut.graph.ir import Node
from taut.runtimes.aot.lowering import Lowering, NotLowered

Rule = Callable[[Lowering, Node], None]


@cache
def rules() -> Mapping[str, Rule]:
    """Operator of ONNX -> rule."""
    from taut.runtimes.aot.ops import (
        dense,
        elementwise,
        indexing,
        layout,
        normalise,
        quantized,
        recurrent,
        reduction,
        window,
    )

    modules = (dense, elementwise, indexing, layout, normalise, quantized, recurrent, reduction, window)
    return {op: rule for module in modules for op, rule in module.RULES.items()}


def lower_node(lowering: Lowering, node: Node) -> None:
    """Raises NotLowered where no kernel computes the node as it is."""
    rule = rules().get(node.op) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise NotLowered(f"no kernel computes {node.op} {node.name!r}")
    lowering.lower(node, rule)
