"""What the benchmark knows of a network: how Taut is asked for it, and the file that the peers get."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from taut.core.errors import BadInput
from taut.tasks.data import cache_folder

FIDELITY = "cosine>=0.999"
ACCURACY = "drop<=1"


@dataclass(frozen=True)
class Subject:
    """One network with its inputs, prepared.

    Subject("gtcrn", "cache/gtcrn/gtcrn_simple.onnx", "npz:cache/gtcrn/inputs.npz", "cosine>=0.999", file)
    """

    name: str
    model: str
    """MODEL, as on Taut's command line"""
    data: str
    """DATA likewise"""
    budget: str
    """Limits on quality alone, so that Taut looks for the least latency"""
    file: Path
    """ONNX file of the same network, its shapes fixed: what the peers get"""
    net: str | None = None
    """Name in ``taut.nets`` where the network can be trained"""
    is_transformer: bool = False
    """Some peers want to be told"""


def benchmark_cache() -> Path:
    """Return the folder that keeps models and inputs between runs."""
    return cache_folder() / "benchmarks"


def data_file(name: str, source: str) -> Path:
    """Return a file below ``TAUT_DATA`` (else the cache); BadInput says where it comes from."""
    roots = [Path(root) for root in [os.environ.get("TAUT_DATA")] if root] + [cache_folder()]
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise BadInput(f"data {name!r}", f"is not in {roots[0]}", f"get it from {source} and set TAUT_DATA")
