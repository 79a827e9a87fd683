"""Small networks of one TensorFlow Lite operator each, alone or behind a convolution, and their inputs.

Behind a convolution a picture is channels first when the operator is read, so that both orders are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tflite_writer import FileModel, FileOperator, FileTensor, constant

Options = tuple[int, tuple[tuple[int, str, float], ...]]
NO_OPTIONS: Options = (0, ())
PICTURE = (1, 5, 6, 4)


@dataclass(frozen=True)
class Case:
    model: FileModel
    least: float = -2.0
    """Of the random numbers that go in; they end at 2"""

    def inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        return random_inputs([self.model.tensors[number] for number in self.model.inputs], seed, self.least)


def random_inputs(tensors: Sequence[FileTensor], seed: int, least: float = -2.0) -> dict[str, np.ndarray]:
    """Return random contents by name: all codes of integers, a range of floats."""
    numbers = np.random.default_rng(seed)
    return {tensor.name: _random(numbers, tensor, least) for tensor in tensors}


def _random(numbers: np.random.Generator, tensor: FileTensor, least: float) -> np.ndarray:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "b":
        return numbers.random(tensor.shape) < 0.5
    if dtype.kind in "iu":
        low, high = (-128, 128) if dtype == np.int8 else (0, 3)
        return numbers.integers(low, high, tensor.shape).astype(dtype)
    return numbers.uniform(least, 2.0, tensor.shape).astype(dtype)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def _source(shape: tuple[int, ...] = PICTURE, dtype: str = "float32", name: str = "x") -> FileTensor:
    return FileTensor(name, shape, dtype)


def _made(*shape: int, dtype: str = "float32", name: str = "y") -> FileTensor:
    return FileTensor(name, shape, dtype)


def _case(
    kind: str,
    sources: Sequence[FileTensor],
    outputs: Sequence[FileTensor],
    options: Options = NO_OPTIONS,
    least: float = -2.0,
) -> Case:
    tensors = (*sources, *outputs)
    read, made = tuple(range(len(sources))), tuple(range(len(sources), len(tensors)))
    operator = FileOperator(kind, read, made, *options)
    given = tuple(number for number in read if sources[number].data is None)
    return Case(FileModel(tensors, (operator,), given, made), least)


def _of_version(version: int, case: Case) -> Case:
    (operator,) = case.model.operators
    return replace(case, model=replace(case.model, operators=(replace(operator, version=version),)))


def behind_convolution(case: Case) -> Case:
    """Return the case with a 1x1 convolution before its first input, a picture of 4 channels."""
    model = case.model
    count = len(model.tensors)
    first = model.tensors[0]
    extra = (
        FileTensor("picture", first.shape),
        constant("mix", _normal(4, 1, 1, 4)),
        constant("shift", _normal(4)),
    )
    options = ((0, "b", 0), (1, "i", 1), (2, "i", 1))
    convolution = FileOperator("CONV_2D", (count, count + 1, count + 2), (0,), 1, options)
    tensors, operators = (*model.tensors, *extra), (convolution, *model.operators)
    return replace(
        case, model=replace(model, tensors=tensors, operators=operators, inputs=(count, *model.inputs[1:]))
    )


def _quantized(tensor: FileTensor, scale: float, zero_point: int) -> FileTensor:
    return replace(tensor, dtype="int8", scale=(scale,), zero_point=(zero_point,))


def _weight_codes(name: str, axis: int, *shape: int) -> FileTensor:
    codes = np.random.default_rng(sum(shape)).integers(-127, 128, shape).astype(np.int8)
    scale = tuple(0.002 * (1 + number) for number in range(shape[axis]))
    return FileTensor(name, shape, "int8", codes, scale, (0,) * shape[axis], axis)


def _bias_codes(weight: FileTensor, input_scale: float) -> FileTensor:
    scale = tuple(input_scale * item for item in weight.scale)
    codes = _ints(*(50 * number - 100 for number in range(len(scale))))
    return FileTensor("bias", codes.shape, "int32", codes, scale, (0,) * len(scale))


def _convolutions() -> dict[str, Case]:
    weight, bias = constant("w", _normal(3, 3, 2, 4)), constant("b", _normal(3))
    spread = constant("w", _normal(1, 3, 3, 8))
    turned, size = constant("w", _normal(3, 3, 3, 4)), constant("size", _ints(1, 9, 11, 3))
    same, valid = (0, "b", 0), (0, "b", 1)
    once, twice = ((1, "i", 1), (2, "i", 1)), ((1, "i", 2), (2, "i", 2))
    return {
        "conv same": _case("CONV_2D", [_source(), weight, bias], [_made(1, 5, 6, 3)], (1, (same, *once))),
        "conv strided": _case(
            "CONV_2D",
            [_source(), weight, bias],
            [_made(1, 3, 6, 3)],
            (1, (same, (1, "i", 1), (2, "i", 2), (3, "b", 3))),
        ),
        "conv valid": _case(
            "CONV_2D", [_source(), weight, bias], [_made(1, 2, 3, 3)], (1, (valid, *twice, (3, "b", 1)))
        ),
        "conv dilated": _case(
            "CONV_2D",
            [_source(), weight, bias],
            [_made(1, 5, 6, 3)],
            (1, (same, *once, (3, "b", 2), (4, "i", 3), (5, "i", 2))),
        ),
        "conv in groups": _case(
            "CONV_2D",
            [_source(), constant("w", _normal(6, 1, 1, 2)), constant("b", _normal(6))],
            [_made(1, 5, 6, 6)],
            (1, (same, *once, (3, "b", 3))),
        ),
        "depthwise": _case(
            "DEPTHWISE_CONV_2D",
            [_source(), spread, constant("b", _normal(8))],
            [_made(1, 3, 3, 8)],
            (2, (same, *twice, (3, "i", 2), (4, "b", 3))),
        ),
        "transposed same": _case(
            "TRANSPOSE_CONV",
            [constant("size", _ints(1, 10, 12, 3)), turned, _source()],
            [_made(1, 10, 12, 3)],
            (49, (same, *twice)),
        ),
        "transposed valid": _case(
            "TRANSPOSE_CONV",
            [constant("size", _ints(1, 11, 13, 3)), turned, _source()],
            [_made(1, 11, 13, 3)],
            (49, (valid, *twice)),
        ),
        "transposed odd": _case(
            "TRANSPOSE_CONV", [size, turned, _source()], [_made(1, 9, 11, 3)], (49, (same, *twice))
        ),
        "average pool": _case(
            "AVERAGE_POOL_2D", [_source()], [_made(1, 3, 3, 4)], (5, (same, *twice, (3, "i", 3), (4, "i", 2)))
        ),
        "max pool": _case(
            "MAX_POOL_2D", [_source()], [_made(1, 2, 3, 4)], (5, (valid, *twice, (3, "i", 2), (4, "i", 3)))
        ),
    }


def _resizes() -> dict[str, Case]:
    cases = {}
    for kind, options_kind, first in (("RESIZE_BILINEAR", 15, 2), ("RESIZE_NEAREST_NEIGHBOR", 74, 0)):
        for name, corners, centres in (("plain", 0, 0), ("corners", 1, 0), ("centres", 0, 1)):
            for height, width in ((10, 6), (3, 4)):
                options = (options_kind, ((first, "B", corners), (first + 1, "B", centres)))
                sources = [_source(), constant("size", _ints(height, width))]
                output = _made(1, height, width, 4)
                cases[f"{kind.lower()} {name} {height}"] = _case(kind, sources, [output], options)
    return cases


def _rearrangements() -> dict[str, Case]:
    x = _source()
    pads = constant("pads", _ints(0, 0, 1, 2, 0, 1, 3, 0).reshape(4, 2))
    rows = constant("mirror", _ints(0, 0, 1, 2, 0, 1, 0, 0).reshape(4, 2))
    other = constant("other", _normal(1, 5, 6, 2))
    starts, sizes = constant("starts", _ints(0, 1, 0, 2)), constant("sizes", _ints(1, 3, -1, 2))
    begin, end, step = (
        constant(name, _ints(*numbers))
        for name, numbers in (("begin", (0, 4, 1, 0)), ("end", (1, 0, 5, 3)), ("step", (1, -2, 2, 1)))
    )
    return {
        "concat channels": _case("CONCATENATION", [x, other], [_made(1, 5, 6, 6)], (10, ((0, "i", -1),))),
        "pad": _case("PAD", [x, pads], [_made(1, 8, 7, 7)], (22, ())),
        "pad value": _case(
            "PADV2", [x, pads, constant("fill", np.float32([1.5]))], [_made(1, 8, 7, 7)], (43, ())
        ),
        "mirror pad": _case("MIRROR_PAD", [x, rows], [_made(1, 8, 7, 4)], (77, ((0, "b", 0),))),
        "slice": _case("SLICE", [x, starts, sizes], [_made(1, 3, 6, 2)], (48, ())),
        "strided slice": _case(
            "STRIDED_SLICE", [x, begin, end, step], [_made(1, 3, 2, 3)], (32, ((0, "i", 1), (1, "i", 3)))
        ),
        "strided slice dropping": _case(
            "STRIDED_SLICE",
            [x, begin, constant("end", _ints(1, 5, 5, 3)), constant("step", _ints(1, 1, 2, 1))],
            [_made(1, 2, 3)],
            (32, ((4, "i", 2),)),
        ),
        "split": _case(
            "SPLIT",
            [constant("axis", _ints(3)), x],
            [_made(1, 5, 6, 2, name="first"), _made(1, 5, 6, 2, name="second")],
            (35, ((0, "i", 2),)),
        ),
        "split uneven": _case(
            "SPLIT_V",
            [x, constant("sizes", _ints(1, 3)), constant("axis", _ints(-1))],
            [_made(1, 5, 6, 1, name="first"), _made(1, 5, 6, 3, name="second")],
            (79, ((0, "i", 2),)),
        ),
        "gather": _case(
            "GATHER", [x, constant("at", _ints(3, 0))], [_made(1, 5, 6, 2)], (23, ((0, "i", 3),))
        ),
        "pack": _case(
            "PACK", [x, _source(name="other")], [_made(1, 5, 2, 6, 4)], (59, ((0, "i", 2), (1, "i", 2)))
        ),
        "unpack": _case(
            "UNPACK",
            [_source((2, 3, 4))],
            [_made(3, 4, name="first"), _made(3, 4, name="second")],
            (64, ((0, "i", 2), (1, "i", 0))),
        ),
        "transpose": _case(
            "TRANSPOSE", [x, constant("order", _ints(0, 2, 3, 1))], [_made(1, 6, 4, 5)], (26, ())
        ),
        "reshape": _case("RESHAPE", [x, constant("to", _ints(2, 60))], [_made(2, 60)]),
        "squeeze": _case("SQUEEZE", [x], [_made(5, 6, 4)], (30, ())),
        "expand": _case("EXPAND_DIMS", [x, constant("axis", _ints(2))], [_made(1, 5, 1, 6, 4)], (52, ())),
        "tile": _case("TILE", [x, constant("counts", _ints(1, 1, 2, 3))], [_made(1, 5, 12, 12)], (51, ())),
        "broadcast": _of_version(
            2,
            _case(
                "BROADCAST_TO", [_source((6, 1)), constant("to", _ints(5, 6, 4))], [_made(5, 6, 4)], (104, ())
            ),
        ),
        "depth to space": _case("DEPTH_TO_SPACE", [x], [_made(1, 10, 12, 1)], (94, ((0, "i", 2),))),
        "space to depth": _case(
            "SPACE_TO_DEPTH", [_source((1, 4, 6, 4))], [_made(1, 2, 3, 16)], (19, ((0, "i", 2),))
        ),
    }


def _matrices() -> dict[str, Case]:
    x = _source()
    spatial, channels = constant("axes", _ints(1, 2)), constant("axes", _ints(-1))
    weight, bias = constant("w", _normal(3, 24)), constant("b", _normal(3))
    left, right = _source((2, 3, 4), name="left"), _source((2, 5, 4), name="right")
    return {
        "fully connected": _case("FULLY_CONNECTED", [x, weight, bias], [_made(5, 3)], (8, ((0, "b", 1),))),
        "fully connected kept": _case(
            "FULLY_CONNECTED",
            [x, constant("w", _normal(3, 4)), bias],
            [_made(1, 5, 6, 3)],
            (8, ((2, "B", 1),)),
        ),
        "batch matmul": _case("BATCH_MATMUL", [left, right], [_made(2, 3, 5)], (101, ((1, "B", 1),))),
        "mean kept": _case("MEAN", [x, spatial], [_made(1, 1, 1, 4)], (27, ((0, "B", 1),))),
        "mean": _case("MEAN", [x, spatial], [_made(1, 4)], (27, ())),
        "sum": _case("SUM", [x, constant("axes", _ints(1))], [_made(1, 6, 4)], (27, ())),
        "largest": _case("REDUCE_MAX", [x, channels], [_made(1, 5, 6)], (27, ())),
        "place of largest": _case(
            "ARG_MAX", [x, channels], [_made(1, 5, 6, dtype="int32")], (40, ((0, "b", 2),))
        ),
        "softmax": _case("SOFTMAX", [x], [_made(*PICTURE)], (9, ((0, "f", 1.0),))),
        "softmax sharp": _case("SOFTMAX", [x], [_made(*PICTURE)], (9, ((0, "f", 2.5),))),
        "log softmax": _case("LOG_SOFTMAX", [x], [_made(*PICTURE)], (36, ())),
    }


_UNARY = {
    **dict.fromkeys(("ceil", "elu", "floor", "logistic", "relu", "relu_n1_to_1", "round", "sin", "tanh"), 0),
    "abs": 78,
    "cos": 84,
    "exp": 33,
    "hard_swish": 91,
    "neg": 42,
    "square": 66,
}
"""Operator -> the kind of its options"""


def _elementwise() -> dict[str, Case]:
    x, y = _source(), _made(*PICTURE)
    row, whole = constant("row", _normal(4)), _source(name="other")
    alpha = constant("alpha", np.abs(_normal(1, 1, 4)))
    cases = {name: _case(name.upper(), [x], [y], (number, ())) for name, number in _UNARY.items()}
    cases["relu6"] = _case("RELU6", [x], [y])
    roots = {kind.lower(): _case(kind, [x], [y], least=0.1) for kind in ("LOG", "RSQRT", "SQRT")}
    binary = (
        ("ADD", 11),
        ("SUB", 28),
        ("MUL", 21),
        ("MAXIMUM", 39),
        ("MINIMUM", 39),
        ("SQUARED_DIFFERENCE", 76),
    )
    rows = {f"{kind.lower()} row": _case(kind, [x, row], [y], (number, ())) for kind, number in binary}
    truth = _made(*PICTURE, dtype="bool")
    return {
        **cases,
        **roots,
        **rows,
        "div": _case("DIV", [x, whole], [y], (29, ((0, "b", 1),)), least=0.1),
        "pow": _case("POW", [x, whole], [y], (56, ()), least=0.1),
        "add of lower rank": _case("ADD", [x, _source((6, 4), name="other")], [y], (11, ())),
        "prelu": _case("PRELU", [x, alpha], [y]),
        "leaky relu": _case("LEAKY_RELU", [x], [y], (75, ((0, "f", 0.3),))),
        "gelu": _case("GELU", [x], [y], (116, ())),
        "gelu approximate": _case("GELU", [x], [y], (116, ((0, "B", 1),))),
        "greater": _case("GREATER", [x, row], [truth], (44, ())),
        "not equal": _case("NOT_EQUAL", [x, row], [truth], (54, ())),
        "select": _case("SELECT_V2", [_source(dtype="bool", name="where"), x, row], [y], (98, ())),
        "cast": _case("CAST", [_source(dtype="int32")], [y], (37, ((0, "b", 2), (1, "b", 0)))),
    }


def _quantized_cases() -> dict[str, Case]:
    x, y = _quantized(_source(), 0.05, -3), _quantized(_made(*PICTURE), 0.04, 5)
    other = _quantized(_source(name="other"), 0.02, 7)
    weight, spread = _weight_codes("w", 0, 3, 3, 3, 4), _weight_codes("w", 3, 1, 3, 3, 4)
    rows = replace(_weight_codes("w", 0, 3, 24), scale=(0.004,), zero_point=(0,))
    bias = replace(_bias_codes(weight, 0.05), scale=(0.05 * 0.004,), zero_point=(0,))
    same = ((0, "b", 0), (1, "i", 1), (2, "i", 1))
    convolved = _quantized(_made(1, 5, 6, 3), 0.06, -10)
    flat = _quantized(_made(5, 3), 0.2, 4)
    pool = (*same, (3, "i", 3), (4, "i", 3))
    chances = _quantized(_made(*PICTURE), 1 / 256, -128)
    spatial = constant("axes", _ints(1, 2))
    alike = replace(y, scale=x.scale, zero_point=x.zero_point)
    joined = _quantized(_made(1, 5, 6, 8), 0.05, -3)
    return {
        "int8 conv": _case(
            "CONV_2D", [x, weight, _bias_codes(weight, 0.05)], [convolved], (1, (*same, (3, "b", 1)))
        ),
        "int8 depthwise": _case(
            "DEPTHWISE_CONV_2D", [x, spread, _bias_codes(spread, 0.05)], [y], (2, (*same, (3, "i", 1)))
        ),
        "int8 fully connected": _case("FULLY_CONNECTED", [x, rows, bias], [flat], (8, ())),
        "int8 add": _case("ADD", [x, other], [y], (11, ((0, "b", 1),))),
        "int8 mul": _case("MUL", [x, other], [y], (21, ())),
        "int8 average pool": _case("AVERAGE_POOL_2D", [x], [alike], (5, pool)),
        "int8 max pool": _case("MAX_POOL_2D", [x], [alike], (5, pool)),
        "int8 mean": _case("MEAN", [x, spatial], [_quantized(_made(1, 4), 0.01, 3)], (27, ())),
        "int8 concat": _case("CONCATENATION", [x, replace(x, name="other")], [joined], (10, ((0, "i", 3),))),
        "int8 reshape": _case(
            "RESHAPE", [x, constant("to", _ints(2, 60))], [_quantized(_made(2, 60), 0.05, -3)]
        ),
        "int8 softmax": _case("SOFTMAX", [x], [chances], (9, ((0, "f", 1.0),))),
        "int8 logistic": _case("LOGISTIC", [x], [chances]),
        "requantize": _case("QUANTIZE", [x], [y], (89, ())),
        "quantize": _case("QUANTIZE", [_source()], [y], (89, ())),
        "dequantize": _case("DEQUANTIZE", [x], [_made(*PICTURE)], (38, ())),
    }


def _all() -> dict[str, Case]:
    alone = {**_convolutions(), **_resizes(), **_rearrangements(), **_matrices(), **_elementwise()}
    fit = {
        name: case
        for name, case in alone.items()
        if case.model.tensors[0].shape == PICTURE and case.model.tensors[0].dtype == "float32"
    }
    # Of those that work number by number, which are one piece of code, a few are enough.
    many = _UNARY.keys() | {"gelu approximate", "log softmax", "softmax sharp"}
    many |= {name for name in fit if name.endswith(" row") and name != "add row"}
    behind = {
        f"{name} behind": behind_convolution(case)
        for name, case in fit.items()
        if case.least == -2.0 and name not in many
    }
    return {**alone, **behind, **_quantized_cases()}


CASES = _all()
