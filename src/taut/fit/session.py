"""One run of ``fit``, from preflight to a problem that a strategy can search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taut.core.budget import Budget, parse_budget
from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.move import Context, Plan
from taut.core.network import Network
from taut.core.quantities import COST_QUANTITIES, ENERGY
from taut.core.strategy import Trial
from taut.core.task import Task
from taut.devices.local import default_threads, local_device
from taut.fit.folder import RunFolder
from taut.fit.judge import Judge
from taut.fit.ledger import Ledger
from taut.fit.preflight import Reference, check_memory, check_outputs, judged, make_judge, timed_items
from taut.fit.problem import Clock, FitProblem, Listener, salt_of
from taut.fit.realise import Realiser
from taut.fit.request import Request
from taut.fit.stopwatch import Stopwatch
from taut.graph.verify import InvariantBroken, verify
from taut.measure import Limits
from taut.moves import MOVES, plan_from_json
from taut.tasks.quality import quality_quantities, refuse_drop_without_labels

# No meter is read on this device yet; a limit on energy would be a promise without a measurement.
LEGAL_COSTS = tuple(quantity for quantity in COST_QUANTITIES if quantity is not ENERGY)


@dataclass(frozen=True)
class Job:
    """What is asked, with everything opened."""

    network: Network
    task: Task
    budget: Budget
    request: Request

    @property
    def threads(self) -> int:
        return self.request.threads or default_threads()


def read_budget(text: str, task: Task, network: Network) -> Budget:
    """Parse the budget against what this run can measure."""
    refuse_drop_without_labels(text, task)
    return parse_budget(text, (*LEGAL_COSTS, *quality_quantities(task, network.graph.outputs)))


def identity(job: Job) -> Mapping[str, Any]:
    """What decides the outcome of a run; a folder is taken up again only by the same."""
    return {
        "network": job.network.graph.digest(),
        "data": job.task.digest,
        "budget": str(job.budget),
        "device": local_device().fingerprint,
        **job.request.identity(),
    }


def begin(job: Job, folder: RunFolder, listener: Listener) -> FitProblem:
    """Do the preflight and return the problem; the original is its first trial."""
    check_memory(job.network)
    _refuse_broken(job.network)
    device = local_device()
    context = Context(
        task=job.task,
        device=device,
        work_folder=folder.work,
        threads=job.threads,
        batch=job.request.batch,
        seed=job.request.seed,
        original=job.network,
        progress=lambda what, share: listener.doing(f"{what} {share:.0%}"),
    )
    ledger = Ledger.in_file(folder.ledger, plan_from_json)
    clock = Clock(job.request.search_time_s, ledger.spent_s())
    realiser = Realiser(job.network, context, folder.candidates)
    salt = salt_of(
        {"data": job.task.digest, "seed": context.seed, "threads": context.threads} | _versions(device)
    )
    problem = _Opening(job, realiser, ledger, clock, salt, listener).problem()
    for limit in problem.budget:
        assert not limit.is_relative
    return problem


@dataclass(frozen=True)
class _Opening:
    """The parts from which the problem is put together once the original has been measured."""

    job: Job
    realiser: Realiser
    ledger: Ledger
    clock: Clock
    salt: str
    listener: Listener

    def problem(self) -> FitProblem:
        self.listener.doing("preflight: the original")
        stopwatch = self._stopwatch()
        judge = self._judge(stopwatch)
        problem = FitProblem(
            asked=self.job.budget,
            budget=self.job.budget,
            moves=_allowed_moves(self.job.request),
            keep=_kept_nodes(self.job),
            realiser=self.realiser,
            stopwatch=stopwatch,
            judge=judge,
            ledger=self.ledger,
            clock=self.clock,
            salt=self.salt,
            listener=self.listener,
        )
        original = problem.evaluate(Plan(label="original"))
        assert original.is_realised, f"the original stopped working after its check: {original.error}"
        problem.budget = self.job.budget.resolve(_values(original))
        return problem

    def _stopwatch(self) -> Stopwatch:
        items = timed_items(self.job.task, self.job.request.batch)
        folder, _ = self.realiser.artifact(Plan(), "original")
        limits = Limits(threads=self.job.threads, seed=self.job.request.seed)
        stopwatch = Stopwatch(folder, items, limits)
        self.ledger.fact("preflight/outputs", lambda: check_outputs(stopwatch, items[:2]))
        return stopwatch

    def _judge(self, stopwatch: Stopwatch) -> Judge:
        batch = self.job.request.batch
        p50_ms = self.ledger.fact(
            "preflight/p50_ms", lambda: stopwatch.costs(stopwatch.original)["p50"].value
        )
        fed = judged(self.job.task.select, batch, p50_ms)
        reference = Reference(self.realiser.context.work_folder / "reference.npz").outputs(
            stopwatch, fed.items
        )
        return make_judge(self.job.task, self.job.network, fed, batch, reference)


def _refuse_broken(network: Network) -> None:
    """Raise BadInput where the network breaks an invariant before anything was done to it."""
    try:
        verify(network.graph, "import")
    except InvariantBroken as error:
        raise BadInput(network.name, str(error), "repair the model, or export it again") from error


def _values(trial: Trial) -> dict[str, float]:
    return {name: figure.value for name, figure in trial.costs.items()}


def _versions(device: Device) -> dict[str, str]:
    """Versions that change a result: ours, and the runtimes'."""
    return {"device": device.fingerprint, "taut": version("taut"), **device.runtimes}


def _allowed_moves(request: Request) -> dict[str, Any]:
    """Installed move kinds, less those that the request excludes; BadInput for unknown names."""
    for name in (*request.moves, *request.no_moves):
        if name not in MOVES:
            raise BadInput(f"move {name!r}", "is not known", f"one of: {', '.join(MOVES)}")
    wanted = request.moves or tuple(MOVES.installed())
    return {name: MOVES.load(name) for name in wanted if name not in request.no_moves}


def _kept_nodes(job: Job) -> frozenset[str]:
    """Nodes that the request's patterns name; a pattern that names none is a mistake."""
    names = [node.name for node in job.network.graph.nodes]
    for pattern in job.request.keep:
        if not any(fnmatch(name, pattern) for name in names):
            raise BadInput(f"--keep {pattern}", "matches no node", "see 'taut profile MODEL' for their names")
    return frozenset(name for name in names if any(fnmatch(name, pattern) for pattern in job.request.keep))


def result_folder(folder: RunFolder, trial: Trial) -> Path:
    """Folder of a trial's artifact."""
    assert trial.artifact is not None, f"trial {trial.key} has no artifact"
    return folder.candidates / trial.artifact
