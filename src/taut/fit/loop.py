"""The loop: search while there is time, choose on the select split, prove once, read the test split once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from taut.core.budget import Limit
from taut.core.errors import BadInput
from taut.core.figures import Measured
from taut.core.measurement import Proof
from taut.core.strategy import Strategy, Trial
from taut.fit.choice import Relaxation, best_first, front, relaxations
from taut.fit.folder import RunFolder
from taut.fit.judge import Judge
from taut.fit.preflight import whole_sequences
from taut.fit.problem import FitProblem
from taut.fit.session import result_folder
from taut.fit.stopwatch import FINAL_S, FINAL_SITTINGS
from taut.measure import p50, p99, paired_ratio
from taut.report.progress import FitProgress
from taut.search import STRATEGIES
from taut.tasks.drop import PairedDrop
from taut.tasks.items import items_of

FINALISTS = 4
MOST_TESTED = 10_000
LEAST_TESTED = 64
TESTING_S = 30.0


@dataclass(frozen=True)
class TestQuality:
    """Quality of the artifact on the test split, read once: means by metric, and the paired drop."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    original: Mapping[str, float]
    best: Mapping[str, float]
    drop: PairedDrop | None
    samples: int


@dataclass(frozen=True)
class Outcome:
    """Everything a run found out."""

    best: Trial
    proof: Proof
    test: TestQuality
    broken: tuple[Limit, ...]
    """Limits that the proven artifact breaks; none: met"""
    is_unproven: bool
    """Quality holds by its point estimate, but its interval crosses the limit"""
    front: tuple[Trial, ...]
    relaxations: tuple[Relaxation, ...]
    was_interrupted: bool

    @property
    def is_met(self) -> bool:
        return not self.broken


def make_strategy(name: str) -> Strategy:
    """Return a strategy by name; ``auto`` is the knapsack."""
    strategy: Strategy = STRATEGIES.load("knapsack" if name == "auto" else name)()
    return strategy


def run(
    problem: FitProblem, strategy: Strategy, folder: RunFolder, progress: FitProgress, proof_s: float
) -> Outcome:
    """Search, choose, prove within ``proof_s``; an interrupt ends the search early."""
    was_interrupted = _search(problem, strategy, progress)
    progress.stage("choose")
    best = choose(problem)
    progress.stage("prove")
    proof = problem.stopwatch.prove(result_folder(folder, best), proof_s, progress, problem.wanted_ratio)
    test = _test_quality(problem, folder, best)
    broken, is_unproven = _broken(problem, proof, test, best)
    main = main_quality(problem.judge)
    return Outcome(
        best=best,
        proof=proof,
        test=test,
        broken=broken,
        is_unproven=is_unproven,
        front=tuple(front(problem.trials, "ratio", main.name, main.better)),
        relaxations=_relaxations(problem, proof, best) if broken else (),
        was_interrupted=was_interrupted,
    )


def _search(problem: FitProblem, strategy: Strategy, progress: FitProgress) -> bool:
    """Let the strategy work; True where a person stopped it."""
    progress.stage("search")
    try:
        for _plan in strategy.search(problem):
            if problem.remaining_s() <= 0:
                break
    except KeyboardInterrupt:
        return True
    return False


def choose(problem: FitProblem) -> Trial:
    """The best trial on the select split; the last few near it are timed again at length first."""
    ordered = best_first(problem.trials, problem.budget, problem.holds_limit)
    holding = [trial for trial in ordered if problem.holds(trial)]
    finalists = (holding or ordered[:1])[:FINALISTS]
    if len(finalists) == 1:
        return finalists[0]
    name = "final/" + "-".join(trial.key[:8] for trial in finalists)
    ratios: Mapping[str, float] = problem.fact(name, lambda: _final_race(problem, finalists))
    return min(finalists, key=lambda trial: ratios.get(trial.key, np.inf))


