"""Latencies and profiles on one scale, that of the machine when the original was measured first.

What is measured at another time is another machine; ratios to the original within one race carry over. A
profiler slows kernels down, so a profile counts for its proportions and takes its network's latency as sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taut.core.move import Plan
from taut.core.strategy import Problem, Trial

NodeTimes = Mapping[str, float]
"""Milliseconds by node name of the original; what belongs to no node is under the empty name"""


def latency_ms(problem: Problem, trial: Trial) -> float:
    """Latency of a realised trial."""
    return trial.value("ratio") * problem.trials[0].value("p50")


def is_met(problem: Problem, trial: Trial) -> bool:
    """Whether a trial holds the whole budget, its latency also in a second race: of many, one is lucky."""
    if not problem.holds(trial):
        return False
    limit = problem.budget.limit_on("p50")
    if limit is None:
        return True
    (again_ms,) = race_ms(problem, [trial.plan])
    return again_ms is not None and limit.holds(again_ms)


def race_ms(problem: Problem, plans: Sequence[Plan]) -> list[float | None]:
    """Latency of each plan, all timed in one race; None for a plan that does not run."""
    ratios = {plan.digest(): ratio for plan, ratio in problem.rank(plans)}
    original_ms = problem.trials[0].value("p50")
    return [ratios[plan.digest()] * original_ms if plan.digest() in ratios else None for plan in plans]


def scaled_profile(problem: Problem, plan: Plan, whole_ms: float) -> NodeTimes:
    """Profile a plan and scale it to its latency."""
    profile = problem.profile(plan)
    factor = whole_ms / sum(profile.values())
    return {node: factor * ms for node, ms in profile.items()}
