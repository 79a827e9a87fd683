"""A graph as a torch module: node by node, with its weights as parameters, and back.

Nodes that torch has no match for run whole through onnxruntime and stop gradients; ``opaque`` names them.
Shapes are those that the graph declares, save the batch: ``follows_batch`` tells whether that may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from taut.graph.ir import Graph, Value
from taut.graph.torch_ops.base import Modes, Run
from taut.graph.torch_ops.program import Program, Step, compile_graph
from taut.graph.torch_ops.tensors import to_array, to_tensor, torch_dtype
from taut.graph.torch_ops.weights import with_own_statistics


def to_torch(graph: Graph) -> TorchGraph:
    """Return a module, in evaluation mode, that computes the graph."""
    module = TorchGraph(graph)
    module.eval()
    return module


class TorchGraph(nn.Module):
    """Takes tensors in the order of the graph's inputs, returns a tuple in the order of its outputs.

    In training mode batch norm uses the batch's statistics and moves the stored ones.

        module = to_torch(graph)
        (logits,) = module(images)
        module.weights["conv1.weight"]        the parameter of a constant
        module.to_graph()                     the same graph with the weights as they are now
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = with_own_statistics(graph)
        program = compile_graph(self._graph)
        self._inputs = tuple(value.name for value in graph.inputs)
        self._outputs = tuple(value.name for value in graph.outputs)
        self._opaque = tuple(program.opaque)
        self._keys = self._register(program)
        self._steps = tuple(_with_keys(step, self._keys) for step in program.steps)

    @property
    def opaque(self) -> tuple[str, ...]:
        """Names of the nodes that onnxruntime runs and that stop gradients."""
        return self._opaque

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The parameters, by the names of the graph's constants."""
        keys = self._keys.items()
        return {name: weight for name, key in keys if (weight := self._parameters.get(key)) is not None}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = self.values_of(inputs, self._outputs)
        return tuple(values[name] for name in self._outputs)

    def values_of(self, inputs: Sequence[Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """Return the named values, intermediate ones included, for inputs in the graph's order.

        Raises KeyError for a value that is not there or that depends on no input and no weight.
        """
        wanted = dict.fromkeys(names)
        values: dict[str, Tensor] = {**self._parameters, **self._buffers, "": None}  # type: ignore[dict-item]
        values.update(zip(self._inputs, inputs, strict=True))
        for step in self._steps:
            run = step.modes.train if self.training else step.modes.evaluate
            result = run(*[values[name] for name in step.inputs])
            results = result if isinstance(result, (tuple, list)) else (result,)
            values.update(zip(step.outputs, results, strict=False))
            for name in step.done:
                if name not in wanted:
                    values.pop(name)
        return {name: values[self._keys.get(name, name)] for name in wanted}

    def wrap(self, node: str, around: Callable[[Run], Run]) -> None:
        """Let a node be computed by ``around(run)``, where ``run`` is what computes it now, in both modes.

        A run takes the tensors of the node's inputs and returns that of its output. Raises KeyError where
        no such node runs at each call.
        """
        if all(step.node != node for step in self._steps):
            raise KeyError(node)
        self._steps = tuple(
            replace(step, modes=Modes(around(step.modes.evaluate), around(step.modes.train)))
            if step.node == node
            else step
            for step in self._steps
        )

    def to_graph(self) -> Graph:
        """Return the graph with the current weights and running statistics, under the same names."""
        tensors = self.state_dict(keep_vars=True)
        learned = {name: to_array(tensors[key]) for name, key in self._keys.items() if key in tensors}
        return replace(self._graph, constants={**self._graph.constants, **learned})

    def _register(self, program: Program) -> dict[str, str]:
        """Register weights, state, and what else is read at run time; name of value -> name of attribute."""
        taken = {name for step in program.steps for name in (*step.inputs, *step.outputs)} | set(self._inputs)
        keys: dict[str, str] = {}
        for name, array in self._graph.constants.items():
            if name in program.weights:
                keys[name] = self._free_key(name, taken)
                self.register_parameter(keys[name], nn.Parameter(to_tensor(array)))
            elif name in program.state:
                keys[name] = self._free_key(name, taken)
                self.register_buffer(keys[name], to_tensor(array))
        for name in program.known_at_run_time(self._outputs):
            keys[name] = self._free_key(name, taken)
            self.register_buffer(keys[name], to_tensor(program.known[name]), persistent=False)
        return keys

    def _free_key(self, name: str, taken: set[str]) -> str:
        """A module's attribute may hold no dot, and must not hide another one or a value."""
        key = name.replace(".", "/") or "_"
        while hasattr(self, key) or (key != name and key in taken):
            key += "_"
        return key


def _with_keys(step: Step, keys: Mapping[str, str]) -> Step:
    return replace(step, inputs=tuple(keys.get(name, name) for name in step.inputs))


def follows_batch(graph: Graph) -> bool:
    """Tell whether two batches given as one come out as each alone does; tried once, on random inputs.

    False where the graph mixes samples, or fixes the batch in a way that cannot be followed.
    """
    module = to_torch(graph)
    random = torch.Generator().manual_seed(0)
    halves = [[_random_input(value, random) for value in graph.inputs] for _ in range(2)]
    if any(tensor.dim() == 0 for tensor in halves[0]):
        return False
    with torch.no_grad():
        alone = [module(*half) for half in halves]
        try:
            together = module(*[torch.cat(pair) for pair in zip(*halves, strict=True)])
        except (RuntimeError, IndexError, ValueError):
            return False
    wanted = [torch.cat(pair) if pair[0].dim() else pair[0] for pair in zip(*alone, strict=True)]
    return all(_is_close(got, want) for got, want in zip(together, wanted, strict=True))


def _random_input(value: Value, random: torch.Generator) -> Tensor:
    """Whole numbers are 0 or 1, which every index and mask allows."""
    dtype = torch_dtype(value.dtype)
    if dtype.is_floating_point:
        return torch.randn(value.static_shape, generator=random).to(dtype)
    return torch.randint(0, 2, value.static_shape, generator=random).to(dtype)


def _is_close(got: Tensor, wanted: Tensor) -> bool:
    if got.shape != wanted.shape:
        return False
    # 1e-3 of the largest: kernels for other batch sizes add up in another order.
    bound = 1e-3 * max(float(wanted.abs().max()), 1e-6) if wanted.numel() else 0.0
    return bool(torch.all((got.double() - wanted.double()).abs() <= bound))
