"""Refitting layer by layer: each reader regresses the original's outputs on the inputs that it really gets.

He et al. (arXiv 1707.06168), section 3.1.2: inputs come from the layers cut and refitted so far, so a reader
also makes up for what was lost before it. Costs one run of the cut network's beginning per reader; on deep
cuts it keeps far more accuracy than refitting from the original's moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from taut.core.task import Arrays, Split
from taut.graph.editor import Editor
from taut.graph.ir import Graph
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.reconstruct import (
    RIDGE,
    Reader,
    bias_of,
    parts,
    readers,
    sampled_rows,
    stays_of,
    wanted_matrix,
    write_bias,
    write_fit,
)
from taut.runtimes.evaluate import Evaluator

SAMPLES = 256
"""Half of what the moments get: each is run once per reader"""


def cut_and_refit_in_order(kept: Kept, split: Split, threads: int) -> Graph:
    """Cut the graph, then refit the readers that lost inputs, the earliest first."""
    small = cut_channels(kept)
    lost = [reader for reader in readers(kept.channels) if stays_of(kept, reader) is not None]
    samples = _Samples.of(kept.channels.graph, lost, split, threads)
    targets = _original_outputs(kept, lost, samples)
    for reader in lost:
        (inputs,) = samples.rows(_until(small, reader.data), [reader])
        small = _refitted(small, kept, reader, (inputs, targets[reader.node.name]))
    return small


def _original_outputs(kept: Kept, lost: Sequence[Reader], samples: _Samples) -> dict[str, np.ndarray]:
    """What each reader gave at the sampled places, without bias, at the outputs that stay: (rows, out)."""
    inputs = samples.rows(kept.channels.graph, lost)
    return {
        reader.node.name: rows @ wanted_matrix(kept, reader)
        for reader, rows in zip(lost, inputs, strict=True)
    }


@dataclass(frozen=True)
class _Samples:
    """Inputs in parts small enough for the values of all readers; places are drawn alike for every graph."""

    inputs: Sequence[Arrays]
    threads: int

    @staticmethod
    def of(graph: Graph, lost: Sequence[Reader], split: Split, threads: int) -> _Samples:
        indices = parts(graph, [reader.data for reader in lost], len(split), SAMPLES)
        return _Samples([split.take(part).inputs for part in indices], threads)

    def rows(self, graph: Graph, wanted: Sequence[Reader]) -> list[np.ndarray]:
        """Inputs of the readers' matrices in a graph: one (rows, fan_in) each."""
        evaluator = Evaluator(graph, tuple({reader.data: None for reader in wanted}), self.threads)
        found: list[list[np.ndarray]] = [[] for _ in wanted]
        for part, inputs in enumerate(self.inputs):
            data = evaluator.run_many(inputs)
            for rows, reader in zip(found, wanted, strict=True):
                rows.append(sampled_rows(reader, data[reader.data], part))
        return [np.concatenate(rows) for rows in found]


def _until(graph: Graph, value: str) -> Graph:
    """The part of a graph that makes a value."""
    edit = Editor(graph)
    known = graph.value(value)
    assert known is not None, f"{value} has no type"
    edit.set_outputs([known])
    return edit.graph()


def _refitted(small: Graph, kept: Kept, reader: Reader, pairs: tuple[np.ndarray, np.ndarray]) -> Graph:
    """Regress targets on inputs, with the ridge pulling towards the weights that were kept."""
    inputs, targets = pairs
    start = wanted_matrix(kept, reader)[stays_of(kept, reader)]
    bias = bias_of(small, reader)
    if bias is not None:
        inputs = np.append(inputs, np.ones((len(inputs), 1), np.float32), axis=1)
        start = np.append(start, np.zeros((1, start.shape[1]), np.float32), axis=0)
    second = (inputs.T @ inputs).astype(np.float64)
    second[np.diag_indices_from(second)] += RIDGE * max(float(np.diag(second).mean()), 1e-12)
    fitted = start + cho_solve(cho_factor(second), inputs.T @ (targets - inputs @ start))
    edit = Editor(small)
    if bias is not None:
        write_bias(edit, reader, bias + fitted[-1].reshape(bias.shape))
        fitted = fitted[:-1]
    write_fit(edit, reader, small.constants[reader.weight], fitted)
    return edit.graph()
