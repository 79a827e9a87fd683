"""Every kernel, compiled for every width of vector that runs here, computes what its reference does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from programs import TARGETS, needs_compiler, relative_error, run_compiled

from taut.kernels.argmax import ArgMax
from taut.kernels.base import Kernel
from taut.kernels.blend import Blend
from taut.kernels.cluster import Assign, Centroids
from taut.kernels.cumulate import Cumulate
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Expression, Load, apply, number
from taut.kernels.forest import Forest, Trees
from taut.kernels.gather import Gather
from taut.kernels.k_best import KBest, Vote
from taut.kernels.map import Map
from taut.kernels.rank import Rank
from taut.kernels.recurrent import Cell, Recurrent
from taut.kernels.reduce import Reduce
from taut.kernels.scatter import COMBINED, Scatter
from taut.kernels.softmax import Softmax
from taut.kernels.target import Target
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.lowering import weights
from taut.runtimes.aot.program import Program, Step, run_plainly

_STEP = {"bfloat16": 2**-7, "uint8": 1 / 255, "int8": 1 / 127, "int32": 1e-9}
"""Where sums fall near a tie, rounding may go either way; as a share of the largest result"""
_random = np.random.default_rng(0)


def given(*shape: int, dtype: str = "float32") -> View:
    return View.whole(Buffer(Storage.INPUT, dtype, int(np.prod(shape))), shape)


def made(*shape: int, dtype: str = "float32") -> View:
    return View.whole(Buffer(Storage.OUTPUT, dtype, int(np.prod(shape))), shape)


def noise(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Numbers of about the size of one; of integers all that there are."""
    if dtype.endswith("int8"):
        limits = np.iinfo(dtype)
        return _random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return _random.standard_normal(shape).astype(dtype)


def _biased_relu(n: int, shape: tuple[int, ...]) -> Expression:
    bias = weights(noise(n)).broadcast(shape)
    return apply("max", apply("add", RESULT, Load(bias)), number(0))


def _convolution(height: int, width: int, channels: int, n: int, kernel: int) -> Dense:
    x = given(height + kernel - 1, width + kernel - 1, channels)
    windows = x.windows(0, height, kernel).windows(1, width, kernel).transpose((0, 1, 3, 4, 2))
    out = made(height, width, n)
    return Dense(windows, noise(kernel, kernel, channels, n), out, 0, 2, _biased_relu(n, out.shape))


def _maps() -> Iterator[Kernel]:
    x = given(3, 5, 17)
    yield Map(made(3, 5, 17), apply("mul", Load(x), Load(x)))
    yield Map(made(3, 5, 17), apply("add", Load(x), Load(given(5, 1).broadcast((3, 5, 17)))))
    yield Map(made(17, 5, 3), Load(x.transpose((2, 1, 0))))
    yield Map(made(3, 17, 5).transpose((0, 2, 1)), Load(x))
    yield Map(made(40), Load(given(80).slice([slice(None, None, 2)])))
    yield Map(made(40), Load(given(40).slice([slice(None, None, -1)])))
    yield Map(made(2), apply("exp", Load(given(2))))
    yield Map(made(1), apply("tanh", Load(given(1))))
    yield Map(made(1003), apply("where", apply("less", Load(given(1003)), number(0)), number(1), number(2)))


def _denses() -> Iterator[Kernel]:
    for sizes in (
        (7, 9, 5, 40, 3),
        (8, 8, 16, 56, 1),
        (5, 33, 3, 3, 3),
        (4, 4, 64, 64, 3),
        (1, 1, 37, 10, 1),
    ):
        yield _convolution(*sizes)
    yield Dense(given(3, 6, 7), noise(3, 7, 21), made(3, 6, 21), 1, 1)  # batches with weights of their own
    yield Dense(given(3, 6, 7), given(3, 7, 21), made(3, 6, 21), 1, 1)  # weights that are not known
    yield Dense(given(4, 9), given(9, 70), made(4, 70), 0, 1)
    yield Dense(given(6, 7).transpose((1, 0)), noise(6, 56), made(7, 56), 0, 1)  # the input turned
    yield Dense(given(7, 6), noise(6, 20), made(20, 7).transpose((1, 0)), 0, 1)  # the output turned
    yield Dense(given(1, 200), noise(200, 3), made(1, 3), 0, 1)


