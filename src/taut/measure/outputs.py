"""What a runner answers: outputs of a shipped runner, computed in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taut.core.move import Progress, no_progress
from taut.core.runner import Item, RunnerSpec
from taut.measure.environment import timing_cores
from taut.measure.exchange import load_arrays, save_items
from taut.measure.process import Child
from taut.measure.settings import Limits

# Inputs travel in files of about this size, which bounds memory and the wait for an answer.
_CHUNK_BYTES = 32 << 20


def outputs(
    spec: RunnerSpec, items: Sequence[Item], progress: Progress = no_progress, limits: Limits | None = None
) -> list[dict[str, np.ndarray]]:
    """Run every item once, in order, and return its outputs by name.

    Not timed, so it takes no lock. Raises EnvironmentFailed when the runner dies, hangs or fails.
    """
    limits = limits or Limits()
    results: list[dict[str, np.ndarray]] = []
    with (
        TemporaryDirectory(prefix="taut-") as folder,
        Child("outputs", spec, None, timing_cores(limits.threads), limits.timeout_s) as child,
    ):
        given, answered = Path(folder) / "items.npz", Path(folder) / "outputs.npz"
        child.ask("start")
        child.ask("open")
        for chunk in _chunks(items):
            save_items(given, chunk)
            child.ask("outputs", items=str(given), into=str(answered))
            results += load_arrays(answered)
            progress("computing outputs", len(results) / len(items))
    return results


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += sum(np.asarray(array).nbytes for array in item.inputs.values())
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
