"""Which trial wins, what the front is, and what a missed budget would need: pure functions over trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from taut.core.budget import Budget, Limit
from taut.core.quantities import Better
from taut.core.strategy import Trial

Judge = Callable[[Limit, Trial], bool]
"""Whether a trial keeps a limit, margins included"""


@dataclass(frozen=True)
class Relaxation:
    """The smallest change of one limit that some trial would meet, all else as asked."""

    limit: Limit
    value: float
    trial: Trial

    @property
    def share(self) -> float:
        """Change as a share of the limit."""
        return abs(self.value - self.limit.value) / max(
            abs(self.limit.value), 1e-12
        )  # 1e-12: a limit of zero

    def to_json(self) -> dict[str, Any]:
        return {
            "quantity": self.limit.quantity.name,
            "unit": self.limit.quantity.unit,
            "asked": self.limit.value,
            "possible": self.value,
            "trial": self.trial.key,
        }


def best_first(trials: Sequence[Trial], budget: Budget, keeps: Judge) -> list[Trial]:
    """Order realised trials: fewest broken quality limits, least excess over the others, fastest."""
    realised = [trial for trial in trials if trial.is_realised]
    return sorted(realised, key=lambda trial: _rank(trial, budget, keeps))


def _rank(trial: Trial, budget: Budget, keeps: Judge) -> tuple[float, float, float]:
    quality = [limit for limit in budget if limit.quantity.name in trial.quality]
    costs = [limit for limit in budget if limit.quantity.name in trial.costs]
    broken = sum(not keeps(limit, trial) for limit in quality)
    excess = sum(limit.excess(trial.value(limit.quantity.name)) for limit in costs)
    return broken, excess, trial.value("ratio")


def front(trials: Sequence[Trial], cost: str, quality: str, better: Better) -> list[Trial]:
    """Trials that no other beats in both cost and quality, cheapest first."""
    sign = -1.0 if better is Better.HIGHER else 1.0
    realised = [trial for trial in trials if trial.is_realised and quality in trial.quality]
    ordered = sorted(realised, key=lambda trial: (trial.value(cost), sign * trial.value(quality)))
    kept: list[Trial] = []
    for trial in ordered:
        if not kept or sign * trial.value(quality) < sign * kept[-1].value(quality):
            kept.append(trial)
    return kept


def relaxations(trials: Sequence[Trial], budget: Budget, keeps: Judge) -> list[Relaxation]:
    """For each limit, the mildest value that a trial keeping all the others reaches; mildest first."""
    found = [relaxation for limit in budget if (relaxation := _relaxed(limit, trials, budget, keeps))]
    return sorted(found, key=lambda relaxation: relaxation.share)


def _relaxed(limit: Limit, trials: Sequence[Trial], budget: Budget, keeps: Judge) -> Relaxation | None:
    others = [other for other in budget if other is not limit]
    able = [t for t in trials if t.is_realised and all(keeps(other, t) for other in others)]
    name = limit.quantity.name
    values = [(trial.value(name), trial) for trial in able if not keeps(limit, trial)]
    if not values:
        return None
    pick = min if limit.quantity.better is Better.LOWER else max
    value, trial = pick(values, key=lambda pair: pair[0])
    return Relaxation(limit, value, trial)
