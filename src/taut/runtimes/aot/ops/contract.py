"""What each rule honours: an attribute that is not named here is refused, never passed over.

Some attributes have their effect through the output's shape (``keepdims``), some change nothing while a
network runs (``momentum``), some a rule refuses unless they have one value; all others it computes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Contract:
    """Of one operator."""

    attributes: frozenset[str] = frozenset()
    refused: str = ""
    """What else is refused, for the reader"""


_FLOAT32 = "types other than float32"
_FLOAT32_CONSTANT = "types other than float32; parameters that are not constant"
_WINDOW = "auto_pad ceil_mode dilations kernel_shape pads strides"
_POOLED = f"{_FLOAT32}; a window that begins behind the end"
_RECURRENT = "activations clip direction hidden_size layout"
_RECURRENT_REFUSED = (
    f"{_FLOAT32_CONSTANT}; sequences of several lengths; other activations; clipping; the batch first"
)
_REDUCED = "axes keepdims noop_with_empty_axes"
_NO_AXES = "axes that are not constant; no axes"
_CODES = "other than 8 bits with one known scale"
_CASTS = "float16, bfloat16, float8, four bits, text"
_INTERPOLATED = "interpolation of other types than float32"
_SCATTERED = "reductions other than add, mul, max, min"
_STASH = f"{_FLOAT32}; moments as outputs; moments in other types"

_ROWS: tuple[tuple[str, str, str], ...] = (
    ("ArgMax ArgMin", "axis keepdims select_last_index", ""),
    ("AveragePool", f"{_WINDOW} count_include_pad", _POOLED),
    (
        "BatchNormalization",
        "epsilon momentum spatial training_mode",
        f"{_FLOAT32_CONSTANT}; training; moments of each place",
    ),
    ("BitShift", "direction", ""),
    ("Cast", "saturate to", _CASTS),
    ("CastLike", "saturate", _CASTS),
    ("Celu Elu LeakyRelu ThresholdedRelu", "alpha", _FLOAT32),
    ("Clip", "min max", "one bound that is constant beside one that is not"),
    ("Concat", "axis", ""),
    ("ConstantOfShape", "value", ""),
    ("Conv", "auto_pad dilations group kernel_shape pads strides", _FLOAT32_CONSTANT),
    (
        "ConvTranspose",
        "auto_pad dilations group kernel_shape output_padding output_shape pads strides",
        f"{_FLOAT32_CONSTANT}; strides and dilations on one axis",
    ),
    ("CumSum", "exclusive reverse", "an axis that is not constant"),
    ("DepthToSpace", "blocksize mode", ""),
    ("DequantizeLinear", "axis block_size", f"{_CODES}, except of constants; a scale for each block"),
    ("Dropout", "ratio seed", "training; the mask as an output"),
    ("Einsum", "equation", _FLOAT32),
    ("EyeLike", "dtype k", ""),
    ("Flatten", "axis", ""),
    ("GRU", f"{_RECURRENT} linear_before_reset", _RECURRENT_REFUSED),
    ("Gather GatherElements", "axis", ""),
    ("GatherND", "batch_dims", ""),
    ("Gelu", "approximate", _FLOAT32),
    ("Gemm", "alpha beta transA transB", _FLOAT32),
    ("GlobalLpPool", "p", _FLOAT32),
    ("GroupNormalization", "epsilon num_groups stash_type", f"{_FLOAT32}; moments in other types"),
    ("HardSigmoid", "alpha beta", _FLOAT32),
    ("Hardmax LogSoftmax Softmax", "axis", _FLOAT32),
    ("InstanceNormalization", "epsilon", _FLOAT32_CONSTANT),
    ("IsInf", "detect_negative detect_positive", ""),
    ("LRN", "alpha beta bias size", _FLOAT32),
    ("LSTM", f"{_RECURRENT} input_forget", f"{_RECURRENT_REFUSED}; coupled gates; peepholes"),
    ("LayerNormalization", "axis epsilon stash_type", _STASH),
    ("LpNormalization", "axis p", _FLOAT32),
    ("LpPool", f"{_WINDOW} p", _POOLED),
    ("MaxPool", f"{_WINDOW} storage_order", f"{_POOLED}; indices as an output"),
    ("MeanVarianceNormalization", "axes", _FLOAT32),
    ("Mod", "fmod", "float64; floats rounded down"),
    ("OneHot", "axis", ""),
    ("Pad", "mode pads value", "pads or fill that are not constant"),
    ("QuantizeLinear", "axis block_size saturate", _CODES),
    ("RNN", _RECURRENT, _RECURRENT_REFUSED),
    ("ReduceL1 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare", _REDUCED, _NO_AXES),
    ("ReduceL2 ReduceLogSum ReduceLogSumExp", _REDUCED, f"{_FLOAT32}; {_NO_AXES}"),
    ("Reshape", "allowzero", ""),
    (
        "Resize",
        "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value "
        "keep_aspect_ratio_policy mode nearest_mode",
        "antialiasing; cropping; a kept ratio of sides; exclusion of what is outside unless cubic; "
        f"scales that change no size; {_INTERPOLATED}",
    ),
    ("ReverseSequence", "batch_axis time_axis", "lengths that are not constant"),
    ("Scatter", "axis", ""),
    ("ScatterElements", "axis reduction", _SCATTERED),
    ("ScatterND", "reduction", _SCATTERED),
    ("Selu", "alpha gamma", _FLOAT32),
    ("Shape", "start end", ""),
    ("Shrink", "bias lambd", _FLOAT32),
    ("Slice", "axes ends starts", "bounds that are not constant"),
    ("SpaceToDepth", "blocksize", ""),
    ("Split", "axis num_outputs split", ""),
    ("Squeeze Unsqueeze", "axes", ""),
    ("Tile", "", "repeats that are not constant"),
    ("TopK", "axis k largest sorted", "a count that is not constant"),
    ("Transpose", "perm", ""),
    ("Trilu", "upper", "a diagonal that is not constant"),
    ("Upsample", "mode scales", f"scales that change no size; {_INTERPOLATED}"),
    ("Pow", "", "float64; an integer to the power of a float"),
    ("Range", "", "bounds that are not constant"),
    ("MatMul", "", _FLOAT32),
    ("GlobalAveragePool GlobalMaxPool", "", "bool; no spatial axes"),
    (
        "Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor HardSwish Log Mish PRelu Reciprocal "
        "Round Sigmoid Sin Sinh Softplus Softsign Sqrt Tan Tanh",
        "",
        _FLOAT32,
    ),
)

CONTRACTS: Mapping[str, Contract] = {
    op: Contract(frozenset(attributes.split()), refused)
    for ops, attributes, refused in _ROWS
    for op in ops.split()
}
"""Operators without attributes and refusals are not listed"""


def contract_of(op: str) -> Contract:
    """Return what the rule of an operator honours."""
    return CONTRACTS.get(op, Contract())
