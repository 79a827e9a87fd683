"""The default strategy: measured tables and integer programs, what costs seconds before what costs minutes.

Minimise the predicted loss of quality subject to a predicted cost within the budget; realise, measure,
correct the prediction, repeat while the search time lasts. Training comes last and only if it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from taut.core.move import Plan
from taut.core.strategy import Problem
from taut.search.latency import is_met
from taut.search.lines import best_settings, is_setting, lines
from taut.search.placement import placements
from taut.search.regions import regions
from taut.search.widths import widths

MOST_SETTINGS = 3


class Knapsack:
    """Lines, then placements of int8, then float regions, then channel widths."""

    name = "knapsack"

    def search(self, problem: Problem) -> Iterator[Plan]:
        yield from lines(problem)
        ranked = sorted((t for t in problem.trials if t.is_realised), key=lambda trial: trial.value("ratio"))
        settings = best_settings(
            [(trial.plan, trial.value("ratio")) for trial in ranked if is_setting(trial.plan)]
        )
        for phase in (placements(problem, settings[:MOST_SETTINGS]), regions(problem), widths(problem)):
            if _is_done(problem):
                return
            yield from phase


def _is_done(problem: Problem) -> bool:
    """A budget that limits a cost is met by the first trial that holds it; without one, faster is better."""
    has_cost_limit = any(
        limit.quantity.name != "drop" and limit.quantity.unit in ("ms", "bytes", "mJ")
        for limit in problem.budget
    )
    return has_cost_limit and any(is_met(problem, trial) for trial in problem.trials)
