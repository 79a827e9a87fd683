"""The distillation loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from taut.train.losses import distillation_loss  # noqa: E402


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_logits_are_compared_by_kl_divergence_at_a_temperature(temperature: float) -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 5, 7)).astype(np.float32)
    p, q = _softmax(teacher / temperature), _softmax(student / temperature)
    expected = (p * np.log(p / q)).sum(axis=1).mean() * temperature**2
    found = distillation_loss([torch.tensor(student)], [torch.tensor(teacher)], temperature)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_other_outputs_weigh_alike_whatever_their_scale() -> None:
    teacher = torch.randn(2, 3, 4, 4)
    student = teacher + 0.1 * torch.randn(2, 3, 4, 4)
    small = distillation_loss([student], [teacher], 1.0)
    large = distillation_loss([1000 * student], [1000 * teacher], 1.0)
    assert float(small) == pytest.approx(float(large), rel=1e-3)
    assert float(small) == pytest.approx(0.01, rel=0.5)
    both = distillation_loss([student, student], [teacher, teacher], 1.0)
    assert float(both) == pytest.approx(2 * float(small), rel=1e-5)


def test_integer_outputs_are_left_out_and_zeros_do_not_divide() -> None:
    teacher = torch.ones(2, 3, 4)
    found = distillation_loss([teacher, torch.zeros(2)], [teacher, torch.ones(2, dtype=torch.int64)], 1.0)
    assert float(found) == 0.0
    assert torch.isfinite(distillation_loss([torch.zeros(2, 1)], [torch.zeros(2, 1)], 1.0))
