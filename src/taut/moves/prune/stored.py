"""Arrays that take long to compute, kept in a folder under a hash of what they were computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

Arrays = Mapping[str, np.ndarray]


def stored_arrays(
    folder: Path, made_from: str, names: Sequence[str], compute: Callable[[], Arrays]
) -> dict[str, np.ndarray]:
    """Return the named arrays from the folder, computing and writing them first where they are not there."""
    text = " ".join([made_from, *names])
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    if not file.exists():
        arrays = compute()
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npz")
        # Numbered: names of nodes may hold characters that an archive's entries may not.
        np.savez(partial, *[arrays[name] for name in names])
        partial.replace(file)
    with np.load(file) as stored:
        return {name: stored[f"arr_{place}"] for place, name in enumerate(names)}
