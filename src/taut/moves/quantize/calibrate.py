"""Calibration: histograms of every activation that some placement may quantize, taken once per network.

A search tries many placements of one network on one task, so the histograms of all candidates are gathered
together, on real samples of the train split (of the select split where there is none; never of the test
split), and kept on disk. Memory is bounded: activations are fetched in chunks and counted at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput
from taut.core.move import Context
from taut.core.runner import Item
from taut.core.task import Batch, Split
from taut.graph import Graph
from taut.moves.quantize.operators import operands, result
from taut.moves.quantize.ranges import Histogram
from taut.runtimes.evaluate import Evaluator
from taut.runtimes.samples import Samples

_CHUNK_BYTES = 256 * 2**20
"""Activations held at a time"""
_FORMAT = "1"
"""Part of the cache's key: older histograms are not read"""


def activation_histograms(
    graph: Graph, context: Context, samples: int, feedback: Mapping[str, str] | None = None
) -> dict[str, Histogram]:
    """Return a histogram of every candidate value over real samples; BadInput where there are none.

    ``feedback`` (output name -> input name) carries recurrent state from each sample to the next.
    """
    if context.task.is_random:
        raise BadInput("random inputs", "cannot calibrate int8", "give --data with real inputs")
    file = _cache_file(graph, context, samples)
    if file.exists():
        return _load(file)
    candidates = candidate_values(graph)
    histograms = {value: Histogram() for value in candidates}
    for part in _parts(graph, candidates):
        evaluator = Evaluator(graph, (*part, *(feedback or {})), context.threads)
        for values in _evaluated(evaluator, context, samples, feedback or {}):
            for value in part:
                histograms[value].observe(values[value])
    _save(file, histograms)
    return histograms


def candidate_values(graph: Graph) -> tuple[str, ...]:
    """Return the values that some placement may quantize, in the graph's order."""
    values: dict[str, None] = {}
    for node in graph:
        found = operands(graph, node)
        if found is not None:
            values |= dict.fromkeys(node.inputs[position] for position in found.activations)
            values[result(graph, node)] = None
    return tuple(values)


def _parts(graph: Graph, values: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Cut the values into parts of which one sample fits in a chunk."""
    part: list[str] = []
    held = 0
    for value in values:
        size = _bytes(graph, value)
        if part and held + size > _CHUNK_BYTES:
            yield tuple(part)
            part, held = [], 0
        part.append(value)
        held += size
    yield tuple(part)


def _bytes(graph: Graph, value: str) -> int:
    known = graph.value(value)
    return 4 * int(np.prod(known.static_shape)) if known is not None and known.is_static else 0


def _evaluated(
    evaluator: Evaluator, context: Context, samples: int, feedback: Mapping[str, str]
) -> Iterator[Mapping[str, np.ndarray]]:
    """Yield the evaluator's values, chunk after chunk of samples."""
    if feedback:
        yield from _fed_back(evaluator, context, samples, feedback)
        return
    sample_bytes = sum(_bytes(evaluator.graph, value) for value in evaluator.values)
    size = max(1, min(samples, _CHUNK_BYTES // max(1, sample_bytes)))
    for batch in _batches(context, samples, size, is_shuffled=True):
        yield evaluator.run_many(batch.inputs)


def _fed_back(
    evaluator: Evaluator, context: Context, samples: int, feedback: Mapping[str, str]
) -> Iterator[Mapping[str, np.ndarray]]:
    given = [value for value in evaluator.graph.inputs if value.name not in feedback.values()]
    batches = _batches(context, samples, 1, is_shuffled=False)
    singles = (Samples(given, {value.name: batch.inputs[value.name] for value in given}) for batch in batches)
    yield from evaluator.run_items((Item(single.one(0)) for single in singles), feedback)


def _batches(context: Context, samples: int, size: int, is_shuffled: bool) -> Iterator[Batch]:
    split = _split(context)
    order = np.arange(len(split))
    if is_shuffled:
        order = np.random.default_rng(context.seed).permutation(order)
    chosen = order[:samples]
    for start in range(0, len(chosen), size):
        context.progress("calibrating", start / len(chosen))
        yield split.take(chosen[start : start + size])


def _split(context: Context) -> Split:
    train = context.task.train
    return train if train is not None and len(train) > 0 else context.task.select


def _cache_file(graph: Graph, context: Context, samples: int) -> Path:
    words = (_FORMAT, graph.digest(), context.task.name, context.task.digest, samples, context.seed)
    key = hashlib.sha256(repr(words).encode()).hexdigest()[:32]
    return context.work_folder / "calibration" / f"{key}.npz"


def _save(file: Path, histograms: Mapping[str, Histogram]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npz")
    rows = np.stack([histogram.to_array() for histogram in histograms.values()])
    np.savez_compressed(partial, names=np.array(list(histograms)), rows=rows)
    partial.replace(file)


def _load(file: Path) -> dict[str, Histogram]:
    with np.load(file, allow_pickle=False) as stored:
        return {
            str(name): Histogram.from_array(row)
            for name, row in zip(stored["names"], stored["rows"], strict=True)
        }
