"""Measuring and proving: interleaved timing in processes of their own, and verdicts with an interval."""

from taut.measure.lock import timing_lock, wait_while_timing
from taut.measure.outputs import outputs
from taut.measure.prove import noise_floor, prove
from taut.measure.race import RaceFailure, race, ratio_to_original, sitting_ratios
from taut.measure.settings import Limits, ProofSettings, RaceSettings
from taut.measure.statistics import p50, p99, paired_ratio

__all__ = [
    "Limits",
    "ProofSettings",
    "RaceFailure",
    "RaceSettings",
    "noise_floor",
    "outputs",
    "p50",
    "p99",
    "paired_ratio",
    "prove",
    "race",
    "ratio_to_original",
    "sitting_ratios",
    "timing_lock",
    "wait_while_timing",
]
