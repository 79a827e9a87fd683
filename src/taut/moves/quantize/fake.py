"""Fake quantization in torch: values on the integer grid, gradients as if they were not.

The gradient is straight-through (Bengio et al., arXiv 1308.3432): one inside the range, zero outside. Values
are those of ``QuantizationParameters.fake_quantize``, save that torch multiplies by the reciprocal of the
scale where ONNX divides, so that a tie may fall the other way.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from taut.moves.quantize.schemes import PerChannel, PerTensor, QuantizationParameters, Scheme


def fake_quantize(x: Tensor, parameters: QuantizationParameters) -> Tensor:
    """Return the nearest values on the grid, in x's shape; parameters carry no gradient."""
    scheme, granularity = parameters.scheme, parameters.granularity
    scale = torch.from_numpy(np.ascontiguousarray(parameters.scale))
    zero_point = torch.from_numpy(parameters.zero_point.astype(np.int32))
    if isinstance(granularity, PerTensor):
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, scheme.low, scheme.high)
    if isinstance(granularity, PerChannel):
        axis = granularity.axis % x.dim()
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, scheme.low, scheme.high)
    shape = tuple(x.shape)
    spread_scale = torch.from_numpy(granularity.spread(parameters.scale, shape))
    spread_zero = torch.from_numpy(granularity.spread(parameters.zero_point.astype(np.float32), shape))
    scaled = x / spread_scale
    rounded = scaled + (torch.round(scaled) - scaled).detach()
    return (torch.clamp(rounded + spread_zero, scheme.low, scheme.high) - spread_zero) * spread_scale


class RangeTracker(nn.Module):
    """Follows the range of an activation while it trains, and quantizes it once switched on.

    The range is a moving average of each batch's extremes (section 3.1 of arXiv 1712.05877), which a few
    wild batches cannot spoil; quantization begins late because early ranges shift too fast to be followed.
    """

    low: Tensor
    high: Tensor
    is_on: Tensor

    def __init__(self, scheme: Scheme, momentum: float) -> None:
        super().__init__()
        self._scheme, self._momentum = scheme, momentum
        for name in ("low", "high"):
            self.register_buffer(name, torch.full((), torch.nan))
        self.register_buffer("is_on", torch.zeros((), dtype=torch.bool))

    def switch_on(self) -> None:
        self.is_on.fill_(True)

    def parameters_now(self) -> QuantizationParameters:
        """Return the parameters of the current range; it has to have seen a batch."""
        assert not torch.isnan(self.low), "no batch was seen yet"
        return self._scheme.parameters(self.low.numpy(), self.high.numpy())

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._follow(x.detach())
        return fake_quantize(x, self.parameters_now()) if self.is_on else x

    def _follow(self, x: Tensor) -> None:
        for kept, seen in ((self.low, x.min()), (self.high, x.max())):
            kept.copy_(seen if torch.isnan(kept) else torch.lerp(kept, seen, self._momentum))
