"""Models that scikit-learn has fitted to digits, and rows it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

TRAIN = 1001
"""Odd, so that slices, parts and vectors do not divide it"""
BUILD: Mapping[str, Callable[[], Any]] = {
    "svm": lambda: LinearSVC(random_state=0, max_iter=5000, tol=1e-2),
    "logistic": lambda: LogisticRegression(max_iter=2000, tol=1e-2),
    "bayes": GaussianNB,
    "neighbours": lambda: KNeighborsClassifier(5),
    "clusters": lambda: KMeans(7, n_init=1, random_state=0),
    "forest": lambda: RandomForestClassifier(17, max_depth=6, random_state=0),
}


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y


def training(classes: int = 10, features: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of so many classes and features."""
    x, y = digits()
    kept = y[:TRAIN] < classes
    return x[:TRAIN][kept][:, 64 - features :], y[:TRAIN][kept]


def unseen(features: int = 64) -> np.ndarray:
    return digits()[0][TRAIN:, 64 - features :]


@cache
def fitted(name: str, classes: int = 10, features: int = 64) -> Any:
    return BUILD[name]().fit(*training(classes, features))
