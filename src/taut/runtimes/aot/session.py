"""A compiled network that runs: its segments one after the other, over memory that both sides know.

What a segment hands over lies in an array that is made once: our kernels get its address, onnxruntime is
bound to it. What has no fixed size stays onnxruntime's own and is read by its segments alone.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from taut.core.network import Stage
from taut.core.task import Arrays
from taut.runtimes.aot.compiled import Compiled, CompiledSegment, mapped
from taut.runtimes.aot.library import Library
from taut.runtimes.base import NodeTime, Placed, does_not_run

Values = dict[str, Any]
"""By name: arrays, or values of onnxruntime's own"""


class _Part(Protocol):
    """A segment that is loaded."""

    def run(self, values: Values) -> None:
        """Compute into the values' arrays, and add what has none."""
        ...

    def seconds(self) -> Sequence[float]:
        """What each step of the last run took, where the library was compiled to be timed."""
        ...

    def close(self) -> None: ...


class Session:
    """A network whose sizes are known."""

    def __init__(self, compiled: Compiled, threads: int) -> None:
        self._compiled = compiled
        self.reuses_buffers = not all(segment.is_ours for segment in compiled.segments)
        self._buffers = _buffers(compiled) if self.reuses_buffers else {}
        self._parts: list[_Part] = [
            _Ours(segment, threads) if segment.is_ours else _Foreign(segment, threads, self._buffers)
            for segment in compiled.segments
        ]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs, by name."""
        return {value.name: value.shape or () for value in self._compiled.inputs}

    def takes(self, inputs: Arrays) -> bool:
        """Whether inputs have the shapes it was compiled for."""
        return all(inputs[name].shape == shape for name, shape in self.shapes.items())

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        values = self._run(inputs)
        return {name: _array(values[name]) for name in self._compiled.outputs}

    def placement(self) -> Sequence[Placed]:
        """Our nodes, folded ones among them, and those of onnxruntime's segments."""
        places = {
            name: (step.precision, "aot" if segment.is_ours else "onnxruntime")
            for segment in self._compiled.segments
            for step in segment.steps
            for name in step.nodes
        }
        placed = [(name, op, *places.get(name, ("float32", "aot"))) for name, op in self._compiled.nodes]
        return [Placed(name, where, precision, op) for name, op, precision, where in placed]

    def profile(self, items: Sequence[Arrays]) -> list[NodeTime]:
        """Median time of each of our kernels, of each segment of onnxruntime's, and of each boundary.

        A boundary's time is what a segment took besides its kernels: to hand over values, and to call it.
        """
        runs = [self._timed_run(item) for item in items]
        times: list[NodeTime] = []
        for place, segment in enumerate(self._compiled.segments):
            *steps_ms, rest_ms = np.median([run[place] for run in runs], axis=0) * 1e3
            if place > 0:
                times.append(NodeTime(self._boundary(place, items[-1]), (), rest_ms, len(items), ""))
            times += [
                NodeTime(step.kernel, step.nodes, latency_ms, len(items), step.precision)
                for step, latency_ms in zip(segment.steps, steps_ms, strict=True)
            ]
        return times

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def _run(self, inputs: Arrays) -> Values:
        values = self._given(inputs)
        for part in self._parts:
            part.run(values)
        return values

    def _given(self, inputs: Arrays) -> Values:
        given = {value.name: np.asarray(inputs[value.name], order="C") for value in self._compiled.inputs}
        return self._buffers | given

    def _timed_run(self, inputs: Arrays) -> list[list[float]]:
        """Of each segment: the seconds of its steps, and of all else."""
        values, taken = self._given(inputs), []
        for part in self._parts:
            began = time.perf_counter()
            part.run(values)
            whole_s, steps_s = time.perf_counter() - began, part.seconds()
            taken.append([*steps_s, max(whole_s - sum(steps_s), 0.0)])
        return taken

    def _boundary(self, place: int, item: Arrays) -> str:
        """What is handed over to a segment."""
        segment, values = self._compiled.segments[place], self._run(item)
        given = {value.name for value in self._compiled.inputs}
        names = [name for name in segment.inputs if name not in given]
        size = sum(_array(values[name]).nbytes for name in names)
        sides = ("onnxruntime", "aot") if segment.is_ours else ("aot", "onnxruntime")
        return f"boundary {' -> '.join(sides)}: {size} bytes in {', '.join(names)}"


class _Ours:
    """A library, called with the addresses of arrays."""

    def __init__(self, segment: CompiledSegment, threads: int) -> None:
        assert segment.weights is not None
        self._segment = segment
        self._library = Library(segment.file, mapped(segment.weights), segment.arena_bytes, threads)

    def run(self, values: Values) -> None:
        for made in self._segment.outputs:
            if made.name not in values:  # nothing else reads it, and whoever called may keep it
                values[made.name] = np.empty(made.shape or (), made.dtype)
        outputs = [values[made.name] for made in self._segment.outputs]
        self._library.run([values[name] for name in self._segment.inputs], outputs)

    def seconds(self) -> Sequence[float]:
        return list((ctypes.c_double * len(self._segment.steps)).in_dll(self._library.handle, "taut_seconds"))

    def close(self) -> None:
        self._library.close()


class _Foreign:
    """A session of onnxruntime, bound to the arrays once; what has none is bound for each run."""

    def __init__(self, segment: CompiledSegment, threads: int, buffers: Arrays) -> None:
        from taut.runtimes.onnxruntime_cpu import open_session

        # Threads that spin between its segments would disturb ours.
        self._session = open_session(
            segment.file, Stage(options={"session.intra_op.allow_spinning": "0"}), threads
        )
        self._binding = self._session.io_binding()
        self._inputs = [name for name in segment.inputs if name not in buffers]
        self._outputs = [made.name for made in segment.outputs]
        self._loose = [name for name in self._outputs if name not in buffers]
        self._computing_s = 0.0
        for name in segment.inputs:
            if name in buffers:
                self._binding.bind_cpu_input(name, buffers[name])
        for made in segment.outputs:
            if made.name in buffers:
                place = buffers[made.name].ctypes.data
                self._binding.bind_output(made.name, "cpu", 0, np.dtype(made.dtype), made.shape, place)
            else:
                self._binding.bind_output(made.name)

    def run(self, values: Values) -> None:
        for name in self._inputs:
            self._bind(name, values[name])
        for name in self._loose:
            self._binding.bind_output(name)  # else it would have to be of the last run's size
        began = time.perf_counter()
        self._compute()
        self._computing_s = time.perf_counter() - began
        if self._loose:
            made = dict(zip(self._outputs, self._binding.get_outputs(), strict=True))
            values |= {name: made[name] for name in self._loose}

    def _bind(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            self._binding.bind_cpu_input(name, value)
        else:
            self._binding.bind_ortvalue_input(name, value)

    def _compute(self) -> None:
        from taut.runtimes.onnxruntime_trace import REFUSALS

        try:
            self._session.run_with_iobinding(self._binding)
        except REFUSALS as error:
            raise does_not_run("onnxruntime", error) from error

    def seconds(self) -> Sequence[float]:
        return [self._computing_s]

    def close(self) -> None:
        del self._binding, self._session


def _buffers(compiled: Compiled) -> dict[str, np.ndarray]:
    made = [value for segment in compiled.segments for value in segment.outputs]
    return {value.name: np.empty(value.shape, value.dtype) for value in made if value.shape is not None}


def _array(value: Any) -> np.ndarray:
    """An array, or what onnxruntime holds seen as one, without a copy."""
    array: np.ndarray = value if isinstance(value, np.ndarray) else value.numpy()
    return array
