"""Cutting samples into train, select and test (by default 60/20/20), taking some, hashing content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Batch, Split

# Any number does, as long as it never changes: results of one version would not compare with another's.
_SEED = 10
MIN_SAMPLES = 5
"""Fewer leave a split empty"""


@dataclass(frozen=True)
class Subset:
    """Some of a split's samples."""

    split: Split
    chosen: np.ndarray
    """Indices into the split"""

    @property
    def has_targets(self) -> bool:
        return self.split.has_targets

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, indices: np.ndarray) -> Batch:
        return self.split.take(self.chosen[indices])


def cut(
    count: int, given: str, train_share: float = 0.6, select_share: float = 0.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shuffled indices of the train, select and test splits; BadInput names ``given`` if too few."""
    if count < MIN_SAMPLES:
        raise BadInput(given, f"has {count} samples", f"give at least {MIN_SAMPLES}, better 1,000 or more")
    order = np.random.default_rng(_SEED).permutation(count)
    first, second = round(train_share * count), round((train_share + select_share) * count)
    return order[:first], order[first:second], order[second:]


def digest_of(parts: Iterable[np.ndarray | str]) -> str:
    """Content hash of arrays (with dtype and shape) and texts, in order."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha.update(part.encode())
            continue
        sha.update(f"{part.dtype}{part.shape}".encode())
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()