def _reductions() -> Iterator[Kernel]:
    for combine in ("sum", "max", "min", "prod"):
        x = given(4, 6, 19)
        yield Reduce(made(4, 6), Load(x), (19,), combine, RESULT)
        yield Reduce(
            made(4, 19), Load(x.transpose((0, 2, 1))), (6,), combine, apply("mul", RESULT, number(2))
        )
        yield Reduce(made(1), Load(x.split(0, (1, 4))), (4, 6, 19), combine, RESULT)
    channels = given(8, 9, 40).transpose((2, 0, 1))
    yield Reduce(made(40), apply("mul", Load(channels), Load(channels)), (8, 9), "sum", RESULT)
    windows = given(10, 11, 24).windows(0, 8, 3).windows(1, 5, 3, 2).transpose((0, 1, 2, 3, 4))
    yield Reduce(made(8, 5, 24), Load(windows), (3, 3), "max", RESULT)


def _recurrents() -> Iterator[Kernel]:
    for hidden in (4, 16, 33):
        for cell in Cell:
            gates = len(cell.value)
            basic = Recurrent(
                cell,
                given(5, 2, gates * hidden),
                0.3 * noise(gates, hidden, hidden),
                made(5, 2, hidden),
                made(2, hidden),
            )
            yield basic
            yield dataclasses.replace(basic, start=given(2, hidden), is_backward=True)
        gru = Recurrent(Cell.GRU, given(3, 1, 3 * hidden), noise(3, hidden, hidden), None, made(1, hidden))
        yield dataclasses.replace(gru, inner_bias=noise(hidden))
        lstm = Recurrent(
            Cell.LSTM, given(3, 1, 4 * hidden), noise(4, hidden, hidden), made(3, 1, hidden), None
        )
        yield dataclasses.replace(lstm, start_memory=given(1, hidden), last_memory=made(1, hidden))


def _numbers(*rows: object) -> View:
    content = np.array(rows)
    return View.whole(Buffer(Storage.WEIGHTS, "int64", content.size, content=content), content.shape)


def _gathers() -> Iterator[Kernel]:
    rows = _numbers([[2], [-1], [0]], [[4], [4], [1]])
    still = given(5, 7).split(0, (5, 1, 1)).broadcast((5, 2, 3, 7))
    yield Gather(made(2, 3, 7), still, rows)
    yield Gather(made(2, 3), given(5, 2, 3), rows)  # places that x follows
    yield Gather(made(2, 4), given(3, 5, 2, 4).transpose((1, 0, 2, 3)), _numbers([1, 2], [-1, 0]))


def _scatters() -> Iterator[Kernel]:
    for combine in COMBINED:
        data = made(5, 4)
        target = View(data.buffer, (5, 3, 4), (4, 0, 1))
        yield Map(data, Load(given(5, 4)))
        yield Scatter(data, target, _numbers([2], [-1], [2]), given(3, 4), combine)
    data = made(5, 4)
    yield Map(data, Load(given(5, 4)))
    yield Scatter(data, View(data.buffer, (5, 2), (4, 1)), _numbers([2], [-1]), given(2))


def _ranks() -> Iterator[Kernel]:
    for is_largest in (True, False):
        yield Rank(made(3, 4), made(3, 4), given(3, 9), is_largest)
        yield Rank(made(3, 1), made(3, 1), given(9, 3).transpose((1, 0)), is_largest, is_last=True)
    yield Rank(made(6), made(6), given(6))


def _running_sums() -> Iterator[Kernel]:
    for is_exclusive in (True, False):
        yield Cumulate(made(3, 9), given(3, 9), is_exclusive)
        backwards = (slice(None), slice(None), slice(None, None, -1))
        yield Cumulate(made(2, 3, 4).slice(backwards), given(2, 3, 4).slice(backwards), is_exclusive)
    yield Cumulate(made(7), given(7))


def _blends() -> Iterator[Kernel]:
    places, weights = np.array([[0, 1], [1, 2], [2, 2], [0, 0], [2, 0]]), noise(5, 2)
    yield Blend(made(2, 5, 37), given(2, 3, 37), 1, places, weights)
    yield Blend(made(2, 7, 5), given(2, 7, 3), 2, places, weights)
    yield Blend(made(5), given(3), 0, places, weights)
    yield Blend(made(5, 2, 4), given(3, 4, 2).transpose((0, 2, 1)), 0, places, weights)


