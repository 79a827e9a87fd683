"""The integer reference engine: a QDQ graph executed with integer arithmetic only.

It is what a device without a floating-point unit would run (arXiv 1712.05877), and the oracle for every
integer kernel that comes later. Floats appear before the first step, where inputs are quantized, and nowhere
after. A node that is not quantized on all sides is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Arrays
from taut.graph import Graph, Node
from taut.moves.quantize.integer_build import BUILDERS, Coded, Site, build_rescale
from taut.moves.quantize.integer_kernels import Kernel
from taut.moves.quantize.operators import clamp_of, is_clamp, only_reader
from taut.moves.quantize.schemes import PerChannel, PerTensor, QuantizationParameters, Scheme

_CHUNK = 32
"""Samples at a time: im2col makes a convolution's input as many times larger as its kernel has taps"""


@dataclass(frozen=True, eq=False)
class IntegerStep:
    """A kernel with the names of the codes that it reads and makes."""

    node: str
    kernel: Kernel
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class IntegerProgram:
    """Steps over codes by name.

    program = compile_integer(qdq_graph)
    codes = program.execute(program.encode({"image": images}))      integers only
    program.decode(codes)["logits"]                                 float32 again
    """

    inputs: Mapping[str, Coded]
    """By the graph's input"""
    steps: tuple[IntegerStep, ...]
    outputs: Mapping[str, Coded]
    """By the graph's output"""

    def encode(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Quantize the graph's inputs, the first axis counting samples."""
        return {coded.name: coded.parameters.quantize(inputs[name]) for name, coded in self.inputs.items()}

    def execute(self, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the codes of every output by the output's name, from the codes of every input."""
        count = len(next(iter(codes.values())))
        chunks = [
            self._execute({name: array[start : start + _CHUNK] for name, array in codes.items()})
            for start in range(0, count, _CHUNK)
        ]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in self.outputs}

    def decode(self, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the real outputs."""
        return {name: self.outputs[name].parameters.dequantize(array) for name, array in codes.items()}

    def trace(self, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the codes of every value on the way, by name; for few samples, all are held at once."""
        values = dict(codes)
        for step in self.steps:
            values[step.output] = step.kernel(*(values[name] for name in step.inputs))
        return values

    def _execute(self, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = self.trace(codes)
        return {name: values[coded.name] for name, coded in self.outputs.items()}


def compile_integer(graph: Graph) -> IntegerProgram:
    """Turn a QDQ graph into an integer program; BadInput names the first node that would need floats."""
    compiler = _Compiler(graph)
    for node in graph:
        compiler.visit(node)
    outputs = {value.name: compiler.coded(value.name) for value in graph.outputs}
    return IntegerProgram(compiler.inputs, tuple(compiler.steps), outputs)


class _Compiler:
    """Knows, while it walks the graph, which real values stand for which codes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._coded: dict[str, Coded] = {}
        self._absorbed: set[str] = set()
        self.inputs: dict[str, Coded] = {}
        self.steps: list[IntegerStep] = []

    def coded(self, value: str) -> Coded:
        """What a real value is in codes."""
        if value not in self._coded:
            maker = self._graph.producer(value)
            given = f"value {value!r}" if maker is None else f"node {maker.name!r} ({maker.op})"
            raise BadInput(given, "is not quantized on all sides", "quantize it for the integer target")
        return self._coded[value]

    def visit(self, node: Node) -> None:
        if node.op == "DequantizeLinear":
            self._coded[node.outputs[0]] = self._parameters(node, node.inputs[0])
        elif node.op == "QuantizeLinear":
            self._quantize(node)
        elif node.name not in self._absorbed:
            self._compute(node)

    def _quantize(self, node: Node) -> None:
        source = node.inputs[0]
        target = self._parameters(node, node.outputs[0])
        if any(value.name == source for value in self._graph.inputs):
            self.inputs[source] = target
        elif source in self._coded:
            given = self._coded[source]
            kernel = build_rescale(Site(self._graph, node, (given,), target))
            self.steps.append(IntegerStep(node.name, kernel, (given.name,), target.name))

    def _compute(self, node: Node) -> None:
        """Emit the kernel of a node, up to the QuantizeLinear behind it."""
        builder = build_rescale if is_clamp(self._graph, node) else BUILDERS.get(node.op)
        if builder is None:
            raise BadInput(f"node {node.name!r}", f"the integer engine has no {node.op}", "leave it out")
        step = self._bias_step(node)
        last = node if step is None else step
        last = clamp_of(self._graph, node, last.outputs[0]) or last
        self._absorbed |= {last.name, node.name if step is None else step.name}
        inputs = tuple(self._operand(name) for name in node.inputs)
        biases = () if step is None else tuple(self._coded.get(name) for name in step.inputs)
        bias = next((coded for coded in biases if coded is not None), None)
        site = Site(self._graph, node, inputs, self._output(node, last.outputs[0]), last, bias)
        read = tuple(coded.name for coded in inputs if coded is not None and coded.codes is None)
        self.steps.append(IntegerStep(node.name, builder(site), read, site.output.name))

    def _bias_step(self, node: Node) -> Node | None:
        """The addition of an int32 constant behind a matrix product."""
        reader = only_reader(self._graph, node.outputs[0])
        if node.op != "MatMul" or reader is None or reader.op != "Add":
            return None
        coded = [self._coded[name] for name in reader.inputs if name in self._coded]
        is_bias = len(coded) == 1 and coded[0].codes is not None and coded[0].codes.dtype == np.int32
        return reader if is_bias else None

    def _operand(self, name: str) -> Coded | None:
        """None: absent, or a plain constant such as a shape."""
        return None if not name or name in self._graph.constants else self.coded(name)

    def _output(self, node: Node, outcome: str) -> Coded:
        readers = self._graph.consumers(outcome)
        if len(readers) != 1 or readers[0].op != "QuantizeLinear":
            given = f"node {node.name!r} ({node.op})"
            raise BadInput(given, "ends in floats", "quantize it for the integer target")
        return self._parameters(readers[0], readers[0].outputs[0])

    def _parameters(self, node: Node, codes: str) -> Coded:
        constant = self._graph.constants.get(codes)
        scale = self._graph.constants[node.inputs[1]]
        zero_point = np.zeros_like(scale, np.uint8 if constant is None else constant.dtype)
        if len(node.inputs) > 2 and node.inputs[2]:
            zero_point = self._graph.constants[node.inputs[2]]
        if scale.size == 1:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        granularity = PerChannel(int(node.attributes.get("axis", 1))) if scale.ndim else PerTensor()
        is_signed = zero_point.dtype.kind == "i"
        # A 32-bit bias is the one thing that is not 8 bits wide; its builder reads only codes and scale.
        scheme = Scheme(8, is_signed, is_symmetric=False)
        parameters = QuantizationParameters(scale, zero_point, scheme, granularity)
        return Coded(codes, parameters, constant)
