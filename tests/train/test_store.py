"""The store: trained once, found again, never believed when damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.train.train_case import RECIPE, SmallNet, small_task  # noqa: E402

from taut.core.errors import EnvironmentFailed  # noqa: E402
from taut.train import store  # noqa: E402
from taut.train.loop import Hooks  # noqa: E402
from taut.train.store import Order, get_or_train  # noqa: E402

ORDER = Order("small-net v1", SmallNet, small_task(), replace(RECIPE, epochs=1))


class Counter:
    """Counts training steps and keeps what was said."""

    def __init__(self) -> None:
        self.steps = 0
        self.said: list[str] = []

    def hooks(self) -> Hooks:
        return Hooks(progress=lambda what, _share: self.said.append(what), after_step=self._count)

    def _count(self, _module: torch.nn.Module, _done: int) -> None:
        self.steps += 1


def _state(module: torch.nn.Module) -> dict:
    return {name: value.tolist() for name, value in module.state_dict().items()}


def test_net_is_trained_once_and_found_again(tmp_path: Path) -> None:
    first, second = Counter(), Counter()
    trained = get_or_train(ORDER, tmp_path / "store", first.hooks())
    assert first.steps == 4
    found = get_or_train(ORDER, tmp_path / "store", second.hooks())
    assert second.steps == 0
    assert _state(found) == _state(trained)
    assert not found.training
    names = sorted(path.name for path in (tmp_path / "store").iterdir())
    assert names == [f"{ORDER.key()}.json", f"{ORDER.key()}.safetensors"], "no checkpoint is left"
    made_from = json.loads((tmp_path / "store" / names[0]).read_text())["made_from"]
    assert made_from == ORDER.made_from()


@pytest.mark.parametrize(
    "change",
    [
        {"spec": "small-net v2"},
        {"recipe": replace(ORDER.recipe, lr=0.01)},
        {"seed": 1},
        {"task": replace(ORDER.task, digest="other data")},
        {"teacher": SmallNet(), "teacher_digest": "t"},
    ],
)
def test_key_changes_with_everything_that_decides_the_weights(change: dict) -> None:
    assert replace(ORDER, **change).key() != ORDER.key()
    assert replace(ORDER).key() == ORDER.key()


def test_weights_do_not_depend_on_the_callers_generator(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = get_or_train(ORDER, tmp_path / "one")
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = get_or_train(ORDER, tmp_path / "two")
    assert _state(first) == _state(second)
    assert torch.equal(torch.random.get_rng_state(), state)


def _flip_a_bit(folder: Path) -> None:
    weights = folder / f"{ORDER.key()}.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))


def _truncate_weights(folder: Path) -> None:
    weights = folder / f"{ORDER.key()}.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def _remove_weights(folder: Path) -> None:
    (folder / f"{ORDER.key()}.safetensors").unlink()


def _break_description(folder: Path) -> None:
    (folder / f"{ORDER.key()}.json").write_text("[]")


@pytest.mark.parametrize("damage", [_flip_a_bit, _truncate_weights, _remove_weights, _break_description])
def test_damaged_entry_is_said_to_be_and_trained_again(tmp_path: Path, damage: object) -> None:
    trained = get_or_train(ORDER, tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    counter = Counter()
    again = get_or_train(ORDER, tmp_path, counter.hooks())
    assert counter.steps == 4
    assert "damaged: training again" in counter.said[0]
    assert _state(again) == _state(trained)
    intact = Counter()
    get_or_train(ORDER, tmp_path, intact.hooks())
    assert intact.steps == 0


def test_training_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taut.train.loop.SAVE_EVERY_STEPS", 2)

    def interrupt(_module: torch.nn.Module, done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_or_train(ORDER, tmp_path, Hooks(after_step=interrupt))
    counter = Counter()
    resumed = get_or_train(ORDER, tmp_path, counter.hooks())
    assert counter.steps == 2
    assert _state(resumed) == _state(get_or_train(ORDER, tmp_path / "whole"))


def test_folder_that_cannot_be_made_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFailed, match="cannot be written"):
        get_or_train(ORDER, tmp_path / "file" / "store")


def test_full_disk_is_an_environment_fault_and_leaves_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device", str(file))

    with monkeypatch.context() as patched:
        patched.setattr(store, "_replace", full)
        with pytest.raises(EnvironmentFailed, match="No space left"):
            get_or_train(ORDER, tmp_path)
    counter = Counter()
    get_or_train(ORDER, tmp_path, counter.hooks())
    assert counter.steps == 0, "the checkpoint of the finished run was kept"


def test_order_that_does_not_say_what_decides_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher needs a digest"):
        replace(ORDER, teacher=SmallNet())
    with pytest.raises(ValueError, match="has no digest"):
        replace(ORDER, task=replace(ORDER.task, digest=""))
