"""A task over random pictures whose labels come from a network, and the context to apply moves in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.moves.prune.prune_nets import Net

from taut.core.device import Device
from taut.core.move import Context
from taut.core.network import Network, Part
from taut.core.task import ArraySplit, Sealed, Task
from taut.graph import Graph
from taut.tasks.classification import ACCURACY, classification_loss

DEVICE = Device("here", "none", "none", 1, 2**30, (), {})


def small_graph(seed: int = 0) -> Graph:
    """conv(8)-bn-relu-conv(12)-relu-pool-linear on (1, 3, 6, 6)."""
    net = Net(seed)
    data = net.node("Relu", net.batch_norm(net.conv("image", (8, 3), "first"), 8, "bn"))
    data = net.node("Relu", net.conv(data, (12, 8), "second"))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", data), axis=1)
    graph = net.graph(net.linear(pooled, 12, 5, "head"))
    constants = graph.constants
    constants["bn.scale"][:] = 1 + 0.2 * constants["bn.scale"]  # no unit is dead or the only one that matters
    constants["bn.mean"][:] = 0  # what pictures of noise have
    constants["bn.var"][:] = np.square(constants["first.weight"]).sum(axis=(1, 2, 3))
    return graph


def small_network(seed: int = 0) -> Network:
    return Network("small", {"main": Part(small_graph(seed))})


def toy_task(samples: int = 96, has_labels: bool = True) -> Task:
    """Pictures (3, 6, 6) in five classes, which are where a fixed random direction points."""
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((samples, 3, 6, 6)).astype(np.float32)
    labels = (pictures.reshape(samples, -1) @ rng.standard_normal((108, 5))).argmax(axis=1)
    split = ArraySplit({"image": pictures}, labels if has_labels else None)
    if not has_labels:
        return Task("toy", split, split, Sealed(split), (), digest="toy")
    return Task("toy", split, split, Sealed(split), (ACCURACY,), classification_loss, digest="toy")


def toy_context(folder: Path, samples: int = 96, has_labels: bool = True) -> Context:
    return Context(toy_task(samples, has_labels), DEVICE, folder, original=small_network())
