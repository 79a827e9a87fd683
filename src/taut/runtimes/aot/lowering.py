"""From a graph to a program: what a value is while kernels are being made.

A value is a view, or pending: an expression that becomes part of whatever reads it. Kernels that lack their
output (``Deferred``) are pending too, so that what follows them becomes their epilogue, and what they write
goes straight to where its reader wants it: into a slice of a concatenation, or inside a border of zeros for
the next convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from taut.graph.ir import Graph, Node
from taut.kernels.base import Kernel
from taut.kernels.expression import Expression, Literal, Load, apply, as_float, loads, number, operations
from taut.kernels.map import Map
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.program import Step

Border = tuple[tuple[int, int], ...]
"""Elements before and after those of a value, for each axis"""
CODE_TYPES = ("uint8", "int8")
_MERGING = {
    *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Max", "Min", "Relu", "Clip"),
    *("HardSigmoid", "Sigmoid", "Tanh", "Erf", "Exp", "Sqrt"),
}
"""Operators whose inputs may be one value on several ways: they are computed by vectors"""
_MOST_SHARED = 16
"""Operations in one expression, and values in it: what is shared is written once, but looked through often"""
UNSIGNED = 128
"""Added to codes of int8 that only our kernels see, whose products take unsigned ones"""


class NotLowered(Exception):
    """A node that no kernel computes; the message names it."""

    node: str | None = None
    """Its name, where one node is at fault"""


@contextmanager
def blaming(node: Node) -> Iterator[None]:
    """Note which node is at fault for what is raised within."""
    try:
        yield
    except NotLowered as error:
        error.node = node.name
        raise


@dataclass(frozen=True)
class Layout:
    """How the readers of a value wish it to lie."""

    border: Border | None = None
    fill: float = 0.0
    order: tuple[int, ...] | None = None
    """Axes, outermost first"""
    dtype: str | None = None

    def suits(self, view: View) -> bool:
        """Whether a view is of that type, and its last axis in that order without gaps."""
        last = None if self.order is None else self.order[-1]
        is_ordered = last is None or view.shape[last] == 1 or view.strides[last] == 1
        return is_ordered and self.dtype in (None, view.dtype)


@dataclass(frozen=True)
class Affine:
    """How integers stand for numbers: number = (code - zero) x scale."""

    dtype: str
    scale: float
    zero: int

    def numbers(self, code: Expression) -> Expression:
        centred = apply("sub", code, number(self.zero)) if self.zero else code
        return apply("mul", centred, number(self.scale))

    def codes(self, value: Expression) -> Expression:
        """Codes before they are rounded and cut off, which happens as they are stored."""
        scaled = apply("mul", value, number(1 / self.scale))
        return apply("add", scaled, number(self.zero)) if self.zero else scaled

    def rounded(self, codes: Expression) -> Expression:
        """The same as if they had been stored and read."""
        return apply(f"saturate_{self.dtype}", codes)


@dataclass(frozen=True)
class Codes:
    """Integers in memory, as bytes or as whole floats, and what they stand for."""

    view: View
    affine: Affine

    @property
    def numbers(self) -> Expression:
        return self.affine.numbers(as_float(self.view))


@dataclass(frozen=True)
class Deferred:
    """Kernels that lack their output and epilogue."""

    make: Callable[[View, Expression], Sequence[Kernel]]
    """From the place of the value, and the epilogue in the value's shape"""
    order: tuple[int, ...]
    """Axes of the value, outermost first, as the kernels write them best"""


@dataclass(frozen=True)
class Pending:
    """A value that is yet to be computed; its leaf Result, if any, is what the deferred kernel makes."""

    expression: Expression
    shape: tuple[int, ...]
    deferred: Deferred | None = None
    nodes: tuple[str, ...] = ()
    """Of the graph, that it computes"""
    is_repeated: bool = False
    """So little work that every reader does it again, rather than reads a larger result"""

    @property
    def order(self) -> tuple[int, ...]:
        """As the kernel writes best, or as the largest of what is read lies in memory."""
        if self.deferred is not None:
            return self.deferred.order
        views = loads(self.expression)
        return max(views, key=_moving).order if views else tuple(range(len(self.shape)))


