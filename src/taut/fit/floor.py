"""The floor of a budget: what this network, unpruned, would take with every node in its fastest form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from taut.core.figures import Predicted
from taut.core.strategy import Trial

UNKNOWN_ERROR = 0.3
"""Relative error where no prediction was ever compared with a measurement"""
NAMED_NODES = 5


@dataclass(frozen=True)
class Profiled:
    """Kernel times in ms by node of one realised plan, and its measured p50."""

    times: Mapping[str, float]
    p50_ms: float

    def scaled(self) -> dict[str, float]:
        total = sum(self.times.values()) or 1.0
        return {name: ms * self.p50_ms / total for name, ms in self.times.items()}


@dataclass(frozen=True)
class FloorFigure:
    """The floor, and the nodes that make most of it."""

    total: Predicted
    heaviest: tuple[tuple[str, Predicted], ...]

    def describe(self) -> str:
        """One sentence."""
        names = ", ".join(name for name, _ in self.heaviest[:2])
        share = sum(figure.value for _, figure in self.heaviest[:2])
        text = f"every node, unpruned, in its fastest measured form: {self.total.value:.3g} ms (predicted)"
        return f"{text}; {names} alone take {share:.3g} ms" if names else text


def floor_of(profiled: Sequence[Profiled], trials: Sequence[Trial]) -> FloorFigure:
    """Sum the least time of each node over the profiles of whole networks.

    A profiler slows kernels down, so each profile is scaled to what its network really took. Runtimes fuse
    nodes under different names, so that the sum may exceed the fastest network: that is then the floor.
    """
    error = held_out_error(trials)
    profiles = [one.scaled() for one in profiled]
    names = {name for profile in profiles for name in profile}
    least = {name: min(profile.get(name, 0.0) for profile in profiles if name in profile) for name in names}
    figures = {name: _predicted(ms, error) for name, ms in least.items()}
    heaviest = sorted(((name, f) for name, f in figures.items() if name), key=lambda pair: -pair[1].value)
    total_ms = min(sum(least.values()), *(one.p50_ms for one in profiled))
    return FloorFigure(_predicted(total_ms, error), tuple(heaviest[:NAMED_NODES]))


def held_out_error(trials: Sequence[Trial]) -> float:
    """Median relative error of the predictions that were made before their measurement."""
    errors = [
        abs(trial.predicted["p50"].value - trial.value("p50")) / trial.value("p50")
        for trial in trials
        if trial.is_realised and "p50" in trial.predicted
    ]
    return median(errors) if errors else UNKNOWN_ERROR


def _predicted(value_ms: float, error: float) -> Predicted:
    return Predicted(value_ms, value_ms * (1 - error), value_ms * (1 + error), "ms", error)
