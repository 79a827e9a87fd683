"""A program: kernels in order over planned memory, and its C."""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from taut.kernels.base import Code, Kernel
from taut.kernels.expression import C_TYPES
from taut.kernels.loops import indented
from taut.kernels.target import Target
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.memory import ALIGNMENT, MemoryPlan, plan_memory


@dataclass(frozen=True)
class Step:
    """A kernel, and the nodes of the graph that it computes."""

    kernel: Kernel
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """What a network became; inputs and outputs in the order in which the C function takes them."""

    steps: tuple[Step, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    output_shapes: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def memory(self) -> MemoryPlan:
        return plan_memory([step.kernel for step in self.steps])


_TIMED = """#ifdef TAUT_TIMED
#include <time.h>
double taut_seconds[TAUT_TIMED];
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}
#define TAUT_STEP(number, call) { double began = now(); call; taut_seconds[number] = now() - began; }
#else
#define TAUT_STEP(number, call) call;
#endif"""
"""With TAUT_TIMED, the number of steps, the time of each is kept"""

_RUN = "void taut_run(char *arena, const char *weights, void *const *inputs, void *const *outputs)"


@dataclass(frozen=True)
class Emitted:
    """C, and the constants that it reads."""

    source: str
    weights: bytes
    arena_bytes: int


class Emitter:
    """Writes a program as C; equal functions are written once."""

    def __init__(self, program: Program, target: Target) -> None:
        self._program, self._target = program, target
        self._functions: dict[tuple[tuple[str, ...], str], str] = {}
        self._weights = bytearray()
        self._places: dict[str, int] = {}

    def emit(self) -> Emitted:
        kernels = [step.kernel for step in self._program.steps]
        calls = [
            f"TAUT_STEP({number}, {self._call(kernel, kernel.code(self._target))})"
            for number, kernel in enumerate(kernels)
        ]
        functions = [
            f"static void {name}(long begin, long end{''.join(f', {one}' for one in parameters)}) "
            f"{{\n{indented(body)}\n}}"
            for (parameters, body), name in self._functions.items()
        ]
        run = f"{_RUN} {{\n{indented(chr(10).join(calls))}\n}}\n"
        source = "\n\n".join([f"#define LANES {self._target.lanes}\n{_prelude()}", _TIMED, *functions, run])
        return Emitted(source, bytes(self._weights), self._program.memory.bytes)

    def _call(self, kernel: Kernel, code: Code) -> str:
        name = self._functions.setdefault(
            (code.parameters, code.body), f"{kernel.name}_{len(self._functions)}"
        )
        pointers = [self._pointer(argument) for argument in code.arguments]
        return f"{name}({', '.join(['0', str(code.units), *pointers])})"

    def _pointer(self, argument: View | np.ndarray) -> str:
        if isinstance(argument, np.ndarray):
            return f"({C_TYPES[str(argument.dtype)]} *)(weights + {self._laid_down(argument)})"
        buffer, c_type = argument.buffer, C_TYPES[argument.dtype]
        if buffer.storage is Storage.ARENA:
            base = f"(arena + {self._program.memory.offsets[buffer]})"
        elif buffer.storage is Storage.WEIGHTS:
            assert buffer.content is not None
            base = f"(weights + {self._laid_down(buffer.content)})"
        elif buffer.storage is Storage.INPUT:
            base = f"inputs[{self._program.inputs.index(buffer)}]"
        else:
            base = f"outputs[{self._program.outputs.index(buffer)}]"
        return f"({c_type} *){base}" + (f" + {argument.offset}" if argument.offset else "")

    def _laid_down(self, array: np.ndarray) -> int:
        """Append a constant to the weights, aligned, and return its place; equal ones share it."""
        content = np.ascontiguousarray(array).tobytes()
        key = hashlib.sha256(content).hexdigest()
        if key not in self._places:
            self._weights += b"\0" * (-len(self._weights) % ALIGNMENT)
            self._places[key] = len(self._weights)
            self._weights += content
        return self._places[key]


def emit(program: Program, target: Target) -> Emitted:
    """Return the program's C and weights."""
    return Emitter(program, target).emit()


def run_plainly(program: Program, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Compute a program by its kernels' references, without C: what the C is compared with."""
    memory: dict[Buffer, np.ndarray] = {}

    def flat(buffer: Buffer) -> np.ndarray:
        if buffer.storage is Storage.WEIGHTS:
            assert buffer.content is not None
            return buffer.content.reshape(-1)
        if buffer not in memory:
            memory[buffer] = np.zeros(buffer.elements, buffer.dtype)
        return memory[buffer]

    def window(view: View) -> np.ndarray:
        step = np.dtype(view.dtype).itemsize
        strides = [stride * step for stride in view.strides]
        return np.lib.stride_tricks.as_strided(flat(view.buffer)[view.offset :], view.shape, strides)

    for buffer, array in zip(program.inputs, inputs, strict=True):
        memory[buffer] = np.ascontiguousarray(array).reshape(-1)
    for kernel in (step.kernel for step in program.steps):
        for view, made in zip(kernel.writes, kernel.reference(window), strict=True):
            window(view)[...] = made
    return [flat(buffer) for buffer in program.outputs]


@cache
def _prelude() -> str:
    return (importlib.resources.files("taut.kernels") / "c" / "prelude.h").read_text(encoding="utf-8")
