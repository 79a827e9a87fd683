"""The problem that a strategy works on: plans in, measured trials out, everything in the ledger first."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from taut.core.budget import Budget, Limit
from taut.core.errors import EnvironmentFailed
from taut.core.figures import Predicted
from taut.core.move import Context, Plan
from taut.core.network import Network
from taut.core.quantities import P50
from taut.core.strategy import Trial
from taut.fit.judge import Judge, keeps
from taut.fit.ledger import Ledger
from taut.fit.realise import PlanFailed, Realiser
from taut.fit.stopwatch import Stopwatch
from taut.runtimes.artifact import profile_artifact
from taut.runtimes.evaluate import Evaluator

RANKED_AT_ONCE = 6
"""Children of one race: each holds a network in memory"""
KEY_CHARACTERS = 16
PROFILED_ITEMS = 8


@dataclass
class Clock:
    """Search time, of which earlier runs of the same ledger have spent some."""

    search_time_s: float
    spent_before_s: float = 0.0
    started_s: float = field(default_factory=time.monotonic)

    def remaining_s(self) -> float:
        return self.search_time_s - self.spent_before_s - (time.monotonic() - self.started_s)


@dataclass(frozen=True)
class Listener:
    """Who hears of the search while it goes on."""

    trial: Callable[[Trial], None] = lambda _trial: None
    doing: Callable[[str], None] = lambda _what: None


@dataclass
class FitProblem:
    """``taut.core.strategy.Problem`` over real measurements."""

    asked: Budget
    """As the user wrote it"""
    budget: Budget
    """With every relative limit made absolute"""
    moves: Mapping[str, Any]
    keep: frozenset[str]
    realiser: Realiser
    stopwatch: Stopwatch
    judge: Judge
    ledger: Ledger
    clock: Clock
    salt: str
    """What besides the plan decides a trial: task, seed, device, versions"""
    listener: Listener = field(default_factory=Listener)
    _trials: list[Trial] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return self.realiser.network

    @property
    def context(self) -> Context:
        return self.realiser.context

    @property
    def trials(self) -> Sequence[Trial]:
        return tuple(self._trials)

    def remaining_s(self) -> float:
        return self.clock.remaining_s()

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        return self.ledger.fact(name, compute)

    def key(self, plan: Plan) -> str:
        """hash(network, plan, task data, seed, device, versions that change the result)."""
        text = f"{self.network.graph.digest()} {plan.digest()} {self.salt}"
        return hashlib.sha256(text.encode()).hexdigest()

    def evaluate(self, plan: Plan, predicted: Mapping[str, Predicted] | None = None) -> Trial:
        key = self.key(plan)
        trial = self.ledger.find(key)
        if trial is None:
            self.listener.doing(plan.label or "original")
            trial = self._measure(key, plan, predicted or {})
            self.ledger.write(trial)
        if all(known.key != key for known in self._trials):
            self._trials.append(trial)
            self.listener.trial(trial)
        return trial

    def _measure(self, key: str, plan: Plan, predicted: Mapping[str, Predicted]) -> Trial:
        """Realise, time and judge; a plan that cannot be built or run is a result, a full disk is not."""
        started = time.monotonic()
        try:
            folder, _ = self.realiser.artifact(plan, key[:KEY_CHARACTERS])
        except PlanFailed as error:
            return _failed(key, plan, predicted, str(error), started)
        try:
            costs = self.stopwatch.costs(folder)
            quality = self.judge.quality(self.stopwatch.outputs(folder, self.judge.fed.items))
        except EnvironmentFailed as error:
            return _failed(key, plan, predicted, str(error), started)
        wall_s = time.monotonic() - started
        return Trial(key, plan, costs, quality, predicted, folder.name, wall_s=wall_s)

    def rank(self, plans: Sequence[Plan]) -> list[tuple[Plan, float]]:
        ratios: dict[str, float] = {}
        for start in range(0, len(plans), RANKED_AT_ONCE):
            chunk = {self.key(plan): plan for plan in plans[start : start + RANKED_AT_ONCE]}
            name = "rank/" + hashlib.sha256(" ".join(sorted(chunk)).encode()).hexdigest()
            ratios |= self.fact(name, partial(self._race, chunk))
        ranked = [(plan, ratios[self.key(plan)]) for plan in plans if self.key(plan) in ratios]
        return sorted(ranked, key=lambda pair: pair[1])

    def _race(self, plans: Mapping[str, Plan]) -> dict[str, float]:
        folders = {}
        for key, plan in plans.items():
            self.listener.doing(f"timing {plan.label or 'original'}")
            try:
                folders[key], _ = self.realiser.artifact(plan, key[:KEY_CHARACTERS])
            except PlanFailed:
                continue
        return self.stopwatch.ratios(folders)

    def profile(self, plan: Plan) -> Mapping[str, float]:
        times: dict[str, float] = self.fact(f"profile/{self.key(plan)}", lambda: self._profile(plan))
        return times

    def known_profile(self, plan: Plan) -> Mapping[str, float] | None:
        """The profile of a plan if it was ever asked for."""
        times: Mapping[str, float] | None = self.ledger.known(f"profile/{self.key(plan)}")
        return times

    def _profile(self, plan: Plan) -> dict[str, float]:
        """Kernel times under the names of the original's nodes, shared where a kernel covers several."""
        self.listener.doing(f"profiling {plan.label or 'original'}")
        folder, moved = self.realiser.artifact(plan, self.key(plan)[:KEY_CHARACTERS])
        owners: dict[str, list[str]] = {}
        for node in self.network.graph.nodes:
            for name in moved.names.new_names(node.name):
                owners.setdefault(name, []).append(node.name)
        times: dict[str, float] = {}
        for kernel in profile_artifact(folder, self.stopwatch.items[:PROFILED_ITEMS], self.context.threads):
            names = [old for new in kernel.nodes for old in owners.get(new, [])] or [""]
            for name in names:
                times[name] = times.get(name, 0.0) + kernel.latency_ms / len(names)
        return times

    def loss(self, plan: Plan) -> float:
        return float(self.fact(f"loss/{self.key(plan)}", lambda: self._loss(plan)))

    def _loss(self, plan: Plan) -> float:
        """Noise power over signal power of the float outputs; a plan that fails loses everything."""
        self.listener.doing("sensitivity")
        try:
            evaluator = Evaluator(self.realiser.apply(plan).network.graph, threads=self.context.threads)
        except PlanFailed:
            return float("inf")
        samples = self._loss_samples()
        runs = list(evaluator.run_items(self.judge.fed.items[:samples], self.network.feedback))
        ratios = [
            _noise_power(run[name], wanted[name])
            for run, wanted in zip(runs, self.judge.reference[:samples], strict=True)
            for name in wanted
            if np.issubdtype(wanted[name].dtype, np.floating)
        ]
        return float(np.mean(ratios)) if ratios else 0.0

    def _loss_samples(self) -> int:
        """As many samples as take about a second, so that a sensitivity per node stays affordable."""
        affordable = int(1000 / self._trials[0].value("p50")) if self._trials else 16
        return min(len(self.judge.fed.items), max(4, min(64, affordable)))

    def holds_limit(self, limit: Limit, trial: Trial) -> bool:
        """Whether a limit holds: quality with its margin, costs by their value.

        A share of the original's p50 is judged by the ratio of the two in one race, which drift leaves alone.
        """
        name = limit.quantity.name
        if (share := self.share_of_p50(name)) is not None:
            return trial.value("ratio") <= share
        if name in trial.costs:
            return limit.holds(trial.value(name))
        return keeps(limit, trial.quality)

    def share_of_p50(self, name: str) -> float | None:
        """The share of the original's p50 that was asked for, if the quantity is p50 and a share was."""
        asked = self.asked.limit_on(name)
        return asked.value if asked is not None and asked.is_relative and name == P50.name else None

    @property
    def wanted_ratio(self) -> float | None:
        """The ratio to the original's p50 that the budget asks for, if it limits p50."""
        limit = self.budget.limit_on(P50.name)
        if limit is None:
            return None
        share = self.share_of_p50(P50.name)
        return share if share is not None else limit.value / self._trials[0].value(P50.name)

    def holds_quality(self, trial: Trial) -> bool:
        quality = [limit for limit in self.budget if limit.quantity.name in trial.quality]
        return trial.is_realised and all(self.holds_limit(limit, trial) for limit in quality)

    def holds(self, trial: Trial) -> bool:
        return trial.is_realised and all(self.holds_limit(limit, trial) for limit in self.budget)


def _failed(key: str, plan: Plan, predicted: Mapping[str, Predicted], error: str, started_s: float) -> Trial:
    return Trial(key, plan, {}, {}, predicted, error=error, wall_s=time.monotonic() - started_s)


def _noise_power(output: np.ndarray, wanted: np.ndarray) -> float:
    signal = float(np.square(wanted, dtype=np.float64).sum())
    noise = float(np.square(output.astype(np.float64) - wanted).sum())
    return noise / max(signal, 1e-30)  # 1e-30: an output that is all zero


def salt_of(parts: Mapping[str, Any]) -> str:
    """One string of everything besides the plan that decides a trial."""
    return json.dumps(parts, sort_keys=True)
