"""Random forests: trees laid out flat and dealt to groups, whose votes are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.kernels.argmax import ArgMax
from taut.kernels.expression import RESULT, Load
from taut.kernels.forest import Forest, Trees
from taut.kernels.reduce import Reduce
from taut.nonneural.base import as_program, given, made, scratch
from taut.runtimes.aot.program import Program

_MOST_GROUPS = 16
"""Two for each of eight cores, so that groups of deeper trees weigh less"""


@dataclass(frozen=True, eq=False)
class RandomForest:
    """The class with the largest sum of the trees' shares of classes."""

    trees: Trees
    features: int
    classes: np.ndarray

    @staticmethod
    def read(model: Any) -> RandomForest:
        """Take over a fitted RandomForestClassifier of one output."""
        if model.n_outputs_ != 1:
            raise BadInput("forest with several outputs", "one label per row is compiled", "fit one for each")
        grown = [estimator.tree_ for estimator in model.estimators_]
        return RandomForest(_flat(grown), model.n_features_in_, model.classes_)

    def program(self, rows: int) -> Program:
        x, out = given("x", rows, self.features), made("class", rows, dtype="int32")
        groups, classes = min(_MOST_GROUPS, len(self.trees.roots)), len(self.classes)
        votes, scores = scratch(groups, rows, classes), scratch(rows, classes)
        # A reduction keeps the first axes and sums over the last.
        merged = Reduce(scores, Load(votes.transpose((1, 2, 0))), (groups,), "sum", RESULT)
        return as_program([Forest(votes, x, self.trees), merged, ArgMax(out, scores)], [x], [out])


def _flat(grown: Sequence[Any]) -> Trees:
    """Lay trees out breadth first, so that the two children of a node are neighbours."""
    sizes = [tree.node_count for tree in grown]
    roots = np.cumsum([0, *sizes[:-1]])
    feature, threshold, left, said = [], [], [], []
    for tree, root in zip(grown, roots, strict=True):
        order, place = _breadth_first(tree.children_left, tree.children_right)
        is_leaf = tree.children_left[order] < 0
        children = np.where(is_leaf, np.arange(len(order)), place[tree.children_left[order]])
        left.append(children + root)
        feature.append(np.where(is_leaf, 0, tree.feature[order]))
        threshold.append(np.where(is_leaf, np.inf, _rounded_down(tree.threshold[order])))
        said.append(tree.value[order, 0].astype(np.float32))
    answers, answer = np.unique(np.concatenate(said), axis=0, return_inverse=True)
    return Trees(
        feature=np.concatenate(feature).astype(np.int32),
        threshold=np.concatenate(threshold).astype(np.float32),
        left=np.concatenate(left).astype(np.int32),
        answer=answer.reshape(-1).astype(np.int32),
        answers=answers,
        roots=roots.astype(np.int32),
    )


def _breadth_first(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return node numbers by level, siblings together, and the place of each in that order."""
    order, level = [0], [0]
    while level:
        level = [child for node in level if left[node] >= 0 for child in (left[node], right[node])]
        order += level
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return np.array(order), place


def _rounded_down(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 not above: x <= threshold then says the same of every float32 x."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
