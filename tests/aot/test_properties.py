"""Operators over random small shapes: what the edges of odd sizes, borders, strides and dilations bring out.

Most examples are computed by the kernels' references, which is fast; a sample of all is compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, Given, bundle, noise
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from programs import needs_compiler, run_compiled

from taut.runtimes.aot.lower import lower
from taut.runtimes.aot.program import run_plainly

_WHOLE = ("int32", "int64")
_TERMS = 1.0
"""Size of what is summed, to which rounding is relative"""
_NO_SHRINKING = (Phase.reuse, Phase.generate)
"""Where each example is compiled: the label says which case of many is wrong"""


def _some(draw: st.DrawFn, shape: tuple[int, ...], dtype: str, low: int = -9, high: int = 10) -> Given:
    random = np.random.default_rng(draw(st.integers(0, 99)))
    if dtype.startswith("float"):
        return Given(random.standard_normal(shape).astype(dtype))
    return Given(random.integers(low, high, shape).astype(dtype))


def _shape(draw: st.DrawFn, least: int = 1, most: int = 4) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(1, 6), min_size=least, max_size=most)))


def _axis(draw: st.DrawFn, rank: int) -> int:
    return draw(st.integers(-rank, rank - 1))


def _each(draw: st.DrawFn, count: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))


def _window(draw: st.DrawFn, rank: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Spatial sizes that hold the window, and its attributes; padding is less than the window."""
    kernel, strides, dilations = (_each(draw, rank, 1, 3) for _ in range(3))
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "dilations": dilations}
    padding = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if padding == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in [*kernel, *kernel]]
    else:
        attributes["auto_pad"] = padding
        # Longer strides would make onnxruntime pad by less than nothing.
        attributes["strides"] = [draw(st.integers(1, size)) for size in kernel]
        if padding != "VALID":
            attributes["dilations"] = dilations = [1] * rank
    sizes = tuple(
        (size - 1) * dilation + 1 + draw(st.integers(0, 7))
        for size, dilation in zip(kernel, dilations, strict=True)
    )
    return sizes, attributes


@st.composite
def _convolutions(draw: st.DrawFn) -> Case:
    rank, groups = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 3]))
    sizes, attributes = _window(draw, rank)
    inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    weight = noise(groups * outside, inside, *attributes["kernel_shape"])
    bias = [noise(groups * outside)] if draw(st.booleans()) else []
    return Case(
        "Conv",
        [(draw(st.integers(1, 2)), groups * inside, *sizes), weight, *bias],
        {**attributes, "group": groups},
    )


@st.composite
def _transposed(draw: st.DrawFn) -> Case:
    rank, groups = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2]))
    kernel, strides = _each(draw, rank, 1, 4), _each(draw, rank, 1, 3)
    dilations = [draw(st.integers(1, 3)) if stride == 1 else 1 for stride in strides]
    sizes = _each(draw, rank, 2, 5)
    inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    limits = [
        min((size - 1) * dilation, (count - 1) * stride) // 2
        for size, dilation, count, stride in zip(kernel, dilations, sizes, strides, strict=True)
    ]
    attributes = {
        "strides": strides,
        "dilations": dilations,
        "group": groups,
        "pads": [draw(st.integers(0, limit)) for limit in [*limits, *limits]],
        "output_padding": [draw(st.integers(0, stride - 1)) for stride in strides],
    }
    weight = noise(groups * inside, outside, *kernel)
    return Case("ConvTranspose", [(1, groups * inside, *sizes), weight], attributes)


@st.composite
def _pools(draw: st.DrawFn) -> Case:
    op = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    sizes, attributes = _window(draw, draw(st.integers(1, 2)))
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if op == "LpPool":
        attributes["p"] = draw(st.integers(1, 3))
    if "auto_pad" not in attributes and op != "LpPool":
        # A window that begins behind the end is refused: short strides keep clear of that.
        is_covered = all(
            x <= y for x, y in zip(attributes["strides"], attributes["kernel_shape"], strict=True)
        )
        attributes["ceil_mode"] = draw(st.integers(0, int(is_covered and not any(attributes["pads"]))))
    return Case(op, [(1, draw(st.integers(1, 20)), *sizes)], attributes)


