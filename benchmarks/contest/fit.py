"""Taut's side: ``taut fit`` as a user calls it, in a process of its own, taken up again where it was cut."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

import taut
from models.base import Subject
from peers.base import Case
from taut.core.errors import EnvironmentFailed, Exit
from taut.core.move import Context
from taut.devices.local import local_device
from taut.fit.folder import write_json
from taut.moves import MOVES
from taut.train.recipe import Recipe

_BENCHMARKS = Path(__file__).parent.parent
LOOK_EVERY_S = 1.0
_WITH_RESULT = (Exit.YES, Exit.NO, Exit.UNDECIDED)


@dataclass(frozen=True)
class Fitted:
    """What ``taut fit`` left behind."""

    result: Mapping[str, Any]
    """What ``taut fit --json`` printed"""
    peak_resident_bytes: int
    """Of all its processes together; what they share counts for each"""

    @property
    def artifact(self) -> Path:
        return Path(self.result["best"]["path"])

    @property
    def recovered_by(self) -> Mapping[str, Any] | None:
        """Settings of the recovery in the artifact's plan; None where there is none."""
        moves = self.result["best"]["plan"]
        return next((move["settings"] for move in moves if move["move"] == "recover"), None)

    @property
    def epochs(self) -> float:
        """Length of all training in the artifact's plan, whatever moves it was part of."""
        return float(sum(move["settings"].get("epochs", 0) for move in self.result["best"]["plan"]))


def fitted(subject: Subject, search_time: str, threads: int, folder: Path) -> Fitted:
    """Run ``taut fit``, or find its result; EnvironmentFailed where it ends without one.

    The folder is of this network, data and version of Taut alone; a run that was killed goes on there.
    """
    record = folder / "fit.json"
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(record, _run(command(subject, search_time, threads, folder / "run"), folder))
    return Fitted(**json.loads(record.read_text()))


def command(subject: Subject, search_time: str, threads: int, out: Path) -> list[str]:
    """Return the words after ``taut``."""
    words = ["fit", subject.model, "--data", subject.data, "--budget", subject.budget]
    words += ["--search-time", search_time, "--threads", str(threads), "--out", str(out), "--json"]
    return [*words, "--resume"] if (out / "run.json").exists() else words


def _run(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run the command where ``models`` can be imported from; its messages go to our standard error."""
    printed = folder / "printed.txt"
    with printed.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-c", "from taut.cli import main; main()", *words],
            stdout=stdout,
            cwd=_BENCHMARKS,
        )
        try:
            peak_resident_bytes = watched(process)
        finally:
            process.kill()  # where we are interrupted; one that has ended is left alone
    if process.returncode not in _WITH_RESULT:
        rule = f"ended without a result, exit code {process.returncode}"
        raise EnvironmentFailed("taut " + " ".join(words), rule, "see its message above")
    result = json.loads(printed.read_text().splitlines()[-1])
    return {"result": result, "peak_resident_bytes": peak_resident_bytes}


def watched(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process and return the most memory that its whole tree was seen to hold.

    ``ru_maxrss`` would not do: a process that is forked starts with its parent's peak.
    """
    tree, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, _resident_bytes(tree))
        time.sleep(LOOK_EVERY_S)
    return peak


def _resident_bytes(tree: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [tree, *tree.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total


def recovery(fit: Fitted | None, case: Case) -> Recipe:
    """Return the recipe of Taut's recovery (else its first choice), for all epochs that Taut trained."""
    settings = None if fit is None else fit.recovered_by
    if settings is None:
        context = Context(case.task, local_device(), case.folder, case.threads, original=case.network)
        (offered,) = MOVES.load("recover").offers(case.network, context)
        settings = asdict(offered)
    epochs = settings["epochs"] if fit is None else fit.epochs or settings["epochs"]
    return Recipe(**{**settings, "epochs": epochs})


def source_digest() -> str:
    """Hash of Taut's own code: another one may fit differently."""
    package = Path(taut.__file__).parent
    sha = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        sha.update(str(file.relative_to(package)).encode() + file.read_bytes())
    return sha.hexdigest()
