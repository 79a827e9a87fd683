"""Which units can go at the least error once their readers are refitted: Optimal Brain Surgeon, in groups.

For a reader with weights W and second moments M of its inputs, removing a unit's rows g and refitting the
rest costs tr(W_gᵀ ((M⁻¹)_gg)⁻¹ W_g) of squared output error (Hassibi & Stork 1993; for structures ZipLM,
arXiv 2302.04089, eq. 2). The cheapest units go first, W and M⁻¹ are updated in closed form, and so on. A
group's cost is the sum over its readers, each as a share of what it puts out. Simplification: in large
groups a thirty-second of what is left goes at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taut.moves.prune.groups import Channels, Group
from taut.moves.prune.reconstruct import RIDGE, Moments, Reader, readers
from taut.moves.prune.trace import Role

LEAST_ROUNDS = 32


def surgeon_scores(channels: Channels, group: Group, moments: Moments) -> np.ndarray | None:
    """Score units by when they go, the last one highest; None where the group has no reader to refit."""
    states = [_state(channels, group, reader, moments) for reader in readers(channels)]
    found = [state for state in states if state is not None]
    if not found:
        return None
    left = np.ones(group.size, bool)
    scores = np.zeros(group.size)
    while left.any():
        costs = np.where(left, np.sum([state.costs() for state in found], axis=0), np.inf)
        going = np.argsort(costs)[: max(1, int(left.sum()) // LEAST_ROUNDS)]
        for unit in going:
            scores[unit] = group.size - left.sum()
            left[unit] = False
            for state in found:
                state.remove(unit)
    return scores


@dataclass
class _State:
    """A reader's weights and the inverse of its moments, as far as units were removed."""

    rows: np.ndarray
    """(units, rows of each)"""
    weights: np.ndarray
    """(fan_in + 1, out)"""
    inverse: np.ndarray

    def costs(self) -> np.ndarray:
        """Share of the reader's output power that each unit's removal loses; of removed ones, nothing."""
        blocks = self.inverse[self.rows[:, :, None], self.rows[:, None, :]]
        weights = self.weights[self.rows]
        return np.asarray(np.sum(weights * np.linalg.solve(blocks, weights), axis=(1, 2)))

    def remove(self, unit: int) -> None:
        rows = self.rows[unit]
        among = self.inverse[:, rows] @ np.linalg.inv(self.inverse[np.ix_(rows, rows)])
        self.weights -= among @ self.weights[rows]
        self.inverse -= among @ self.inverse[rows]
        # Exactly gone, so that rounding does not bring them back; the one keeps blocks invertible.
        self.weights[rows] = 0
        self.inverse[rows] = self.inverse[:, rows] = 0
        self.inverse[rows, rows] = 1


def _state(channels: Channels, group: Group, reader: Reader, moments: Moments) -> _State | None:
    """Where the reader takes part in the group with equally many rows of every unit."""
    cuts = [cut for cut in group.having(Role.CONSUMES) if cut.constant == reader.weight]
    if not cuts or len({len(positions) for positions in cuts[0].positions}) > 1:
        return None
    weight = channels.graph.constants[reader.weight]
    matrix = reader.matrix(weight).astype(np.float64)
    run = len(matrix) // weight.shape[reader.channel_axis]
    rows = np.array(cuts[0].positions)[:, :, None] * run + np.arange(run)
    with_one = np.append(matrix, np.zeros((1, matrix.shape[1])), axis=0)
    second = moments[reader.node.name].astype(np.float64)
    power = float(np.sum(with_one * (second @ with_one)))
    second[np.diag_indices_from(second)] += RIDGE * max(float(np.diag(second).mean()), 1e-12)
    weights = with_one / np.sqrt(max(power, 1e-12))  # 1e-12: a reader that puts out nothing
    return _State(rows.reshape(group.size, -1), weights, np.linalg.inv(second))
