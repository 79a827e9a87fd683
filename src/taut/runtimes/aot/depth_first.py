"""Depth first: a chain of kernels computed stripe by stripe, so that what lies between stays in the cache.

Block fusion (Lavin, arXiv 2404.03617, section 6) as a change of a program's steps. Every kernel stays what it
is, over views of fewer rows; what a chain passes on lies in a buffer of as many rows as its readers see at a
time. Rows that the next stripe sees again, the halo of a window, are moved to the top of that buffer and not
computed again. Padding is part of a value's rows: it is filled in the stripes it belongs to.

    x -> expand -> u -> depthwise 3x3 -> v -> project -> y      u, v: 6 times as large as x and y
    for each stripe of 4 rows of y: 4 new rows of u (and 2 of the last stripe), 4 of v, 4 of y

A row is what lies along the outermost axis of a value in memory. Samples of a batch are rows first; a stripe
of one sample is divided again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from taut.kernels.base import Cuttable, Kernel, cut
from taut.kernels.expression import Load
from taut.kernels.map import Map
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.program import Program, Step
from taut.runtimes.aot.traffic import weight_bytes

LONGEST = 24
"""Steps of a chain: beyond, weights hardly fit into a cache with anything else"""
_SHARE_OF_CACHE = 0.75
"""For weights and stripes; the chain's input and output pass through the rest"""


def depth_first(program: Program, cache_bytes: int) -> Program:
    """Return the program with chains in stripes wherever a value inside a chain exceeds a cache."""
    steps, done = list(program.steps), 0
    made: list[Step] = []
    while done < len(steps):
        found = _longest_chain(steps, done, cache_bytes) if _may_begin(steps, done, cache_bytes) else None
        made += found.steps if found else steps[done : done + 1]
        done += found.length if found else 1
    return replace(program, steps=tuple(made))


def _may_begin(steps: Sequence[Step], first: int, cache_bytes: int) -> bool:
    """Whether something large is written within a chain's length; most networks have no such thing."""
    near = steps[first : first + LONGEST]
    return isinstance(steps[first].kernel, Cuttable) and any(
        view.buffer.storage is Storage.ARENA and view.buffer.bytes > cache_bytes
        for step in near
        for view in step.kernel.writes
    )


@dataclass(frozen=True)
class _Found:
    """Steps in stripes, and how many of the program they replace."""

    steps: list[Step]
    length: int


def _longest_chain(steps: Sequence[Step], first: int, cache_bytes: int) -> _Found | None:
    """The longest chain from a step on that has something large inside and fits into the cache in stripes."""
    best = None
    for last in range(first + 1, min(first + LONGEST, len(steps))):
        if not isinstance(steps[last].kernel, Cuttable):
            break
        chain = Chain.of(steps[first : last + 1], _used_elsewhere(steps, first, last))
        if chain is None or max((b.bytes for b in chain.inner), default=0) <= cache_bytes:
            continue
        if (striped := chain.in_stripes(int(_SHARE_OF_CACHE * cache_bytes))) is not None:
            best = _Found(striped, last + 1 - first)
    return best


def _used_elsewhere(steps: Sequence[Step], first: int, last: int) -> set[Buffer]:
    others = [*steps[:first], *steps[last + 1 :]]
    return {view.buffer for step in others for view in (*step.kernel.reads, *step.kernel.writes)}


@dataclass(frozen=True)
class _Stripe:
    """What is computed for some rows of the chain's result."""

    kernels: tuple[tuple[Step, Cuttable], ...]
    needed: Mapping[Buffer, range]
    """Rows of inner values that are read"""
    kept: Mapping[Buffer, range]
    """Of those, the rows that an earlier stripe made"""


