"""Quality of outputs in the terms of a task: its metrics, and likeness to the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from taut.core.errors import BadInput
from taut.core.quantities import Better, Quantity
from taut.core.task import Arrays, Task
from taut.graph.ir import Value
from taut.tasks import fidelity
from taut.tasks.drop import drop_quantity

COSINE = Quantity("cosine", "", Better.HIGHER, is_relative_allowed=False)
AGREE = Quantity("agree", "points", Better.HIGHER, is_relative_allowed=False)
SQNR = Quantity("sqnr", "dB", Better.HIGHER, is_relative_allowed=False)
FIDELITY = (COSINE, AGREE, SQNR)

# A guesser gets this many standard errors ahead of chance once in 40 times.
_CHANCE_ERRORS = 2.0


def quality_quantities(task: Task, outputs: Sequence[Value] | None = None) -> tuple[Quantity, ...]:
    """Return what a budget may say about quality: the task's metrics and ``drop``, and fidelity.

    ``drop`` needs labels. ``agree`` is left out where ``outputs`` (the network's) hold no labels.
    """
    metrics = tuple(metric.quantity for metric in task.metrics)
    drop = () if task.main_metric is None else (drop_quantity(task.main_metric),)
    likeness = FIDELITY if outputs is None or _has_labels(outputs) else (COSINE, SQNR)
    return (*drop, *metrics, *likeness)


def refuse_drop_without_labels(budget: str, task: Task) -> None:
    """Raise BadInput where a budget limits ``drop`` but the task has no labels."""
    if task.main_metric is None and "drop" in budget:
        raise BadInput(
            f"budget {budget!r}",
            f"drop needs labels, and data {task.name!r} has none",
            'limit fidelity to the original instead: "cosine>=0.999" or "agree>=99%"',
        )


def quality_of(
    task: Task, outputs: Sequence[Arrays], targets: np.ndarray | None, reference_outputs: Sequence[Arrays]
) -> dict[str, np.ndarray]:
    """Return one number per sample by quantity: the task's metrics, ``cosine``, ``sqnr`` and ``agree``.

    Outputs are one entry per sample, first axis 1 (``taut.tasks.items.by_sample``). ``agree`` is absent
    where the network gives no labels.
    """
    pairs = list(zip(outputs, reference_outputs, strict=True))
    found = {
        "cosine": np.array([fidelity.cosine_of(*pair) for pair in pairs]),
        "sqnr": np.array([fidelity.sqnr_of(*pair) for pair in pairs]),
    }
    agreements = [fidelity.agreement_of(*pair) for pair in pairs]
    if None not in agreements:
        found["agree"] = np.array(agreements, dtype=np.float64)
    if targets is not None:
        together = _together(outputs)
        found |= {metric.name: metric.per_sample(together, targets) for metric in task.metrics}
    return found


def summary(per_sample: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean of each quantity, and ``cosine_p1``, the 1st percentile of the cosine."""
    means = {name: float(values.mean()) for name, values in per_sample.items()}
    if "cosine" in per_sample:
        means["cosine_p1"] = float(np.percentile(per_sample["cosine"], 1))
    return means


def refuse_chance(task: Task, per_sample: np.ndarray) -> None:
    """Raise BadInput where the original's main metric is not clearly better than guessing."""
    metric = task.main_metric
    if metric is None or task.chance is None:
        return
    sign = 1.0 if metric.better is Better.HIGHER else -1.0
    lead = sign * (float(per_sample.mean()) - task.chance)
    if lead <= _CHANCE_ERRORS * float(per_sample.std()) / np.sqrt(len(per_sample)):
        raise BadInput(
            f"data {task.name!r}",
            f"the original reaches {metric.name} {per_sample.mean():.3g}, guessing reaches {task.chance:.3g}",
            "check that the classes and the preprocessing are those it was trained with",
        )


def _has_labels(outputs: Sequence[Value]) -> bool:
    """Whether the first output is integers or logits (batch, classes)."""
    first = outputs[0]
    is_integer = "float" not in first.dtype
    return is_integer or (first.shape is not None and len(first.shape) == 2 and first.shape[1] != 1)


def _together(outputs: Sequence[Arrays]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([sample[name] for sample in outputs]) for name in outputs[0]}
