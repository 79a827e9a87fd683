"""The store of trained nets: what was trained once is found again by what it was made from.

An entry is ``KEY.safetensors`` beside ``KEY.json`` (what it was made from, hash of the weights, versions,
date). The JSON is written last, so an entry is whole or not there; one whose weights do not match it is
trained again. Two processes that train one net at the same time do the work twice and write the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from taut.core.errors import EnvironmentFailed
from taut.core.move import Progress
from taut.core.task import Task
from taut.train.loop import Hooks, checkpoint_file, train
from taut.train.recipe import Recipe

SCHEMA = 1


@dataclass(frozen=True)
class Order:
    """A net to be trained, by everything that decides its weights."""

    spec: str
    """Name and version of the structure, or the digest of a graph with its weights"""
    build: Callable[[], nn.Module]
    """Called with torch's generator seeded"""
    task: Task
    recipe: Recipe
    seed: int = 0
    teacher: nn.Module | None = None
    teacher_digest: str = ""

    def __post_init__(self) -> None:
        if bool(self.teacher_digest) != (self.teacher is not None):
            raise ValueError("a teacher needs a digest: it decides the weights")
        if not self.task.digest:
            raise ValueError(f"task {self.task.name} has no digest: its data decides the weights")

    def made_from(self) -> dict[str, Any]:
        """Return what the key is the hash of, as plain data."""
        return {
            "schema": SCHEMA,
            "spec": self.spec,
            "recipe": asdict(self.recipe),
            "task": self.task.name,
            "data": self.task.digest,
            "seed": self.seed,
            "teacher": self.teacher_digest,
            "torch": torch.__version__.split(".")[0],
        }

    def key(self) -> str:
        text = json.dumps(self.made_from(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def get_or_train(order: Order, folder: Path, hooks: Hooks | None = None) -> nn.Module:
    """Return the trained net, from the store in ``folder`` or by training it there; in evaluation mode.

    Training that was cut short goes on where it was. Raises EnvironmentFailed where the folder cannot be
    written, and whatever ``train`` raises.
    """
    entry, hooks = _Entry(folder, order.key()), hooks or Hooks()
    module = _built(order)
    state = entry.read()
    if state is not None:
        module.load_state_dict(state)
        return module.eval()
    entry.prepare(hooks.progress)
    try:
        train(
            module,
            order.task,
            order.recipe,
            seed=order.seed,
            teacher=order.teacher,
            checkpoint=entry.checkpoint,
            hooks=hooks,
        )
    except SafetensorError as error:
        raise entry.cannot_write(error) from error
    entry.write(module.state_dict(), order)
    return module


def _built(order: Order) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(order.seed)
        return order.build()


@dataclass(frozen=True)
class _Entry:
    """The files of one trained net."""

    folder: Path
    key: str

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.key}.safetensors"

    @property
    def description(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.key}.training"

    def prepare(self, progress: Progress) -> None:
        """Make the folder, and say so where an entry that was finished once has to be made again."""
        if self.description.exists():
            progress(f"stored weights {self.weights.name} are damaged: training again", 0.0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.cannot_write(error) from error

    def read(self) -> dict[str, Tensor] | None:
        """Return the weights; None where the entry is not there or not what it was."""
        try:
            description = json.loads(self.description.read_text())
            content = self.weights.read_bytes()
        except (OSError, ValueError):
            return None
        if (
            not isinstance(description, dict)
            or description.get("sha256") != hashlib.sha256(content).hexdigest()
        ):
            return None
        return load(content)

    def write(self, state: dict[str, Tensor], order: Order) -> None:
        """Write weights, then what they were made from; the checkpoint goes."""
        content = save({name: tensor.contiguous().clone() for name, tensor in state.items()})
        description = {
            "made_from": order.made_from(),
            "sha256": hashlib.sha256(content).hexdigest(),
            "torch": torch.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            _replace(self.weights, content)
            _replace(self.description, json.dumps(description, indent=1).encode())
            checkpoint_file(self.checkpoint).unlink(missing_ok=True)
        except OSError as error:
            raise self.cannot_write(error) from error

    def cannot_write(self, error: Exception) -> EnvironmentFailed:
        return EnvironmentFailed(f"store {self.folder}", f"cannot be written: {error}", "free or name space")


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(content)
    partial.replace(file)
