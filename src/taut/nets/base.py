"""The contract of a network that comes with Taut: how it is built, fed and trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from taut.core.task import Arrays
from taut.train.recipe import Recipe


@dataclass(frozen=True)
class NetSpec:
    """A network with one input, ``image``, and one output of logits (batch, classes)."""

    name: str
    build: Callable[[], nn.Module]
    """Initial weights come from torch's generator"""
    input_shape: tuple[int, ...]
    """With a batch axis of 1"""
    task: str
    """As after ``--data``"""
    recipe: Recipe
    seed: int = 0
    weights: str | None = None
    """File in ``nets/weights``; None: trained on first use and kept in the store"""

    def example_inputs(self) -> Arrays:
        """Return inputs of the right shape and type."""
        return {"image": np.zeros(self.input_shape, np.float32)}
