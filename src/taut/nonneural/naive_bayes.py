"""Gaussian naive Bayes in the log domain, as one product with constants that are known beforehand.

log p(c) + sum over f of log N(x_f; mean_cf, variance_cf) = sum of (a_cf d_f + b_cf) d_f + constant_c with d
= x - shift. Expanding the square cancels where a variance is tiny and the mean is not near the shift, so
each feature is shifted to the mean of the class with the least variance: where it matters most nothing
cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.kernels.argmax import ArgMax
from taut.kernels.base import Kernel
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Load, apply
from taut.kernels.map import Map
from taut.nonneural.base import as_program, constant, given, made, scratch, slices
from taut.runtimes.aot.program import Program

_SLICE = 240
"""Rows; their squares and differences stay in the cache, and eight cores get as many tiles of 30 each"""


@dataclass(frozen=True, eq=False)
class NaiveBayes:
    """Scores are log joint likelihoods ``squares @ weights[0] + differences @ weights[1] + offsets``."""

    shift: np.ndarray
    """(features,)"""
    weights: np.ndarray
    """(2, features, classes)"""
    offsets: np.ndarray
    """(classes,)"""
    classes: np.ndarray

    @staticmethod
    def read(model: Any) -> NaiveBayes:
        """Take over a fitted GaussianNB."""
        mean, variance = (np.asarray(array, np.float64) for array in (model.theta_, model.var_))
        columns = np.arange(mean.shape[1])
        # Of float32, since differences are taken from what is stored.
        shift = mean[variance.argmin(axis=0), columns].astype(np.float32)
        away = mean - shift
        weights = np.stack([-0.5 / variance, away / variance]).transpose(0, 2, 1)
        norm = np.log(2 * np.pi * variance) + away * away / variance
        offsets = np.log(model.class_prior_) - 0.5 * norm.sum(axis=1)
        return NaiveBayes(shift, weights.astype(np.float32), offsets.astype(np.float32), model.classes_)

    @property
    def features(self) -> int:
        return len(self.shift)

    def program(self, rows: int) -> Program:
        x, out = given("x", rows, self.features), made("class", rows, dtype="int32")
        scores = scratch(rows, len(self.classes))
        steps: list[Kernel] = []
        for piece in slices(rows, _SLICE):
            part, sliced = scores.slice([piece]), x.slice([piece])
            terms = scratch(sliced.shape[0], 2, self.features)
            square, difference = terms.at(1, 0), terms.at(1, 1)
            shifted = apply("sub", Load(sliced), Load(constant(self.shift).broadcast(sliced.shape)))
            offset = apply("add", RESULT, Load(constant(self.offsets).broadcast(part.shape)))
            steps += [
                Map(difference, shifted),
                Map(square, apply("mul", Load(difference), Load(difference))),
                Dense(terms, self.weights, part, 0, 1, offset),
            ]
        steps.append(ArgMax(out, scores))
        return as_program(steps, [x], [out])
