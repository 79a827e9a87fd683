"""Digits: 1,797 handwritten digits of 8x8 pixels (UCI, in the scikit-learn package); nothing to fetch."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from taut.core.task import ArraySplit, Sealed, Task
from taut.tasks.base import Interface, refuse_argument
from taut.tasks.classification import ACCURACY, classification_loss
from taut.tasks.splits import cut, digest_of

TRAIN_SHARE, SELECT_SHARE = 0.56, 0.3
"""Just over the 1,000 inputs that training takes, and as many as can be to choose by: with a few hundred, one
mistake more leaves a drop of a point undecided"""


def open_digits(argument: str, _interface: Interface) -> Task:
    """Open ``--data digits``."""
    refuse_argument("digits", argument)
    return digits()


def digits() -> Task:
    """Load the digits: input ``image`` (samples, 1, 8, 8) float32 in 0..1, ten classes."""
    bunch = load_digits()
    # Pixels are counts of 0..16 in a 4x4 block.
    images = (bunch.images[:, None] / 16).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    train, select, test = (ArraySplit({"image": images[part]}, labels[part]) for part in _parts(len(labels)))
    return Task(
        name="digits",
        train=train,
        select=select,
        test=Sealed(test),
        metrics=(ACCURACY,),
        loss=classification_loss,
        chance=10.0,
        digest=digest_of([images, labels, f"{TRAIN_SHARE} {SELECT_SHARE}"]),
    )


def _parts(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return cut(count, "digits", TRAIN_SHARE, SELECT_SHARE)
