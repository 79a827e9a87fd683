"""Measurements and proofs: raw samples with the environment they were taken in, and the verdict on two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from taut.core.figures import Measured


class Verdict(StrEnum):
    """What paired runs of old and new say about speed (and, where it was judged, quality)."""

    FASTER = "faster"
    FASTER_BUT_WORSE = "faster but worse"
    NOT_FASTER = "not faster"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Measurement:
    """Raw samples of one runner in steady state, its first run apart, and where they were taken."""

    latency_ms: np.ndarray
    """One entry per steady-state run, in the order taken"""
    open_ms: float
    first_run_ms: float
    peak_memory_bytes: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    contended: int = 0
    """Samples dropped because something else ran"""
    sittings: tuple[int, ...] = ()
    """How many of the runs each fresh process made, in order; a process has a pace of its own"""


@dataclass(frozen=True)
class Proof:
    """Two runners on the same items: ratio = new / old (below 1 is faster) with its interval."""

    old: Measurement
    new: Measurement
    ratio: Measured
    verdict: Verdict
    pairs: int
    noise_floor: float
    """Half-width of the ratio's interval that this machine shows for a runner against itself"""
    quality: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ratio, Measured):
            raise TypeError("a Proof takes only measured figures")
