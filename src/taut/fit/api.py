"""``fit`` from text (the command line) and from objects (Python): open, preflight, loop, write."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from taut.core.errors import EnvironmentFailed
from taut.core.network import Network
from taut.core.strategy import Trial
from taut.core.task import Task
from taut.fit.folder import RunFolder, open_run_folder, write_json
from taut.fit.loop import Outcome, copy_best, main_quality, make_strategy, run
from taut.fit.models import network_from_module, open_model
from taut.fit.problem import FitProblem, Listener
from taut.fit.profile import Profile, profile_network
from taut.fit.prove import Comparison, ProofOptions, prove_networks
from taut.fit.reporting import floor, report_data
from taut.fit.request import Request
from taut.fit.result import FitResult, evidence, finite, trial_to_json
from taut.fit.session import Job, begin, identity, read_budget
from taut.report.page import write_report
from taut.report.progress import FitProgress
from taut.report.stored import to_json
from taut.runtimes.manifest import read_manifest, write_manifest
from taut.tasks.open import open_task
from taut.tasks.random import highest_indices


def fit_text(opened: Opened, budget: str, request: Request, out: Path, resume: bool) -> FitResult:
    """Fit what a command line named."""
    return fit_network(opened.network, opened.task, budget, request, Place(out, resume, opened.command))


@dataclass(frozen=True)
class Opened:
    """A model and its data, opened from text."""

    network: Network
    task: Task
    command: str = ""


def open_text(
    model: str,
    data: str,
    shapes: Mapping[str, tuple[int, ...]],
    batch: int = 1,
    arguments: Sequence[str] = (),
) -> Opened:
    """Open MODEL and DATA; BadInput where they do not exist or do not fit each other."""
    network = open_model(model, shapes, batch)
    task = open_task(data, network.graph.inputs, network.feedback, highest_indices(network.graph))
    return Opened(network, task, shlex.join(["taut", *arguments]))


@dataclass(frozen=True)
class Place:
    """Where a run writes, and how it was called."""

    out: Path
    resume: bool = False
    command: str = ""


def fit_network(
    network: Network, task: Task, budget: str, request: Request | None = None, place: Place | None = None
) -> FitResult:
    """Shape the network until it keeps the budget on this device, and prove it.

    Writes ``best/``, ``front.json``, ``evidence.json``, ``ledger.db`` and ``report.html``. A missed budget
    is a result (``met`` is false); BadInput where what is asked cannot be judged, EnvironmentFailed where
    the machine gives up, after which the same call with ``resume`` goes on.
    """
    request, place = request or Request(), place or Place(Path("runs/fit"))
    job = Job(network, task, read_budget(budget, task, network), request)
    strategy = make_strategy(request.strategy)
    folder = open_run_folder(place.out, identity(job), place.resume)
    started = time.monotonic()
    with FitProgress(request.search_time_s) as progress, _disk_full_is_said(folder):
        progress.stage("preflight")
        problem = begin(job, folder, _listener(progress))
        outcome = run(problem, strategy, folder, progress, request.proof_s)
        return _write(problem, outcome, folder, place, time.monotonic() - started)


def _listener(progress: FitProgress) -> Listener:
    seen: list[Trial] = []

    def on_trial(trial: Trial) -> None:
        seen.append(trial)
        best = min((t for t in seen if t.is_realised), key=lambda t: t.value("ratio"), default=None)
        if best is not None:
            progress.candidate(f"p50 {best.value('p50'):.3g} ms", len(seen))

    return Listener(trial=on_trial, doing=lambda what: progress(what, 0.0))


def _write(
    problem: FitProblem, outcome: Outcome, folder: RunFolder, place: Place, search_s: float
) -> FitResult:
    """Write the artifact with its evidence, the front and the report."""
    quality = main_quality(problem.judge).name
    found = evidence(outcome, problem)
    copy_best(folder, outcome.best)
    manifest = replace(read_manifest(folder.best), evidence=found, quality=dict(outcome.test.best))
    write_manifest(manifest, folder.best)
    data = report_data(problem, outcome, folder, place.command)
    write_json(folder.root / "evidence.json", found)
    write_json(folder.root / "front.json", finite([trial_to_json(trial) for trial in outcome.front]))
    write_json(folder.root / "report.json", to_json(data))
    write_report(data, folder.report)
    return FitResult(
        folder=folder,
        outcome=outcome,
        trials=tuple(problem.trials),
        floor=floor(problem, outcome),
        search_s=search_s,
        main_quality=quality,
        runtime="+".join(dict.fromkeys(saved.stage.runtime for saved in manifest.stages)),
        report_data=data,
    )


@contextmanager
def _disk_full_is_said(folder: RunFolder) -> Iterator[None]:
    """A full disk ends the run with one line; what is in the ledger stays."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise EnvironmentFailed(
            str(folder.root), "the disk is full", "free space and use --resume"
        ) from error


def fit(
    model: Any, task: Any = "random", budget: str = "", device: str = "local", **options: Any
) -> FitResult:
    """Shape a model until it keeps the budget, and prove it: ``taut.fit``.

    ``model``: a Network, a torch module with ``example_inputs={name: array}``, or what MODEL can be on the
    command line. ``task``: a Task, or what DATA can be. Further options: ``out`` (a folder, default
    ``runs/fit``), ``resume``, and the fields of ``taut.fit.request.Request``. Raises BadInput and
    EnvironmentFailed as ``fit_network`` does.
    """
    place = Place(Path(options.pop("out", "runs/fit")), options.pop("resume", False))
    network, opened_task = _opened(model, task, options.pop("example_inputs", None), options.get("batch", 1))
    return fit_network(network, opened_task, budget, Request(device=device, **options), place)


def prove(old: Any, new: Any, inputs: Any = "random", **options: Any) -> Comparison:
    """Compare two forms of a network: ``taut.prove``. Options are the fields of ``ProofOptions``."""
    first, task = _opened(old, inputs, None, options.get("batch", 1))
    second, _ = _opened(new, task, None, options.get("batch", 1))
    return prove_networks(first, second, task, ProofOptions(**options))


def profile(model: Any, task: Any = "random", threads: int | None = None) -> Profile:
    """Time every kernel of a model: ``taut.profile``."""
    network, opened_task = _opened(model, task, None, 1)
    return profile_network(network, opened_task, threads)


def _opened(
    model: Any, task: Any, example_inputs: Mapping[str, np.ndarray] | None, batch: int
) -> tuple[Network, Task]:
    """Open whatever a person passed as model and task."""
    if isinstance(model, Network):
        network = model
    elif isinstance(model, (str, Path)):
        network = open_model(str(model), {}, batch)
    else:
        network = network_from_module(model, example_inputs)
    if isinstance(task, Task):
        return network, task
    return network, open_task(
        str(task), network.graph.inputs, network.feedback, highest_indices(network.graph)
    )
