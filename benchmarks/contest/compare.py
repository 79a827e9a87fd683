"""One network from start to verdict: prepare every line, fit, time and judge all in turns, prove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from contest.fit import Fitted, fitted, recovery, source_digest
from contest.measure import Contest, Effort, Say, Timing
from contest.table import TAUT, Comparison, Row
from models.base import Subject
from peers import trained_lines, untrained_lines
from peers.base import Case, LineFailed, prepared
from taut.core.budget import parse_budget
from taut.core.errors import EnvironmentFailed, TautError
from taut.core.runner import RunnerSpec
from taut.fit.api import open_text
from taut.measure import RaceFailure
from taut.runtimes.artifact import artifact_spec
from taut.tasks.quality import quality_quantities


@dataclass(frozen=True)
class Settings:
    """What is asked of every network's comparison."""

    out: Path
    search_time: str
    """Of ``taut fit``, as on its command line"""
    threads: int
    """Of every line alike"""
    effort: Effort = field(default_factory=Effort)


@dataclass
class Entrants:
    """Lines that are ready to run, and why the others are not."""

    specs: dict[str, RunnerSpec] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def enter(self, name: str, prepare: Callable[[], RunnerSpec]) -> None:
        """Prepare a line; its failure is an entry too."""
        try:
            self.specs[name] = prepare()
        except (LineFailed, TautError) as error:
            self.errors[name] = str(error)


def open_case(subject: Subject, settings: Settings) -> Case:
    """Open a network and its data for the peers."""
    opened = open_text(str(subject.file), subject.data, {})
    return Case(
        file=subject.file,
        network=opened.network,
        task=opened.task,
        threads=settings.threads,
        folder=settings.out / subject.name,
        net=subject.net,
        is_transformer=subject.is_transformer,
    )


def identity(subject: Subject, case: Case, settings: Settings) -> str:
    """Hash of what decides what ``taut fit`` returns, Taut's own code included."""
    asked = [subject.model, subject.data, subject.budget, settings.search_time, settings.threads]
    text = json.dumps([case.digest, source_digest(), *asked])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compare(subject: Subject, case: Case, settings: Settings, say: Say) -> tuple[Comparison, Fitted | None]:
    """Return every line's row with the proof of Taut against the best of the others, and Taut's fit."""
    entrants = Entrants()
    for line in untrained_lines():
        say(f"preparing {line.name}")
        entrants.enter(line.name, partial(prepared, line, case))
    say(f"taut fit, {settings.search_time} of search")
    folder = case.folder / f"fit-{identity(subject, case, settings)}"
    fit = partial(fitted, subject, settings.search_time, settings.threads, folder)
    entrants.enter(TAUT, lambda: artifact_spec(fit().artifact, settings.threads))
    found = fit() if TAUT in entrants.specs else None
    if case.net is not None:
        for line in trained_lines(recovery(found, case)):
            say(f"preparing {line.name}")
            entrants.enter(line.name, partial(prepared, line, case))
    return _contested(subject, case, entrants, settings.effort, say), found


def _contested(subject: Subject, case: Case, entrants: Entrants, effort: Effort, say: Say) -> Comparison:
    """Time, judge and prove what was prepared."""
    contest = Contest.open(case, effort)
    limit = parse_budget(subject.budget, quality_quantities(case.task, case.network.graph.outputs)).limits[0]
    rows = measured_rows(contest, entrants, say)
    comparison = Comparison(subject.name, limit, len(contest.fed.items), rows)
    if TAUT not in entrants.specs:
        return comparison
    proofs = {}
    for rival in comparison.contenders():
        say(f"proving taut against {rival.line}")
        proofs[rival.line] = contest.proof(entrants.specs[rival.line], entrants.specs[TAUT])
    return replace(comparison, proofs=proofs)


def measured_rows(contest: Contest, entrants: Entrants, say: Say) -> list[Row]:
    """Time and judge all lines; the original comes first and must run."""
    times = contest.times(entrants.specs, say)
    original = next(iter(times))
    if isinstance(failure := times[original], RaceFailure):
        raise EnvironmentFailed(original, f"does not run: {failure.error}", "see its file")
    qualities = contest.qualities(entrants.specs, say)
    rows = [_row(name, times[name], qualities[name]) for name in entrants.specs]
    return rows + [Row(name, error=error) for name, error in entrants.errors.items()]


def _row(name: str, timing: Timing | RaceFailure, quality: Mapping[str, float] | EnvironmentFailed) -> Row:
    if isinstance(timing, RaceFailure):
        return Row(name, error=timing.error)
    if isinstance(quality, EnvironmentFailed):
        return Row(name, error=str(quality))
    return Row(name, timing.p50, timing.ratio, quality)
