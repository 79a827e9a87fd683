"""Elementwise operators: each is an expression, and stays one until something reads it from memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taut.graph.ir import Node
from taut.kernels.expression import MASK, Expression, apply, is_vector, number
from taut.runtimes.aot.lowering import Lowering, NotLowered, Pending, text_of

_FLOATS = ("float32", "float64")
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def define_elementwise(
    lowering: Lowering, node: Node, build: Callable[..., Expression], names: Sequence[str] | None = None
) -> None:
    """Define a node's output as an expression over its inputs."""
    output = node.outputs[0]
    shape = lowering.shape(output)
    names = node.inputs if names is None else names
    parts = _parts(lowering, names, shape)
    expression = build(*[parts[name].expression for name in names])
    if any(part.deferred for part in parts.values()) and not is_vector(expression):
        for name, part in parts.items():
            if part.deferred:
                lowering.view(name)
        parts = _parts(lowering, names, shape)
        expression = build(*[parts[name].expression for name in names])
    deferred = next((part.deferred for part in parts.values() if part.deferred), None)
    lowering.define(output, Pending(expression, shape, deferred))


def _parts(lowering: Lowering, names: Sequence[str], shape: tuple[int, ...]) -> dict[str, Pending]:
    """Inputs as expressions, which may wait for one kernel: the last."""
    waiting = {name: kernel for name in names if (kernel := lowering.pending(name, shape).deferred)}
    last = list(waiting.values())[-1:]
    for name, kernel in waiting.items():
        if kernel not in last:
            lowering.view(name)
    return {name: lowering.pending(name, shape) for name in dict.fromkeys(names)}


def _plain(op: str) -> Callable[[Lowering, Node], None]:
    return lambda lowering, node: define_elementwise(lowering, node, lambda *parts: apply(op, *parts))


def _folded(op: str) -> Callable[[Lowering, Node], None]:
    """Of any number of inputs."""

    def build(first: Expression, *others: Expression) -> Expression:
        for other in others:
            first = apply(op, first, other)
        return first

    return lambda lowering, node: define_elementwise(lowering, node, build)


def _activation(
    build: Callable[[Expression, Mapping[str, Any]], Expression],
) -> Callable[[Lowering, Node], None]:
    return float32_only(
        lambda lowering, node: define_elementwise(
            lowering, node, lambda x: build(x, node.attributes), node.inputs[:1]
        )
    )


def float32_only(rule: Callable[[Lowering, Node], None]) -> Callable[[Lowering, Node], None]:
    """Return the rule for nodes whose first input and output are float32; others are refused."""

    def checked(lowering: Lowering, node: Node) -> None:
        if {lowering.dtype(node.inputs[0]), lowering.dtype(node.outputs[0])} != {"float32"}:
            raise NotLowered(f"{node.op} {node.name!r} is computed in float32 only")
        rule(lowering, node)

    return checked


def relu(x: Expression) -> Expression:
    return apply("max", x, number(0, x.dtype))


def clip(x: Expression, low: float | None, high: float | None) -> Expression:
    if low is not None and low != -math.inf:
        x = apply("max", x, number(low, x.dtype))
    if high is not None and high != math.inf:
        x = apply("min", x, number(high, x.dtype))
    return x


def _scaled(x: Expression, scale: float, shift: float) -> Expression:
    return apply("add", apply("mul", x, number(scale)), number(shift))


def _negative_part(x: Expression, below: Expression) -> Expression:
    """x where it is positive, another expression elsewhere."""
    return apply("where", apply("less", x, number(0)), below, x)


def _elu(x: Expression, alpha: float, gamma: float = 1.0) -> Expression:
    below = apply("mul", apply("sub", apply("exp", x), number(1)), number(alpha * gamma))
    above = x if gamma == 1.0 else apply("mul", x, number(gamma))
    return apply("where", apply("less", x, number(0)), below, above)


def _softplus(x: Expression) -> Expression:
    """max(x, 0) + log(1 + exp(-|x|)), which does not overflow."""
    decay = apply("exp", apply("neg", apply("abs", x)))
    return apply("add", relu(x), apply("log", apply("add", decay, number(1))))


