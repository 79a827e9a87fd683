"""Torch versions of ONNX operators, by name; another domain's are called ``domain:name``."""

from taut.graph.torch_ops import (
    convolution,
    elementwise,
    indexing,
    layout,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resampling,
)
from taut.graph.torch_ops.base import Builder, Modes, Run, Site, Unsupported

OPERATORS: dict[str, Builder] = {
    **elementwise.OPERATORS,
    **layout.OPERATORS,
    **indexing.OPERATORS,
    **reduction.OPERATORS,
    **normalization.OPERATORS,
    **convolution.OPERATORS,
    **pooling.OPERATORS,
    **resampling.OPERATORS,
    **recurrent.OPERATORS,
    **quantization.OPERATORS,
}

__all__ = ["OPERATORS", "Builder", "Modes", "Run", "Site", "Unsupported"]