@st.composite
def _broadcasts(draw: st.DrawFn) -> Case:
    op = draw(
        st.sampled_from(
            [
                "Add",
                "Sub",
                "Mul",
                "Div",
                "Max",
                "Min",
                "Less",
                "GreaterOrEqual",
                "Equal",
                "Mod",
                "Pow",
                "Where",
            ]
        )
    )
    full = _shape(draw)
    shapes = [
        tuple(draw(st.sampled_from([1, size])) for size in full[draw(st.integers(0, len(full) - 1)) :])
        for _ in range(2)
    ]
    dtype = draw(st.sampled_from(["float32", *_WHOLE]))
    low = 1 if op in ("Div", "Mod", "Pow") else -9
    x, y = _some(draw, shapes[0], dtype, low), _some(draw, shapes[1], dtype, low, 6)
    if op == "Pow" and dtype == "float32":
        x = Given(np.abs(x.array) + np.float32(0.1))
    if op == "Mod":
        return Case(op, [x, y], {"fmod": 1 if dtype == "float32" else draw(st.integers(0, 1))})
    if op == "Where":
        return Case(op, [Given(np.random.default_rng(5).random(full) < 0.5), x, y])
    return Case(op, [x, y])


@st.composite
def _reductions(draw: st.DrawFn) -> Case:
    op = draw(
        st.sampled_from(
            [
                "ReduceSum",
                "ReduceMean",
                "ReduceMax",
                "ReduceMin",
                "ReduceL1",
                "ReduceL2",
                "ReduceSumSquare",
                "ReduceLogSumExp",
            ]
        )
    )
    shape = _shape(draw)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    is_whole = op not in ("ReduceL2", "ReduceLogSumExp")
    dtype = draw(st.sampled_from(["float32", "int32"] if is_whole else ["float32"]))
    keep = {"keepdims": draw(st.integers(0, 1))}
    return Case(op, [_some(draw, shape, dtype), np.array(axes)], keep)


@st.composite
def _ranks(draw: st.DrawFn) -> Case:
    op = draw(st.sampled_from(["ArgMax", "ArgMin", "TopK", "CumSum", "Hardmax", "Softmax", "LogSoftmax"]))
    shape = _shape(draw)
    axis = _axis(draw, len(shape))
    dtype = (
        "float32" if op.endswith("max") and op != "ArgMax" else draw(st.sampled_from(["float32", *_WHOLE]))
    )
    x = _some(draw, shape, dtype, 0, 4)
    if op.startswith("Arg"):
        flags = {"keepdims": draw(st.integers(0, 1)), "select_last_index": draw(st.integers(0, 1))}
        return Case(op, [x], {"axis": axis, **flags})
    if op == "TopK":
        count = np.array([draw(st.integers(1, shape[axis]))])
        return Case(op, [x, count], {"axis": axis, "largest": draw(st.integers(0, 1))}, outputs=2)
    if op == "CumSum":
        flags = {"exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}
        return Case(op, [x, np.array(axis)], flags)
    return Case(op, [x], {"axis": axis})


@st.composite
def _pads(draw: st.DrawFn) -> Case:
    """Negative padding leaves at least one element, and what is repeated is there."""
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    shape = tuple(draw(st.lists(st.integers(3, 6), min_size=1, max_size=3)))
    low = -1 if mode == "constant" else 0
    pads = _each(draw, 2 * len(shape), low, 2)
    x = _some(draw, shape, draw(st.sampled_from(["float32", "int32"])))
    fill = [np.array(3, x.array.dtype)] if mode == "constant" and draw(st.booleans()) else []
    return Case("Pad", [x, np.array(pads), *fill], {"mode": mode})


@st.composite
def _slices(draw: st.DrawFn) -> Case:
    shape = _shape(draw)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    steps = [draw(st.sampled_from([-3, -2, -1, 1, 2])) for _ in axes]
    starts, ends = [], []
    for axis, step in zip(axes, steps, strict=True):
        first, last = sorted(draw(st.tuples(*[st.integers(0, shape[axis] - 1)] * 2)))
        starts.append(first if step > 0 else last)
        ends.append(last + 1 if step > 0 else first - 1 - (first == 0) * shape[axis])
    return Case("Slice", [shape, *(np.array(one) for one in (starts, ends, axes, steps))])


def _numbers(draw: st.DrawFn, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Each number along the last axis once where it fits, some counted from the end."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return random.integers(-size, size, shape)


@st.composite
def _gathers(draw: st.DrawFn) -> Case:
    op = draw(st.sampled_from(["Gather", "GatherElements", "GatherND"]))
    shape = _shape(draw)
    axis = _axis(draw, len(shape))
    data = _some(draw, shape, draw(st.sampled_from(["float32", "int64"])))
    if op == "Gather":
        numbers = _numbers(draw, _shape(draw, 0, 2), shape[axis])
    elif op == "GatherElements":
        places = list(shape)
        places[axis] = draw(st.integers(1, 4))
        numbers = _numbers(draw, tuple(places), shape[axis])
    else:
        depth = draw(st.integers(1, len(shape)))
        rows = [_numbers(draw, (2, 3), size) for size in shape[:depth]]
        numbers = np.stack(rows, axis=-1)
    known = numbers if draw(st.booleans()) else Given(numbers)
    return Case(op, [data, known], {} if op == "GatherND" else {"axis": axis})


@st.composite
def _scatters(draw: st.DrawFn) -> Case:
    """Without a reduction no two updates meet, as their order would not be defined."""
    op = draw(st.sampled_from(["ScatterElements", "ScatterND"]))
    combine = draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    shape = _shape(draw)
    axis = draw(st.integers(0, len(shape) - 1))
    if op == "ScatterND":
        axis, count = 0, draw(st.integers(1, shape[0]))
        random = np.random.default_rng(count)
        rows = (
            random.permutation(shape[0])[:count] if combine == "none" else random.integers(0, shape[0], count)
        )
        numbers, updates = rows[:, None], (count, *shape[1:])
    else:
        updates = tuple(draw(st.integers(1, size)) for size in shape)
        along = np.random.default_rng(3).permutation(shape[axis])[: updates[axis]]
        numbers = np.broadcast_to(
            along.reshape([-1 if one == axis else 1 for one in range(len(shape))]), updates
        )
    known = np.ascontiguousarray(numbers) if draw(st.booleans()) else Given(np.ascontiguousarray(numbers))
    attributes = {"reduction": combine, **({"axis": axis} if op == "ScatterElements" else {})}
    return Case(op, [shape, known, updates], attributes)


@st.composite
def _resizes(draw: st.DrawFn) -> Case:
    """Only the last two axes change, as onnxruntime takes no others for linear and cubic."""
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    transforms = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
    attributes: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": draw(st.sampled_from(transforms)),
    }
    if mode == "nearest":
        roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attributes["nearest_mode"] = draw(st.sampled_from(roundings))
    if mode == "cubic":
        attributes["exclude_outside"] = draw(st.integers(0, 1))
    shape = (1, draw(st.integers(1, 3)), *_each(draw, 2, 2, 9))
    if draw(st.booleans()):
        return Case("Resize", [shape, "", "", np.array([*shape[:2], *_each(draw, 2, 1, 19)])], attributes)
    # Scales that change no size are refused; none of these is one.
    scales = [draw(st.sampled_from([0.5, 0.7, 1.5, 1.75, 2.0, 2.5, 3.0])), draw(st.sampled_from([0.5, 1.0]))]
    return Case("Resize", [shape, "", np.array([1, 1, *scales], np.float32)], attributes)


@st.composite
def _einsums(draw: st.DrawFn) -> Case:
    """Two or three operands over a few names; each name of the result is somewhere."""
    sizes = dict(zip("abcde", _each(draw, 5, 1, 4), strict=True))
    names = st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True)
    terms = draw(st.lists(names, min_size=1, max_size=3))
    used = sorted({name for term in terms for name in term})
    result = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
    equation = ",".join("".join(term) for term in terms) + "->" + "".join(result)
    return Case("Einsum", [tuple(sizes[name] for name in term) for term in terms], {"equation": equation})


