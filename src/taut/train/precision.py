"""The precision of a forward pass: bfloat16 where the recipe says so and its kernels are the faster ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextmanager
def forward_in(precision: str) -> Iterator[None]:
    """Compute in ``float32`` or, by autocast, in ``bfloat16``; weights and their gradients stay float32."""
    if precision == "float32":
        yield
    else:
        with torch.autocast("cpu", torch.bfloat16), _StridedDepthwiseInFloat32():
            yield


class _StridedDepthwiseInFloat32(TorchFunctionMode):
    """oneDNN has only its reference code for the input gradient of these in bfloat16.

    Measured: 36 ms against 0.7 ms in float32 for an image of (64, 96, 16, 16) at stride 2; with three such
    layers a step of MobileNetV2 took twice as long.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # A module may switch autocast off for a part of itself, which then stays in float32.
        if function is F.conv2d and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            function = _conv2d
        return function(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    is_strided = max((stride,) if isinstance(stride, int) else stride) > 1
    if not (is_strided and groups == input.shape[1] > 1):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    with torch.autocast("cpu", enabled=False):
        output = F.conv2d(input.float(), weight.float(), bias, stride, padding, dilation, groups)
    return output.to(torch.bfloat16)
