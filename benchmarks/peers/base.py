"""The contract of a line: what a knowledgeable user would prepare by hand, kept in a folder of its own.

    spec = prepared(line, case)         # prepares it once, then finds it again
    race({"ort fp32": ..., line.name: spec}, ...)

A line's folder is named after everything that decides its files: the network's file, the data, the threads,
the line's settings (its ``repr``) and the versions of the packages that it uses.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from taut.core.network import Network
from taut.core.runner import Item, RunnerSpec
from taut.core.task import Task
from taut.measure import Limits, outputs
from taut.tasks.items import items_of
from taut.tasks.sequences import steps_of

CALIBRATION_SAMPLES = 300
"""NNCF's default, more than twice what Taut takes; fewer where the train split has fewer"""


@dataclass(frozen=True)
class Case:
    """A network as the peers get it: its ONNX file, its data, and where their files are kept."""

    file: Path
    network: Network
    task: Task
    threads: int
    folder: Path
    net: str | None = None
    """Name in ``taut.nets`` where the network can be trained"""
    is_transformer: bool = False

    @cached_property
    def digest(self) -> str:
        """Content of the file and of the data."""
        return hashlib.sha256(self.file.read_bytes() + self.task.digest.encode()).hexdigest()

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.network.graph.outputs]

    @property
    def limits(self) -> Limits:
        return Limits(threads=self.threads)

    def calibration_items(self) -> tuple[Item, ...]:
        """Real items of the train split, in order; whole sequences where it has sequences."""
        assert self.task.train is not None, f"task {self.task.name} has no train split"
        return items_of(self.task.train, limit=CALIBRATION_SAMPLES).items

    def select_items(self, count: int) -> tuple[Item, ...]:
        """The first items of the select split, of its first sequence where it has sequences."""
        longest = max(count, steps_of(self.task.select))
        return items_of(self.task.select, limit=longest).items[:count]

    def spec(self, factory: str, file: Path, **settings: object) -> RunnerSpec:
        """Return the recipe of a stock runner (``peers.runners``) for a file."""
        common = {"threads": self.threads, "outputs": self.outputs, "feedback": dict(self.network.feedback)}
        return RunnerSpec(f"peers.runners:{factory}", {"file": str(file), **common, **settings})


class Line(Protocol):
    """One way to deploy a network that people use today."""

    @property
    def name(self) -> str: ...

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose versions decide what is prepared."""
        ...

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Write the line's files into the folder and say how they run. May raise whatever its tools raise."""
        ...


class LineFailed(RuntimeError):
    """A line cannot be prepared, or what was prepared does not run; the message says why."""


def prepared(line: Line, case: Case) -> RunnerSpec:
    """Return how a line runs, preparing it where that was not done before. Raises LineFailed."""
    return _attempted(lambda: _prepared(line, case))


def first_that_runs(attempts: Sequence[Callable[[], RunnerSpec]], case: Case) -> RunnerSpec:
    """Return the first attempt whose result loads and runs; LineFailed with every reason."""
    reasons = []
    for attempt in attempts:
        try:
            return _attempted(partial(_checked_attempt, attempt, case))
        except LineFailed as error:
            reasons.append(str(error))
    raise LineFailed("; then ".join(reasons))


def _checked_attempt(attempt: Callable[[], RunnerSpec], case: Case) -> RunnerSpec:
    return checked(attempt(), case)


def checked(spec: RunnerSpec, case: Case) -> RunnerSpec:
    """Run one item in a process of its own and return the recipe; EnvironmentFailed where that fails."""
    outputs(spec, case.select_items(1), limits=case.limits)
    return spec


def _attempted(make: Callable[[], RunnerSpec]) -> RunnerSpec:
    try:
        return make()
    except LineFailed:
        raise
    except Exception as error:  # whatever goes wrong in somebody else's tool is that line's result
        raise LineFailed(f"{type(error).__name__}: {error}") from error


def _prepared(line: Line, case: Case) -> RunnerSpec:
    folder = case.folder / _folder_name(line, case)
    record = folder / "line.json"
    if record.exists():
        return RunnerSpec(**json.loads(record.read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = checked(line.prepare(case, folder), case)
    record.write_text(json.dumps({"factory": spec.factory, "arguments": dict(spec.arguments)}, indent=1))
    return spec


def _folder_name(line: Line, case: Case) -> str:
    versions = [f"{package} {version(package)}" for package in line.packages]
    text = json.dumps([repr(line), case.digest, case.threads, versions])
    words = "-".join("".join(c if c.isalnum() else " " for c in line.name).split())
    return f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