def _typed() -> Iterator[Kernel]:
    """Every type that vectors of float are read from and written to, in whole vectors, parts and strides."""
    for dtype in ("uint8", "int8", "bfloat16"):
        x = given(5, 43, dtype=dtype)
        read = apply("cast", Load(x), dtype="float32")
        yield Map(made(5, 43), apply("mul", read, number(0.1)))
        yield Map(made(43, 5, dtype=dtype), Load(x.transpose((1, 0))))
        wide = apply("mul", Load(given(5, 43)), number(90 if dtype.endswith("int8") else 1))
        yield Map(made(5, 43, dtype=dtype), wide)
        yield Map(made(43, 5, dtype=dtype).transpose((1, 0)), wide)
        yield Map(made(5, 2, dtype=dtype), apply("add", Load(given(5, 2)), number(3)))
        if dtype.endswith("int8"):
            yield Map(made(5, 43), apply(f"saturate_{dtype}", wide))
        apart = x.transpose((1, 0))
        yield Reduce(made(5), read, (43,), "sum", apply("mul", RESULT, number(0.01)))
        yield Reduce(made(43, dtype=dtype), apply("cast", Load(apart), dtype="float32"), (5,), "max", RESULT)


def _packed() -> Iterator[Kernel]:
    """Products of bfloat16 pairs and of fours of bytes, with sums that no pack divides."""
    for x_type, w_type in (("bfloat16", "bfloat16"), ("uint8", "int8"), ("uint8", "float32")):
        for height, width, channels, n, kernel in ((5, 7, 3, 40, 3), (4, 4, 64, 24, 1), (1, 9, 7, 16, 3)):
            x = given(height + kernel, width + kernel - 1, channels, dtype=x_type)
            x = x.slice([slice(0, height + kernel - 1)])
            windows = x.windows(0, height, kernel).windows(1, width, kernel).transpose((0, 1, 3, 4, 2))
            scale = Load(weights(noise(n)).broadcast((height, width, n)))
            weight = noise(kernel, kernel, channels, n, dtype=w_type)
            yield Dense(windows, weight, made(height, width, n), 0, 2, apply("mul", RESULT, scale))
        weight = noise(2, 5, 20, dtype=w_type)
        yield Dense(
            given(2, 4, 5, dtype=x_type).slice([slice(None), slice(0, 3)]), weight, made(2, 3, 20), 1, 1
        )
    small = apply("mul", RESULT, number(0.01))
    yield Dense(
        given(3, 8, dtype="uint8"), noise(8, 33, dtype="int8"), made(3, 33, dtype="uint8"), 0, 1, small
    )


def _selections() -> Iterator[Kernel]:
    """Rows in two pieces, the second goes on with the lists; parts longer and shorter than a vector."""
    for columns, parts, k in ((70, 3, 5), (9, 2, 1), (5, 2, 7)):
        best, who = made(parts, 4, k), made(parts, 4, k, dtype="int32")
        yield KBest(best, who, given(4, columns), 0, is_start=True)
        yield KBest(best, who, given(4, columns), columns, is_start=False)
        yield Vote(made(4, dtype="int32"), best, who, np.arange(2 * columns, dtype=np.int32) % 3)
    yield ArgMax(made(33, dtype="int32"), given(33, 7))
    yield ArgMax(made(5, dtype="int32"), given(3, 5).transpose((1, 0)))


def _clusters() -> Iterator[Kernel]:
    for features in (37, 16, 3):
        sums, counts = made(3, 4, features), made(3, 4, dtype="int32")
        spread = made(3)
        for is_start in (True, False):
            nearest = made(11, dtype="int32")
            yield Assign(nearest, sums, counts, spread, given(11, features), given(11, 4), is_start)
        yield Centroids(made(4, features), made(4), sums, counts, given(4, features))


def _forests() -> Iterator[Kernel]:
    """Trees of two levels, and one that is a leaf only."""
    left = np.array([1, 3, 2, 3, 4, 5], np.int32)
    trees = Trees(
        feature=np.array([2, 0, 0, 0, 0, 0], np.int32),
        threshold=np.array([0.1, -0.2, *[np.inf] * 4], np.float32),
        left=left,
        answer=np.array([0, 0, 1, 2, 0, 3], np.int32),
        answers=noise(4, 3),
        roots=np.array([0, 5, 0], np.int32),
    )
    for rows, groups in ((19, 2), (8, 3), (1, 1), (261, 2)):
        yield Forest(made(groups, rows, 3), given(rows, 4), trees)


