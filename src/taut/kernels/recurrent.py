"""Recurrent layers: all steps of one direction in one loop, the state kept beside the code that needs it.

What the inputs contribute is computed before, for all steps at once, by a matrix product. Cells follow ONNX:
GRU (Cho et al., arXiv 1406.1078), LSTM (Hochreiter and Schmidhuber 1997) and the plain tanh cell. Gates
are computed vector by vector of hidden units, so that a step needs no memory but the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from taut.kernels.access import vector_load
from taut.kernels.base import Code, Read
from taut.kernels.loops import indented, index, loop, pointer
from taut.kernels.target import Target
from taut.kernels.view import View


class Cell(Enum):
    """What happens in a step, and the order of its gates as ONNX has them."""

    GRU = "zrn"
    LSTM = "iofc"
    TANH = "h"


@dataclass(frozen=True)
class Recurrent:
    """projected is (steps, batch, gates x hidden) with every bias that is only added, states (batch, hidden).

    Recurrent weights are (gates, hidden, hidden): from state k to unit n of a gate at [gate, n, k].
    """

    cell: Cell
    projected: View
    weights: np.ndarray
    steps_out: View | None
    """(steps, batch, hidden)"""
    last: View | None
    last_memory: View | None = None
    """Of an LSTM's second state"""
    start: View | None = None
    start_memory: View | None = None
    inner_bias: np.ndarray | None = None
    """Of a GRU that multiplies by the reset gate after the matrix: what is added before that"""
    is_backward: bool = False
    name: str = "recurrent"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return tuple(view for view in (self.projected, self.start, self.start_memory) if view is not None)

    @property
    def writes(self) -> tuple[View, ...]:
        return tuple(view for view in (self.steps_out, self.last, self.last_memory) if view is not None)

    @property
    def hidden(self) -> int:
        return int(self.weights.shape[-1])

    @property
    def multiply_adds(self) -> int:
        return self.projected.shape[0] * self.projected.shape[1] * int(self.weights.size)

    def code(self, target: Target) -> Code:
        writer = _RecurrentWriter(self, target)
        arguments: list[View | np.ndarray] = [self.projected, writer.packed()]
        parameters = [pointer(self.projected, "x"), "const float *w"]
        for name, view in self._named.items():
            arguments.append(view)
            parameters.append(pointer(view, name, is_written=view in self.writes))
        if self.inner_bias is not None:
            arguments.append(writer.padded(self.inner_bias))
            parameters.append("const float *inner_bias")
        return Code(tuple(parameters), tuple(arguments), writer.body(), self.projected.shape[1])

    @cached_property
    def _named(self) -> dict[str, View]:
        named = {
            "start": self.start,
            "start_memory": self.start_memory,
            "steps_out": self.steps_out,
            "last": self.last,
            "last_memory": self.last_memory,
        }
        return {name: view for name, view in named.items() if view is not None}

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x = read(self.projected).astype(np.float64)
        steps, batch = x.shape[:2]
        apart = x.reshape(steps, batch, len(self.cell.value), self.hidden)
        h = np.zeros((batch, self.hidden)) if self.start is None else read(self.start).astype(np.float64)
        c = np.zeros_like(h) if self.start_memory is None else read(self.start_memory).astype(np.float64)
        out = np.zeros((steps, batch, self.hidden))
        for step in reversed(range(steps)) if self.is_backward else range(steps):
            h, c = self._step(apart[step], h, c)
            out[step] = h
        made = {"steps_out": out, "last": h, "last_memory": c}
        return tuple(made[name].astype(np.float32) for name in self._named if name in made)

    def _step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def dot(gate: int, state: np.ndarray) -> np.ndarray:
            return state @ self.weights[gate].astype(np.float64).T

        if self.cell is Cell.TANH:
            return np.tanh(x[:, 0] + dot(0, h)), c
        if self.cell is Cell.LSTM:
            i, o, f = (_sigmoid(x[:, gate] + dot(gate, h)) for gate in range(3))
            c = f * c + i * np.tanh(x[:, 3] + dot(3, h))
            return o * np.tanh(c), c
        z, r = (_sigmoid(x[:, gate] + dot(gate, h)) for gate in range(2))
        inner = dot(2, r * h) if self.inner_bias is None else r * (dot(2, h) + self.inner_bias)
        n = np.tanh(x[:, 2] + inner)
        return (1 - z) * n + z * h, c


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


