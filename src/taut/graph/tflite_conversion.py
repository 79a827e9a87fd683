"""The graph that is being made of a TensorFlow Lite file: values in the order of axes that a reader wants.

The file's pictures are (batch, height, width, channels), ONNX's convolutions want channels first. A value is
written in the order that its operator makes; who wants another gets a Transpose, made once. Operators that
work in either order take what is there, so no transposition stands between two of them.

An *order* lists the file's axes as they follow one another in a value: ``(0, 3, 1, 2)`` is channels first.
Quantized tensors are codes behind a QuantizeLinear; operators read and write the real numbers, as ONNX's
quantized networks are written, and a runtime fuses a kernel with the pairs around it. Codes of activations
that the file has as int8 are written as uint8, code and zero point both 128 more, which is the same number:
onnxruntime has integer kernels for these on every machine, for int8 not on x86.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from taut.graph.ir import Graph, Node, Value
from taut.graph.tflite_model import ABSENT, Operator, Tensor, TfliteModel, Unsupported

Order = tuple[int, ...]
CHANNELS_FIRST: Order = (0, 3, 1, 2)
QUANTIZED_DTYPES = ("int8", "uint8")
"""Codes of activations and weights"""


def file_order(rank: int) -> Order:
    return tuple(range(rank))


@dataclass(frozen=True)
class Made:
    """A tensor as it was written: its value's name, and the order of that value's axes."""

    name: str
    order: Order


class Conversion:
    """Collects nodes and constants; ``graph()`` returns them with the file's inputs and outputs.

    An operator's converter first reads (``real``, ``constant``), then adds nodes (``add``), and ends with
    ``write``, which names the last value after the file's tensor.
    """

    def __init__(self, model: TfliteModel) -> None:
        self._tensors = [_with_unsigned_codes(tensor) for tensor in model.tensors]
        self._model = model
        self._nodes: list[Node] = []
        self._constants: dict[str, np.ndarray] = {}
        self._values: dict[str, Value] = {}
        self._made: dict[int, Made] = {}
        self._read: dict[tuple[int, Order, bool], str] = {}
        """Names of what was read of a tensor: in which order, and whether as real numbers"""
        self._claimable: dict[str, int] = {}
        """Values that nothing reads yet and the places of the nodes that make them"""
        self._operator = 0
        self._taken = {model.tensors[number].name for number in model.outputs}
        self._counts: dict[str, int] = {}
        self._inputs = tuple(self._input(number) for number in model.inputs)

    def begin(self, place: int) -> None:
        """Note the place of the operator that is converted next; its nodes are called after it."""
        self._operator = place

    # What is there

    def tensor(self, number: int) -> Tensor:
        return self._tensors[number]

    def shape(self, number: int) -> tuple[int, ...]:
        """Shape of a tensor in the file's order."""
        return self._tensors[number].shape

    def constant(self, number: int) -> np.ndarray:
        """Contents of a tensor that says how an operator works (axes, sizes). Raises Unsupported."""
        tensor = self._tensors[number]
        if tensor.data is None:
            raise Unsupported(f"computes tensor {tensor.name!r}, which must be a constant in the file")
        return tensor.data

    def set_constant(self, number: int, data: np.ndarray) -> None:
        """Give a tensor the contents that its operator would make."""
        self._tensors[number] = replace(self._tensors[number], data=data)

    def order(self, number: int) -> Order:
        """Order in which a tensor was made; a constant has the file's."""
        made = self._made.get(number)
        return made.order if made else file_order(len(self.shape(number)))

    def common_order(self, numbers: Sequence[int]) -> Order:
        """An order for an operator that broadcasts its inputs: channels first where one of them has it."""
        orders = [self.order(number) for number in numbers]
        rank = max(map(len, orders))
        return CHANNELS_FIRST if CHANNELS_FIRST in orders and rank == 4 else file_order(rank)

    # Reading

    def real(self, number: int, order: Order | None = None) -> str:
        """Return the name of a tensor's real numbers in an order, by default the file's.

        An order with more axes than the tensor asks for leading axes of 1, as in broadcasting.
        """
        tensor = self._tensors[number]
        order = file_order(len(tensor.shape)) if order is None else order
        if tensor.quantization is None or tensor.dtype not in QUANTIZED_DTYPES:
            return self._stored(number, order)
        key = (number, order, True)
        if key not in self._read:
            codes = self._stored(number, order)
            extra, attributes = self._parameters(tensor, order)
            restored = self.add("DequantizeLinear", (codes, *extra), attributes)
            self._read[key] = self._name(restored, f"{tensor.name}_dequantized")
        return self._read[key]

    def bias(self, number: int, source: int, weight: int) -> str:
        """Return the name of a bias (channels,) that is added to ``source`` times ``weight``.

        Codes are those of the accumulator, so their scale is the product of both.
        """
        tensor, left, right = (self._tensors[item] for item in (number, source, weight))
        if tensor.dtype != "int32" or left.quantization is None or right.quantization is None:
            return self.real(number)
        scale = np.asarray(left.quantization.scale * right.quantization.scale, np.float32)
        is_per_channel = scale.size > 1
        name = self.hold(f"{tensor.name}_scale", scale if is_per_channel else scale.reshape(()))
        attributes = {"axis": 0} if is_per_channel else {}
        restored = self.add("DequantizeLinear", (self._stored(number, (0,)), name), attributes)
        return self._name(restored, f"{tensor.name}_dequantized")

    def _stored(self, number: int, order: Order) -> str:
        """Name of a tensor's numbers or codes in an order."""
        key = (number, order, False)
        if key not in self._read:
            self._read[key] = self._in_order(number, order)
        return self._read[key]

    def _in_order(self, number: int, order: Order) -> str:
        tensor = self._tensors[number]
        missing = len(order) - len(tensor.shape)
        if tensor.data is not None:
            padded = tensor.data.reshape((1,) * missing + tensor.shape)
            return self.hold(tensor.name, np.ascontiguousarray(padded.transpose(order)))
        if number not in self._made:
            raise ValueError(f"tensor {tensor.name!r} is read before it is made")
        if missing:
            shape = (1,) * missing + tensor.shape
            padded_name = self.reshape(self._stored(number, file_order(len(tensor.shape))), shape)
            return self._transposed(Made(padded_name, file_order(len(order))), order)
        return self._transposed(self._made[number], order)

    def _transposed(self, made: Made, order: Order) -> str:
        if made.order == order:
            return made.name
        return self.add("Transpose", (made.name,), {"perm": [made.order.index(axis) for axis in order]})

    def _parameters(self, tensor: Tensor, order: Order) -> tuple[tuple[str, str], dict[str, Any]]:
        """Names of scale and zero point, and the axis along which they lie."""
        quantization = tensor.quantization
        assert quantization is not None, f"{tensor.name} is not quantized"
        scale, zero_point = quantization.scale, quantization.zero_point.astype(tensor.dtype)
        if (zero_point != quantization.zero_point).any():
            raise ValueError(f"tensor {tensor.name!r} has a zero point that is no {tensor.dtype}")
        attributes: dict[str, Any] = {}
        if scale.size == 1:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        else:
            missing = len(order) - len(tensor.shape)
            attributes = {"axis": order.index(quantization.axis + missing)}
        names = self.hold(f"{tensor.name}_scale", scale), self.hold(f"{tensor.name}_zero_point", zero_point)
        return names, attributes

    # Writing

    def hold(self, stem: str, array: np.ndarray) -> str:
        """Add a constant under a free name and return that; an equal one of that stem is shared."""
        if stem in self._constants and _is_same(self._constants[stem], array):
            return stem
        name = self._fresh(stem)
        self._constants[name] = array
        return name

    def add(
        self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None, outputs: int = 1
    ) -> str:
        """Add a node and return the name of its (first) output."""
        return self.add_many(op, inputs, attributes, outputs)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None, outputs: int
    ) -> list[str]:
        """Add a node with several outputs and return their names."""
        name = self._fresh(f"{op}_{self._operator}")
        made = [self._fresh(f"{name}_out") for _ in range(outputs)]
        for value in inputs:
            self._claimable.pop(value, None)
        self._claimable.update(dict.fromkeys(made, len(self._nodes)))
        self._nodes.append(Node(name, op, tuple(inputs), tuple(made), dict(attributes or {})))
        return made

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        sizes = self.hold("shape_" + "x".join(map(str, shape)), np.array(shape, np.int64))
        return self.add("Reshape", (value, sizes))

    def write(self, number: int, value: str, order: Order | None = None) -> None:
        """Make a value (real numbers, in an order; by default the file's) the contents of a tensor."""
        tensor = self._tensors[number]
        order = file_order(len(tensor.shape)) if order is None else order
        if len(order) != len(tensor.shape):
            raise ValueError(f"tensor {tensor.name!r} of shape {tensor.shape} gets {len(order)} axes")
        if tensor.quantization is not None and tensor.dtype in QUANTIZED_DTYPES:
            extra, attributes = self._parameters(tensor, order)
            value = self.add("QuantizeLinear", (value, *extra), attributes)
        if value in self._claimable:
            is_file_order = order == file_order(len(order))
            is_final = is_file_order and number in self._model.outputs and not self._is_recoded(number)
            value = self._name(value, tensor.name, is_final)
            self._values[value] = Value(value, tensor.dtype, tuple(tensor.shape[axis] for axis in order))
        self._made[number] = Made(value, order)

    def graph(self, name: str) -> Graph:
        """Return what was collected, nodes that no output depends on among it."""
        outputs = tuple(self._output(number) for number in self._model.outputs)
        boundary = {value.name for value in outputs}
        values = {key: value for key, value in self._values.items() if key not in boundary}
        return Graph(name, self._inputs, outputs, tuple(self._nodes), self._constants, values)

    def _input(self, number: int) -> Value:
        """The input as the file has it; int8 codes become unsigned right behind it."""
        given = self._model.tensors[number]
        name = self._fresh(given.name)
        order = file_order(len(given.shape))
        self._made[number] = Made(name, order)
        if self._is_recoded(number):
            extra, attributes = self._parameters(given, order)
            self.write(number, self.add("DequantizeLinear", (name, *extra), attributes))
        return Value(name, given.dtype, given.shape)

    def _output(self, number: int) -> Value:
        """Give an output the file's name, order and type."""
        given = self._model.tensors[number]
        if self._is_recoded(number):
            order = file_order(len(given.shape))
            extra, attributes = self._parameters(given, order)
            made = self.add("QuantizeLinear", (self.real(number), *extra), attributes)
        else:
            made = self._stored(number, file_order(len(given.shape)))
        if made != given.name and made not in self._claimable:
            made = self.add("Identity", (made,))
        self._name(made, given.name, is_final=True)
        return Value(given.name, given.dtype, given.shape)

    def _is_recoded(self, number: int) -> bool:
        """Whether a tensor's codes differ from the file's."""
        return self._tensors[number].dtype != self._model.tensors[number].dtype

    def _name(self, value: str, stem: str, is_final: bool = False) -> str:
        """Rename a value that nothing reads yet; any other keeps its name. Return the name it has."""
        if value not in self._claimable:
            return value
        place = self._claimable.pop(value)
        name = stem if is_final else self._fresh(stem)
        node = self._nodes[place]
        outputs = tuple(name if output == value else output for output in node.outputs)
        self._nodes[place] = replace(node, outputs=outputs)
        return name

    def _fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        name = stem
        while name in self._taken:
            self._counts[stem] = self._counts.get(stem, 0) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._taken.add(name)
        return name


def _with_unsigned_codes(tensor: Tensor) -> Tensor:
    """An activation whose int8 codes become uint8; anything else as it is."""
    if tensor.dtype != "int8" or tensor.quantization is None or tensor.data is not None:
        return tensor
    zero_point = tensor.quantization.zero_point + 128
    return replace(tensor, dtype="uint8", quantization=replace(tensor.quantization, zero_point=zero_point))


def _is_same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def inputs_of(operator: Operator, least: int, most: int) -> tuple[int, ...]:
    """Return an operator's inputs, padded with ABSENT to the most. Raises ValueError for another count."""
    inputs = operator.inputs
    if not least <= len(inputs) <= most or ABSENT in inputs[:least] or not operator.outputs:
        raise ValueError(f"a {operator.kind} has {len(inputs)} inputs and {len(operator.outputs)} outputs")
    return inputs + (ABSENT,) * (most - len(inputs))
