"""How much each unit of a group matters: one score per unit, summed over the group's members.

Scores are compared within a group only: how many units stay is decided elsewhere, by measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from taut.core.move import Context
from taut.core.task import Batch, Task
from taut.moves.prune.groups import Channels, Cut, Group
from taut.moves.prune.reconstruct import stored_moments
from taut.moves.prune.stored import stored_arrays
from taut.moves.prune.surgeon import surgeon_scores
from taut.moves.prune.trace import Role

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from taut.graph.to_torch import TorchGraph

SAMPLES = 256
"""Inputs whose gradients are looked at"""
BATCH = 32
"""Small: what adds up within a batch may cancel"""

Scores = Mapping[str, np.ndarray]
"""Group name -> one score per unit"""


class Importance(StrEnum):
    """Ways to score units."""

    L1 = "l1"
    """Norm of the filters that make the channel: Li et al. (arXiv 1608.08710)"""
    L1_INPUTS = "l1_inputs"
    """Norm of the weights that read it, as AMC does: He et al. (arXiv 1802.03494)"""
    BN_SCALE = "bn_scale"
    """Size of batch norm's factor: Liu et al. (arXiv 1708.06519); filter norm where a group has none"""
    TAYLOR = "taylor"
    """First-order change of the loss: Molchanov et al. (arXiv 1906.10771)"""
    SURGEON = "surgeon"
    """Error in what reads the channel after refitting it; filter norm where nothing can be refitted"""


def unit_scores(channels: Channels, importance: Importance, context: Context) -> Scores:
    """Score every unit of every group; what needs data is kept in the work folder once computed."""
    if importance is Importance.TAYLOR:
        return _stored(channels, context, importance, lambda: taylor_scores(channels, context.task))
    if importance is Importance.SURGEON:
        return _stored(channels, context, importance, lambda: _surgeon(channels, context))
    return {group.name: weight_scores(channels, group, importance) for group in channels.groups}


def weight_scores(channels: Channels, group: Group, importance: Importance) -> np.ndarray:
    """Score a group's units by its weights alone."""
    members = group.having(Role.CONSUMES if importance is Importance.L1_INPUTS else Role.PRODUCES)
    if importance is Importance.BN_SCALE:
        members = tuple(cut for cut in group.cuts if _is_scale(channels, cut)) or members
    # Members of different size count alike.
    norms = [_per_unit(cut, np.abs(channels.graph.constants[cut.constant])) for cut in members]
    return np.sum([norm / max(float(norm.mean()), 1e-12) for norm in norms], axis=0)


def best_units(group: Group, scores: np.ndarray, count: int) -> list[int]:
    """The highest scores, of every set that must not vanish at least the best; in order."""
    must = {max(subset, key=lambda unit: scores[unit]) for subset in group.subsets}
    rest = sorted(set(range(group.size)) - must, key=lambda unit: -scores[unit])
    return sorted([*must, *rest][: max(count, len(must))])


def _is_scale(channels: Channels, cut: Cut) -> bool:
    node = channels.graph.by_name[cut.node]
    return node.op == "BatchNormalization" and node.inputs[1] == cut.constant


def _per_unit(cut: Cut, array: np.ndarray) -> np.ndarray:
    """Sum an array of the constant's shape over everything but the units."""
    other_axes = tuple(axis for axis in range(array.ndim) if axis != cut.axis)
    sums = array.sum(axis=other_axes)
    return np.array([sums[list(positions)].sum() for positions in cut.positions])


def _stored(
    channels: Channels, context: Context, importance: Importance, compute: Callable[[], Scores]
) -> Scores:
    task = context.task
    made_from = f"{importance} {channels.graph.digest()} {task.name} {task.digest} {SAMPLES} {BATCH}"
    return stored_arrays(context.work_folder, made_from, [group.name for group in channels.groups], compute)


def _surgeon(channels: Channels, context: Context) -> Scores:
    moments = stored_moments(channels, context)
    found = {group.name: surgeon_scores(channels, group, moments) for group in channels.groups}
    return {
        name: weight_scores(channels, channels.by_name[name], Importance.L1) if scores is None else scores
        for name, scores in found.items()
    }


def taylor_scores(channels: Channels, task: Task) -> Scores:
    """Score units by the squared first-order change of the loss if their output were zero.

    The change is the sum of weight times gradient over what scales the unit's output: batch norms where the
    group has them, else filters and biases; squares are summed over batches. Without labels the loss is a
    random projection of the outputs, whose expected square is the squared change of the outputs themselves.
    Groups that no gradient reaches are scored by their filters' norm.
    """
    import torch

    from taut.graph.to_torch import follows_batch, to_torch

    assert task.train is not None, "Taylor scores need inputs"
    module = to_torch(channels.graph)
    random = torch.Generator().manual_seed(0)
    scores = {group.name: np.zeros(group.size) for group in channels.groups}
    for indices in _batches_of_some(len(task.train), BATCH if follows_batch(channels.graph) else 1):
        loss = _loss(module, task.train.take(indices), task, random)
        changes = _first_order_changes(module, loss)
        for group in channels.groups:
            for node in dict.fromkeys(cut.node for cut in _scaling_members(channels, group)):
                members = (cut for cut in _scaling_members(channels, group) if cut.node == node)
                known = [_per_unit(cut, changes[cut.constant]) for cut in members if cut.constant in changes]
                scores[group.name] += np.sum(known, axis=0) ** 2
    for group in channels.groups:
        if not scores[group.name].any():
            scores[group.name] = weight_scores(channels, group, Importance.L1)
    return scores


def _batches_of_some(count: int, batch_size: int) -> list[np.ndarray]:
    """Indices of at most SAMPLES samples, drawn without repetition."""
    chosen = np.random.default_rng(0).permutation(count)[:SAMPLES]
    return [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]


def _loss(module: TorchGraph, batch: Batch, task: Task, random: Generator) -> Tensor:
    import torch

    outputs = module(*[torch.from_numpy(np.ascontiguousarray(array)) for array in batch.inputs.values()])
    if task.loss is not None and batch.targets is not None:
        loss: Tensor = task.loss(outputs, torch.from_numpy(batch.targets))
        return loss
    floats = [output for output in outputs if output.is_floating_point()]
    powers = [output.detach().square().mean().sqrt().clamp_min(1e-12) for output in floats]
    noise = [torch.randn(output.shape, generator=random) for output in floats]
    return torch.stack([(o * n / p).sum() for o, n, p in zip(floats, noise, powers, strict=True)]).sum()


def _first_order_changes(module: TorchGraph, loss: Tensor) -> dict[str, np.ndarray]:
    """Constant name -> weight times gradient; constants that the loss does not depend on are left out."""
    module.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name: (weight.detach() * weight.grad).numpy()
        for name, weight in module.weights.items()
        if weight.grad is not None
    }


def _scaling_members(channels: Channels, group: Group) -> tuple[Cut, ...]:
    """What scales the unit's output: factor and offset of batch norms, else the producers."""
    carried = group.having(Role.CARRIES)
    norms = tuple(cut for cut in carried if channels.graph.by_name[cut.node].op == "BatchNormalization")
    producers = {cut.node for cut in group.having(Role.PRODUCES)}
    biases = tuple(cut for cut in carried if cut.node in producers)
    return norms or (*group.having(Role.PRODUCES), *biases)
