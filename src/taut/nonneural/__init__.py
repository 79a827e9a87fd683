"""Non-neural models as compiled kernels: linear, naive Bayes, k-NN, k-means, random forests.

    predict = taut.nonneural.compile(LogisticRegression().fit(x, y), threads=2)
    labels = predict(x)

The library of Tabanelli et al. (arXiv 2107.09448), on the templates that networks are compiled with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taut.core.errors import BadInput
from taut.core.registry import Registry

if TYPE_CHECKING:
    from taut.nonneural.base import Build, Model, Predictor

MODELS = Registry("model")
MODELS.register("LinearSVC", "taut.nonneural.linear:Linear")
MODELS.register("LogisticRegression", "taut.nonneural.linear:Linear")
MODELS.register("GaussianNB", "taut.nonneural.naive_bayes:NaiveBayes")
MODELS.register("KNeighborsClassifier", "taut.nonneural.neighbours:Neighbours")
MODELS.register("KMeans", "taut.nonneural.clusters:Clusters")
MODELS.register("RandomForestClassifier", "taut.nonneural.forest:RandomForest")


def compile(model: Any, rows: int = 1024, settings: Build | None = None) -> Predictor:
    """Compile a fitted scikit-learn model: the result returns the labels of x (n, features).

    ``rows`` are computed at a time; a call with fewer costs as much. BadInput names a model that is unknown.
    """
    from taut.nonneural.base import Build, Predictor

    if rows < 1:
        raise BadInput(f"rows {rows}", "at least one row is computed at a time", "pass 1 or more")
    return Predictor(read(model), rows, settings or Build())


def read(model: Any) -> Model:
    """Take over what a fitted scikit-learn model has learned; BadInput where it is unknown or not fitted."""
    name = type(model).__name__
    if name not in MODELS:
        raise BadInput(f"model {name}", "is not compiled", f"one of: {', '.join(MODELS)}")
    if not hasattr(model, "n_features_in_"):
        raise BadInput(f"model {name}", "is not fitted", "call its fit first")
    taken: Model = MODELS.load(name).read(model)
    return taken
