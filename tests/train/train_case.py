"""A net and a task small enough to train in a test, with everything whose state must survive: BN, dropout."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from taut.core.task import ArraySplit, Sealed, Task
from taut.tasks.classification import ACCURACY, classification_loss, shift_and_flip
from taut.train import loop
from taut.train.recipe import Recipe

RECIPE = Recipe(epochs=4, batch_size=16, lr=0.05, ema_decay=0.9, gradient_clip=1.0)
STEPS = 16


class SmallNet(nn.Module):
    """(batch, 1, 6, 6) -> (batch, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.bn(self.conv(image))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def small_net(seed: int = 0) -> SmallNet:
    """Build with seeded weights, images laid out channels last as real training does."""
    torch.manual_seed(seed)
    return SmallNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def small_task(has_labels: bool = True) -> Task:
    """64 images whose brightness is their class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    images = (rng.normal(0, 0.3, (64, 1, 6, 6)) + labels.reshape(-1, 1, 1, 1)).astype(np.float32)
    split = ArraySplit({"image": images}, labels if has_labels else None)
    return Task(
        "small",
        split,
        split,
        Sealed(split),
        (ACCURACY,) if has_labels else (),
        loss=classification_loss if has_labels else None,
        augment=partial(shift_and_flip, pixels=1),
        digest="small",
    )


def die(after: int) -> loop.Hooks:
    """Hooks that kill this very process, as the kernel would, after so many steps."""

    def after_step(_module: nn.Module, done: int) -> None:
        if done == after:
            os.kill(os.getpid(), signal.SIGKILL)

    return loop.Hooks(after_step=after_step)


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.SAVE_EVERY_STEPS = 3
    loop.train(small_net(), small_task(), RECIPE, checkpoint=Path(sys.argv[1]), hooks=die(int(sys.argv[2])))
