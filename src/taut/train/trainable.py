"""Whether a network's graph can be trained on a task at all."""

from __future__ import annotations

from taut.core.network import Network
from taut.core.task import Task
from taut.graph.to_torch import follows_batch, to_torch

MIN_SAMPLES = 1000
"""Inputs in the train split; with fewer a student learns them by heart"""


def why_untrainable(network: Network, task: Task) -> str | None:
    """Return why a network cannot be trained on a task; None where it can."""
    if task.train is None or task.is_random or len(task.train) < MIN_SAMPLES:
        return f"needs at least {MIN_SAMPLES} real inputs in the train split"
    if network.feedback:
        return "the training loop does not feed recurrent state back"
    if opaque := to_torch(network.graph).opaque:
        return f"gradients stop at {opaque[0]!r}, which torch does not know"
    if not follows_batch(network.graph):
        return "the network fixes its batch of one"
    return None