@dataclass(frozen=True)
class Chain:
    """Steps of which only the last writes what is read outside."""

    fills: tuple[Step, ...]
    """Borders of the result; they come first, whole"""
    steps: tuple[Step, ...]
    inner: Mapping[Buffer, int]
    """Values between the steps -> elements from one row to the next"""

    @staticmethod
    def of(steps: Sequence[Step], used_elsewhere: set[Buffer]) -> Chain | None:
        """Return steps that can be cut as a chain; None where what they pass on cannot be told by rows."""
        kernels = [step.kernel for step in steps]
        written = {view.buffer for kernel in kernels for view in kernel.writes}
        inner = {b for b in written if b.storage is Storage.ARENA and b not in used_elsewhere}
        inner -= {view.buffer for view in kernels[-1].writes}
        fills = tuple(step for step in steps if _is_fill(step.kernel, inner))
        rest = tuple(step for step in steps if step not in fills)
        if not inner or not rest or rest[-1] is not steps[-1] or not _is_in_order(rest, inner):
            return None
        strides = {buffer: _row(buffer, rest) for buffer in inner}
        chain = Chain(fills, rest, {b: stride for b, stride in strides.items() if stride})
        return chain if chain.inner.keys() == inner and chain._can_be_cut() else None

    def _can_be_cut(self) -> bool:
        views = [view for step in self.steps for view in (*step.kernel.reads, *step.kernel.writes)]
        return all(self.rows(view) is not None for view in views if view.buffer in self.inner) and all(
            self._axis(step.kernel) is not None or self._is_one_row(step.kernel) for step in self.steps
        )

    def _is_one_row(self, kernel: Kernel) -> bool:
        """Whether a kernel makes one row only, so that there is nothing to cut."""
        (out,) = kernel.writes
        rows = self.rows(out) if out.buffer in self.inner else None
        return rows is not None and len(rows) == 1

    def rows(self, view: View) -> range | None:
        """Rows of an inner value that a view touches; None where an axis runs over from one into another."""
        row = self.inner[view.buffer]
        moving = [(size, stride) for size, stride in zip(view.shape, view.strides, strict=True) if size > 1]
        within = view.offset % row + sum((size - 1) * stride for size, stride in moving if stride < row)
        if within >= row or any(stride < 0 or (stride >= row and stride % row) for _, stride in moving):
            return None
        first = view.offset // row
        return range(first, first + 1 + sum((size - 1) * (stride // row) for size, stride in moving))

    def _axis(self, kernel: Kernel) -> int | None:
        """The free axis along which a kernel goes from row to row of what it makes, or of what it reads."""
        assert isinstance(kernel, Cuttable)
        lead = [view for view in (kernel.out, *kernel.reads) if view.buffer in self.inner][:1]
        axes = [
            axis
            for view in lead
            for axis in kernel.free_axes
            if view.shape[axis] > 1 and view.strides[axis] >= self.inner[view.buffer]
        ]
        if len(axes) != 1:
            return None
        writes_inner = kernel.out.buffer in self.inner
        is_single_step = not writes_inner or kernel.out.strides[axes[0]] == self.inner[kernel.out.buffer]
        return axes[0] if is_single_step else None

    def in_stripes(self, budget_bytes: int) -> list[Step] | None:
        """Return the steps with stripes as high as a budget allows; None where not even one row fits."""
        axis = self._axis(self.steps[-1].kernel)
        if axis is None:
            return None
        total = self.steps[-1].kernel.writes[0].shape[axis]
        budget_bytes -= weight_bytes([step.kernel for step in self.steps])
        for count in _halvings(total):
            stripes = list(self._stripes(axis, total, count))
            heights = {b: max(len(s.needed[b]) for s in stripes if b in s.needed) for b in self.inner}
            if self._bytes(heights) <= budget_bytes:
                return [*self.fills, *self._written(stripes, heights)]
        if set(heights.values()) == {1}:
            return self._divided_again(stripes, budget_bytes)
        return None

    def _bytes(self, heights: Mapping[Buffer, int]) -> int:
        return sum(height * self.inner[b] * np.dtype(b.dtype).itemsize for b, height in heights.items())

    def _divided_again(self, stripes: Sequence[_Stripe], budget_bytes: int) -> list[Step] | None:
        """Each row apart, such as a sample of a batch, in stripes of its own."""
        made: list[Step] = list(self.fills)
        for stripe in stripes:
            alone = self._written([stripe], dict.fromkeys(self.inner, 1))
            chain = Chain.of(alone, set())
            striped = (
                chain.in_stripes(budget_bytes + weight_bytes([step.kernel for step in alone]))
                if chain
                else None
            )
            if striped is None:
                return None
            made += striped
        return made

    def _stripes(self, axis: int, total: int, count: int) -> Iterator[_Stripe]:
        """From the first rows of the result to the last, what each stripe needs of the values before."""
        produced = dict.fromkeys(self.inner, 0)
        for start in range(0, total, count):
            yield self._stripe(axis, range(start, min(start + count, total)), produced)

    def _stripe(self, axis: int, rows: range, produced: dict[Buffer, int]) -> _Stripe:
        """Go back from the result; ``produced`` counts the rows that are there, and is brought up to date."""
        kernels: list[tuple[Step, Cuttable]] = []
        needed: dict[Buffer, range] = {}
        for step in reversed(self.steps):
            part = self._part(step, axis, rows, needed, produced)
            if part is None:
                continue
            kernels.append((step, part))
            for view in part.reads:
                if view.buffer in self.inner:
                    found = self.rows(view)
                    assert found is not None, "a part of a view touches whole rows as the view does"
                    needed[view.buffer] = _both(needed.get(view.buffer, found), found)
        kept = {b: range(n.start, min(produced[b], n.stop)) for b, n in needed.items()}
        produced.update({b: max(produced[b], n.stop) for b, n in needed.items()})
        return _Stripe(tuple(reversed(kernels)), needed, kept)

    def _part(
        self,
        step: Step,
        axis: int,
        rows: range,
        needed: Mapping[Buffer, range],
        produced: Mapping[Buffer, int],
    ) -> Cuttable | None:
        """A kernel for the rows that are to be made; None where there are none."""
        kernel = step.kernel
        assert isinstance(kernel, Cuttable)
        if step is self.steps[-1]:
            return cut(kernel, axis, rows)
        buffer = kernel.out.buffer
        own, wanted = self.rows(kernel.out), needed.get(buffer, range(0))
        assert own is not None
        start = max(produced[buffer], wanted.start, own.start)
        places = range(start - own.start, min(wanted.stop, own.stop) - own.start)
        if not places:
            return None
        own_axis = self._axis(kernel)
        return kernel if own_axis is None else cut(kernel, own_axis, places)

    def _written(self, stripes: Sequence[_Stripe], heights: Mapping[Buffer, int]) -> list[Step]:
        """The kernels of all stripes over buffers of so many rows."""
        buffers = {b: Buffer(Storage.ARENA, b.dtype, height * self.inner[b]) for b, height in heights.items()}
        tops = dict.fromkeys(self.inner, 0)
        made: list[Step] = []
        for stripe in stripes:
            for buffer, kept in stripe.kept.items():
                moved = stripe.needed[buffer].start - tops[buffer]
                if kept and moved:
                    nodes = next(s.nodes for s, k in reversed(stripe.kernels) if _reads(k, buffer))
                    made += [
                        Step(kernel, nodes)
                        for kernel in _moves(buffers[buffer], self.inner[buffer], len(kept), moved)
                    ]
            tops.update({b: rows.start for b, rows in stripe.needed.items()})

            def placed(view: View) -> View:
                if view.buffer not in buffers:
                    return view
                offset = view.offset - tops[view.buffer] * self.inner[view.buffer]
                return replace(view, buffer=buffers[view.buffer], offset=offset)

            made += [Step(kernel.over(placed), step.nodes) for step, kernel in stripe.kernels]
        return made


def _reads(kernel: Kernel, buffer: Buffer) -> bool:
    return any(view.buffer is buffer for view in kernel.reads)


def _moves(buffer: Buffer, row: int, count: int, moved: int) -> Iterator[Kernel]:
    """Move ``count`` rows up by ``moved`` to the top; no more at once than do not overlap."""
    for start in range(0, count, moved):
        elements = min(moved, count - start) * row
        place, source = (View(buffer, (elements,), (1,), first * row) for first in (start, start + moved))
        yield Map(place, Load(source), "keep")


def _is_fill(kernel: Kernel, inner: set[Buffer]) -> bool:
    return not kernel.reads and all(view.buffer not in inner for view in kernel.writes)


def _is_in_order(steps: Sequence[Step], inner: set[Buffer]) -> bool:
    """Whether all but the last step write inner values, each of which is whole before it is read."""
    read: set[Buffer] = set()
    for step in steps:
        read |= {view.buffer for view in step.kernel.reads}
        written = {view.buffer for view in step.kernel.writes}
        if written & read or len(written) != 1 or (step is not steps[-1] and not written <= inner):
            return False
    return not written & inner and bool(read & inner)


def _row(buffer: Buffer, steps: Sequence[Step]) -> int:
    """Elements from one place to the next along the outermost axis of what is written; 0: there is none."""
    views = [view for step in steps for view in step.kernel.writes if view.buffer is buffer]
    return max(
        (stride for view in views for size, stride in zip(view.shape, view.strides, strict=True) if size > 1),
        default=0,
    )


def _halvings(total: int) -> Iterator[int]:
    """Numbers of rows of a stripe to try, the largest first; not all at once, which would be no stripe."""
    count = total
    while count > 1:
        count = -(-count // 2)
        yield count


def _both(one: range, other: range) -> range:
    return range(min(one.start, other.start), max(one.stop, other.stop))
