"""k nearest neighbours: distances as products, k-best lists kept by parts of the training set, and a vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.kernels.base import Kernel
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Load, apply, number
from taut.kernels.k_best import KBest, Vote
from taut.nonneural.base import PARTS, as_program, constant, given, made, scratch, slices
from taut.runtimes.aot.program import Program

_SLICE = 2048
"""Training rows: enough that these are divided, not the rows that are asked for"""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Squared distances up to the square of the row itself, which is the same for all who compete for it.

    Equal distances go to the lower number; scikit-learn leaves open whom it takes.
    """

    training: np.ndarray
    """(training rows, features)"""
    labels: np.ndarray
    """int32, of the training rows"""
    k: int
    classes: np.ndarray

    @staticmethod
    def read(model: Any) -> Neighbours:
        """Take over a fitted KNeighborsClassifier; BadInput unless distances are Euclidean, votes equal."""
        metric = (model.effective_metric_, model.weights)
        if metric != ("euclidean", "uniform"):
            raise BadInput(
                f"k-NN with metric {metric[0]!r} and weights {metric[1]!r}",
                "only Euclidean distances and uniform weights are compiled",
                "fit it with metric='euclidean', weights='uniform'",
            )
        if np.ndim(model._y) != 1:
            raise BadInput("k-NN with several outputs", "one label per row is compiled", "fit one for each")
        training = np.ascontiguousarray(model._fit_X, np.float32)
        return Neighbours(training, model._y.astype(np.int32), model.n_neighbors, model.classes_)

    @property
    def features(self) -> int:
        return int(self.training.shape[1])

    def program(self, rows: int) -> Program:
        x, out = given("x", rows, self.features), made("class", rows, dtype="int32")
        best, who = scratch(PARTS, rows, self.k), scratch(PARTS, rows, self.k, dtype="int32")
        squares = (self.training.astype(np.float64) ** 2).sum(axis=1)
        steps: list[Kernel] = []
        for piece in slices(len(self.training), _SLICE):
            near = self.training[piece]
            distances = scratch(rows, len(near))
            square = Load(constant(squares[piece]).broadcast(distances.shape))
            epilogue = apply("sub", square, apply("mul", RESULT, number(2)))
            steps += [
                Dense(x, np.ascontiguousarray(near.T), distances, 0, 1, epilogue),
                KBest(best, who, distances, piece.start, is_start=piece.start == 0),
            ]
        steps.append(Vote(out, best, who, self.labels))
        return as_program(steps, [x], [out])
