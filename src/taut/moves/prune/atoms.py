"""Atoms: one number per channel position; union-find ties those that must be cut together."""

from __future__ import annotations

import numpy as np


class Atoms:
    """Atoms that are the same (tied) and atoms that must stay (frozen, with the first reason given)."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._reasons: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        """Return that many atoms, tied to nothing."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, atom: int) -> int:
        """The representative of everything tied to an atom."""
        while self._parent[atom] != atom:
            self._parent[atom] = self._parent[self._parent[atom]]
            atom = self._parent[atom]
        return atom

    def roots(self, atoms: np.ndarray) -> np.ndarray:
        distinct, places = np.unique(atoms, return_inverse=True)
        roots = np.array([self.root(int(atom)) for atom in distinct], np.int64)
        return roots[places].reshape(atoms.shape)

    def tie(self, left: np.ndarray, right: np.ndarray) -> None:
        """Make atoms at equal positions the same; the arrays broadcast against each other."""
        one, other = np.broadcast_arrays(left, right)
        count = len(self._parent)
        for pair in np.unique(one * count + other):  # a flattened feature map repeats each pair per pixel
            self._union(self.root(int(pair // count)), self.root(int(pair % count)))

    def _union(self, low: int, high: int) -> None:
        if low == high:
            return
        low, high = min(low, high), max(low, high)
        self._parent[high] = low
        if high in self._reasons:
            self._reasons.setdefault(low, self._reasons.pop(high))

    def freeze(self, atoms: np.ndarray, reason: str) -> None:
        """Forbid cutting the atoms and everything that is or will be tied to them."""
        for atom in np.unique(atoms):
            self._reasons.setdefault(self.root(int(atom)), reason)

    def reason(self, atom: int) -> str | None:
        """Why an atom must stay; None where it may be cut."""
        return self._reasons.get(self.root(atom))
