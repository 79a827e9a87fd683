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


_RUN = """#ifdef TAUT_TIMED
#include <time.h>
double taut_seconds[STEPS];
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}
#endif

void taut_run(struct taut_pool *pool, char *arena, const char *weights, void *const *inputs,
              void *const *outputs) {
  const struct taut_call call = {arena, weights, inputs, outputs};
  taut_begin(pool);
  for (long number = 0; number < STEPS; number++) {
#ifdef TAUT_TIMED
    double began = now();
#endif
    if (is_divided[number]) taut_divide(pool, &call, number);
    else taut_step(&call, number, 0, 1);
#ifdef TAUT_TIMED
    taut_seconds[number] = now() - began;
#endif
  }
  taut_end(pool);
}
"""
"""With TAUT_TIMED the time of each step is kept"""
WORTH_DIVIDING = 30_000
"""Multiply-adds of a step in float32, below which to hand over a part takes longer than to do it"""
_AT_ONCE = {"float32": 1, "bfloat16": 2, "int8": 4}
"""Multiply-adds in the time of one in float32"""


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
        codes = [(step.kernel, step.kernel.code(self._target)) for step in self._program.steps]
        cases = [
            f"case {number}: {self._call(kernel, code)}; break;"
            for number, (kernel, code) in enumerate(codes)
        ]
        functions = [
            f"static void {name}(long begin, long end, {', '.join(parameters)}) {{\n{indented(body)}\n}}"
            for (parameters, body), name in self._functions.items()
        ]
        step = (
            "static void taut_step(const struct taut_call *call, long number, long part, long parts) {\n"
            "  char *arena = call->arena;\n  const char *weights = call->weights;\n"
            "  void *const *inputs = call->inputs, *const *outputs = call->outputs;\n"
            f"  switch (number) {{\n{indented(indented(chr(10).join(cases)))}\n  }}\n}}"
        )
        divided = ", ".join(str(int(self._is_divided(kernel, code))) for kernel, code in codes)
        lines = [
            f"#define LANES {self._target.lanes}",
            f"#define STEPS {len(codes)}",
            _header("prelude.h"),
            *functions,
            _header("pool.h"),
            step,
            f"static const char is_divided[STEPS + 1] = {{{divided}}};",
            _RUN,
        ]
        return Emitted("\n\n".join(lines), bytes(self._weights), self._program.memory.bytes)

    @staticmethod
    def _is_divided(kernel: Kernel, code: Code) -> bool:
        work = kernel.multiply_adds / _AT_ONCE[kernel.precision]
        return code.units > 1 and work > WORTH_DIVIDING

    def _call(self, kernel: Kernel, code: Code) -> str:
        name = self._functions.setdefault(
            (code.parameters, code.body), f"{kernel.name}_{len(self._functions)}"
        )
        units = [f"{code.units} * part / parts", f"{code.units} * (part + 1) / parts"]
        return f"{name}({', '.join([*units, *[self._pointer(argument) for argument in code.arguments]])})"

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
def _header(name: str) -> str:
    return (importlib.resources.files("taut.kernels") / "c" / name).read_text(encoding="utf-8")
