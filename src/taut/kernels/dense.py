"""Dense: every product of weights and windows of an input, summed: convolution, matrix product, linear layer.

    out[b, p, n] = epilogue(sum over r of x[b, p, r] w[b, r, n])

over batch axes b, pixels p and what is summed r (kernel rows, columns, channels). The input is any strided
view, so padding, dilation and layout are its own affair. Lanes run over n: a tile of pixels times vectors of
n is kept in registers while each weight vector is multiplied by one element of each pixel (Georganas et al.,
arXiv 1808.05567, whose blocks of channels these are; our weights are packed by tile, the input is not).

Weights decide the arithmetic: float32 takes in one summed element at a time, bfloat16 pairs of them into a
float32 sum, int8 four of them, times uint8, into an int32 sum, which the epilogue gets as float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from taut.kernels.access import element_load, vector_load, vector_store
from taut.kernels.base import Code, Read
from taut.kernels.expression import C_TYPES, RESULT, Expression, Writer, evaluate, loads, map_views, stored
from taut.kernels.loops import Axis, indented, index, loop, nest, pointer
from taut.kernels.target import Target
from taut.kernels.view import Buffer, Storage, View, row_major

_Part = tuple[int, int, int, int]
"""First number of a loop, how many, size of each, lanes in use of its last vector"""
_LATENCY = 8
"""Multiply-adds in flight that keep two units busy"""
_CACHE_BYTES = 2**15
_CACHE_WAYS, _WAY_BYTES = 8, 2**12
"""Of the first cache, in which lines at the same place of each way displace one another"""
_MOST_VECTORS = 8


@dataclass(frozen=True)
class Dot:
    """How a vector of sums takes in summed elements, several at once where they lie side by side."""

    x: str | None
    """Type that the input must have; None: any, read element by element"""
    pack: int
    sums: str
    """C type of a vector of sums"""
    product: str
    """C that adds to the sums {s} the products of x {x} and weights {w}"""


DOTS = {
    "float32": Dot(None, 1, "vf", "{s} + {x} * {w}"),
    "bfloat16": Dot("bfloat16", 2, "vf", "taut_dot_bfloat16({s}, {x}, {w})"),
    "int8": Dot("uint8", 4, "vi", "taut_dot_uint8({s}, {x}, {w})"),
}
"""By the type of the weights"""


@dataclass(frozen=True)
class Tile:
    """What is kept in registers."""

    pixels: int
    vectors: int
    chains: int = 1
    """Independent sums of one result, where the tile alone would wait for each addition"""


@dataclass(frozen=True)
class Dense:
    """x is (batch, pixels, summed), weights (batch, summed, n), out and the epilogue (batch, pixels, n).

    Where elements are taken in by packs, the last summed axis must have stride 1 in x (``is_packable``), and
    up to a pack is read beyond its end; what is there counts for nothing.
    """

    x: View
    weights: View | np.ndarray
    """Weights that are known are packed when code is made; a view must have n innermost"""
    out: View
    batch_axes: int
    pixel_axes: int
    epilogue: Expression = RESULT
    name: str = "dense"

    @property
    def reads(self) -> tuple[View, ...]:
        weights = (self.weights,) if isinstance(self.weights, View) else ()
        return (self.x, *weights, *loads(self.epilogue))

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.x.shape) * self._n

    @property
    def precision(self) -> str:
        return str(self.weights.dtype)

    @property
    def free_axes(self) -> range:
        """A batch has weights of its own, and weights that are a view lie where others may write."""
        if isinstance(self.weights, View):
            return range(0)
        return range(self.batch_axes, self.batch_axes + self.pixel_axes)

    def over(self, change: Callable[[View], View]) -> Dense:
        return replace(
            self, x=change(self.x), out=change(self.out), epilogue=map_views(self.epilogue, change)
        )

    @property
    def dot(self) -> Dot:
        return DOTS[self.precision]

    @property
    def _n(self) -> int:
        return self.out.shape[-1]

    @cached_property
    def _outputs(self) -> tuple[View, ...]:
        """Views in the shape of the output: itself, then what the epilogue reads."""
        return (self.out, *loads(self.epilogue))

    @cached_property
    def _pixels(self) -> tuple[Axis, ...]:
        """Loops over pixels; strides are those of x, then of the outputs."""
        front, back = self.batch_axes, self.batch_axes + self.pixel_axes
        views = [self.x.part(front, back), *(view.part(front, back) for view in self._outputs)]
        return nest(self.out.shape[front:back], views) or (Axis(1, (0,) * len(views)),)

    @cached_property
    def _batches(self) -> tuple[Axis, ...]:
        """Loops over batches in the order of the weights; strides are theirs, those of x and the outputs."""
        views = [_unpacked(self.weights), self.x, *self._outputs]
        return nest(self.out.shape[: self.batch_axes], [view.part(0, self.batch_axes) for view in views])

    @cached_property
    def _summed(self) -> tuple[Axis, ...]:
        """Loops over what is summed, in the order of the weights; strides are those of the weights and x."""
        weights, start = _unpacked(self.weights), self.batch_axes + self.pixel_axes
        views = [
            weights.part(self.batch_axes, len(weights.shape) - 1),
            self.x.part(start, len(self.x.shape)),
        ]
        return nest(self.x.shape[start:], views) or (Axis(1, (0, 0)),)

    def tile(self, target: Target) -> Tile:
        """Choose the tile with the least estimated time."""
        return min(self._tiles(target), key=lambda tile: self._cycles(tile, target))

    def _tiles(self, target: Target) -> Iterator[Tile]:
        most = min(_MOST_VECTORS, -(-self._n // target.lanes))
        for vectors in range(1, most + 1):
            for pixels in range(1, min(self._pixels[-1].size, target.registers) + 1):
                # Besides the sums, the weights and one element of x are held.
                if pixels * vectors + vectors + 1 <= target.registers:
                    steps = -(-self._summed[-1].size // self.dot.pack)
                    chains = min(max(1, -(-_LATENCY // (pixels * vectors))), max(1, steps // 4))
                    yield Tile(pixels, vectors, chains)

    def _cycles(self, tile: Tile, target: Target) -> float:
        """Per summed element: a multiply-add, the load of a vector and a broadcast take a cycle each.

        Loads take two where the next cache has to deliver them. They hide behind multiply-adds, not wholly.
        """
        count = -(-self._n // target.lanes)
        panel_bytes = 4 * tile.vectors * target.lanes * math.prod(axis.size for axis in self._summed)
        per_vector = 1 if panel_bytes // self.dot.pack <= _CACHE_BYTES else 2
        per_element = 2 if self._is_crowded(tile.pixels) else 1
        total = 0.0
        for vectors, blocks in _parts(count, tile.vectors):
            for pixels, tiles in _parts(self._pixels[-1].size, tile.pixels):
                sums = pixels * vectors
                waits = _LATENCY / tile.chains
                loads = per_vector * vectors + per_element * pixels
                total += blocks * tiles * (max(sums, loads, waits) + 0.05 * loads + 0.5)
        return total

    def _is_crowded(self, pixels: int) -> bool:
        """Whether elements of so many pixels displace one another in the first cache."""
        step_bytes = abs(self._pixels[-1].strides[0]) * np.dtype(self.x.dtype).itemsize
        return pixels * math.gcd(step_bytes, _WAY_BYTES) > _CACHE_WAYS * _WAY_BYTES

    def _outermost(self, target: Target) -> tuple[str, int]:
        """The loop that is divided among threads: variable and size."""
        if self._batches:
            return "b0", self._batches[0].size
        if len(self._pixels) > 1:
            return "y0", self._pixels[0].size
        tile = self.tile(target)
        tiles = -(-self._pixels[0].size // tile.pixels)
        blocks = -(-self._n // (tile.vectors * target.lanes))
        return ("block", blocks) if blocks >= tiles else ("tile", tiles)

    def code(self, target: Target) -> Code:
        writer = _TileWriter(self, self.tile(target), target)
        outputs = self._outputs
        weights = self.weights if isinstance(self.weights, View) else self._packed(target)
        parameters = [pointer(self.x, "x"), f"const {C_TYPES[str(self.weights.dtype)]} *w"]
        parameters += [pointer(view, f"p{i}", is_written=i == 0) for i, view in enumerate(outputs)]
        return Code(tuple(parameters), (self.x, weights, *outputs), writer.body(), self._outermost(target)[1])

    def _packed(self, target: Target) -> np.ndarray:
        """Weights by batch, block of n, what is summed by packs, n in the block, place in the pack.

        The last block and the last pack of each run are filled with zeros.
        """
        assert isinstance(self.weights, np.ndarray)
        block = self.tile(target).vectors * target.lanes
        batch = self.weights.shape[: self.batch_axes]
        outer, run, pack = self._runs, self._summed[-1].size, self.dot.pack
        runs = self.weights.reshape(*batch, outer, run, self._n)
        fill = [(0, 0)] * (len(batch) + 1) + [(0, -run % pack), (0, -self._n % block)]
        split = np.pad(runs, fill).reshape(*batch, outer, -(-run // pack), pack, -(-self._n // block), block)
        first = len(batch)
        axes = (*range(first), first + 3, first, first + 1, first + 4, first + 2)
        return np.ascontiguousarray(split.transpose(axes))

    @property
    def _runs(self) -> int:
        """How often the last summed axis is run through."""
        return math.prod(axis.size for axis in self._summed[:-1])

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        weights = read(self.weights) if isinstance(self.weights, View) else self.weights
        batch, pixels = self.out.shape[: self.batch_axes], self.out.shape[self.batch_axes : -1]
        x = read(self.x).astype(np.float64).reshape(*batch, math.prod(pixels), -1)
        summed = x @ weights.astype(np.float64).reshape(*batch, x.shape[-1], self._n)
        made = evaluate(self.epilogue, read, summed.reshape(self.out.shape).astype(np.float32))
        return (stored(made, self.out.dtype),)


class _TileWriter:
    """Writes the loops of a dense kernel around its tiles."""

    def __init__(self, kernel: Dense, tile: Tile, target: Target) -> None:
        self.kernel, self.tile, self.target = kernel, tile, target
        self.lanes = target.lanes
        self.block = tile.vectors * self.lanes
        self.vectors = -(-kernel._n // self.lanes)
        self.is_packed = isinstance(kernel.weights, np.ndarray)
        self.dot = kernel.dot
        self.steps = -(-kernel._summed[-1].size // self.dot.pack)
        self.split = kernel._outermost(target)[0]

    def body(self) -> str:
        """Loops over batches, outer pixels, blocks of n and tiles of pixels."""
        text = self._blocks()
        for place, axis in reversed(list(enumerate(self.kernel._pixels[:-1]))):
            text = self._loop(f"y{place}", axis.size, text)
        for place, axis in reversed(list(enumerate(self.kernel._batches))):
            text = self._loop(f"b{place}", axis.size, text)
        return text

    def _loop(self, variable: str, size: int, text: str) -> str:
        if variable != self.split:
            return loop(variable, size, text)
        return f"for (long {variable} = begin; {variable} < end; {variable}++) {{\n{indented(text)}\n}}"

    def _blocks(self) -> str:
        """Blocks of n; one with a vector that is not full has code of its own."""
        whole, rest = divmod(self.vectors, self.tile.vectors)
        is_cut = rest == 0 and self.kernel._n % self.lanes != 0
        parts = [(0, whole - is_cut, self.tile.vectors, self.lanes)]
        last = self.kernel._n - (self.vectors - 1) * self.lanes
        if rest or is_cut:
            parts.append((whole - is_cut, 1, rest or self.tile.vectors, last))
        return self._stretches("block", parts, self._tiles)

    def _tiles(self, vectors: int, last: int) -> str:
        whole, rest = divmod(self.kernel._pixels[-1].size, self.tile.pixels)
        parts = [(0, whole, self.tile.pixels, 0), (whole, 1 if rest else 0, rest, 0)]
        return self._stretches("tile", parts, lambda pixels, _: self._tile(pixels, vectors, last))

    def _stretches(self, variable: str, parts: Sequence[_Part], inner: Callable[[int, int], str]) -> str:
        """Loops one after the other, each as far as this call's units go."""
        is_split = variable == self.split
        texts = []
        for first, count, size, last in parts:
            body = indented(inner(size, last)) if count else ""
            if count == 1 and not is_split:
                texts.append(f"{{\n  const long {variable} = {first};\n{body}\n}}")
            elif count:
                start, end = str(first), str(first + count)
                if is_split:
                    start, end = f"taut_max(begin, {start})", f"taut_min(end, {end})"
                texts.append(
                    f"for (long {variable} = {start}; {variable} < {end}; {variable}++) {{\n{body}\n}}"
                )
        return "\n".join(texts)

    def _tile(self, pixels: int, vectors: int, last: int) -> str:
        """Sum and store one tile; of its last vector so many lanes are in use."""
        sums = [[self._sum(p, v, 0) for v in range(vectors)] for p in range(pixels)]
        lines = [self._input(), self._weights()]
        for chain in range(self.tile.chains):
            names = [f"{self._sum(p, v, chain)} = {{0}}" for p in range(pixels) for v in range(vectors)]
            lines.append(f"{self.dot.sums} {', '.join(names)};")
        lines.append(self._sums(pixels, vectors, last))
        for chain in range(1, self.tile.chains):
            lines += [
                f"{sums[p][v]} += {self._sum(p, v, chain)};" for p in range(pixels) for v in range(vectors)
            ]
        counts = [*[self.lanes] * (vectors - 1), last]
        lines += [self._stored(p, v, counts[v]) for p in range(pixels) for v in range(vectors)]
        return "\n".join(lines)

    @staticmethod
    def _sum(pixel: int, vector: int, chain: int) -> str:
        return f"s{pixel}_{vector}" + (f"_{chain}" if chain else "")

    def _input(self) -> str:
        terms = [(f"b{i}", axis.strides[1]) for i, axis in enumerate(self.kernel._batches)]
        pixels = self.kernel._pixels
        terms += [(f"y{i}", axis.strides[0]) for i, axis in enumerate(pixels[:-1])]
        terms.append(("tile", self.tile.pixels * pixels[-1].strides[0]))
        return f"const {C_TYPES[self.kernel.x.dtype]} *restrict xt = x + {index(terms)};"

    def _weights(self) -> str:
        """Packed blocks follow one another; of a view a block is so many columns."""
        c_type = C_TYPES[str(self.kernel.weights.dtype)]
        if self.is_packed:
            blocks = -(-self.vectors // self.tile.vectors)
            unit = self.kernel._runs * self.steps * self.dot.pack * self.block
            batch = row_major([axis.size for axis in self.kernel._batches])
            terms = [(f"b{i}", stride * blocks * unit) for i, stride in enumerate(batch)]
            return f"const {c_type} *restrict wt = w + {index([*terms, ('block', unit)])};"
        terms = [(f"b{i}", axis.strides[0]) for i, axis in enumerate(self.kernel._batches)]
        return f"const {c_type} *restrict wt = w + {index([*terms, ('block', self.block)])};"

    def _sums(self, pixels: int, vectors: int, last: int) -> str:
        axes = self.kernel._summed
        strides = self._weight_strides()
        chains, steps = self.tile.chains, self.steps
        x_terms = [(f"r{i}", axis.strides[1]) for i, axis in enumerate(axes[:-1])]
        w_terms = [(f"r{i}", stride) for i, stride in enumerate(strides[:-1])]
        head = f"const typeof(*x) *xr = xt + {index(x_terms)};\nconst typeof(*w) *wr = wt + {index(w_terms)};"
        is_cut = axes[-1].size % self.dot.pack != 0 and self.dot.sums == "vf"
        whole = (steps - is_cut) // chains * chains
        counts = [*[self.lanes] * (vectors - 1), last]
        step = partial(self._step, pixels, counts, strides=(axes[-1].strides[1], strides[-1]))
        text = loop("k", whole, "\n".join(step(chain) for chain in range(chains)), step=chains)
        if whole < steps - is_cut:
            text += "\n" + loop("k", steps - is_cut, step(0), start=str(whole))
        if is_cut:
            text += f"\n{{\n  const long k = {steps - 1};\n{indented(step(0, is_cut=True))}\n}}"
        text = f"{head}\n{text}"
        for place, axis in reversed(list(enumerate(axes[:-1]))):
            text = loop(f"r{place}", axis.size, text)
        return text if len(axes) > 1 else f"{{\n{indented(text)}\n}}"

    def _weight_strides(self) -> tuple[int, ...]:
        """How far the weights go on: for each outer summed axis an element, for the last one a step."""
        axes = self.kernel._summed
        if not self.is_packed:
            return tuple(axis.strides[0] for axis in axes)
        step = self.dot.pack * self.block
        return tuple(step * stride for stride in row_major([*[axis.size for axis in axes[:-1]], self.steps]))

    def _step(
        self,
        pixels: int,
        counts: Sequence[int],
        chain: int,
        strides: tuple[int, int],
        *,
        is_cut: bool = False,
    ) -> str:
        """One element or pack: its weights times those of each pixel."""
        x_stride, w_stride = strides
        offset = f"(k + {chain})" if chain else "k"
        lines = [
            f"{self.dot.sums if self.dot.pack == 1 else 'vi'} w{v} = "
            f"{self._weight(f'{offset} * {w_stride} + {v * self.dot.pack * self.lanes}', count)};"
            for v, count in enumerate(counts)
        ]
        # As memory operands they would be loaded again for each product.
        if pixels > 1:
            lines.append(" ".join(f"TAUT_KEEP(w{v});" for v in range(len(counts))))
        keep = " TAUT_KEEP(e);" if len(counts) > 1 else ""
        pixel_stride = self.kernel._pixels[-1].strides[0]
        for p in range(pixels):
            place = f"{offset} * {x_stride * self.dot.pack} + {p * pixel_stride}"
            sums = [self._sum(p, v, chain) for v in range(len(counts))]
            products = [
                f"{s} = {self.dot.product.format(s=s, x='e', w=f'w{v}')};" for v, s in enumerate(sums)
            ]
            lines.append(f"{{ {self._element(place, is_cut=is_cut)}{keep} {' '.join(products)} }}")
        return "{\n" + indented("\n".join(lines)) + "\n}"

    def _element(self, place: str, *, is_cut: bool) -> str:
        """Of a pair beyond the end of floats the second is zeroed: it may not be a number."""
        if self.dot.pack > 1:
            return f"vi e = taut_splat_pack(xr + {place}){' & 0xffff' if is_cut else ''};"
        return f"vf e = taut_splat({element_load(self.kernel.x, 'xr', place)});"

    def _weight(self, place: str, count: int) -> str:
        """Packed weights are filled up, those of a view must not be read beyond its end."""
        if self.dot.pack > 1:
            return f"taut_load_pack(wr + {place})"
        count = self.lanes if self.is_packed else count
        return vector_load(_unpacked(self.kernel.weights), "wr", place, 1, self.lanes, count)

    def _stored(self, pixel: int, vector: int, count: int) -> str:
        """The epilogue of one vector."""
        outputs = self.kernel._outputs

        def place(view: View) -> str:
            which = outputs.index(view)
            terms = [(f"b{i}", axis.strides[which + 2]) for i, axis in enumerate(self.kernel._batches)]
            pixels = self.kernel._pixels
            terms += [(f"y{i}", axis.strides[which + 1]) for i, axis in enumerate(pixels[:-1])]
            stride = pixels[-1].strides[which + 1]
            terms.append(("tile", self.tile.pixels * stride))
            n = view.strides[-1]
            terms.append(("block", self.block * n))
            return index(terms, pixel * stride + vector * self.lanes * n)

        def load(view: View) -> str:
            base, stride = f"p{outputs.index(view)}", view.strides[-1]
            return vector_load(view, base, place(view), stride, self.lanes, count)

        result = self._sum(pixel, vector, 0)
        if self.dot.sums == "vi":
            result = f"__builtin_convertvector({result}, vf)"
        writer = Writer(load, f"({result})", by_vector=True)
        value = writer.write(self.kernel.epilogue)
        out = self.kernel.out
        store = vector_store(out, "p0", place(out), value, out.strides[-1], self.lanes, count)
        return "{ " + " ".join([*writer.lines, store]) + " }"


def is_packable(x: View, summed_axes: int) -> bool:
    """Whether the last summed axis of x, which is not of size one, lies without gaps."""
    strides = [
        stride
        for size, stride in zip(x.shape[-summed_axes:], x.strides[-summed_axes:], strict=True)
        if size != 1
    ]
    return not strides or strides[-1] == 1


def _unpacked(weights: View | np.ndarray) -> View:
    """A view of the weights as they are given."""
    if isinstance(weights, View):
        return weights
    return View.whole(Buffer(Storage.WEIGHTS, str(weights.dtype), weights.size), weights.shape)


def _parts(size: int, step: int) -> Sequence[tuple[int, int]]:
    """Steps of a size and what is left: (size of a step, how many)."""
    whole, rest = divmod(size, step)
    return [part for part in ((step, whole), (rest, 1 if rest else 0)) if part[1]]
