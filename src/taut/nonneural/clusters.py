"""k-means: Lloyd's iterations, each one program, until the centroids stand still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.kernels.argmax import ArgMax
from taut.kernels.base import Kernel
from taut.kernels.cluster import Assign, Centroids
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Load, apply, number
from taut.kernels.map import Map
from taut.kernels.reduce import Reduce
from taut.kernels.view import View
from taut.nonneural.base import (
    PARTS,
    Build,
    as_program,
    as_rows,
    constant,
    given,
    made,
    open_program,
    scratch,
    slices,
)
from taut.runtimes.aot.program import Program

_SLICE = 960
"""Rows, which are added while they are in the cache; eight cores get as many tiles of 30 each"""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centroids (clusters, features); the label of a row is the number of the nearest."""

    centroids: np.ndarray

    @staticmethod
    def read(model: Any) -> Clusters:
        """Take over a fitted KMeans."""
        return Clusters(np.ascontiguousarray(model.cluster_centers_, np.float32))

    @property
    def features(self) -> int:
        return int(self.centroids.shape[1])

    @property
    def classes(self) -> np.ndarray:
        return np.arange(len(self.centroids), dtype=np.int32)

    def program(self, rows: int) -> Program:
        x, out = given("x", rows, self.features), made("cluster", rows, dtype="int32")
        scores = scratch(rows, len(self.centroids))
        squares = constant((self.centroids.astype(np.float64) ** 2).sum(axis=1))
        weights = np.ascontiguousarray(self.centroids.T)
        steps: list[Kernel] = [
            Dense(x.slice([piece]), weights, scores.slice([piece]), 0, 1, _nearness(squares, scores, piece))
            for piece in slices(rows, _SLICE)
        ]
        return as_program([*steps, ArgMax(out, scores)], [x], [out])


@dataclass(frozen=True)
class Lloyd:
    """Where Lloyd's iterations ended."""

    centroids: np.ndarray
    """(clusters, features)"""
    labels: np.ndarray
    """int32 (rows,), by these centroids"""
    inertia: float
    """Sum of squared distances of the rows to these centroids"""
    iterations: int


def lloyd(
    x: np.ndarray,
    start: np.ndarray,
    tolerance: float = 1e-4,
    most_iterations: int = 300,
    settings: Build | None = None,
) -> Lloyd:
    """Move centroids from start (clusters, features) to the means of their rows of x (n, features).

    Stops when the squared movements add up to at most tolerance times the mean variance of the features, as
    scikit-learn's KMeans does. BadInput where shapes do not fit.
    """
    start = np.ascontiguousarray(start, np.float32)
    if start.ndim != 2 or len(start) < 2:
        raise BadInput(f"start of shape {start.shape}", "must be (clusters, features)", "pass two or more")
    rows = as_rows(x, start.shape[1])
    if len(rows) < len(start):
        raise BadInput(f"{len(rows)} rows", f"fewer than {len(start)} clusters", "pass more rows")
    library = open_program(lloyd_program(len(rows), *start.shape), settings or Build())
    still = tolerance * float(rows.var(axis=0).mean())
    centroids, outputs = start, lloyd_outputs(len(rows), *start.shape)
    moved, iterations = np.inf, 0
    while moved > still and iterations < most_iterations:
        library.run([rows, centroids], outputs)
        centroids, moved = outputs[0].copy(), float(outputs[1].sum())
        iterations += 1
    # Once more for labels and distances by the last centroids.
    library.run([rows, centroids], outputs)
    return Lloyd(centroids, outputs[2], float(outputs[3].sum()), iterations)


def lloyd_outputs(rows: int, clusters: int, features: int) -> list[np.ndarray]:
    """What an iteration writes: new centroids, how far they moved, labels and distances by the old ones."""
    return [
        np.empty((clusters, features), np.float32),
        np.empty(clusters, np.float32),
        np.empty(rows, np.int32),
        np.empty(PARTS, np.float32),
    ]


def lloyd_program(rows: int, clusters: int, features: int) -> Program:
    """Return one iteration: inputs x and the old centroids, outputs those of ``lloyd_outputs``."""
    x, old = given("x", rows, features), given("old", clusters, features)
    new, moved = made("new", clusters, features), made("moved", clusters)
    labels, spread = made("labels", rows, dtype="int32"), made("spread", PARTS)
    sums, counts = scratch(PARTS, clusters, features), scratch(PARTS, clusters, dtype="int32")
    turned, squares, scores = scratch(features, clusters), scratch(clusters), scratch(rows, clusters)
    steps: list[Kernel] = [
        Map(turned, Load(old.transpose((1, 0)))),
        Reduce(squares, apply("mul", Load(old), Load(old)), (features,), "sum", RESULT),
    ]
    for piece in slices(rows, _SLICE):
        part, sliced = scores.slice([piece]), x.slice([piece])
        steps += [
            Dense(sliced, turned, part, 0, 1, _nearness(squares, scores, piece)),
            Assign(labels.slice([piece]), sums, counts, spread, sliced, part, is_start=piece.start == 0),
        ]
    steps.append(Centroids(new, moved, sums, counts, old))
    return as_program(steps, [x, old], [new, moved, labels, spread])


def _nearness(squares: View, scores: View, piece: slice) -> Any:
    """Squared distance, less the row's own square, negated: the largest is the nearest."""
    shape = scores.slice([piece]).shape
    return apply("sub", apply("mul", RESULT, number(2)), Load(squares.broadcast(shape)))
