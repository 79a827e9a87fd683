"""Does this machine, under Taut's sequential rule, call a network faster than itself?

Measures: the verdict of many proofs of one real network against itself, each from fresh processes, on the
live machine with whatever noise it has now. Why it matters: every "faster" that Taut says rests on this being
rare. Limit: the rule promises at most 1 in 100, so of 20 proofs more than one "faster" is a failure (chance
alone: once in 60 times). "not faster" is the right answer, "undecided" an honest one.

    python benchmarks/noise.py --model taut:resnet20-cifar10 --runs 20 --max-s 30

Prints a table; the last line is one JSON object. Exit code 0 if at most one proof in twenty says "faster".
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import Exit
from taut.core.measurement import Proof, Verdict
from taut.core.runner import RunnerSpec, Workload
from taut.devices.local import default_threads, local_device
from taut.fit.api import open_text
from taut.fit.preflight import timed_items
from taut.measure import Limits, ProofSettings, p50, prove
from taut.measure.environment import environment_record, timing_cores
from taut.runtimes.artifact import ArtifactRecord, artifact_spec, save_artifact

TOLERATED_SHARE = 0.05


@dataclass(frozen=True)
class Run:
    """One proof of the network against itself."""

    proof: Proof
    wall_s: float


def main() -> Exit:
    """Prove the network against itself as often as asked and count the verdicts."""
    options = _options(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="taut-noise-") as folder:
        spec, workload = _network(options, Path(folder))
        print(" run verdict       ratio     low    high pairs   floor   p50 ms")
        runs = list(_proofs(spec, workload, options))
    summary = _summary(runs, options)
    print(json.dumps(summary))
    return Exit.YES if summary["faster"] <= TOLERATED_SHARE * len(runs) else Exit.NO


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prove a network against itself.")
    parser.add_argument("--model", default="taut:resnet20-cifar10", help="MODEL as on Taut's command line")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--max-s", type=float, default=30.0, help="longest time of one proof")
    parser.add_argument("--threads", type=int, default=default_threads())
    return parser.parse_args(arguments)


def _network(options: argparse.Namespace, folder: Path) -> tuple[RunnerSpec, Workload]:
    """Save the network as an artifact, with made-up inputs: values do not change its latency."""
    opened = open_text(options.model, "random", {})
    record = ArtifactRecord(options.threads, local_device())
    saved = save_artifact(opened.network, folder / "original", record)
    return artifact_spec(saved, options.threads), Workload("noise", timed_items(opened.task, batch=1))


def _proofs(spec: RunnerSpec, workload: Workload, options: argparse.Namespace) -> Iterator[Run]:
    for seed in range(options.runs):
        settings = ProofSettings(max_s=options.max_s, limits=Limits(options.threads, seed))
        begin = time.monotonic()
        run = Run(prove(spec, spec, workload, settings), time.monotonic() - begin)
        print(_line(seed, run.proof), flush=True)
        yield run


def _line(number: int, proof: Proof) -> str:
    ratio = proof.ratio
    return (
        f"{number:>4} {proof.verdict:<11} {ratio.value:>7.4f} {ratio.low:>7.4f} {ratio.high:>7.4f} "
        f"{proof.pairs:>5} {proof.noise_floor:>7.2%} {p50(proof.old).value:>8.4f}"
    )


def _summary(runs: Sequence[Run], options: argparse.Namespace) -> dict[str, Any]:
    verdicts = [run.proof.verdict for run in runs]
    return {
        "model": options.model,
        "runs": len(runs),
        "faster": verdicts.count(Verdict.FASTER),
        "not_faster": verdicts.count(Verdict.NOT_FASTER),
        "undecided": verdicts.count(Verdict.UNDECIDED),
        "ratios": [round(run.proof.ratio.value, 5) for run in runs],
        "pairs": sum(run.proof.pairs for run in runs),
        "never_quiet": sum(bool(run.proof.new.environment["machine_never_quiet"]) for run in runs),
        "wall_s": round(sum(run.wall_s for run in runs), 1),
        "environment": environment_record(timing_cores(options.threads)),
    }


if __name__ == "__main__":
    sys.exit(main())
