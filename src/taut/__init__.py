"""Taut makes neural networks run inside a budget, and proves it.

    result = taut.fit(model, task, budget="p50<=2ms, drop<=1")
    result.best, result.front, result.proof, result.report()
    taut.prove(a, b, inputs)
    taut.profile(model)
    taut.load(folder)                     # a callable
    taut.nonneural.compile(model)         # of scikit-learn; a callable too

Nothing heavy is imported until one of these is used.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "fit": "taut.fit",
    "prove": "taut.fit.api:prove",
    "profile": "taut.fit.api:profile",
    "load": "taut.runtimes.artifact:load_artifact",
    "nonneural": "taut.nonneural",
}

__all__ = ["fit", "load", "nonneural", "profile", "prove"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'taut' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded
