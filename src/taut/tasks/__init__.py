"""Tasks: data, losses and metrics by which networks are judged. ``open_task`` is the front door."""

from __future__ import annotations

from taut.core.registry import Registry

TASKS = Registry("data")
"""Name before the colon -> TaskFactory; any other ``package.module:function`` is called for a Task."""

TASKS.register("digits", "taut.tasks.digits:open_digits", extra="train")
TASKS.register("cifar10", "taut.tasks.cifar10:open_cifar10", extra="train")
TASKS.register("folder", "taut.tasks.folder:open_folder", extra="train")
TASKS.register("npz", "taut.tasks.npz:open_npz")
TASKS.register("random", "taut.tasks.random:open_random")