@st.composite
def _products(draw: st.DrawFn) -> Case:
    """Matrices over batches that broadcast; either side may be constant."""
    rows, inner, columns = _each(draw, 3, 1, 9)
    batch = _shape(draw, 0, 2)
    left, right = ((draw(st.sampled_from([1, size])) for size in batch) for _ in range(2))
    shapes = [(*left, rows, inner), (*right, inner, columns)]
    return Case("MatMul", [noise(*one) if draw(st.integers(0, 3)) == 0 else one for one in shapes])


FAMILIES: dict[str, SearchStrategy[Case]] = {
    "convolutions": _convolutions(),
    "transposed convolutions": _transposed(),
    "pools": _pools(),
    "broadcasts": _broadcasts(),
    "reductions": _reductions(),
    "ranks": _ranks(),
    "pads": _pads(),
    "slices": _slices(),
    "gathers": _gathers(),
    "scatters": _scatters(),
    "resizes": _resizes(),
    "einsums": _einsums(),
    "products": _products(),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_random_nodes_compute_what_onnxruntime_does(family: str) -> None:
    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(FAMILIES[family])
    def check(case: Case) -> None:
        example = bundle(family, [case])
        example.compare(run_plainly(lower(example.graph), example.inputs), least=_TERMS)

    check()


@needs_compiler
@settings(max_examples=3, phases=_NO_SHRINKING, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(*FAMILIES.values()), min_size=25, max_size=30))
def test_random_nodes_compiled_together_compute_what_onnxruntime_does(cases: list[Case]) -> None:
    example = bundle("sample", cases)
    example.compare(run_compiled(lower(example.graph), example.inputs), least=_TERMS)
