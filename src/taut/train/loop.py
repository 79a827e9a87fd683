"""The one training loop: task loss and distillation, averaged weights, schedules, exact resume.

Order and augmentation of samples are drawn from (seed, epoch) and (seed, step), so the state to keep is
weights, momentum, averaged weights and the step; a killed run goes on to the same bits it would have had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from taut.core.move import Progress, no_progress
from taut.core.task import Batch, Split, Task
from taut.train.losses import distillation_loss
from taut.train.precision import forward_in
from taut.train.recipe import Recipe

SAVE_EVERY_STEPS = 200


@dataclass(frozen=True)
class Hooks:
    """What the loop calls while it works."""

    progress: Progress = no_progress
    pause: Callable[[], None] = lambda: None
    """Called between steps; may block while someone times"""
    after_step: Callable[[nn.Module, int], None] = lambda _module, _step: None
    """(module, steps done) after each step: masks, range freezing, schedules of a method"""


def train(
    module: nn.Module,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    hooks: Hooks | None = None,
) -> nn.Module:
    """Train the module in place on the task's train split and return it, in evaluation mode.

    The module takes the task's inputs in order and returns a tensor or a sequence of tensors; a teacher
    likewise, and it is put into evaluation mode. With ``checkpoint`` (a file, ``.safetensors`` is added)
    progress is kept there and taken up again. Raises ValueError where the recipe needs labels or a teacher
    that are not there or the checkpoint is of another run, FloatingPointError on a loss that is not finite.
    """
    split, hooks = _checked_split(task, recipe, teacher), hooks or Hooks()
    run = _Training.begin(module, recipe, len(split), seed)
    if checkpoint is not None:
        run.resume(checkpoint)
    module.train()
    with torch.random.fork_rng(devices=[]):
        for batch in run.remaining_batches(split, task):
            run.step(_loss(module, batch, task, recipe, teacher))
            hooks.after_step(module, run.done)
            hooks.progress("training", run.done / run.steps)
            if checkpoint is not None and run.done % SAVE_EVERY_STEPS == 0:
                run.save(checkpoint)
            hooks.pause()
    run.finish()
    if checkpoint is not None:
        run.save(checkpoint)
    return module.eval()


def as_sequence(outputs: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    """Return a module's outputs as a sequence, whatever it returned."""
    return [outputs] if isinstance(outputs, Tensor) else outputs


def as_tensors(batch: Batch) -> list[Tensor]:
    """Return the batch's inputs in order; images are laid out channels last, which trains faster on CPU."""
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in batch.inputs.values()]
    return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]


def _checked_split(task: Task, recipe: Recipe, teacher: nn.Module | None) -> Split:
    if task.train is None or len(task.train) == 0:
        raise ValueError(f"task {task.name} has no train split")
    if recipe.distill_share > 0:
        if teacher is None:
            raise ValueError("the recipe distils, but no teacher was given")
        teacher.eval()
    if recipe.distill_share < 1 and (task.loss is None or not task.train.has_targets):
        raise ValueError(f"task {task.name} has no labels: use distill_share=1")
    return task.train


def _loss(module: nn.Module, batch: Batch, task: Task, recipe: Recipe, teacher: nn.Module | None) -> Tensor:
    inputs = as_tensors(batch)
    with forward_in(recipe.precision):
        outputs = [output.float() for output in as_sequence(module(*inputs))]
        loss = torch.zeros(())
        if recipe.distill_share < 1:
            assert task.loss is not None and batch.targets is not None
            loss = (1 - recipe.distill_share) * task.loss(outputs, torch.from_numpy(batch.targets))
        if recipe.distill_share > 0:
            assert teacher is not None
            with torch.no_grad():
                wanted = as_sequence(teacher(*inputs))
            loss = loss + recipe.distill_share * distillation_loss(outputs, wanted, recipe.temperature)
    return loss


