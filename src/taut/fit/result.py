"""What ``fit`` hands back: the verdict, figures of the original and the best, and where everything lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import Exit
from taut.core.figures import Measured
from taut.core.measurement import Proof, Verdict
from taut.core.strategy import Trial
from taut.fit.floor import FloorFigure
from taut.fit.folder import RunFolder
from taut.fit.loop import Outcome, TestQuality, original_costs, proven_costs
from taut.fit.problem import FitProblem
from taut.report.data import ReportData

_PACES = {
    Verdict.NOT_FASTER: "not faster than the original",
    Verdict.UNDECIDED: "undecided whether it is faster than the original",
}


@dataclass(frozen=True)
class FitResult:
    """The result of a run; everything in it is also on disk."""

    folder: RunFolder
    outcome: Outcome
    trials: tuple[Trial, ...]
    floor: FloorFigure
    search_s: float
    main_quality: str
    runtime: str
    report_data: ReportData

    @property
    def met(self) -> bool:
        return self.outcome.is_met

    @property
    def best(self) -> Path:
        """Folder of the artifact."""
        return self.folder.best

    @property
    def front(self) -> tuple[Trial, ...]:
        return self.outcome.front

    @property
    def proof(self) -> Proof:
        return self.outcome.proof

    @property
    def verdict(self) -> str:
        return self.report_data.verdict

    @property
    def exit_code(self) -> Exit:
        if self.met:
            return Exit.YES
        return Exit.UNDECIDED if self.outcome.was_interrupted else Exit.NO

    def report(self) -> Path:
        """Path of the HTML report."""
        return self.folder.report

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        outcome = self.outcome
        drop = outcome.test.drop
        best = {
            **_figures(proven_costs(outcome.proof, outcome.best), outcome.test, self.main_quality),
            "drop": None if drop is None else {"value": drop.mean, "low": drop.low, "high": drop.high},
            "path": str(self.best),
            "runtime": self.runtime,
            "plan": outcome.best.plan.to_json(),
        }
        return finite(
            {
                "met": self.met,
                "verdict": self.verdict,
                "original": _original(outcome, self.trials[0], self.main_quality),
                "best": best,
                "ratio": {
                    "low": outcome.proof.ratio.low,
                    "mid": outcome.proof.ratio.value,
                    "high": outcome.proof.ratio.high,
                },
                "floor": self.floor.total.to_json(),
                "front": [trial_to_json(trial) for trial in outcome.front],
                "relaxations": [relaxation.to_json() for relaxation in outcome.relaxations],
                "trials": len(self.trials),
                "search_s": round(self.search_s, 1),
                "out": str(self.folder.root),
            }
        )


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial with its figures, as ``front.json`` keeps it."""
    return {
        "key": trial.key,
        "label": trial.plan.label,
        "plan": trial.plan.to_json(),
        "costs": {name: figure.to_json() for name, figure in trial.costs.items()},
        "predicted": {name: figure.to_json() for name, figure in trial.predicted.items()},
        "quality": dict(trial.quality),
        "artifact": trial.artifact,
        "error": trial.error,
    }


def evidence(outcome: Outcome, problem: FitProblem) -> dict[str, Any]:
    """Everything that the verdict rests on: raw samples of the proof, test quality, environment, budget."""
    proof = outcome.proof
    return finite(
        {
            "verdict": str(proof.verdict),
            "ratio": proof.ratio.to_json(),
            "pairs": proof.pairs,
            "noise_floor": proof.noise_floor,
            "old_ms": [round(float(value), 6) for value in proof.old.latency_ms],
            "new_ms": [round(float(value), 6) for value in proof.new.latency_ms],
            "environment": dict(proof.new.environment),
            "contended": {"old": proof.old.contended, "new": proof.new.contended},
            "test": {"original": dict(outcome.test.original), "best": dict(outcome.test.best)},
            "test_samples": outcome.test.samples,
            "budget": [limit.to_json() for limit in problem.budget],
            "broken": [limit.text for limit in outcome.broken],
            "plan": outcome.best.plan.to_json(),
        }
    )


def verdict_line(outcome: Outcome, main_quality: str) -> str:
    """One line: what was reached or missed, by how much, and what would be needed."""
    ratio, verdict = outcome.proof.ratio, outcome.proof.verdict
    pace = (
        f"{1 / ratio.value:.2f}x faster than the original" if verdict is Verdict.FASTER else _PACES[verdict]
    )
    parts = [pace, _quality_text(outcome, main_quality)]
    if outcome.is_unproven:
        needed = outcome.test.drop.samples_needed if outcome.test.drop else None
        parts.append("quality: within limit, not proven" + (f" ({needed} samples would)" if needed else ""))
    for limit in outcome.broken:
        parts.append(f"{limit.text} is missed")
    if outcome.relaxations:
        mildest = outcome.relaxations[0]
        name, unit = mildest.limit.quantity.name, mildest.limit.quantity.unit
        parts.append(f"cheapest relaxation: {name}{mildest.limit.relation}{mildest.value:.4g}{unit}")
    return "; ".join(parts)


def _quality_text(outcome: Outcome, main_quality: str) -> str:
    if outcome.test.drop is not None:
        return f"drop {outcome.test.drop.mean:.2f} on {outcome.test.samples} test samples"
    return f"{main_quality} {outcome.test.best[main_quality]:.5f} on {outcome.test.samples} test samples"


def finite(value: Any) -> Any:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _original(outcome: Outcome, original: Trial, main_quality: str) -> dict[str, Any]:
    costs = original_costs(outcome, original)
    figures = {**outcome.test.original, main_quality: outcome.test.original[main_quality]}
    return _figures(costs, TestQuality({}, figures, None, outcome.test.samples), main_quality)


def _figures(costs: Mapping[str, Measured], test: TestQuality, main_quality: str) -> dict[str, Any]:
    return {
        "p50": costs["p50"].to_json(),
        "p99": costs["p99"].to_json(),
        "peak_memory": costs["memory"].to_json(),
        "file": costs["file"].to_json(),
        "quality": {"metric": main_quality, "value": test.best[main_quality], "samples": test.samples},
    }
