"""A problem with planted truth: what every plan costs and loses is a formula, nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from taut.core.budget import Budget, parse_budget
from taut.core.device import Device
from taut.core.figures import Measured, Predicted
from taut.core.move import Context, Form, Moved, Plan
from taut.core.network import Network, Part, Run, Stage
from taut.core.quantities import P50, Better, Quantity
from taut.core.strategy import Trial
from taut.core.task import ArraySplit, Sealed, Task
from taut.graph.ir import Graph, Node, Value

DROP = Quantity("drop", "points", Better.LOWER, is_relative_allowed=False)
COSTS = (P50, DROP)


@dataclass(frozen=True)
class Settings:
    """A RUN move."""

    runtime: str
    precision: str = "float32"
    until: tuple[str, ...] = ()
    kind = "runtime"
    form = Form.RUN

    @property
    def run(self) -> Run:
        head = (Stage(self.runtime, "float32", {}, self.until),) if self.until else ()
        return Run((*head, Stage(self.runtime, self.precision)))

    @property
    def label(self) -> str:
        return f"{self.runtime} {self.precision} {'-'.join(self.until)}".strip()

    def apply(self, network: Network, _context: Context) -> Moved:
        return Moved(network)


@dataclass(frozen=True)
class Int8:
    """A GRAPH move."""

    nodes: tuple[str, ...] | None = None
    target: str = "onnxruntime"
    kind = "int8"
    form = Form.GRAPH

    def apply(self, network: Network, _context: Context) -> Moved:
        return Moved(network)


@dataclass(frozen=True)
class Prune:
    """A MODULE move that keeps so many channels of 16."""

    keep: tuple[tuple[str, int], ...] = ()
    reconstruct: bool = True
    kind = "prune"
    form = Form.MODULE

    def group_sizes(self, _graph: Graph) -> dict[str, int]:
        return dict.fromkeys(("conv0", "conv1", "conv2"), 16)

    def touched_nodes(self, _graph: Graph) -> dict[str, tuple[str, ...]]:
        return {"conv0": ("conv0", "conv1"), "conv1": ("conv1", "conv2"), "conv2": ("conv2", "conv3")}

    def rounded(self, size: int, share: float) -> int:
        return max(1, round(size * share))


@dataclass(frozen=True)
class PruneWithin(Prune):
    """Cuts what lies within the branch of ``residual``."""

    def group_sizes(self, _graph: Graph) -> dict[str, int]:
        return {"conv1": 16}

    def touched_nodes(self, _graph: Graph) -> dict[str, tuple[str, ...]]:
        return {"conv1": ("conv1", "conv2")}


@dataclass(frozen=True)
class Recover:
    """A MODULE move that takes a second an epoch."""

    epochs: float = 1.0
    kind = "recover"
    form = Form.MODULE

    def epoch_s(self, _network: Network, _context: Context) -> float:
        return 1.0


@dataclass(frozen=True)
class Kind:
    """Offers the moves that it was given."""

    name: str
    form: Form
    moves: tuple[Any, ...]

    def offers(self, _network: Network, _context: Context) -> Sequence[Any]:
        return self.moves

    def nodes(self, graph: Graph, _move: Any) -> tuple[str, ...]:
        return tuple(node.name for node in graph if node.op == "Conv")


def chain(length: int = 4) -> Network:
    """Convolutions in a row, each with a value of 100 elements between them."""
    nodes = tuple(Node(f"conv{i}", "Conv", (f"v{i}", "kernel"), (f"v{i + 1}",)) for i in range(length))
    values = {f"v{i}": Value(f"v{i}", "float32", (1, 100)) for i in range(length + 1)}
    graph = Graph(
        "chain", (values["v0"],), (values[f"v{length}"],), nodes, {"kernel": np.ones(1, np.float32)}, values
    )
    return Network("chain", {"main": Part(graph)})


def residual() -> Network:
    """conv3(x + conv2(conv1(x))) with x = conv0(v0)."""
    nodes = (
        Node("conv0", "Conv", ("v0", "kernel"), ("v1",)),
        Node("conv1", "Conv", ("v1", "kernel"), ("v2",)),
        Node("conv2", "Conv", ("v2", "kernel"), ("v3",)),
        Node("add", "Add", ("v1", "v3"), ("v4",)),
        Node("conv3", "Conv", ("v4", "kernel"), ("v5",)),
    )
    values = {f"v{i}": Value(f"v{i}", "float32", (1, 100)) for i in range(6)}
    constants = {"kernel": np.ones(1, np.float32)}
    graph = Graph("residual", (values["v0"],), (values["v5"],), nodes, constants, values)
    return Network("residual", {"main": Part(graph)})


@dataclass
class Planted:
    """Every answer comes from ``cost_ms`` and ``drop_of``; what was asked is kept."""

    cost_ms: Callable[[Plan], float]
    drop_of: Callable[[Plan], float]
    moves: Mapping[str, Kind]
    profiles: Callable[[Plan], Mapping[str, float]] = lambda _plan: {}
    losses: Callable[[Plan], float] = lambda _plan: 0.0
    cosine_of: Callable[[Plan], float] = lambda _plan: 1.0
    text: str = "drop<=1"
    network: Network = field(default_factory=chain)
    keep: frozenset[str] = frozenset()
    seconds: float = 100.0
    trials: list[Trial] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.evaluate(Plan(label="original"))

    @property
    def budget(self) -> Budget:
        return parse_budget(self.text, COSTS)

    @property
    def context(self) -> Context:
        split = ArraySplit({"v0": np.zeros((1, 100), np.float32)})
        task = Task("planted", split, split, Sealed(split), ())
        return Context(task, Device("local", "f", "cpu", 1, 1, (), {}), Path("unused"))

    def evaluate(self, plan: Plan, predicted: Mapping[str, Predicted] | None = None) -> Trial:
        p50_ms, ratio = self.cost_ms(plan), self.ratio(plan)
        costs = {
            "p50": Measured(p50_ms, p50_ms, p50_ms, "ms", 1),
            "ratio": Measured(ratio, ratio, ratio, "ratio", 1),
        }
        quality = {"drop": self.drop_of(plan), "cosine": self.cosine_of(plan)}
        trial = Trial(plan.digest(), plan, costs, quality, predicted or {})
        self.trials.append(trial)
        return trial

    def rank(self, plans: Sequence[Plan]) -> list[tuple[Plan, float]]:
        return sorted(((plan, self.ratio(plan)) for plan in plans), key=lambda pair: pair[1])

    def ratio(self, plan: Plan) -> float:
        return self.cost_ms(plan) / self.cost_ms(Plan())

    def profile(self, plan: Plan) -> Mapping[str, float]:
        return self.profiles(plan)

    def loss(self, plan: Plan) -> float:
        return self.losses(plan)

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self.facts:
            self.facts[name] = compute()
        return self.facts[name]

    def holds_quality(self, trial: Trial) -> bool:
        return trial.value("drop") <= 1

    def holds(self, trial: Trial) -> bool:
        return not self.budget.broken({name: trial.value(name) for name in ("p50", "drop")})

    def remaining_s(self) -> float:
        return self.seconds - len(self.trials)

    def fastest_kept(self) -> Trial:
        """The fastest trial that keeps the quality."""
        return min((t for t in self.trials if self.holds_quality(t)), key=lambda trial: trial.value("p50"))


def move_of(plan: Plan, kind: str) -> Any:
    """The plan's last move of a kind, None where it has none."""
    return next((move for move in reversed(plan.moves) if move.kind == kind), None)
