"""QuantizeLinear and DequantizeLinear, with the straight-through gradient.

Where only DequantizeLinear reads a quantized value, it is carried as a float that holds whole numbers:
rounding then passes gradients as if it were not there (Bengio et al., arXiv 1308.3432), clamping stops them
outside the range. Everywhere else it is a real integer tensor, and gradients end there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from onnx import TensorProto
from torch import Tensor

from taut.graph.onnx_types import DTYPE_NAMES
from taut.graph.torch_ops.base import Builder, Run, Site

_TYPES = {
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.uint16,
    "int32": torch.int32,
}


def quantize(site: Site) -> Run:
    dtype, along_axis = _quantized_type(site), _placed_along_axis(site)
    limits, stays_float = torch.iinfo(dtype), _is_only_dequantized(site)

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        scaled = x / along_axis(scale, x.dim())
        whole = scaled + (torch.round(scaled) - scaled).detach()
        if zero_point is not None:
            whole = whole + along_axis(zero_point, x.dim()).to(x.dtype)
        whole = torch.clamp(whole, limits.min, limits.max)
        return whole if stays_float else whole.to(dtype)

    return run


def dequantize(site: Site) -> Run:
    along_axis = _placed_along_axis(site)

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        whole = x.to(scale.dtype)
        if zero_point is not None:
            whole = whole - along_axis(zero_point, x.dim()).to(scale.dtype)
        return whole * along_axis(scale, x.dim())

    return run


def _placed_along_axis(site: Site) -> Callable[[Tensor, int], Tensor]:
    """Return what makes one number per channel broadcast along the node's axis; one number stays as it is."""
    site.require(not site.attribute("block_size", 0), "blocks")
    axis = site.attribute("axis", 1)

    def place(numbers: Tensor, rank: int) -> Tensor:
        return numbers if numbers.numel() == 1 else numbers.reshape(-1, *[1] * (rank - 1 - axis % rank))

    return place


def _quantized_type(site: Site) -> torch.dtype:
    """That of the zero point; without one the attribute's, which defaults to uint8."""
    number = site.attribute("output_dtype", 0) or TensorProto.UINT8
    value = site.graph.value(site.node.inputs[2]) if site.has_input(2) else None
    name = DTYPE_NAMES[number] if value is None else value.dtype
    site.require(name in _TYPES and (value is not None or not site.has_input(2)), f"type {name}")
    return _TYPES[name]


def _is_only_dequantized(site: Site) -> bool:
    output = site.node.outputs[0]
    readers = site.graph.consumers(output)
    return not site.graph.is_output(output) and all(
        reader.op == "DequantizeLinear" and output not in reader.inputs[1:] for reader in readers
    )


OPERATORS: dict[str, Builder] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "com.microsoft:QuantizeLinear": quantize,
    "com.microsoft:DequantizeLinear": dequantize,
}
