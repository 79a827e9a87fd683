"""From a finished run to what its report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from taut.core.budget import Limit
from taut.core.figures import Figure, Measured, add
from taut.core.move import Form
from taut.core.strategy import Trial
from taut.fit.floor import FloorFigure, Profiled, floor_of
from taut.fit.folder import RunFolder
from taut.fit.loop import Outcome, main_quality, original_costs, proven_costs
from taut.fit.problem import PROFILED_ITEMS, FitProblem
from taut.fit.result import verdict_line
from taut.fit.session import result_folder
from taut.graph.costs import node_costs
from taut.measure import p50
from taut.report.data import (
    BudgetRow,
    Floor,
    LayerRow,
    ProofRow,
    QualityRow,
    ReportData,
    Reproduce,
    Role,
    Summary,
    TrialRow,
)
from taut.runtimes.artifact import profile_artifact
from taut.runtimes.base import NodeTime
from taut.runtimes.manifest import read_manifest

MOST_SAMPLES = 400
"""Of each side of the proof in the report; the evidence keeps them all"""


def report_data(problem: FitProblem, outcome: Outcome, folder: RunFolder, command: str) -> ReportData:
    """Collect everything that the report shows."""
    quality = main_quality(problem.judge).name
    floor_figure = floor(problem, outcome)
    manifest = read_manifest(folder.best)
    return ReportData(
        title=problem.network.name,
        verdict=verdict_line(outcome, quality),
        met=None if outcome.was_interrupted and not outcome.is_met else outcome.is_met,
        budget=tuple(_budget_row(limit, problem, outcome) for limit in problem.budget),
        original=_original_summary(problem, outcome),
        best=_best_summary(problem, outcome, folder),
        proof=_proof_row(outcome),
        trials=tuple(_trial_row(trial, problem, outcome) for trial in problem.trials),
        layers=_layers(problem, outcome, folder),
        quality=_quality_row(problem, outcome),
        floor=Floor(floor_figure.describe(), floor_figure.heaviest),
        environment=_shown(outcome.proof.new.environment),
        reproduce=Reproduce(command, problem.context.seed, dict(manifest.versions)),
        notes=_notes(problem, outcome),
    )


def floor(problem: FitProblem, outcome: Outcome) -> FloorFigure:
    """The floor from every unpruned network that was profiled, the fastest among them in any case.

    Latencies are ratios times the proof's original, so that a machine that slowed down meanwhile counts alike
    for all.
    """
    whole = [trial for trial in problem.trials if trial.is_realised and not _is_cut(trial)]
    problem.profile(min(whole, key=lambda trial: trial.value("ratio")).plan)
    original_ms = p50(outcome.proof.old).value
    known = [(problem.known_profile(trial.plan), original_ms * trial.value("ratio")) for trial in whole]
    return floor_of([Profiled(times, ms) for times, ms in known if times is not None], problem.trials)


def _is_cut(trial: Trial) -> bool:
    return any(move.form is Form.MODULE for move in trial.plan.moves)


def _budget_row(limit: Limit, problem: FitProblem, outcome: Outcome) -> BudgetRow:
    name = limit.quantity.name
    costs = proven_costs(outcome.proof, outcome.best)
    test = outcome.test
    best: Figure
    if name in costs:
        best = costs[name]
    elif name == "drop" and test.drop is not None:  # with the headline's interval
        best = Measured(test.drop.mean, test.drop.low, test.drop.high, limit.quantity.unit, test.samples)
    else:
        best = _quality_figure(test.best, name, limit.quantity.unit, test.samples)
    original: Figure | None = original_costs(outcome, problem.trials[0]).get(name)
    if original is None and name in test.original:
        original = _quality_figure(test.original, name, limit.quantity.unit, test.samples)
    return BudgetRow(limit.text, name, limit.value, original, best, limit not in outcome.broken)


def _quality_figure(quality: Mapping[str, float], name: str, unit: str, samples: int) -> Measured:
    """A mean with its two-sided 90% interval, whose ends are the one-sided 95% bounds."""
    value = quality[name]
    margin = abs(quality.get(f"{name}_bound", value) - value)
    return Measured(value, value - margin, value + margin, unit, samples)


def _original_summary(problem: FitProblem, outcome: Outcome) -> Summary:
    original = problem.trials[0]
    quality = main_quality(problem.judge)
    return Summary(
        label=f"original, onnxruntime, {problem.context.threads} threads",
        p50=original_costs(outcome, original)["p50"],
        p99=original_costs(outcome, original)["p99"],
        peak_memory=original.costs["memory"],
        file=original.costs["file"],
        quality=_quality_figure(outcome.test.original, quality.name, quality.unit, outcome.test.samples),
    )


def _best_summary(problem: FitProblem, outcome: Outcome, folder: RunFolder) -> Summary:
    costs = proven_costs(outcome.proof, outcome.best)
    quality = main_quality(problem.judge)
    runs = [f"{saved.stage.runtime} {saved.stage.precision}" for saved in read_manifest(folder.best).stages]
    return Summary(
        label=f"{outcome.best.plan.label or 'original'} ({', then '.join(runs)})",
        p50=costs["p50"],
        p99=costs["p99"],
        peak_memory=costs["memory"],
        file=costs["file"],
        quality=_quality_figure(outcome.test.best, quality.name, quality.unit, outcome.test.samples),
    )


def _proof_row(outcome: Outcome) -> ProofRow:
    proof = outcome.proof
    old, new = proof.old.latency_ms, proof.new.latency_ms
    count = min(len(old), len(new))
    stride = max(1, count // MOST_SAMPLES)
    return ProofRow(
        ratio=proof.ratio,
        pairs=proof.pairs,
        noise_floor=proof.noise_floor,
        verdict=str(proof.verdict),
        old_ms=tuple(float(value) for value in old[:count:stride]),
        new_ms=tuple(float(value) for value in new[:count:stride]),
    )


def _shown(environment: Mapping[str, object]) -> dict[str, str]:
    """What a person reads of the environment: plain values and short lists; versions are shown elsewhere."""
    plain = {key: value for key, value in environment.items() if isinstance(value, (str, int, float))}
    lists = {key: value for key, value in environment.items() if isinstance(value, list)}
    return {key: str(value) for key, value in plain.items()} | {
        key: ", ".join(f"{item:.2f}" if isinstance(item, float) else str(item) for item in value)
        for key, value in lists.items()
    }


def _trial_row(trial: Trial, problem: FitProblem, outcome: Outcome) -> TrialRow:
    is_original = trial.key == problem.trials[0].key
    is_best = trial.key == outcome.best.key
    shown = {name: value for name, value in trial.quality.items() if not name.endswith("_bound")}
    return TrialRow(
        label=trial.plan.label or "original",
        moves=" + ".join(move.kind for move in trial.plan.moves) or "none",
        costs={name: figure for name, figure in trial.costs.items() if name != "ratio"},
        predicted=trial.predicted,
        quality=shown,
        meets=problem.holds(trial),
        on_front=any(trial.key == other.key for other in outcome.front),
        error=trial.error,
        role=Role.ORIGINAL if is_original else Role.BEST if is_best else Role.CANDIDATE,
    )


def _layers(problem: FitProblem, outcome: Outcome, folder: RunFolder) -> tuple[LayerRow, ...]:
    """Every node of the original with its kernel time before and after; a profiler slows kernels down."""
    items, threads = problem.stopwatch.items[:PROFILED_ITEMS], problem.context.threads
    before = _by_node(profile_artifact(problem.stopwatch.original, items, threads))
    after = _by_node(profile_artifact(result_folder(folder, outcome.best), items, threads))
    names = read_manifest(folder.best).names
    rows = []
    for cost in node_costs(problem.network.graph):
        became = names.new_names(cost.node)
        old, new = before.get(cost.node), [after[name] for name in became if name in after]
        rows.append(
            LayerRow(
                node=cost.node,
                op=cost.op,
                macs=cost.macs,
                before=None if old is None else old[0],
                after=reduce(add, [figure for figure, _ in new]) if new else None,
                before_precision="" if old is None else old[1],
                after_precision=new[0][1] if new else "",
                became="" if became == (cost.node,) else ", ".join(became) or "removed",
            )
        )
    return tuple(rows)


def _by_node(times: Sequence[NodeTime]) -> dict[str, tuple[Figure, str]]:
    """Time and precision by node; a kernel that covers several is shared evenly."""
    nodes: dict[str, tuple[Figure, str]] = {}
    for kernel in times:
        share_ms = kernel.latency_ms / len(kernel.nodes)
        share = Measured(share_ms, share_ms, share_ms, "ms", kernel.runs)
        for name in kernel.nodes:
            nodes[name] = (nodes[name][0] + share if name in nodes else share, kernel.precision)
    return nodes


def _quality_row(problem: FitProblem, outcome: Outcome) -> QualityRow:
    test, quality = outcome.test, main_quality(problem.judge)
    drop = None
    if test.drop is not None:
        drop = Measured(test.drop.mean, test.drop.low, test.drop.high, quality.unit, test.samples)
    return QualityRow(
        metric=quality.name,
        unit=quality.unit,
        original=_quality_figure(test.original, quality.name, quality.unit, test.samples),
        best=_quality_figure(test.best, quality.name, quality.unit, test.samples),
        drop=drop,
        samples=test.samples,
        note=_quality_note(problem, outcome),
        better=quality.better,
    )


def _quality_note(problem: FitProblem, outcome: Outcome) -> str:
    if problem.judge.task.is_random:
        return "quality unknown: the inputs are made up; the figures say only how alike the outputs are"
    return "within limit, not proven" if outcome.is_unproven else ""


def _notes(problem: FitProblem, outcome: Outcome) -> tuple[str, ...]:
    failed = [trial for trial in problem.trials if not trial.is_realised]
    notes = [
        f"{relaxation.limit.text} would be met at {relaxation.value:.4g}"
        for relaxation in outcome.relaxations
    ]
    notes += [f"{trial.plan.label}: {trial.error}" for trial in failed]
    if problem.judge.task.is_random:
        notes.append(_quality_note(problem, outcome))
    return tuple(notes)