@dataclass
class Lowering:
    """The state of lowering one graph."""

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    values: dict[str, View | Pending] = field(default_factory=dict)
    codes: dict[str, Codes] = field(default_factory=dict)
    """Of values that were dequantized"""
    borders: dict[View, tuple[Border, float]] = field(default_factory=dict)
    """What lies around a view, and is the same everywhere"""
    inputs: list[Buffer] = field(default_factory=list)
    outputs: dict[str, Buffer] = field(default_factory=dict)
    wanted: Mapping[str, Layout] = field(default_factory=dict)
    precision: str = "float32"
    """Of products; sums are float32"""
    node: Node | None = None
    """Being lowered"""
    _absorbed: list[str] = field(default_factory=list)
    """Pending values that this node took in"""
    _constants: dict[str, np.ndarray] = field(default_factory=dict)
    """Those of the graph, and what was made of them"""

    _positions: dict[str, int] = field(default_factory=dict)
    """Of each node in the graph's order"""

    def __post_init__(self) -> None:
        self._constants.update(self.graph.constants)
        self._positions.update({node.name: place for place, node in enumerate(self.graph)})

    def lower(self, node: Node, rule: Callable[[Lowering, Node], None]) -> None:
        """Lower one node."""
        self.node = node
        self._absorbed.clear()
        rule(self, node)

    # What a value is

    def shape(self, name: str) -> tuple[int, ...]:
        value = self.graph.value(name)
        if value is None or not value.is_static:
            raise NotLowered(f"the shape of {name!r} is not known")
        return value.static_shape

    def dtype(self, name: str) -> str:
        value = self.graph.value(name)
        if value is None:
            raise NotLowered(f"the type of {name!r} is not known")
        return value.dtype

    def constant(self, name: str) -> np.ndarray | None:
        return self._constants.get(name)

    def define_constant(self, name: str, array: np.ndarray) -> None:
        """Keep what is known while the network is compiled; an output has to be written all the same."""
        self._constants[name] = array
        self.define(name, weights(array))

    def known(self, name: str, node: Node) -> np.ndarray:
        """A constant that an operator must know while it is compiled."""
        if name not in self._constants:
            raise NotLowered(f"{node.op} {node.name!r} reads {name!r}, which is not constant")
        return self._constants[name]

    def view(self, name: str) -> View:
        """The value in memory; computed now where it was pending."""
        if name in self._constants:
            return weights(self._constants[name])
        value = self.values[name]
        if isinstance(value, Pending):
            value = self._settle(name, value)
        return value

    def plain(self, name: str) -> View:
        """The value in memory in the type that the graph gives it, for kernels that know no other."""
        view = self.view(name)
        return view if view.dtype == self.dtype(name) else self.ordered(view, dtype=self.dtype(name))

    def expression(self, name: str, shape: Sequence[int]) -> Expression:
        """The value as part of an expression of a shape that it broadcasts to; nothing of it is deferred."""
        constant = self._constants.get(name)
        if constant is not None and constant.size == 1:
            return Literal(constant.reshape(-1)[0].item(), str(constant.dtype))
        return Load(self.view(name).broadcast(shape))

    def pending(self, name: str, shape: Sequence[int]) -> Pending:
        """The value as an expression of a shape, with the kernel that it waits for."""
        value = self.values.get(name)
        is_code = isinstance(value, Pending) and value.expression.dtype != self.dtype(name)
        if isinstance(value, Pending) and value.shape == tuple(shape) and not is_code:
            self._absorbed.append(name)
            return value
        return Pending(self.expression(name, shape), tuple(shape))

    # What becomes of it

    def define(self, name: str, value: View | Pending) -> None:
        """Keep a value pending that is read once, or that every reader may compute; compute others now."""
        if isinstance(value, Pending):
            value = replace(value, nodes=self._nodes())
        self.values[name] = value
        if not isinstance(value, Pending):
            return
        may_wait = value.is_repeated or len(self.graph.consumers(name)) == 1 or self._meets_again(name, value)
        if self.graph.is_output(name) or not may_wait:
            self._settle(name, value)

    def _meets_again(self, name: str, value: Pending) -> bool:
        """Whether all ways on from a value lead by elementwise nodes into one, and become one expression."""
        if operations(value.expression) > _MOST_SHARED:
            return False
        within, ahead = {name}, {node.name: node for node in self.graph.consumers(name)}
        while ahead and len(within) <= _MOST_SHARED:
            node = ahead.pop(min(ahead, key=self._positions.__getitem__))
            output = node.outputs[0]
            if not self._merges(node, value.shape, within):
                return False
            if not ahead:
                return True
            if self.graph.is_output(output):
                return False
            within.add(output)
            ahead |= {reader.name: reader for reader in self.graph.consumers(output)}
        return False

    def _merges(self, node: Node, shape: tuple[int, ...], within: set[str]) -> bool:
        """Whether a node goes on with values of a shape by vectors, and reads nothing else that waits."""
        others = [self.values.get(name) for name in node.inputs if name and name not in within]
        is_waiting = any(isinstance(other, Pending) and other.deferred for other in others)
        is_known = all(
            name in within or name in self.values or name in self._constants for name in node.inputs if name
        )
        output = node.outputs[0]
        is_alike = (self.dtype(output), self.shape(output)) == ("float32", shape)
        return node.op in _MERGING and is_alike and is_known and not is_waiting

    def define_codes(self, name: str, codes: Codes) -> None:
        """Define a value by the integers of which it is the multiples."""
        self.codes[name] = codes
        self.define(name, Pending(codes.numbers, codes.view.shape, is_repeated=True))

    def move(self, source: str, output: str, change: Callable[[View], View]) -> None:
        """Define a value as the elements of another in other places; of codes these are moved."""
        if (codes := self.codes.get(source)) is not None:
            self.define_codes(output, replace(codes, view=change(codes.view)))
        else:
            self.define(output, change(self.view(source)))

    def absorb(self, name: str) -> Pending | None:
        """Take in a value that is pending, as it is stored; None where it lies in memory."""
        value = self.values.get(name)
        if not isinstance(value, Pending):
            return None
        self._absorbed.append(name)
        return value

    def write(self, name: str, place: View) -> None:
        """Put a value into a place, computing it there where it was pending."""
        value = self.values.get(name)
        if isinstance(value, Pending):
            self.compute(value, place)
            self.values[name] = place
        else:
            self.add(Map(place, Load(self.view(name)), "copy"))

    def compute(self, value: Pending, place: View) -> None:
        """Compute a pending value into a place."""
        nodes = value.nodes or self._nodes()
        if value.deferred is None:
            self.add(Map(place, value.expression), nodes)
            return
        for kernel in value.deferred.make(place, value.expression):
            self.add(kernel, nodes)

    def add(self, kernel: Kernel, nodes: tuple[str, ...] | None = None) -> None:
        """Append a kernel; it computes the nodes, by default the present one."""
        self.steps.append(Step(kernel, self._nodes() if nodes is None else nodes))

    def _nodes(self) -> tuple[str, ...]:
        """The present node, and those whose values it took in as they were pending."""
        values = [self.values.get(name) for name in self._absorbed]
        earlier = [node for value in values if isinstance(value, Pending) for node in value.nodes]
        return tuple(dict.fromkeys([*earlier, *([self.node.name] if self.node else [])]))

    def finish(self) -> None:
        """Put every output where it belongs."""
        for output in self.graph.outputs:
            if output.name not in self.outputs:
                buffer = self._output_buffer(output.name)
                self.write(output.name, View.whole(buffer, self.shape(output.name)))

    # Memory

    def allocate(
        self,
        shape: Sequence[int],
        dtype: str,
        order: Sequence[int] | None = None,
        border: Border | None = None,
        fill: float = 0.0,
    ) -> View:
        """Return memory for a value, its axes in an order, within a border where one is wanted."""
        border = border or ((0, 0),) * len(shape)
        full = [before + size + after for size, (before, after) in zip(shape, border, strict=True)]
        whole = View.whole(Buffer(Storage.ARENA, dtype, math.prod(full)), full)
        if order is not None:
            whole = View.whole(whole.buffer, [full[axis] for axis in order]).transpose(_inverse(order))
        if any(side for pair in border for side in pair):
            self._fill_border(whole, border, fill)
        inner = [slice(before, before + size) for size, (before, _) in zip(shape, border, strict=True)]
        place = whole.slice(inner)
        self.borders[place] = border, fill
        return place

    def place_of(self, name: str, order: Sequence[int], dtype: str | None = None) -> View:
        """Return memory for a value as its readers wish it, in an order and a type where none does."""
        layout = self.wanted.get(name, Layout())
        dtype = layout.dtype or dtype or stored_type(self.graph, name)
        return self.allocate(self.shape(name), dtype, layout.order or order, layout.border, layout.fill)

    def ordered(self, view: View, order: Sequence[int] | None = None, dtype: str | None = None) -> View:
        """A copy with its axes in an order, by default its own."""
        copy = self.allocate(view.shape, dtype or view.dtype, order)
        self.add(Map(copy, Load(view), "copy"))
        return copy

    def reshaped(self, view: View, shape: Sequence[int]) -> View:
        """The elements in another shape; copied where they do not lie so that strides can say it."""
        if (found := view.reshape(shape)) is not None:
            return found
        found = self.ordered(view).reshape(shape)
        assert found is not None, "a copy lies in order"
        return found

    def bordered(self, view: View, border: Border, fill: float, layout: Layout = Layout()) -> View:
        """A view within elements of one kind, copied only where it does not lie so already."""
        is_wanted = any(side for pair in border for side in pair)
        has, filled = self.borders.get(view, (((0, 0),) * len(border), fill))
        is_there = all(
            there >= want
            for pair, wants in zip(has, border, strict=True)
            for there, want in zip(pair, wants, strict=True)
        )
        if not layout.suits(view) or (is_wanted and not (is_there and filled == fill)):
            dtype, order = layout.dtype or view.dtype, layout.order or view.order
            copy = self.allocate(view.shape, dtype, order, border, fill)
            self.add(Map(copy, Load(view), "copy"))
            view = copy
        return widened(view, border)

    def _fill_border(self, whole: View, border: Border, fill: float) -> None:
        """Fill what lies outside, slab by slab; an axis that is done is left out of the next slab."""
        inner = [slice(0, size) for size in whole.shape]
        for axis, (before, after) in enumerate(border):
            size = whole.shape[axis]
            for slab in (slice(0, before), slice(size - after, size)):
                if slab.start < slab.stop:
                    place = whole.slice([*inner[:axis], slab, *inner[axis + 1 :]])
                    self.add(Map(place, number(fill, whole.dtype), "fill"))
            inner[axis] = slice(before, size - after)

    def _settle(self, name: str, value: Pending) -> View:
        """Compute a pending value into memory of its own, or the output that it is."""
        if self.graph.is_output(name):
            place = View.whole(self._output_buffer(name), value.shape)
        else:
            place = self.place_of(name, value.order)
        if place.dtype == "float32" and self.dtype(name) in CODE_TYPES:
            # What bytes would do as they are stored; unsigned, as only DequantizeLinear reads floats.
            rounded = apply(f"saturate_{stored_type(self.graph, name)}", value.expression)
            value = replace(value, expression=rounded)
        self.compute(value, place)
        self.values[name] = place
        return place

    def _output_buffer(self, name: str) -> Buffer:
        buffer = Buffer(Storage.OUTPUT, self.dtype(name), math.prod(self.shape(name)), name)
        self.outputs[name] = buffer
        return buffer

    def owns(self, name: str) -> bool:
        """Whether a value lies in memory that nothing else reads, so that it may be overwritten."""
        value = self.values.get(name)
        if not isinstance(value, View) or value.buffer.storage is not Storage.ARENA:
            return False
        sharing = [
            other
            for other, held in self.values.items()
            if isinstance(held, View) and held.buffer is value.buffer
        ]
        return all(len(self.graph.consumers(other)) <= 1 for other in sharing)


