"""Quantization-aware training as a move: the network trains as it will run on integers, then becomes QDQ.

Section 3 of arXiv 1712.05877, starting from trained weights. The original is the teacher, so labels are not
needed. Training is stored under what it was made from: it is never done twice, and a killed one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved
from taut.core.network import Network
from taut.core.task import Task
from taut.graph import Graph
from taut.graph.to_torch import to_torch
from taut.measure.lock import wait_while_timing
from taut.moves.quantize.placement import compute_nodes, with_joints
from taut.moves.quantize.prepare import prepare
from taut.moves.quantize.qat_net import QatNet, QatSettings
from taut.moves.quantize.targets import TARGETS
from taut.train.loop import Hooks
from taut.train.recipe import Recipe
from taut.train.store import Order, get_or_train
from taut.train.trainable import why_untrainable

# Shares of the training: ranges need a while to settle, and statistics of moving weights to follow them.
_FLOAT_SHARE = 0.1
_STATISTICS_SHARE = 0.5


@dataclass(frozen=True)
class Qat:
    """Train nodes on integers.

    Qat()                                    as StaticInt8() places them, for onnxruntime
    Qat(("conv1",), weight_bits=4)
    """

    nodes: tuple[str, ...] | None = None
    target: str = "onnxruntime"
    weight_bits: int = 8
    is_per_channel: bool = True
    epochs: float = 4.0
    lr: float = 0.01
    distill_share: float = 1.0
    """Weight of the original's outputs; the task's own loss has the rest"""
    kind = "qat"
    form = Form.MODULE

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise BadInput(
                f"target {self.target!r}", "has no integer kernels", f"one of: {', '.join(TARGETS)}"
            )

    def apply(self, network: Network, context: Context) -> Moved:
        """Return a copy with int8 kernels; BadInput where the network cannot be trained on the task."""
        reason = why_untrainable(network, context.task)
        if reason is not None:
            raise BadInput(f"qat of {network.name!r}", reason, "leave the move out")
        folded, names = prepare(network.graph, self.target)
        nodes = self.nodes
        if nodes is None:
            nodes = with_joints(folded, compute_nodes(folded, self.target), self.target)
        settings = QatSettings(nodes, self.target, self.weight_bits, self.is_per_channel)
        recipe = Recipe(
            self.epochs, lr=self.lr, distill_share=self.distill_share, gradient_clip=1.0, precision="float32"
        )
        job = QatJob(network.graph, settings, context.task, recipe, context.seed, _teacher(network, context))
        hooks = Hooks(context.progress, wait_while_timing)
        net = train_quantized(job, context.work_folder / "trained", hooks)
        return Moved(network.with_graph(net.to_qdq()), names)


def _teacher(network: Network, context: Context) -> Graph:
    graph: Graph = (context.original or network).graph
    return graph


@dataclass(frozen=True)
class QatJob:
    """A quantization-aware training by everything that decides its outcome.

    The steps at which activations are quantized and statistics freeze are set from the length of training.
    """

    graph: Graph
    settings: QatSettings
    task: Task
    recipe: Recipe
    seed: int = 0
    teacher: Graph | None = None

    def scheduled(self) -> QatSettings:
        """Return the settings with the steps of this training."""
        assert self.task.train is not None, "what is trained has a train split"
        steps = self.recipe.epochs * (len(self.task.train) // self.recipe.batch_size)
        given = {**asdict(self.settings), "activations_from_step": max(1, int(_FLOAT_SHARE * steps))}
        return QatSettings(**{**given, "statistics_until_step": int(_STATISTICS_SHARE * steps)})


def train_quantized(job: QatJob, store: Path, hooks: Hooks) -> QatNet:
    """Return the trained net, from the store or by training; in evaluation mode, activations quantized."""
    settings = job.scheduled()
    teacher = job.teacher if job.recipe.distill_share > 0 else None
    order = Order(
        spec=f"qat of graph {job.graph.digest()} {json.dumps(asdict(settings), sort_keys=True)}",
        build=lambda: QatNet(job.graph, settings),
        task=job.task,
        recipe=job.recipe,
        seed=job.seed,
        teacher=None if teacher is None else to_torch(teacher),
        teacher_digest="" if teacher is None else teacher.digest(),
    )
    net = get_or_train(order, store, hooks)
    assert isinstance(net, QatNet)
    net.switch_on()
    return net


@dataclass(frozen=True)
class QatKind:
    """Offers quantization-aware training where there is data to train on."""

    name: str = "qat"
    form: Form = Form.MODULE

    def offers(self, network: Network, context: Context) -> Sequence[Qat]:
        """Return the default training for each runtime here that has integer kernels."""
        if why_untrainable(network, context.task) is not None:
            return []
        targets = [name for name in TARGETS if name in context.device.runtimes]
        graphs = {target: prepare(network.graph, target)[0] for target in targets}
        return [Qat(target=target) for target, graph in graphs.items() if compute_nodes(graph, target)]

    def from_json(self, settings: Mapping[str, Any]) -> Qat:
        nodes = settings.get("nodes")
        return Qat(**{**settings, "nodes": None if nodes is None else tuple(nodes)})


KIND = QatKind()