class _RecurrentWriter:
    """Writes the loop over steps; hidden units are divided into vectors, those into tiles of registers."""

    def __init__(self, kernel: Recurrent, target: Target) -> None:
        self.kernel, self.lanes = kernel, target.lanes
        self.gates = len(kernel.cell.value)
        self.vectors = -(-kernel.hidden // self.lanes)
        self.padded_hidden = self.vectors * self.lanes
        self.together = max(1, min(self.vectors, (target.registers - 8) // self.gates // 2))

    def padded(self, array: np.ndarray) -> np.ndarray:
        """Fill the last axis up to whole vectors."""
        filled = np.zeros((*array.shape[:-1], self.padded_hidden), np.float32)
        filled[..., : array.shape[-1]] = array
        return filled

    def packed(self) -> np.ndarray:
        """Weights by state k, gate, unit."""
        return self.padded(np.ascontiguousarray(self.kernel.weights.transpose(2, 0, 1)))

    def body(self) -> str:
        kernel, size = self.kernel, self.padded_hidden
        steps = kernel.projected.shape[0]
        lines = [f"float h[{size}] = {{0}}, next[{size}];"]
        if kernel.cell is Cell.LSTM:
            lines.append(f"float c[{size}] = {{0}};")
        if self._resets_first():
            lines.append(f"float reset[{size}], update[{size}];")
        lines += self._copies("start", "h") + self._copies("start_memory", "c")
        step = f"const long t = {f'{steps - 1} - s' if kernel.is_backward else 's'};\n{self._step()}"
        lines.append(loop("s", steps, step))
        lines += self._copies("last", "h", is_stored=True) + self._copies("last_memory", "c", is_stored=True)
        return f"for (long b = begin; b < end; b++) {{\n{indented(chr(10).join(lines))}\n}}"

    def _resets_first(self) -> bool:
        return self.kernel.cell is Cell.GRU and self.kernel.inner_bias is None

    def _copies(self, name: str, state: str, *, is_stored: bool = False) -> list[str]:
        """Move a state between its view and the array beside the code."""
        if (view := self.kernel._named.get(name)) is None:
            return []
        place = index([("b", view.strides[0]), ("u", view.strides[1])])
        text = f"{name}[{place}] = {state}[u];" if is_stored else f"{state}[u] = {name}[{place}];"
        return [loop("u", self.kernel.hidden, text)]

    def _step(self) -> str:
        if self._resets_first():
            first = self._tiles(self._gru_gates, (0, 1), "h")
            second = self._tiles(self._gru_new, (2,), "reset")
        else:
            cell = {Cell.GRU: self._gru, Cell.LSTM: self._lstm, Cell.TANH: self._tanh}[self.kernel.cell]
            first, second = self._tiles(cell, tuple(range(self.gates)), "h"), ""
        return "\n".join(filter(None, [first, second, "memcpy(h, next, sizeof h);", self._output()]))

    def _output(self) -> str:
        if (view := self.kernel.steps_out) is None:
            return ""
        place = index([("t", view.strides[0]), ("b", view.strides[1]), ("u", view.strides[2])])
        return loop("u", self.kernel.hidden, f"steps_out[{place}] = h[u];")

    def _tiles(self, cell: Callable[[int], str], gates: Sequence[int], state: str) -> str:
        """Products of the gates with the state for some vectors of units, then what the cell makes of it."""
        texts = []
        for first in range(0, self.vectors, self.together):
            vectors = range(first, min(first + self.together, self.vectors))
            chains = 2 if len(vectors) * len(gates) <= 4 and self.kernel.hidden >= 8 else 1
            names = [
                f"g{gate}_{v}_{chain} = {{0}}" for gate in gates for v in vectors for chain in range(chains)
            ]
            whole = self.kernel.hidden - self.kernel.hidden % chains
            products = "\n".join(self._product(gates, vectors, chain, state) for chain in range(chains))
            lines = [f"vf {', '.join(names)};", loop("k", whole, products, step=chains)]
            if whole < self.kernel.hidden:
                lines.append(
                    loop("k", self.kernel.hidden, self._product(gates, vectors, 0, state), start=str(whole))
                )
            if chains > 1:
                lines += [f"g{gate}_{v}_0 += g{gate}_{v}_1;" for gate in gates for v in vectors]
            lines += [cell(v) for v in vectors]
            texts.append("{\n" + indented("\n".join(lines)) + "\n}")
        return "\n".join(texts)

    def _product(self, gates: Sequence[int], vectors: Sequence[int], chain: int, state: str) -> str:
        row = self.gates * self.padded_hidden
        offset = f"(k + {chain})" if chain else "k"
        sums = []
        for gate in gates:
            for v in vectors:
                column = gate * self.padded_hidden + v * self.lanes
                sums.append(f"g{gate}_{v}_{chain} += e * taut_load(w + {offset} * {row} + {column});")
        return f"{{ const float e = {state}[{offset}]; {' '.join(sums)} }}"

    def _x(self, gate: int, vector: int) -> str:
        """What the input contributes to a gate."""
        view, kernel = self.kernel.projected, self.kernel
        count = min(self.lanes, kernel.hidden - vector * self.lanes)
        unit = gate * kernel.hidden + vector * self.lanes
        place = index([("t", view.strides[0]), ("b", view.strides[1])], unit * view.strides[2])
        return vector_load(view, "x", place, view.strides[2], self.lanes, count)

    def _sum(self, gate: int, vector: int) -> str:
        return f"{self._x(gate, vector)} + g{gate}_{vector}_0"

    def _at(self, array: str, vector: int) -> str:
        return f"taut_load({array} + {vector * self.lanes})"

    def _kept(self, array: str, vector: int, value: str) -> str:
        return f"taut_store({array} + {vector * self.lanes}, {value});"

    def _gru(self, v: int) -> str:
        new = f"(1.0f - z) * n + z * {self._at('h', v)}"
        return (
            f"{{ vf z = taut_sigmoid_v({self._sum(0, v)}), r = taut_sigmoid_v({self._sum(1, v)});\n"
            f"  vf n = taut_tanh_v({self._x(2, v)} + r * (g2_{v}_0 + {self._at('inner_bias', v)}));\n"
            f"  {self._kept('next', v, new)} }}"
        )

    def _gru_gates(self, v: int) -> str:
        update = self._kept("update", v, f"taut_sigmoid_v({self._sum(0, v)})")
        return (
            update + " " + self._kept("reset", v, f"{self._at('h', v)} * taut_sigmoid_v({self._sum(1, v)})")
        )

    def _gru_new(self, v: int) -> str:
        new = f"(1.0f - z) * n + z * {self._at('h', v)}"
        return (
            f"{{ vf z = {self._at('update', v)}, n = taut_tanh_v({self._sum(2, v)});\n"
            f"  {self._kept('next', v, new)} }}"
        )

    def _lstm(self, v: int) -> str:
        return (
            f"{{ vf i = taut_sigmoid_v({self._sum(0, v)}), o = taut_sigmoid_v({self._sum(1, v)});\n"
            f"  vf f = taut_sigmoid_v({self._sum(2, v)}), n = taut_tanh_v({self._sum(3, v)});\n"
            f"  vf m = f * {self._at('c', v)} + i * n;\n"
            f"  {self._kept('c', v, 'm')} {self._kept('next', v, 'o * taut_tanh_v(m)')} }}"
        )

    def _tanh(self, v: int) -> str:
        return self._kept("next", v, f"taut_tanh_v({self._sum(0, v)})")


def gates_of(array: np.ndarray, cell: Cell) -> np.ndarray:
    """Split the rows of ONNX's weights or biases by gate."""
    gates = len(cell.value)
    return array.reshape(gates, array.shape[0] // gates, *array.shape[1:])