def _inverse(order: Sequence[int]) -> list[int]:
    return [list(order).index(axis) for axis in range(len(order))]


def weights(array: np.ndarray) -> View:
    """A constant as a view."""
    return View.whole(Buffer(Storage.WEIGHTS, str(array.dtype), array.size, content=array), array.shape)


def stored_type(graph: Graph, name: str) -> str:
    """Type in memory of a value: int8 that only DequantizeLinear reads is kept unsigned."""
    value = graph.value(name)
    if value is None:
        raise NotLowered(f"the type of {name!r} is not known")
    is_inner = not graph.is_output(name) and graph.producer(name) is not None
    is_only_read = all(node.op == "DequantizeLinear" for node in graph.consumers(name))
    return "uint8" if value.dtype == "int8" and is_inner and is_only_read else value.dtype


def text_of(node: Node, attribute: str, default: str) -> str:
    """A textual attribute, which may have been read as bytes."""
    value = node.attributes.get(attribute, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def widened(view: View, border: Border) -> View:
    """The view with what lies around it in memory."""
    shape = [before + size + after for size, (before, after) in zip(view.shape, border, strict=True)]
    offset = view.offset - sum(
        before * stride for (before, _), stride in zip(border, view.strides, strict=True)
    )
    return replace(view, shape=tuple(shape), offset=offset)


def _moving(view: View) -> int:
    """Elements of a view that are not repeated."""
    return math.prod(size for size, stride in zip(view.shape, view.strides, strict=True) if stride)