def _relaxations(problem: FitProblem, proof: Proof, best: Trial) -> tuple[Relaxation, ...]:
    """What would have to give; of the best its proven upper bound counts, not an earlier race."""
    upper = p50(proof.new).high
    share = paired_ratio(proof).high
    costs = {
        "p50": Measured(upper, upper, upper, "ms", proof.pairs),
        "ratio": Measured(share, share, share, "ratio", proof.pairs),
    }
    proven = replace(best, costs={**best.costs, **costs})
    trials = [proven if trial.key == best.key else trial for trial in problem.trials]
    return tuple(relaxations(trials, problem.budget, problem.holds_limit))


def _final_race(problem: FitProblem, finalists: Sequence[Trial]) -> dict[str, float]:
    folders = {
        trial.key: problem.realiser.folder / trial.artifact
        for trial in finalists
        if trial.artifact is not None
    }
    return problem.stopwatch.ratios(folders, FINAL_S, FINAL_SITTINGS)


def main_quality(judge: Judge) -> Any:
    """The quantity that stands for quality: the task's main metric, else the cosine to the original."""
    metric = judge.task.main_metric
    wanted = "cosine" if metric is None else metric.name
    return next(quantity for quantity in judge.quantities if quantity.name == wanted)


def _test_quality(problem: FitProblem, folder: RunFolder, best: Trial) -> TestQuality:
    """Read the test split, once: both artifacts run on it in their runtimes."""
    task, batch = problem.judge.task, problem.judge.batch
    affordable = int(TESTING_S * 1000 / problem.trials[0].value("p50"))
    split = task.test.open("the final proof")
    samples = whole_sequences(split, min(MOST_TESTED, max(affordable, LEAST_TESTED)))
    fed = items_of(split, batch, samples * batch)
    if not fed.items:
        raise BadInput(f"data {task.name}", "has too few test samples for one run", "give more samples")
    original = problem.stopwatch.outputs(problem.stopwatch.original, fed.items)
    judge = Judge(task, problem.judge.quantities, fed, batch, original)
    outputs = problem.stopwatch.outputs(result_folder(folder, best), fed.items)
    limit = problem.budget.limit_on("drop")
    drop = None
    if task.main_metric is not None:
        drop = judge.drop(judge.per_sample(outputs), np.inf if limit is None else limit.value, 0.95)
    return TestQuality(judge.quality(original), judge.quality(outputs), drop, len(fed.items) * batch)


def _broken(
    problem: FitProblem, proof: Proof, test: TestQuality, best: Trial
) -> tuple[tuple[Limit, ...], bool]:
    """Limits that the proof breaks: latency by its upper bound, quality by its point estimate.

    A share of the original's p50 is judged by pairs of processes in the same proof.
    """
    figures = final_figures(proof, test, best)
    broken = []
    for limit in problem.budget:
        share = problem.share_of_p50(limit.quantity.name)
        holds = (
            limit.holds(figures[limit.quantity.name]) if share is None else paired_ratio(proof).high <= share
        )
        if not holds:
            broken.append(limit)
    quality = [limit for limit in problem.budget if limit.quantity.name in test.best]
    is_proven = all(limit.holds(test.best[f"{limit.quantity.name}_bound"]) for limit in quality)
    return tuple(broken), not broken and not is_proven


def final_figures(proof: Proof, test: TestQuality, best: Trial) -> dict[str, float]:
    """The value of every quantity that decides whether the budget is met."""
    costs = {"memory": best.value("memory"), "file": best.value("file")}
    return {**test.best, **costs, "p50": p50(proof.new).high, "p99": p99(proof.new).value}


def proven_costs(proof: Proof, best: Trial) -> dict[str, Measured]:
    """Cost figures of the best, latencies from the proof."""
    return {**best.costs, "p50": p50(proof.new), "p99": p99(proof.new)}


def original_costs(outcome: Outcome, original: Trial) -> dict[str, Measured]:
    """Cost figures of the original, latencies from the same proof."""
    return {**original.costs, "p50": p50(outcome.proof.old), "p99": p99(outcome.proof.old)}


def copy_best(folder: RunFolder, best: Trial) -> None:
    """Put the artifact's folder in its place, replacing that of an earlier attempt."""
    shutil.rmtree(folder.best, ignore_errors=True)
    shutil.copytree(result_folder(folder, best), folder.best)
