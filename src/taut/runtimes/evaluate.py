"""Running a graph for its values: reference outputs and activations for calibration, sensitivity, recovery.

Always onnxruntime, with its defaults. Many samples are run as one batch where the graph allows it, which is
believed only after two different samples gave the same values in one batch as one by one. A graph that holds
its batch of one inside is run sample by sample instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import onnx
import onnxruntime

from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.runner import Item
from taut.core.task import Arrays
from taut.devices.local import default_threads
from taut.graph.ir import Graph
from taut.graph.onnx_export import to_onnx
from taut.runtimes.base import does_not_run
from taut.runtimes.batching import with_batch
from taut.runtimes.inputs import check_inputs, filled
from taut.runtimes.onnxruntime_cpu import session_options
from taut.runtimes.onnxruntime_trace import REFUSALS
from taut.runtimes.samples import Samples

# Share of the signal: batched kernels may add in another order, and flip a rounding to int8 here and there;
# samples that were mixed up differ by about as much as the signal itself.
_TOLERANCE = 0.01
_CHUNK_BYTES = 32 * 2**20
"""Inputs and wanted values of one batched run; larger ones leave the caches and gain nothing"""
_CHUNK_SAMPLES = 64


class Evaluator:
    """Runs a graph and returns the wanted values, by default its outputs; sessions are opened once.

    evaluator = Evaluator(graph, values=("conv1_out",))
    evaluator.run({"image": one})["conv1_out"]             as the graph computes it
    evaluator.run_many({"image": hundred})["conv1_out"]    first axis: samples
    """

    def __init__(self, graph: Graph, values: Sequence[str] | None = None, threads: int | None = None) -> None:
        self.graph = graph
        self.values = tuple(value.name for value in graph.outputs) if values is None else tuple(values)
        self._threads = threads or default_threads()
        self.can_batch: bool | None = None

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the wanted values of one run; BadInput where the inputs are not the graph's."""
        check_inputs(self.graph.inputs, inputs)
        return self._fetch(self._session, inputs)

    def run_items(
        self, items: Iterable[Item], feedback: Mapping[str, str]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Run items in order and yield the wanted values of each, recurrent state carried in between.

        ``feedback``: output name -> input name. Where a sequence starts, the state is what the item gives,
        else zero. The outputs must be among the wanted values.
        """
        recurrent = [value for value in self.graph.inputs if value.name in feedback.values()]
        zero = filled(recurrent, 0)
        state: Arrays = zero
        for item in items:
            if item.starts_sequence:
                state = {name: item.inputs.get(name, array) for name, array in zero.items()}
            values = self.run({**item.inputs, **state})
            state = {name: values[output] for output, name in feedback.items()}
            yield values

    def run_many(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the wanted values of many samples, the first axis counting samples.

        Inputs have the graph's shape behind the axis of samples, or in place of a leading batch of one; the
        values then likewise.
        """
        samples = Samples(self.graph.inputs, inputs)
        rows = (
            self._rows_in_batches(samples) if self._is_batch_proven(samples) else self._rows_singly(samples)
        )
        stacked = {name: np.stack([row[name] for row in rows]) for name in self.values}
        return {name: samples.like_inputs(array) for name, array in stacked.items()}

    def _rows_singly(self, samples: Samples) -> list[dict[str, np.ndarray]]:
        return [self.run(samples.one(index)) for index in range(len(samples))]

    def _rows_in_batches(self, samples: Samples) -> list[dict[str, np.ndarray]]:
        first = self.run(samples.one(0))
        row_bytes = sum(array.nbytes for array in (*samples.one(0).values(), *first.values()))
        size = max(1, min(_CHUNK_SAMPLES, _CHUNK_BYTES // max(row_bytes, 1)))
        starts = range(0, len(samples), size)
        return [
            row for start in starts for row in self._batch(samples, range(len(samples))[start : start + size])
        ]

    def _batch(self, samples: Samples, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Run samples as one batch and return the values of each with a leading batch of one."""
        rows = [samples.one(index) for index in indices]
        feed = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        values = self._fetch(self._batched_session, feed)
        return [
            {name: array[number : number + 1] for name, array in values.items()}
            for number in range(len(rows))
        ]

    def _is_batch_proven(self, samples: Samples) -> bool:
        """Whether two different samples give the same in one batch as one by one; decided once."""
        pair = samples.first_difference()
        if self.can_batch is None and pair is not None:
            self.can_batch = self._agrees_in_batch(samples, pair)
        return bool(self.can_batch) and len(samples) > 1

    def _agrees_in_batch(self, samples: Samples, pair: tuple[int, int]) -> bool:
        try:
            together = self._batch(samples, pair)
        except (BadInput, *REFUSALS):
            return False
        return all(
            _is_alike(self.run(samples.one(index)), row) for index, row in zip(pair, together, strict=True)
        )

    def _fetch(self, session: onnxruntime.InferenceSession, feed: Arrays) -> dict[str, np.ndarray]:
        computed = [name for name in self.values if name not in feed]
        try:
            made = dict(zip(computed, session.run(computed, feed), strict=True)) if computed else {}
        except REFUSALS as error:
            raise does_not_run("onnxruntime", error) from error
        return {name: feed[name] if name in feed else made[name] for name in self.values}

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return _open(self.graph, self.values, self._threads)

    @cached_property
    def _batched_session(self) -> onnxruntime.InferenceSession:
        return _open(with_batch(self.graph, "batch"), self.values, self._threads)


def _open(graph: Graph, values: Sequence[str], threads: int) -> onnxruntime.InferenceSession:
    """Open a session whose outputs are the wanted values; onnxruntime infers the types of inner ones."""
    model = to_onnx(graph)
    types = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    del model.graph.output[:]
    given = {value.name for value in graph.inputs}
    wanted = [name for name in dict.fromkeys(values) if name not in given]
    model.graph.output.extend([types.get(name, onnx.ValueInfoProto(name=name)) for name in wanted])
    options = session_options(Stage(), threads)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _is_alike(single: Arrays, together: Arrays) -> bool:
    return all(
        array.shape == together[name].shape and _distance(array, together[name]) <= _TOLERANCE
        for name, array in single.items()
    )


def _distance(wanted: np.ndarray, got: np.ndarray) -> float:
    """Root mean square of the difference as a share of the signal's."""
    signal = float(np.linalg.norm(wanted.astype(np.float64)))
    noise = float(np.linalg.norm(wanted.astype(np.float64) - got.astype(np.float64)))
    return 0.0 if noise == 0 else noise / max(signal, 1e-12)  # 1e-12: a signal of zeros
