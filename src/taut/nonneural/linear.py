"""Linear SVM and logistic regression: one product, and the class with the largest score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.kernels.argmax import ArgMax
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Load, apply
from taut.nonneural.base import as_program, constant, given, made, scratch
from taut.runtimes.aot.program import Program


@dataclass(frozen=True, eq=False)
class Linear:
    """Scores are ``x @ weights + offsets``."""

    weights: np.ndarray
    """(features, classes)"""
    offsets: np.ndarray
    """(classes,)"""
    classes: np.ndarray

    @staticmethod
    def read(model: Any) -> Linear:
        """Take over a fitted LinearSVC or LogisticRegression; of two classes, both get a score."""
        weights, offsets = np.asarray(model.coef_), np.broadcast_to(model.intercept_, len(model.coef_))
        if len(weights) == 1:
            weights, offsets = np.concatenate([-weights, weights]), np.concatenate([-offsets, offsets])
        return Linear(weights.T.astype(np.float32), offsets.astype(np.float32), model.classes_)

    @property
    def features(self) -> int:
        return len(self.weights)

    def program(self, rows: int) -> Program:
        x, out = given("x", rows, self.features), made("class", rows, dtype="int32")
        scores = scratch(rows, len(self.classes))
        biased = apply("add", RESULT, Load(constant(self.offsets).broadcast(scores.shape)))
        return as_program([Dense(x, self.weights, scores, 0, 1, biased), ArgMax(out, scores)], [x], [out])
