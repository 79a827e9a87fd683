"""The front door of tasks: what a user writes after ``--data`` becomes a Task that fits the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taut.core.errors import BadInput
from taut.core.task import Task
from taut.graph.ir import Value
from taut.tasks import TASKS
from taut.tasks.base import Interface
from taut.tasks.function import task_from_function
from taut.tasks.matching import matched


def open_task(
    text: str, inputs: Sequence[Value], feedback: Mapping[str, str], highest: Mapping[str, int] | None = None
) -> Task:
    """Open ``digits``, ``cifar10``, ``folder:DIR``, ``npz:FILE``, ``package.module:function`` or ``random``.

    ``inputs`` are the network's; those that ``feedback`` (output -> input) fills are recurrent state and
    not part of the data. ``highest`` bounds made-up integers (``taut.tasks.random.highest_indices``).
    The task's inputs come back under the network's names, in its order. Raises BadInput where the data
    cannot be had or does not fit.
    """
    interface = Interface.of(inputs, feedback, highest)
    name, colon, argument = text.partition(":")
    if name in TASKS:
        return matched(TASKS.load(name)(argument, interface), interface)
    if not colon:
        known = ", ".join((*TASKS, "package.module:function"))
        raise BadInput(f"data {text!r}", "is not known", f"one of: {known}")
    return matched(task_from_function(text), interface)
