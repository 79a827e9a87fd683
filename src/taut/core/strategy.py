"""How plans are chosen: a Strategy searches a Problem.

Black-box methods are ask-and-tell behind one adapter (``search/ask_and_tell.py``); a strategy that needs
something the problem cannot give is refused with the missing thing named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from taut.core.budget import Budget
from taut.core.figures import Measured, Predicted
from taut.core.move import Context, Plan
from taut.core.network import Network


@dataclass(frozen=True)
class Trial:
    """A plan with what was predicted and what was measured of it."""

    key: str
    plan: Plan
    costs: Mapping[str, Measured]
    """By quantity name, in base units"""
    quality: Mapping[str, float]
    """By metric name, on the select split, plus ``drop`` or fidelity figures where they apply"""
    predicted: Mapping[str, Predicted] = field(default_factory=dict)
    artifact: str | None = None
    """Folder of the artifact, relative to the run's folder"""
    error: str | None = None
    """Why the plan could not be realised; costs and quality are then empty"""
    wall_s: float = 0.0

    @property
    def is_realised(self) -> bool:
        return self.error is None

    def value(self, name: str) -> float:
        """The value of a cost or quality by quantity name; KeyError where there is none."""
        return self.costs[name].value if name in self.costs else self.quality[name]


class Problem(Protocol):
    """What a strategy may ask. Everything it asks for is in the ledger before the answer returns.

    A strategy must be deterministic given the answers: a resumed run replays it against the ledger.
    """

    @property
    def network(self) -> Network: ...
    @property
    def context(self) -> Context: ...
    @property
    def budget(self) -> Budget:
        """Resolved: every limit absolute."""
        ...

    @property
    def moves(self) -> Mapping[str, Any]:
        """MoveKinds that are allowed, by name."""
        ...

    @property
    def keep(self) -> frozenset[str]:
        """Nodes that no move may change."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """Everything evaluated so far, in order; the first is the original."""
        ...

    def evaluate(self, plan: Plan, predicted: Mapping[str, Predicted] | None = None) -> Trial:
        """Realise and measure a plan; a plan that fails gives a trial with its error."""
        ...

    def rank(self, plans: Sequence[Plan]) -> list[tuple[Plan, float]]:
        """Time plans against the original, quality unseen: (plan, ratio), fastest first, no failures."""
        ...

    def profile(self, plan: Plan) -> Mapping[str, float]:
        """Time in ms by node name of the original; what belongs to no node is under the empty name."""
        ...

    def loss(self, plan: Plan) -> float:
        """Quick distance to the original's outputs: noise power over signal power on a few samples."""
        ...

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return a ledgered JSON value, computing it where it is not known yet."""
        ...

    def holds_quality(self, trial: Trial) -> bool:
        """Whether every quality limit holds on the select split with its one-sided 95% margin."""
        ...

    def holds(self, trial: Trial) -> bool:
        """Whether every limit of the budget holds."""
        ...

    def remaining_s(self) -> float: ...


class Strategy(Protocol):
    """``search`` yields plans that it has had evaluated, best known last; it ends by itself or is stopped."""

    name: str

    def search(self, problem: Problem) -> Iterator[Plan]: ...


StrategyFactory = Callable[[], Strategy]
