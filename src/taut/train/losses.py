"""The loss of a student against its teacher, whatever their outputs are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def distillation_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], temperature: float) -> Tensor:
    """Sum over outputs of the distance to the teacher's.

    Logits (batch, classes): KL divergence at a temperature, scaled by its square (Hinton et al.,
    arXiv 1503.02531). Any other float output: mean squared error over the teacher's mean square, so
    that outputs of different scale weigh alike. Integer outputs carry no gradient and are left out.
    """
    pairs = [(s, t) for s, t in zip(student, teacher, strict=True) if t.is_floating_point()]
    losses = [_output_distance(s.float(), t.float(), temperature) for s, t in pairs]
    return torch.stack(losses).sum()


def _output_distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    if teacher.dim() == 2 and teacher.shape[1] > 1:
        log_student = F.log_softmax(student / temperature, dim=1)
        log_teacher = F.log_softmax(teacher / temperature, dim=1)
        divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean")
        return divergence * temperature**2
    power = teacher.square().mean().clamp_min(1e-12)  # 1e-12: an output that is all zero
    return F.mse_loss(student, teacher) / power
