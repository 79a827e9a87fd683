"""What an operator of the table is: a function that reads a node once and returns what runs it.

A builder gets a ``Site`` and returns a ``Run``: tensors in the order of the node's inputs (None where an
optional one is absent) to a tensor, or to a tuple for several outputs. Whatever does not depend on data is
read when the module is built, so that a call does tensor work only. Settings that torch has no match for
raise ``Unsupported``; the node then runs through onnxruntime and stops gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from taut.graph.ir import Graph, Node

Run = Callable[..., Any]
"""Input tensors, in the node's order -> one tensor, or a tuple of them"""


class Unsupported(Exception):
    """The node's settings are beyond the torch version of its operator."""


@dataclass(frozen=True)
class Modes:
    """A run for evaluation and another one for training."""

    evaluate: Run
    train: Run


@dataclass(frozen=True)
class Known:
    """A result that is clear before any data flows, such as a declared shape."""

    array: np.ndarray


@dataclass(frozen=True)
class Site:
    """A node where it stands, with what is known of it before any data flows.

    site.attribute("axis", 1)         attribute or default
    site.static(1)                    numpy array of input 1 if it is known, else None
    site.integers(1)                  reader: call it with input 1's tensor to get a list of ints
    """

    graph: Graph
    node: Node
    statics: Mapping[str, np.ndarray]

    @property
    def opset(self) -> int:
        return self.graph.opsets.get(self.node.domain, 1)

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def has_input(self, index: int) -> bool:
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def static(self, index: int) -> np.ndarray | None:
        """Return an input that is known beforehand; None if absent or not known."""
        return self.statics.get(self.node.inputs[index]) if self.has_input(index) else None

    def require_static(self, index: int) -> np.ndarray:
        """Return an input that has to be known beforehand."""
        known = self.static(index)
        if known is None:
            raise Unsupported(f"input {index} of {self.node.name} depends on data")
        return known

    def scalar(self, index: int, default: float) -> float:
        """Return an optional one-element input that has to be known beforehand."""
        return self.require_static(index).item() if self.has_input(index) else default

    def shape(self, index: int) -> tuple[int, ...] | None:
        """Return the shape of an input as the graph declares it; None where it is not fixed."""
        value = self.graph.value(self.node.inputs[index])
        return value.static_shape if value is not None and value.is_static else None

    def integers(self, index: int) -> Callable[[Tensor], list[int]]:
        """Return a reader of an integer input: known beforehand, or listed from the tensor at each call."""
        known = self.static(index)
        if known is None:
            return lambda tensor: tensor.reshape(-1).tolist()
        fixed = [int(item) for item in known.reshape(-1)]
        return lambda _tensor: fixed

    def settings(self, name: str, index: int) -> list[int] | None:
        """Return integers that older opsets hold in an attribute, newer ones in an input; None if absent."""
        if name in self.node.attributes:
            return [int(item) for item in self.node.attributes[name]]
        if not self.has_input(index):
            return None
        return [int(item) for item in self.require_static(index).reshape(-1)]

    def require(self, condition: bool, setting: str) -> None:
        """Give the node up unless the condition holds."""
        if not condition:
            raise Unsupported(f"{setting} of {self.node.name}")

    def require_outputs(self, count: int) -> None:
        """Give the node up if somebody reads more than its first outputs."""
        self.require(not any(self.node.outputs[count:]), "further outputs")


Builder = Callable[[Site], Run | Modes | Known]
