"""A task of the user's own: ``package.module:function`` is called without arguments and returns a Task."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Split, Task, batches
from taut.tasks.splits import digest_of

# Large enough that hashing is not slowed by Python, small enough for images of any size.
_HASH_BATCH = 64
# What goes wrong in a person's own code; a traceback through ours would only hide it.
_FAILURES = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def task_from_function(text: str) -> Task:
    """Import and call the function; BadInput where it cannot be had or returns something else."""
    function = imported_function(text, f"data {text!r}")
    try:
        task = function()
    except _FAILURES as error:
        rule = f"raised {type(error).__name__}: {error}"
        raise BadInput(f"data {text!r}", rule, "call the function by itself to debug it") from error
    if not isinstance(task, Task):
        rule = f"returned {type(task).__name__}, not a Task"
        raise BadInput(f"data {text!r}", rule, "return taut.core.task.Task(...)")
    return task if task.digest else replace(task, digest=digest_of(_content(task)))


def imported_function(text: str, given: str) -> Any:
    """Return what ``package.module:function`` names. Raises BadInput, about what was given."""
    module_name, _, name = text.partition(":")
    # An installed command does not look for modules where the user stands; `python -m` does.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module_name), name)
    except _FAILURES as error:
        way_out = "write package.module:function, importable from here"
        raise BadInput(given, f"cannot be imported: {error}", way_out) from error


def _content(task: Task) -> Iterator[np.ndarray | str]:
    """Everything the task holds; hashing the test split shows nothing of it to a search."""
    for split in (task.train, task.select, task.test.split):
        yield "split"
        if split is not None:
            yield from _arrays(split)


def _arrays(split: Split) -> Iterator[np.ndarray | str]:
    for batch in batches(split, _HASH_BATCH):
        for name, array in batch.inputs.items():
            yield name
            yield array
        if batch.targets is not None:
            yield batch.targets
