"""The training loop: resume to the same bits, averages, distillation, hooks, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.train.train_case import RECIPE, STEPS, SmallNet, small_net, small_task  # noqa: E402

from taut.core.task import Task  # noqa: E402
from taut.train.loop import Hooks, as_sequence, as_tensors, checkpoint_file, train  # noqa: E402
from taut.train.recipe import Recipe  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The order of sums depends on the number of threads, and bits are compared here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _same_bits(left: SmallNet, right: SmallNet) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _accuracy(module: SmallNet, task: Task) -> float:
    batch = task.select.take(np.arange(64))
    with torch.no_grad():
        logits = module(*as_tensors(batch)).numpy()
    return float(task.metrics[0].per_sample({"y": logits}, batch.targets).mean())


@pytest.mark.parametrize("killed_after", [1, 4, 15])
def test_run_killed_at_any_step_resumes_to_the_same_bits(tmp_path: Path, killed_after: int) -> None:
    checkpoint = tmp_path / "net"
    program = Path(__file__).parent / "train_case.py"
    killed = subprocess.run([sys.executable, str(program), str(checkpoint), str(killed_after)], timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint_file(checkpoint).exists() == (killed_after > 3)
    steps: list[int] = []
    hooks = Hooks(after_step=lambda _module, done: steps.append(done))
    resumed = train(small_net(), small_task(), RECIPE, checkpoint=checkpoint, hooks=hooks)
    saved = (killed_after - 1) // 3 * 3
    assert steps == list(range(saved + 1, STEPS + 1))
    whole = train(small_net(), small_task(), RECIPE)
    assert _same_bits(resumed, whole)


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(small_net(), small_task(), RECIPE, checkpoint=tmp_path / "net")
    steps: list[int] = []
    hooks = Hooks(after_step=lambda _module, done: steps.append(done))
    again = train(small_net(seed=1), small_task(), RECIPE, checkpoint=tmp_path / "net", hooks=hooks)
    assert steps == []
    assert _same_bits(first, again)


@pytest.mark.parametrize("other", [{"seed": 1}, {"recipe": replace(RECIPE, lr=0.01)}])
def test_checkpoint_of_another_run_is_refused(tmp_path: Path, other: dict) -> None:
    train(small_net(), small_task(), RECIPE, checkpoint=tmp_path / "net")
    changed = {"recipe": RECIPE, "seed": 0, **other}
    with pytest.raises(ValueError, match="of another run"):
        train(
            small_net(),
            small_task(),
            changed["recipe"],
            seed=changed["seed"],
            checkpoint=tmp_path / "net",
        )


def test_training_learns_and_leaves_the_callers_generator_alone() -> None:
    module, task = small_net(), small_task()
    before = _accuracy(module.eval(), task)
    state = torch.random.get_rng_state()
    train(module, task, replace(RECIPE, epochs=20))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not module.training
    assert _accuracy(module, task) > max(80.0, before)


def test_seed_decides_the_weights() -> None:
    first, same, other = (train(small_net(), small_task(), RECIPE, seed=seed) for seed in (0, 0, 1))
    assert _same_bits(first, same)
    assert not _same_bits(first, other)


def test_averaged_weights_are_the_running_mean_of_those_after_each_step() -> None:
    recipe = replace(RECIPE, ema_decay=0.9)
    trail: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, _done: int) -> None:
        trail.append(module.classifier.weight.detach().clone())

    start = small_net().classifier.weight.detach().clone()
    averaged = train(small_net(), small_task(), recipe, hooks=Hooks(after_step=keep))
    mean = start
    for done, weight in enumerate(trail, start=1):
        decay = min(0.9, (1 + done) / (10 + done))
        mean = decay * mean + (1 - decay) * weight
    assert torch.allclose(averaged.classifier.weight, mean, atol=1e-6)
    last = train(small_net(), small_task(), replace(recipe, ema_decay=None))
    assert torch.equal(last.classifier.weight, trail[-1])


def test_distillation_without_labels_brings_the_student_to_its_teacher() -> None:
    teacher = train(small_net(), small_task(), replace(RECIPE, epochs=20))
    task = small_task(has_labels=False)
    images = as_tensors(task.select.take(np.arange(64)))

    def distance(module: SmallNet) -> float:
        with torch.no_grad():
            return float((module(*images) - teacher(*images)).square().mean())

    untrained = distance(small_net(seed=1).eval())
    teacher.train()
    student = train(small_net(seed=1), task, replace(RECIPE, epochs=30, distill_share=1.0), teacher=teacher)
    assert not teacher.training, "batch norm of a teacher in training mode would drift"
    assert distance(student) < 0.2 * untrained


def test_share_of_distillation_weighs_both_losses() -> None:
    teacher = small_net(seed=2)
    nets = [
        train(small_net(), small_task(), replace(RECIPE, epochs=1, distill_share=share), teacher=teacher)
        for share in (0.0, 0.5, 1.0)
    ]
    assert not _same_bits(nets[0], nets[1]) and not _same_bits(nets[1], nets[2])


def test_loss_that_is_not_finite_stops_the_run_and_names_the_step() -> None:
    task = small_task()
    broken = replace(task, loss=lambda outputs, _targets: outputs[0].sum() * float("nan"))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        train(small_net(), broken, RECIPE)


@pytest.mark.parametrize(
    ("task", "recipe", "reason"),
    [
        (small_task(has_labels=False), RECIPE, "has no labels: use distill_share=1"),
        (small_task(), replace(RECIPE, distill_share=0.5), "no teacher was given"),
        (replace(small_task(), train=None), RECIPE, "has no train split"),
    ],
)
def test_run_that_lacks_labels_teacher_or_data_is_refused(task: Task, recipe: Recipe, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        train(small_net(), task, recipe)


def test_hooks_are_called_after_every_step_and_pause_between_them() -> None:
    calls: list[str] = []
    shares: list[float] = []
    hooks = Hooks(
        progress=lambda _what, share: shares.append(share),
        pause=lambda: calls.append("pause"),
        after_step=lambda _module, _done: calls.append("step"),
    )
    train(small_net(), small_task(), RECIPE, hooks=hooks)
    assert calls == ["step", "pause"] * STEPS
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_frozen_parameters_stay_as_they_are() -> None:
    module = small_net()
    module.conv.weight.requires_grad_(False)
    before = module.conv.weight.clone()
    train(module, small_task(), RECIPE)
    assert torch.equal(module.conv.weight, before)
    assert not torch.equal(module.classifier.weight, small_net().classifier.weight)


def test_tied_weights_are_saved_and_resumed(tmp_path: Path) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(36, 36, bias=False)
            self.second = torch.nn.Linear(36, 36, bias=False)
            self.second.weight = self.first.weight

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(image.flatten(1)))[:, :3]

    module = train(Tied(), small_task(), RECIPE, checkpoint=tmp_path / "tied")
    again = train(Tied(), small_task(), RECIPE, checkpoint=tmp_path / "tied")
    assert torch.equal(module.second.weight, again.first.weight)


def test_single_output_becomes_a_sequence() -> None:
    one = torch.zeros(2)
    assert as_sequence(one) == [one]
    assert as_sequence((one, one)) == (one, one)
