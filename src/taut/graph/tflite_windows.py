"""TensorFlow Lite's operators over pictures: convolutions, pooling, resizing. All work channels first.

Weights are turned as they are read; SAME padding becomes explicit, since the sizes are known. A picture that
needs an uneven padding gets the larger part at its end, as TensorFlow has it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.graph.tflite_conversion import CHANNELS_FIRST, Conversion, Order, inputs_of
from taut.graph.tflite_elementwise import Converter, activated, integer
from taut.graph.tflite_model import ABSENT, Operator, Unsupported

_SAME = 0
"""Padding in the schema"""
_DEPTHWISE_WEIGHT: Order = (3, 0, 1, 2)
"""(1, height, width, outputs) -> (outputs, 1, height, width)"""
_TRANSPOSED_WEIGHT: Order = (3, 0, 1, 2)
"""(outputs, height, width, inputs) -> (inputs, outputs, height, width)"""
_CUSTOM_SAME = 1
"""TfLitePadding in the options of MediaPipe's operators"""


@dataclass(frozen=True)
class Window:
    """Sizes along (height, width)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    is_same: bool
    dilations: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.strides, *self.dilations) < 1:
            raise ValueError("a window has a size, stride or dilation below 1")

    def attributes(self, sizes: tuple[int, int]) -> dict[str, Any]:
        """ONNX's attributes of a window that moves over a picture of some sizes."""
        attributes: dict[str, Any] = {"kernel_shape": list(self.kernel), "strides": list(self.strides)}
        if self.dilations != (1, 1):
            attributes["dilations"] = list(self.dilations)
        padding = [self._padding(axis, size) for axis, size in enumerate(sizes)]
        if self.is_same and any(padding):
            before = [total // 2 for total in padding]
            after = [total - total // 2 for total in padding]
            attributes["pads"] = [*before, *after]
        return attributes

    def _padding(self, axis: int, size: int) -> int:
        """Places to add along an axis so that the output has ceil(size / stride)."""
        reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        count = -(-size // self.strides[axis])
        return max((count - 1) * self.strides[axis] + reach - size, 0)


def _picture(conversion: Conversion, number: int) -> tuple[int, int, int, int]:
    """Shape of a picture (batch, height, width, channels)."""
    shape = conversion.shape(number)
    if len(shape) != 4:
        raise Unsupported(f"has the picture {conversion.tensor(number).name!r} of {len(shape)} axes, not 4")
    batch, height, width, channels = shape
    return batch, height, width, channels


def _window(conversion: Conversion, operator: Operator, weight: int, dilation_slot: int) -> Window:
    _, height, width, _ = _picture(conversion, weight)
    return Window(
        kernel=(height, width),
        strides=(integer(operator, 2), integer(operator, 1)),
        is_same=integer(operator, 0, "b") == _SAME,
        dilations=(
            integer(operator, dilation_slot + 1, default=1),
            integer(operator, dilation_slot, default=1),
        ),
    )


def _convolution(conversion: Conversion, operator: Operator) -> None:
    source, weight, bias = inputs_of(operator, 2, 3)
    window = _window(conversion, operator, weight, dilation_slot=4)
    channels, taken = _picture(conversion, source)[3], _picture(conversion, weight)[3]
    if taken < 1 or channels % taken:
        raise ValueError(f"a CONV_2D of {channels} channels has weights over {taken}")
    group = channels // taken
    value = _convolved(conversion, (source, weight, bias), window, CHANNELS_FIRST, group)
    value = activated(conversion, value, operator, 3)
    conversion.write(operator.outputs[0], value, CHANNELS_FIRST)


def _depthwise(conversion: Conversion, operator: Operator) -> None:
    source, weight, bias = inputs_of(operator, 2, 3)
    window = _window(conversion, operator, weight, dilation_slot=5)
    group = _picture(conversion, source)[3]
    value = _convolved(conversion, (source, weight, bias), window, _DEPTHWISE_WEIGHT, group)
    value = activated(conversion, value, operator, 4)
    conversion.write(operator.outputs[0], value, CHANNELS_FIRST)


def _convolved(
    conversion: Conversion, numbers: tuple[int, int, int], window: Window, weight_order: Order, group: int
) -> str:
    source, weight, bias = numbers
    _, height, width, channels = _picture(conversion, source)
    if not channels:
        raise ValueError(f"the picture {conversion.tensor(source).name!r} has no channels")
    inputs = [conversion.real(source, CHANNELS_FIRST), conversion.real(weight, weight_order)]
    if bias != ABSENT:
        inputs.append(conversion.bias(bias, source, weight))
    attributes = window.attributes((height, width))
    if group != 1:
        attributes["group"] = group
    return conversion.add("Conv", inputs, attributes)


def _transposed(conversion: Conversion, operator: Operator) -> None:
    _, weight, source, bias = inputs_of(operator, 3, 4)
    _, height, width, _ = _picture(conversion, weight)
    strides = integer(operator, 2), integer(operator, 1)
    window = Window((height, width), strides, is_same=integer(operator, 0, "b") == _SAME)
    value = _transposed_convolved(conversion, (source, weight, bias), window, operator.outputs[0])
    conversion.write(operator.outputs[0], activated(conversion, value, operator, 3), CHANNELS_FIRST)


def _custom_transposed(conversion: Conversion, operator: Operator) -> None:
    """MediaPipe's transposed convolution; its options are int32: padding, stride in width, in height."""
    source, weight, bias = inputs_of(operator, 2, 3)
    if len(operator.custom_options) < 12:
        raise ValueError(f"a {operator.kind} has {len(operator.custom_options)} bytes of options")
    padding, stride_width, stride_height = struct.unpack_from("<3i", operator.custom_options)
    _, height, width, _ = _picture(conversion, weight)
    window = Window((height, width), (stride_height, stride_width), is_same=padding == _CUSTOM_SAME)
    value = _transposed_convolved(conversion, (source, weight, bias), window, operator.outputs[0])
    conversion.write(operator.outputs[0], value, CHANNELS_FIRST)


def _transposed_convolved(
    conversion: Conversion, numbers: tuple[int, int, int], window: Window, output: int
) -> str:
    source, weight, bias = numbers
    inputs = [conversion.real(source, CHANNELS_FIRST), conversion.real(weight, _TRANSPOSED_WEIGHT)]
    if bias != ABSENT:
        inputs.append(conversion.bias(bias, source, weight))
    sizes, wanted = _picture(conversion, source)[1:3], _picture(conversion, output)[1:3]
    # What the windows cover beyond the wanted size is cut off, what they lack is added at the end.
    surplus = [
        (size - 1) * stride + kernel - end
        for size, stride, kernel, end in zip(sizes, window.strides, window.kernel, wanted, strict=True)
    ]
    before = [max(extra, 0) // 2 if window.is_same else 0 for extra in surplus]
    after = [max(extra, 0) - first for extra, first in zip(surplus, before, strict=True)]
    attributes = {
        "kernel_shape": list(window.kernel),
        "strides": list(window.strides),
        "pads": [*before, *after],
        "output_padding": [max(-extra, 0) for extra in surplus],
    }
    return conversion.add("ConvTranspose", inputs, attributes)


def _pool(conversion: Conversion, operator: Operator) -> None:
    (source,) = inputs_of(operator, 1, 1)
    window = Window(
        kernel=(integer(operator, 4), integer(operator, 3)),
        strides=(integer(operator, 2), integer(operator, 1)),
        is_same=integer(operator, 0, "b") == _SAME,
    )
    _, height, width, _ = _picture(conversion, source)
    op = {"AVERAGE_POOL_2D": "AveragePool", "MAX_POOL_2D": "MaxPool"}[operator.kind]
    inputs = (conversion.real(source, CHANNELS_FIRST),)
    value = conversion.add(op, inputs, window.attributes((height, width)))
    conversion.write(operator.outputs[0], activated(conversion, value, operator, 5), CHANNELS_FIRST)


def _resize(conversion: Conversion, operator: Operator) -> None:
    source, _ = inputs_of(operator, 2, 2)
    is_linear = operator.kind == "RESIZE_BILINEAR"
    corners_slot = 2 if is_linear else 0
    is_cornered, is_centred = (bool(integer(operator, corners_slot + place, "B")) for place in range(2))
    mapping = "align_corners" if is_cornered else "half_pixel" if is_centred else "asymmetric"
    attributes = {"mode": "linear" if is_linear else "nearest", "coordinate_transformation_mode": mapping}
    if not is_linear:
        attributes["nearest_mode"] = "floor" if mapping == "asymmetric" else "round_prefer_ceil"
    batch, height, width, channels = _picture(conversion, operator.outputs[0])
    sizes = conversion.hold("sizes", np.array([batch, channels, height, width], np.int64))
    inputs = (conversion.real(source, CHANNELS_FIRST), "", "", sizes)
    conversion.write(operator.outputs[0], conversion.add("Resize", inputs, attributes), CHANNELS_FIRST)


def _depth_to_space(conversion: Conversion, operator: Operator) -> None:
    (source,) = inputs_of(operator, 1, 1)
    _picture(conversion, source)
    op = {"DEPTH_TO_SPACE": "DepthToSpace", "SPACE_TO_DEPTH": "SpaceToDepth"}[operator.kind]
    attributes = {"blocksize": integer(operator, 0)}
    value = conversion.add(op, (conversion.real(source, CHANNELS_FIRST),), attributes)
    conversion.write(operator.outputs[0], value, CHANNELS_FIRST)


WINDOWS: dict[str, Converter] = {
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _convolution,
    "custom:Convolution2DTransposeBias": _custom_transposed,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": _depth_to_space,
    "MAX_POOL_2D": _pool,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SPACE_TO_DEPTH": _depth_to_space,
    "TRANSPOSE_CONV": _transposed,
}
