"""Precision of the forward pass: which convolutions stay in float32 under bfloat16, and that values agree."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from taut.train.precision import forward_in  # noqa: E402

IMAGE = (4, 8, 10, 10)
KINDS = {
    "depthwise": nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
    "depthwise of stride 1": nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "grouped": nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
    "whole": nn.Conv2d(8, 8, 3, stride=2, padding=1),
}


def _weight_gradient(convolution: nn.Conv2d, image: torch.Tensor, precision: str) -> torch.Tensor:
    convolution.zero_grad()
    with forward_in(precision):
        output = convolution(image)
    output.float().square().sum().backward()
    assert convolution.weight.grad is not None
    return convolution.weight.grad.clone()


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_bfloat16_and_gradients_agree_with_float32(kind: str) -> None:
    torch.manual_seed(0)
    image = torch.randn(IMAGE)
    with forward_in("bfloat16"):
        assert KINDS[kind](image).dtype == torch.bfloat16
    with forward_in("float32"):
        assert KINDS[kind](image).dtype == torch.float32
    wanted = _weight_gradient(KINDS[kind], image, "float32")
    got = _weight_gradient(KINDS[kind], image, "bfloat16")
    assert (got - wanted).norm() < 0.02 * wanted.norm()


def test_only_strided_depthwise_convolutions_compute_in_float32() -> None:
    """Seen in what the backward pass keeps: the image as it was, or rounded to bfloat16."""
    for kind, convolution in KINDS.items():
        kept: list[torch.dtype] = []
        image = torch.randn(IMAGE, requires_grad=True)
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: (kept.append(tensor.dtype), tensor)[1], lambda tensor: tensor
        )
        with hooks, forward_in("bfloat16"):
            convolution(image)
        assert (torch.bfloat16 not in kept) == (kind == "depthwise"), kind


def test_part_that_switches_autocast_off_stays_in_float32() -> None:
    with forward_in("bfloat16"), torch.autocast("cpu", enabled=False):
        assert KINDS["depthwise"](torch.randn(IMAGE)).dtype == torch.float32
