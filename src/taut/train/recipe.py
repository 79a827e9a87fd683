"""How weights are trained: a frozen recipe, part of the identity of everything trained with it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, linear warm-up, then a cosine to zero."""

    epochs: float
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_share: float = 0.1
    """Share of all steps during which the rate rises linearly from zero"""
    distill_share: float = 0.0
    """Weight of the teacher's loss; the task's own loss has the rest. 1: labels are not needed"""
    temperature: float = 1.0
    ema_decay: float | None = None
    """Decay of the averaged weights that are returned instead of the last ones; None: no average"""
    gradient_clip: float | None = None
    """Largest norm of the whole gradient; None: not clipped"""
    precision: str = "bfloat16"
    """Of the forward and backward pass under autocast; weights and optimiser stay float32"""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)} is not positive")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision {self.precision!r} is not float32 or bfloat16")
        for name in ("warmup_share", "distill_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} is not within 0..1")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay {self.ema_decay} is not within 0..1")

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of a step counted from 0."""
        warmup = max(1, round(self.warmup_share * steps))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        share = (step - warmup) / max(1, steps - warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * share))
