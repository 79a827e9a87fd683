"""Classification: top-1 accuracy in points, cross entropy, and the usual augmentation of small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taut.core.quantities import Better
from taut.core.task import Arrays, Metric

if TYPE_CHECKING:
    from torch import Tensor


def first_output(outputs: Arrays) -> np.ndarray:
    """The first output, which holds the logits (batch, classes)."""
    return next(iter(outputs.values()))


def _is_correct(outputs: Arrays, targets: np.ndarray | None) -> np.ndarray:
    assert targets is not None
    return 100.0 * (first_output(outputs).argmax(axis=1) == targets)


def classification_loss(outputs: Sequence[Tensor], targets: Tensor) -> Tensor:
    """Cross entropy of the first output (batch, classes) against class indices (batch,)."""
    # torch is needed only where something is trained.
    from torch.nn.functional import cross_entropy

    return cross_entropy(outputs[0], targets)


ACCURACY = Metric("accuracy", "points", Better.HIGHER, _is_correct)


def shift_and_flip(inputs: Arrays, rng: np.random.Generator, pixels: int = 4) -> Arrays:
    """Shift each image by up to ``pixels`` (zeros enter) and mirror half of them: (batch, c, h, w)."""
    return {name: _shifted(images, rng, pixels) for name, images in inputs.items()}


def _shifted(images: np.ndarray, rng: np.random.Generator, pixels: int) -> np.ndarray:
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    offsets = rng.integers(0, 2 * pixels + 1, size=(count, 2))
    is_mirrored = np.asarray(rng.random(count) < 0.5)
    out = np.empty_like(images)
    for index, (top, left) in enumerate(offsets):
        crop = padded[index, :, top : top + height, left : left + width]
        out[index] = crop[:, :, ::-1] if is_mirrored[index] else crop
    return out
