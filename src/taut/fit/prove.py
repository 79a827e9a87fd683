"""``taut.prove``: is B really faster than A on this device, and still right?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput, Exit
from taut.core.measurement import Proof, Verdict
from taut.core.move import Progress, no_progress
from taut.core.network import Network
from taut.core.task import Task
from taut.devices.local import default_threads, local_device
from taut.fit.judge import Judge
from taut.fit.preflight import judged, timed_items
from taut.fit.result import finite
from taut.fit.stopwatch import Stopwatch
from taut.measure import Limits, p50
from taut.runtimes.artifact import ArtifactRecord, save_artifact
from taut.tasks.quality import quality_quantities

MOST_S = 60.0
LEAST_COSINE = 0.999
"""Without labels, quality holds where the outputs are this like the old ones."""
SAFE_DROP = 1.0
"""Points of the main metric that may be lost where no other number was given"""


@dataclass(frozen=True)
class ProofOptions:
    """How A and B are compared."""

    drop: float | None = None
    threads: int | None = None
    batch: int = 1
    max_s: float = MOST_S


@dataclass(frozen=True)
class Comparison:
    """Proof of speed with the quality of B beside A's."""

    proof: Proof
    quality: Mapping[str, float]
    holds_quality: bool
    limit: str
    is_quality_known: bool

    @property
    def verdict(self) -> Verdict:
        """``faster`` only if quality holds."""
        if self.proof.verdict is Verdict.FASTER and not self.holds_quality:
            return Verdict.FASTER_BUT_WORSE
        return self.proof.verdict

    @property
    def exit_code(self) -> Exit:
        codes = {Verdict.FASTER: Exit.YES, Verdict.UNDECIDED: Exit.UNDECIDED}
        return codes.get(self.verdict, Exit.NO)

    def to_json(self) -> dict[str, Any]:
        ratio = self.proof.ratio
        return finite(
            {
                "verdict": str(self.verdict),
                "ratio": {"low": ratio.low, "mid": ratio.value, "high": ratio.high},
                "quality": {**self.quality, "limit": self.limit, "holds": self.holds_quality},
                "noise_floor": self.proof.noise_floor,
                "pairs": self.proof.pairs,
            }
        )

    def describe(self) -> str:
        """Verdict first, then what it rests on."""
        ratio, old, new = self.proof.ratio, p50(self.proof.old), p50(self.proof.new)
        holds = "holds" if self.holds_quality else "does not hold"
        interval = f"[{ratio.low:.3f}, {ratio.high:.3f}]"
        known = "" if self.is_quality_known else " (quality unknown: the inputs are made up)"
        return "\n".join(
            [
                f"{self.verdict}{known}",
                f"  B / A   {ratio.value:.3f} {interval} over {self.proof.pairs} pairs",
                f"  p50     A {old.value:.4g} ms, B {new.value:.4g} ms (measured)",
                f"  quality {self.limit} {holds}: {self._figures()}",
                f"  noise floor of this machine {self.proof.noise_floor:.1%}",
            ]
        )

    def _figures(self) -> str:
        shown = {name: value for name, value in self.quality.items() if not name.endswith("_bound")}
        return ", ".join(f"{name} {value:.5g}" for name, value in shown.items())


def prove_networks(
    old: Network, new: Network, task: Task, options: ProofOptions, progress: Progress = no_progress
) -> Comparison:
    """Time both in turns on the task's test items and compare what they compute.

    Raises BadInput where their inputs or outputs differ, or a drop is asked of data without labels.
    """
    _check_comparable(old, new)
    if options.drop is not None and task.main_metric is None:
        raise BadInput(
            "--drop", f"data {task.name} has no labels", "leave it out: outputs are compared instead"
        )
    with tempfile.TemporaryDirectory(prefix="taut-prove-") as temporary:
        stopwatch = _stopwatch(old, task, options, Path(temporary))
        candidate = _saved(new, Path(temporary) / "new", options)
        proof = stopwatch.prove(candidate, options.max_s, progress)
        split = task.test.open("prove")
        fed = judged(split, options.batch, p50(proof.old).value)
        reference = stopwatch.outputs(stopwatch.original, fed.items)
        judge = Judge(task, quality_quantities(task, old.graph.outputs), fed, options.batch, reference)
        quality = judge.quality(stopwatch.outputs(candidate, fed.items))
    return _compared(replace(proof, quality=quality), quality, task, options)


def _compared(proof: Proof, quality: Mapping[str, float], task: Task, options: ProofOptions) -> Comparison:
    if task.main_metric is None:
        holds, limit = quality["cosine"] >= LEAST_COSINE, f"cosine>={LEAST_COSINE}"
    else:
        allowed = SAFE_DROP if options.drop is None else options.drop
        holds, limit = quality["drop"] <= allowed, f"drop<={allowed:g}"
    return Comparison(proof, quality, holds, limit, not task.is_random)


def _stopwatch(network: Network, task: Task, options: ProofOptions, folder: Path) -> Stopwatch:
    limits = Limits(threads=options.threads or default_threads())
    return Stopwatch(_saved(network, folder / "old", options), timed_items(task, options.batch), limits)


def _saved(network: Network, folder: Path, options: ProofOptions) -> Path:
    return save_artifact(
        network, folder, ArtifactRecord(options.threads or default_threads(), local_device())
    )


def _check_comparable(old: Network, new: Network) -> None:
    for what, olds, news in (
        ("inputs", old.graph.inputs, new.graph.inputs),
        ("outputs", old.graph.outputs, new.graph.outputs),
    ):
        if [(value.name, value.shape) for value in olds] != [(value.name, value.shape) for value in news]:
            names = [f"{value.name}{value.shape}" for value in news]
            rule = f"has other {what} than {old.name}: {', '.join(names)}"
            raise BadInput(new.name, rule, "compare two forms of the same network")
