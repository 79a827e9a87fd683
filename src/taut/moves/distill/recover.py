"""The move ``recover``: trains what earlier moves left of the weights, with the original as teacher.

The graph becomes a torch module, is trained by the one training loop, and becomes a graph again. Training is
stored under what it was made from, so the same recovery is never done twice and a killed one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved
from taut.core.network import Network
from taut.graph.ir import Graph
from taut.graph.to_torch import TorchGraph, to_torch
from taut.measure.lock import wait_while_timing
from taut.train.loop import Hooks, train
from taut.train.recipe import Recipe
from taut.train.store import Order, get_or_train
from taut.train.trainable import why_untrainable

MEASURED_EPOCHS = 0.1
MEASURED_STEPS = 8
"""At least, on top of the first: one step alone has no duration"""


@dataclass(frozen=True)
class Recover:
    """Train by the task's loss and the original's outputs, as the recipe of the same fields says."""

    epochs: float = 4.0
    lr: float = 0.05
    distill_share: float = 0.9
    """Weight of the original's outputs; 1 needs no labels"""
    temperature: float = 4.0
    batch_size: int = 128
    weight_decay: float = 5e-4
    warmup_share: float = 0.1
    gradient_clip: float | None = None
    precision: str = "bfloat16"
    kind = "recover"
    form = Form.MODULE

    def apply(self, network: Network, context: Context) -> Moved:
        """Return the network with trained weights; BadInput where it cannot be trained on this task."""
        _refuse_untrainable(network, context)
        hooks = Hooks(context.progress, wait_while_timing)
        module = get_or_train(self._order(network.graph, context), context.work_folder / "trained", hooks)
        assert isinstance(module, TorchGraph)
        return Moved(network.with_graph(module.to_graph()))

    def epoch_s(self, network: Network, context: Context) -> float:
        """Measure the seconds of one epoch on a tenth of one or a few steps; the result is thrown away."""
        _refuse_untrainable(network, context)
        order = self._order(network.graph, context)
        assert context.task.train is not None
        epochs = max(MEASURED_EPOCHS, MEASURED_STEPS * self.batch_size / len(context.task.train))
        recipe = Recipe(**{**asdict(order.recipe), "epochs": epochs})
        watch = _Watch()
        hooks = Hooks(watch.note, wait_while_timing)
        train(order.build(), context.task, recipe, seed=context.seed, teacher=order.teacher, hooks=hooks)
        return watch.seconds_of_all() / epochs

    def _order(self, graph: Graph, context: Context) -> Order:
        assert context.original is not None, "recovery needs the original as teacher"
        original = context.original.graph
        return Order(
            spec=f"graph {graph.digest()}",
            build=lambda: module_to_train(graph),
            task=context.task,
            recipe=Recipe(**asdict(self)),
            seed=context.seed,
            teacher=module_to_train(original) if self.distill_share > 0 else None,
            teacher_digest=original.digest() if self.distill_share > 0 else "",
        )


def module_to_train(graph: Graph) -> TorchGraph:
    """Return a module of the graph whose kernels lie as the loop lays out images, which trains faster."""
    module = to_torch(graph)
    for weight in module.weights.values():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return module


@dataclass
class _Watch:
    """Time and share done of each step but the first, which warms up."""

    steps: list[tuple[float, float]] = field(default_factory=list)

    def note(self, _what: str, share: float) -> None:
        self.steps.append((time.monotonic(), share))

    def seconds_of_all(self) -> float:
        (start_s, start), (end_s, end) = self.steps[0], self.steps[-1]
        return (end_s - start_s) / max(end - start, 1e-9)  # a single step has no duration


def _refuse_untrainable(network: Network, context: Context) -> None:
    reason = why_untrainable(network, context.task)
    if reason is not None:
        raise BadInput(f"recover {network.name!r}", reason, "leave the move out")


@dataclass(frozen=True)
class RecoverKind:
    """Offers one recovery, fit for whether there are labels and batch norms."""

    name: str = "recover"
    form: Form = Form.MODULE

    def offers(self, network: Network, context: Context) -> Sequence[Recover]:
        """Return the default recovery; none where the network cannot be trained on the task."""
        if context.original is None or why_untrainable(network, context.task) is not None:
            return ()
        assert context.task.train is not None
        has_labels = context.task.loss is not None and context.task.train.has_targets
        share = Recover.distill_share if has_labels else 1.0
        if any(node.op == "BatchNormalization" for node in network.graph):
            return (Recover(distill_share=share),)
        # Without norms (folded on export) the rates of training from scratch diverge.
        return (Recover(distill_share=share, lr=0.01, gradient_clip=1.0),)

    def from_json(self, settings: Mapping[str, Any]) -> Recover:
        return Recover(**settings)


KIND = RecoverKind()