def _softmaxes() -> Iterator[Kernel]:
    """Rows that fill vectors and do not, strided outside, masked by an expression, stored as other types."""
    for rows, n in ((5, 64), (3, 37), (1, 8)):
        for is_log in (False, True):
            yield Softmax(made(rows, n), Load(given(rows, n)), is_log=is_log)
    mask = apply(
        "add", apply("mul", Load(given(4, 3, 21)), number(0.3)), Load(given(1, 3, 21).broadcast((4, 3, 21)))
    )
    yield Softmax(made(3, 4, 21).transpose((1, 0, 2)), mask, apply("mul", RESULT, Load(given(4, 3, 21))))


FAMILIES: dict[str, Callable[[], Iterator[Kernel]]] = {
    "map": _maps,
    "dense": _denses,
    "reduce": _reductions,
    "recurrent": _recurrents,
    "gather": _gathers,
    "typed": _typed,
    "packed": _packed,
    "scatter": _scatters,
    "rank": _ranks,
    "cumulate": _running_sums,
    "blend": _blends,
    "softmax": _softmaxes,
    "selections": _selections,
    "clusters": _clusters,
    "forests": _forests,
}


def together(kernels: list[Kernel]) -> Program:
    """One program of independent kernels, so that the compiler is called once."""
    views = [view for kernel in kernels for view in (*kernel.reads, *kernel.writes)]
    buffers = list(dict.fromkeys(view.buffer for view in views))
    return Program(
        tuple(Step(kernel) for kernel in kernels),
        tuple(buffer for buffer in buffers if buffer.storage is Storage.INPUT),
        tuple(buffer for buffer in buffers if buffer.storage is Storage.OUTPUT),
    )


@needs_compiler
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_kernel_equals_its_reference(family: str, target: Target) -> None:
    program = together(list(FAMILIES[family]()))
    inputs = [noise(buffer.elements, dtype=buffer.dtype) for buffer in program.inputs]
    compiled = run_compiled(program, inputs, target)
    for mine, plain in zip(compiled, run_plainly(program, inputs), strict=True):
        assert relative_error(mine, plain) < (5e-6 if mine.dtype == np.float32 else _STEP[str(mine.dtype)])


@needs_compiler
@pytest.mark.parametrize("family", FAMILIES)
def test_units_can_be_computed_apart(family: str) -> None:
    """Each unit by itself, last first: threads may divide them in any way."""
    target = TARGETS[-1]
    program = together(list(FAMILIES[family]()))
    inputs = [noise(buffer.elements, dtype=buffer.dtype) for buffer in program.inputs]
    single = Program(
        tuple(
            Step(_OneUnit(step.kernel, unit))
            for step in program.steps
            for unit in _units_backwards(step.kernel, target)
        ),
        program.inputs,
        program.outputs,
    )
    whole = run_compiled(program, inputs, target)
    for apart, together_ in zip(run_compiled(single, inputs, target), whole, strict=True):
        np.testing.assert_array_equal(apart, together_)


@needs_compiler
@pytest.mark.parametrize("family", FAMILIES)
def test_threads_divide_a_step_without_changing_it(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taut.runtimes.aot.program.WORTH_DIVIDING", 0)
    program = together(list(FAMILIES[family]()))
    inputs = [noise(buffer.elements, dtype=buffer.dtype) for buffer in program.inputs]
    alone = run_compiled(program, inputs)
    for _ in range(20):
        for divided, whole in zip(run_compiled(program, inputs, threads=3), alone, strict=True):
            np.testing.assert_array_equal(divided, whole)


def _units_backwards(kernel: Kernel, target: Target) -> list[int]:
    return list(reversed(range(kernel.code(target).units)))


class _OneUnit:
    """A kernel of which only one unit is computed."""

    def __init__(self, kernel: Kernel, unit: int) -> None:
        self.name, self.reads, self.writes = kernel.name, kernel.reads, kernel.writes
        self.multiply_adds, self.precision = kernel.multiply_adds, kernel.precision
        self.reference = kernel.reference
        self._kernel, self._unit = kernel, unit

    def code(self, target: Target) -> object:
        code = self._kernel.code(target)
        body = f"begin = {self._unit}; end = {self._unit + 1};\n{code.body}"
        return dataclasses.replace(code, body=body)
