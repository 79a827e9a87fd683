"""Chains in stripes compute what the same kernels compute layer by layer, in a small part of the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from programs import TARGETS, needs_compiler, relative_error, run_compiled

from taut.graph.ir import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.kernels.target import Target
from taut.kernels.view import Storage
from taut.runtimes.aot.depth_first import depth_first
from taut.runtimes.aot.lower import lower
from taut.runtimes.aot.program import Program, run_plainly

SMALL_CACHE = 48_000
"""Bytes, so that small values count as large"""
Shape = tuple[int, int, int, int]


@dataclass
class Chain:
    """A network that is being written; pictures lie channels last outside, as they do inside."""

    shape: Shape
    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.data = self.node("Transpose", "image", perm=[0, 3, 1, 2])
        self.channels = self.shape[3]

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        self.data = f"{op}{len(self.nodes)}"
        self.nodes.append(Node(self.data, op, inputs, (self.data,), attributes))
        return self.data

    def conv(self, out: int, size: int, groups: int = 1, stride: int = 1, dilation: int = 1) -> None:
        weight, bias = f"weight{len(self.nodes)}", f"bias{len(self.nodes)}"
        shape = (out, self.channels // groups, size, size)
        scale = (self.channels // groups * size * size) ** -0.5
        self.constants[weight] = (scale * self.random.standard_normal(shape)).astype(np.float32)
        self.constants[bias] = self.random.standard_normal(out).astype(np.float32)
        sizes = {
            "pads": [dilation * (size // 2)] * 4,
            "strides": [stride] * 2,
            "dilations": [dilation] * 2,
        }
        self.node("Conv", self.data, weight, bias, group=groups, **sizes)
        self.channels = out

    def graph(self) -> Graph:
        output = self.node("Transpose", self.data, perm=[0, 2, 3, 1])
        image, made = Value("image", "float32", self.shape), Value(output, "float32", (None,) * 4)
        return with_shapes(Graph("chain", (image,), (made,), tuple(self.nodes), self.constants))

    @property
    def image(self) -> np.ndarray:
        return np.random.default_rng(1).standard_normal(self.shape).astype(np.float32)


def conv_first(shape: Shape) -> Chain:
    """Grouped 3x3, expand, ReLU, project, and the input again."""
    chain = Chain(shape)
    start = chain.data
    chain.conv(shape[3], 3, groups=shape[3] // 8)
    chain.conv(4 * shape[3], 1)
    chain.node("Relu", chain.data)
    chain.conv(shape[3], 1)
    chain.node("Add", start, chain.data)
    return chain


def mb_conv(shape: Shape) -> Chain:
    """Expand, ReLU, depthwise 3x3, ReLU, project, and the input again."""
    chain = Chain(shape)
    start = chain.data
    chain.conv(6 * shape[3], 1)
    chain.node("Relu", chain.data)
    chain.conv(6 * shape[3], 3, groups=6 * shape[3])
    chain.node("Relu", chain.data)
    chain.conv(shape[3], 1)
    chain.node("Add", start, chain.data)
    return chain


def any_chain(seed: int) -> Chain:
    """Some layers of any kind, some of them around a shortcut."""
    random = np.random.default_rng(seed)
    size = (int(random.integers(1, 4)), *map(int, random.integers(15, 40, 2)), 8)
    chain = Chain(size, seed)
    for _ in range(int(random.integers(3, 7))):
        start = chain.data
        kind = random.integers(0, 7)
        if kind == 0:
            chain.conv(int(random.integers(3, 50)), 1)
        elif kind == 1:
            chain.conv(chain.channels, 3, groups=chain.channels, stride=int(random.integers(1, 3)))
        elif kind == 2:
            chain.conv(16, 3, dilation=int(random.integers(1, 3)))
        elif kind == 3:
            chain.node("MaxPool", chain.data, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 2])
        elif kind == 4:
            chain.conv(chain.channels, 5, groups=chain.channels)
            chain.node("Add", start, chain.data)
        elif kind == 5:
            chain.conv(chain.channels, 1)
            chain.node("Sigmoid", chain.data)
            chain.node("Mul", start, chain.data)
        else:
            chain.conv(24, 3, stride=3)
    return chain


BLOCKS: Sequence[Callable[[Shape], Chain]] = (conv_first, mb_conv)
SHAPES = ((1, 13, 17, 16), (4, 11, 9, 16), (1, 30, 8, 16), (4, 7, 23, 8))


@needs_compiler
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("block", BLOCKS)
def test_block_in_stripes_equals_the_layers(block: Callable[[Shape], Chain], target: Target) -> None:
    for shape in SHAPES:
        chain = block(shape)
        program = lower(chain.graph())
        striped = depth_first(program, SMALL_CACHE)
        assert len(striped.steps) > 2 * len(program.steps)
        (layers,), (made,) = run_plainly(program, [chain.image]), run_compiled(striped, [chain.image], target)
        assert relative_error(made, layers) <= 1e-5


@needs_compiler
def test_threads_share_a_stripe() -> None:
    chain = mb_conv((4, 33, 35, 16))
    program = lower(chain.graph())
    (layers,), (made,) = (
        run_compiled(one, [chain.image], threads=2) for one in (program, depth_first(program, SMALL_CACHE))
    )
    assert relative_error(made, layers) <= 1e-5


@pytest.mark.parametrize("seed", range(30))
def test_any_chain_in_stripes_equals_the_layers(seed: int) -> None:
    chain = any_chain(seed)
    program = lower(chain.graph())
    striped = depth_first(program, SMALL_CACHE)
    (layers,), (made,) = (run_plainly(one, [chain.image]) for one in (program, striped))
    assert relative_error(made, layers) <= 1e-5


def test_most_random_chains_are_in_stripes() -> None:
    programs = [lower(any_chain(seed).graph()) for seed in range(30)]
    changed = [len(depth_first(one, SMALL_CACHE).steps) > len(one.steps) for one in programs]
    assert sum(changed) >= 15


def test_stripes_fit_into_the_cache_and_workspace_shrinks() -> None:
    cache = 2**19
    for block in BLOCKS:
        program = lower(block((1, 56, 56, 32)).graph())
        striped = depth_first(program, cache)
        assert _largest(program) > cache > striped.memory.bytes - _output_bytes(striped)
        assert striped.memory.bytes <= program.memory.bytes / 4


def _largest(program: Program) -> int:
    views = [view for step in program.steps for view in step.kernel.writes]
    return max(view.buffer.bytes for view in views if view.buffer.storage is Storage.ARENA)


def _output_bytes(program: Program) -> int:
    return sum(buffer.bytes for buffer in program.outputs)


def test_no_product_is_computed_twice() -> None:
    for block in BLOCKS:
        program = lower(block((1, 40, 24, 16)).graph())
        striped = depth_first(program, SMALL_CACHE)
        work = [
            sum(step.kernel.multiply_adds for step in one.steps if step.kernel.name in ("conv", "depthwise"))
            for one in (program, striped)
        ]
        assert work[0] == work[1] > 0


def test_nothing_changes_where_all_fits_into_the_cache() -> None:
    program = lower(mb_conv((1, 13, 17, 16)).graph())
    assert depth_first(program, 2**20).steps == program.steps


def test_value_that_is_read_later_stays_whole() -> None:
    """The sum over the picture reads all rows of the expanded value at once."""
    chain = Chain((1, 20, 20, 16))
    chain.conv(96, 1)
    expanded = chain.data
    chain.node("GlobalAveragePool", expanded)
    chain.node("Mul", expanded, chain.data)
    chain.conv(16, 1)
    program = lower(chain.graph())
    striped = depth_first(program, SMALL_CACHE)
    (layers,), (made,) = (run_plainly(one, [chain.image]) for one in (program, striped))
    assert relative_error(made, layers) <= 1e-5


@pytest.mark.parametrize("batch", [1, 4])
def test_blocks_equal_torch(batch: int) -> None:
    torch = pytest.importorskip("torch")
    from taut.nets.convfirst import ConvFirst

    torch.manual_seed(0)
    block = ConvFirst(16, expansion=4).eval()
    chain = conv_first((batch, 15, 21, 16))
    layers = [name for name in chain.constants if name.startswith("weight")]
    for name, module in zip(layers, (block.spatial, block.expand, block.project), strict=True):
        chain.constants[name] = module.weight.detach().numpy()
        bias = torch.zeros(16) if module.bias is None else module.bias.detach()
        chain.constants[name.replace("weight", "bias")] = bias.numpy()
    block.norm = torch.nn.Identity()
    with torch.no_grad():
        wanted = block(torch.from_numpy(chain.image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    striped = depth_first(lower(chain.graph()), SMALL_CACHE)
    assert len(striped.steps) > 20
    assert relative_error(run_plainly(striped, [chain.image])[0], wanted) <= 1e-4
