"""Targets: what the integer kernels of a runtime are like, as far as it decides what can be quantized."""

from __future__ import annotations

from dataclasses import dataclass

from taut.core.errors import BadInput

MATRIX_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Where integers save time; all other operators take part only to keep the codes flowing between these"""


@dataclass(frozen=True)
class Target:
    """A runtime's integer kernels."""

    name: str
    operators: frozenset[str]
    """That have one"""
    quantizes_results: bool = True
    """It exists only where the result is quantized as well"""
    may_end_in_float: frozenset[str] = frozenset()
    """Operators for which it exists all the same"""
    rescales_in_concat: bool = True
    """Inputs of a concatenation may have scales of their own"""
    has_hard_swish: bool = False
    """It takes in a hard swish as it is; for others the gate is made explicit"""


_SHARED = frozenset({"Add", "AveragePool", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "Mul"})
_TABLES = frozenset({"HardSigmoid", "LeakyRelu", "Sigmoid"})

TARGETS = {
    target.name: target
    for target in (
        Target("onnxruntime", _SHARED | _TABLES, may_end_in_float=frozenset({"Gemm", "MatMul"})),
        Target(
            "openvino",
            _SHARED | {"ConvTranspose", "ReduceMean"},
            quantizes_results=False,
            has_hard_swish=True,
        ),
        Target("aot", _SHARED | {"ReduceMean"}, quantizes_results=False, has_hard_swish=True),
        # The reference engine (integer.py), on which nothing ends in float.
        Target("integer", _SHARED | _TABLES | {"ReduceMean"}, rescales_in_concat=False),
    )
}


def target_named(name: str) -> Target:
    """Return a target; BadInput where there is none of that name."""
    if name not in TARGETS:
        raise BadInput(f"target {name!r}", "has no integer kernels", f"one of: {', '.join(TARGETS)}")
    return TARGETS[name]