def _gelu(x: Expression, attributes: Mapping[str, Any]) -> Expression:
    if attributes.get("approximate", b"none") in (b"tanh", "tanh"):
        cube = apply("mul", apply("mul", x, x), x)
        inner = apply(
            "mul", apply("add", x, apply("mul", cube, number(0.044715))), number(math.sqrt(2 / math.pi))
        )
        share = apply("tanh", inner)
    else:
        share = apply("erf", apply("mul", x, number(math.sqrt(0.5))))
    return apply("mul", apply("mul", x, number(0.5)), apply("add", share, number(1)))


def _hard_sigmoid(x: Expression, alpha: float, beta: float) -> Expression:
    return clip(_scaled(x, alpha, beta), 0.0, 1.0)


_ACTIVATIONS: Mapping[str, Callable[[Expression, Mapping[str, Any]], Expression]] = {
    "LeakyRelu": lambda x, a: _negative_part(x, apply("mul", x, number(a.get("alpha", 0.01)))),
    "ThresholdedRelu": lambda x, a: apply(
        "where", apply("greater", x, number(a.get("alpha", 1.0))), x, number(0)
    ),
    "Elu": lambda x, a: _elu(x, a.get("alpha", 1.0)),
    "Selu": lambda x, a: _elu(x, a.get("alpha", 1.6732632), a.get("gamma", 1.0507010)),
    "Celu": lambda x, a: _celu(x, a.get("alpha", 1.0)),
    "HardSigmoid": lambda x, a: _hard_sigmoid(x, a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda x, _: apply("mul", x, _hard_sigmoid(x, 1 / 6, 0.5)),
    "Softplus": lambda x, _: _softplus(x),
    "Softsign": lambda x, _: apply("div", x, apply("add", apply("abs", x), number(1))),
    "Mish": lambda x, _: apply("mul", x, apply("tanh", _softplus(x))),
    "Gelu": _gelu,
    "Reciprocal": lambda x, _: apply("div", number(1), x),
}


def _celu(x: Expression, alpha: float) -> Expression:
    below = apply("mul", apply("sub", apply("exp", apply("div", x, number(alpha))), number(1)), number(alpha))
    return apply("add", relu(x), apply("min", below, number(0)))


def _relu(lowering: Lowering, node: Node) -> None:
    define_elementwise(lowering, node, relu)


def _clip(lowering: Lowering, node: Node) -> None:
    """Bounds are numbers before opset 11; known ones that bound nothing cost nothing."""
    bounds = [node.attributes.get(name) for name in ("min", "max")]
    unknown = {}
    for place, name in enumerate(node.inputs[1:3]):
        if lowering.constant(name) is not None:
            bounds[place] = lowering.known(name, node).item()
        elif name:
            unknown[("max", "min")[place]] = name
    if unknown and any(bound is not None for bound in bounds):
        raise NotLowered(f"Clip {node.name!r} knows one bound only")

    def build(x: Expression, *given: Expression) -> Expression:
        for op, bound in zip(unknown, given, strict=True):
            x = apply(op, x, bound)
        return clip(x, *bounds)

    define_elementwise(lowering, node, build, [node.inputs[0], *unknown.values()])


def _pow(lowering: Lowering, node: Node) -> None:
    """Exponents that are usual become products and roots."""
    base, other = (lowering.dtype(name) for name in node.inputs)
    exponent = lowering.constant(node.inputs[1])
    value = exponent.reshape(-1)[0].item() if exponent is not None and exponent.size == 1 else None
    if base == "float32" and value in _POWERS:
        define_elementwise(lowering, node, _POWERS[value], node.inputs[:1])
    elif base == "float32":
        define_elementwise(lowering, node, lambda x, y: apply("pow", x, apply("cast", y, dtype="float32")))
    elif base in _INTEGERS and other in _INTEGERS:
        define_elementwise(lowering, node, lambda x, y: apply("intpow", x, y, dtype=base))
    else:
        raise NotLowered(f"Pow {node.name!r} of {base} and {other}")


_POWERS: Mapping[Any, Callable[[Expression], Expression]] = {
    1: lambda x: x,
    2: lambda x: apply("mul", x, x),
    3: lambda x: apply("mul", apply("mul", x, x), x),
    0.5: lambda x: apply("sqrt", x),
    -1: lambda x: apply("div", number(1), x),
    -0.5: lambda x: apply("div", number(1), apply("sqrt", x)),
}


def _prelu(lowering: Lowering, node: Node) -> None:
    define_elementwise(lowering, node, lambda x, slope: _negative_part(x, apply("mul", x, slope)))


def _div(lowering: Lowering, node: Node) -> None:
    op = "div" if lowering.dtype(node.inputs[0]) in _FLOATS else "intdiv"
    define_elementwise(lowering, node, lambda x, y: apply(op, x, y))


def _mod(lowering: Lowering, node: Node) -> None:
    """With the sign of the divisor, or with that of what is divided; floats know only the latter."""
    dtype, is_truncated = lowering.dtype(node.inputs[0]), node.attributes.get("fmod", 0)
    if dtype == "float64" or (dtype == "float32" and not is_truncated):
        raise NotLowered(f"Mod {node.name!r} of {dtype}{'' if is_truncated else ' rounds down'}")
    op = "fmod" if dtype == "float32" else "intmod" if is_truncated else "floormod"
    define_elementwise(lowering, node, lambda x, y: apply(op, x, y))


def _bit_shift(lowering: Lowering, node: Node) -> None:
    op = "shiftleft" if text_of(node, "direction", "") == "LEFT" else "shiftright"
    define_elementwise(lowering, node, lambda x, y: apply(op, x, y))


def _is_inf(lowering: Lowering, node: Node) -> None:
    infinities = [math.inf] * node.attributes.get("detect_positive", 1)
    infinities += [-math.inf] * node.attributes.get("detect_negative", 1)

    def build(x: Expression) -> Expression:
        found: Expression = number(False, MASK)
        for infinity in infinities:
            found = apply("or", found, apply("equal", x, number(infinity, x.dtype)))
        return found

    define_elementwise(lowering, node, build)


def _cast(lowering: Lowering, node: Node) -> None:
    wanted, source = lowering.dtype(node.outputs[0]), lowering.dtype(node.inputs[0])
    if {wanted, source} - {*_FLOATS, *_INTEGERS, MASK}:
        raise NotLowered(f"{node.op} {node.name!r} from {source} to {wanted}")

    def build(x: Expression) -> Expression:
        if wanted == source:
            return x
        return apply("nonzero", x) if wanted == MASK else apply("cast", x, dtype=wanted)

    define_elementwise(lowering, node, build, node.inputs[:1])


def _mean(lowering: Lowering, node: Node) -> None:
    def build(first: Expression, *others: Expression) -> Expression:
        for other in others:
            first = apply("add", first, other)
        return apply("mul", first, number(1 / len(node.inputs), first.dtype))

    define_elementwise(lowering, node, build)


def _where(lowering: Lowering, node: Node) -> None:
    def build(mask: Expression, x: Expression, y: Expression) -> Expression:
        if x.dtype == MASK:  # vectors of masks have no selection of their own
            return apply("or", apply("and", mask, x), apply("and", apply("not", mask), y))
        return apply("where", mask, x, y)

    define_elementwise(lowering, node, build)


def _shrink(x: Expression, attributes: Mapping[str, Any]) -> Expression:
    bias, limit = attributes.get("bias", 0.0), attributes.get("lambd", 0.5)
    above = apply("where", apply("greater", x, number(limit)), apply("sub", x, number(bias)), number(0))
    return apply("where", apply("less", x, number(-limit)), apply("add", x, number(bias)), above)


_ANY_TYPE = "Add Sub Mul Neg Abs Equal Less Greater And Or Xor Not Sign"
_FLOAT32 = (
    "Exp Log Sqrt Tanh Sigmoid Erf Floor Ceil Round Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh"
)
_BITWISE = {"BitwiseAnd": "bitand", "BitwiseOr": "bitor", "BitwiseXor": "bitxor", "BitwiseNot": "bitnot"}

RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    **{op: _plain(op.lower()) for op in _ANY_TYPE.split()},
    **{op: float32_only(_plain(op.lower())) for op in _FLOAT32.split()},
    **{op: _plain(name) for op, name in _BITWISE.items()},
    **{name: _activation(build) for name, build in _ACTIVATIONS.items()},
    **{op: _folded(op.lower()) for op in ("Max", "Min")},
    "Sum": _folded("add"),
    "Mean": _mean,
    "LessOrEqual": _plain("less_equal"),
    "GreaterOrEqual": _plain("greater_equal"),
    "IsNaN": _plain("isnan"),
    "IsInf": _is_inf,
    "BitShift": _bit_shift,
    "Relu": _relu,
    "Shrink": _activation(_shrink),
    "Where": _where,
    "Clip": _clip,
    "Pow": _pow,
    "PRelu": float32_only(_prelu),
    "Div": _div,
    "Mod": _mod,
    "Cast": _cast,
    "CastLike": _cast,
}