@dataclass
class _Training:
    """Optimiser, averaged weights and position of one run."""

    module: nn.Module
    recipe: Recipe
    seed: int
    samples: int
    steps: int
    optimizer: torch.optim.SGD
    averaged: dict[str, Tensor] | None
    done: int = 0

    @staticmethod
    def begin(module: nn.Module, recipe: Recipe, samples: int, seed: int) -> _Training:
        steps = max(1, round(recipe.epochs * _steps_per_epoch(samples, recipe)))
        averaged = None
        if recipe.ema_decay is not None:
            averaged = {name: value.detach().clone() for name, value in _float_state(module).items()}
        return _Training(module, recipe, seed, samples, steps, _optimizer(module, recipe), averaged)

    def remaining_batches(self, split: Split, task: Task) -> Iterator[Batch]:
        per_epoch = _steps_per_epoch(self.samples, self.recipe)
        for step in range(self.done, self.steps):
            epoch, position = divmod(step, per_epoch)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.samples)
            size = self.recipe.batch_size
            batch = split.take(order[position * size : (position + 1) * size])
            if task.augment is not None:
                rng = np.random.default_rng((self.seed, 1, step))
                batch = Batch(task.augment(batch.inputs, rng), batch.targets)
            torch.manual_seed(_dropout_seed(self.seed, step))
            yield batch

    def step(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.done}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr_at(self.done, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        self.done += 1
        self._average()

    def _average(self) -> None:
        if self.averaged is None:
            return
        assert self.recipe.ema_decay is not None
        # Young averages must not be dominated by the initial weights.
        decay = min(self.recipe.ema_decay, (1 + self.done) / (10 + self.done))
        for name, value in _float_state(self.module).items():
            self.averaged[name].lerp_(value.detach(), 1 - decay)

    def finish(self) -> None:
        if self.averaged is not None:
            self.module.load_state_dict(self.averaged, strict=False)

    def save(self, checkpoint: Path) -> None:
        """Write weights and momentum, then the position in one file, replaced whole."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in (self.averaged or {}).items()}
        for index, parameter in enumerate(self.module.parameters()):
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{index}"] = momentum
        partial = checkpoint.with_name(checkpoint.name + ".partial")
        metadata = {"taut": json.dumps({"done": self.done, **self._identity()})}
        # Cloned: safetensors refuses tensors that share memory, as tied weights do.
        save_file({name: value.contiguous().clone() for name, value in tensors.items()}, partial, metadata)
        partial.replace(checkpoint_file(checkpoint))

    def resume(self, checkpoint: Path) -> None:
        file = checkpoint_file(checkpoint)
        if not file.exists():
            return
        position = _position(file)
        done = position.pop("done")
        if position != self._identity():
            raise ValueError(f"{file.name} is of another run: {position}")
        tensors = load_file(file)
        self.module.load_state_dict(_with_prefix(tensors, "module."))
        if self.averaged is not None:
            self.averaged = _with_prefix(tensors, "averaged.")
        for index, parameter in enumerate(self.module.parameters()):
            if f"momentum.{index}" in tensors:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{index}"]
        self.done = done

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the run that takes it up, as JSON gives it back."""
        return {"recipe": asdict(self.recipe), "samples": self.samples, "seed": self.seed}


def checkpoint_file(checkpoint: Path) -> Path:
    """Return the file that holds the state of a run."""
    return checkpoint.with_name(checkpoint.name + ".safetensors")


def _position(file: Path) -> dict[str, Any]:
    with safe_open(file, "pt") as opened:
        position: dict[str, Any] = json.loads(opened.metadata()["taut"])
    return position


def _steps_per_epoch(samples: int, recipe: Recipe) -> int:
    # The last, smaller batch is dropped: batch norm over a handful of samples does harm.
    return max(1, samples // recipe.batch_size)


def _dropout_seed(seed: int, step: int) -> int:
    """Seed of torch's own generator in one step, so that a resumed run draws what the whole one drew."""
    return int(np.random.SeedSequence((seed, 2, step)).generate_state(1)[0])


def _float_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Weight decay on matrices and kernels only: decaying norm scales and biases costs accuracy."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
