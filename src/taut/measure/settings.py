"""How long and how strictly to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What holds for every measurement, whatever it is for."""

    threads: int | None = None
    """Cores for each runner; None: all that this process may use"""
    seed: int = 0
    """Of the order of turns"""
    warm_s: float = 1.0
    """Longest warm-up of each runner"""
    timeout_s: float = 120.0
    """Longest silence of a runner before it counts as hung"""


@dataclass(frozen=True)
class ProofSettings:
    """When the sequential rule stops."""

    max_s: float = 60.0
    """Longest time, opening and warm-up included; four pairs are compared all the same"""
    max_pairs: int = 48
    """Of fresh processes, one of each runner"""
    alpha: float = 0.01
    """One-sided error over the whole sequence of looks"""
    wanted_ratio: float | None = None
    """A budget's: looks go on until the interval excludes it too"""
    limits: Limits = Limits()


@dataclass(frozen=True)
class RaceSettings:
    """How long each candidate gets."""

    seconds_each: float = 0.5
    """Of turns and their pauses, opening and warm-up apart; three rounds a sitting are played all the same"""
    sittings: int = 1
    """Each with new processes: one keeps the pace that its memory's place gave it"""
    at_once: int = 6
    """Candidates open at the same time, beside the original; bounds memory"""
    limits: Limits = Limits()
