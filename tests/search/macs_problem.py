"""A problem on a small real network: latency is multiply-accumulates, nothing is timed or trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.moves.prune.toy_task import small_network, toy_context

from taut.core.budget import Budget, parse_budget
from taut.core.figures import Measured
from taut.core.move import Context, Plan
from taut.core.network import Network
from taut.core.quantities import P50
from taut.core.strategy import Trial
from taut.graph import Graph
from taut.graph.costs import node_costs, total_costs
from taut.moves.distill.recover import KIND as RECOVER
from taut.moves.prune.channel_prune import KIND as PRUNE
from taut.moves.prune.channel_prune import ChannelPrune


@dataclass
class MacsProblem:
    """A problem whose networks take as long as they have multiply-accumulates; quality always holds."""

    context: Context
    budget: Budget
    moves: dict[str, Any]
    network: Network = field(default_factory=small_network)
    keep: frozenset[str] = frozenset()
    trials: list[Trial] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    latency: Callable[[float], float] = lambda share: share
    seconds: float = 60.0

    def __post_init__(self) -> None:
        self.evaluate(Plan())

    def evaluate(self, plan: Plan, predicted: Any = None) -> Trial:
        del predicted
        milliseconds = self.latency(self._share(plan))
        costs = {"p50": Measured(milliseconds, milliseconds, milliseconds, "ms", 1)}
        trial = Trial(plan.digest(), plan, costs, {"accuracy": 90.0, "ratio": milliseconds})
        self.trials.append(trial)
        return trial

    def profile(self, plan: Plan) -> dict[str, float]:
        whole = total_costs(self.network.graph).macs
        return {cost.node: cost.macs / whole for cost in node_costs(self._pruned(plan))}

    def loss(self, plan: Plan) -> float:
        return 1.0 - self._share(plan)

    def rank(self, plans: Sequence[Plan]) -> list[tuple[Plan, float]]:
        return sorted(((plan, self._share(plan)) for plan in plans), key=lambda pair: pair[1])

    def _share(self, plan: Plan) -> float:
        return total_costs(self._pruned(plan)).macs / total_costs(self.network.graph).macs

    def _pruned(self, plan: Plan) -> Graph:
        network = self.network
        for move in plan.moves:
            if isinstance(move, ChannelPrune):
                network = move.apply(network, self.context).network
        return network.graph

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        return self.facts.setdefault(name, compute() if name not in self.facts else None)

    def holds_quality(self, _trial: Trial) -> bool:
        return True

    def holds(self, trial: Trial) -> bool:
        return not self.budget.broken({"p50": trial.value("p50")})

    def remaining_s(self) -> float:
        return self.seconds


def macs_problem(folder: Path, budget: str, **fields: Any) -> MacsProblem:
    context = toy_context(folder, samples=1000)
    return MacsProblem(context, parse_budget(budget, [P50]), {"prune": PRUNE, "recover": RECOVER}, **fields)
