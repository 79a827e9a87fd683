"""The front door of tasks: what ``--data`` may say, and how inputs find their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from taut.core.errors import BadInput
from taut.core.task import Arrays, ArraySplit, Sealed, Task
from taut.graph.ir import Value
from taut.tasks import TASKS
from taut.tasks.open import open_task
from taut.tasks.sequences import SequenceSplit, steps_of

IMAGE = [Value("input.1", "float32", (1, 1, 8, 8))]

MODULE = """\
import numpy as np
from taut.core.task import ArraySplit, Sealed, Task

def task():
    split = ArraySplit({"x": np.arange(12, dtype=np.float32).reshape(6, 2)}, np.arange(6))
    return Task("mine", split, split, Sealed(split), ())

def wrong():
    return {"not": "a task"}

def failing():
    raise FileNotFoundError("no such\\nmicrophone")
"""


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the user stands, with a module of their own."""
    (tmp_path / "user_tasks.py").write_text(MODULE)
    (tmp_path / "user_broken.py").write_text("def task(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    return tmp_path


def test_digits_come_under_the_networks_own_input_name() -> None:
    task = open_task("digits", IMAGE, {})
    batch = task.select.take(np.arange(3))
    assert list(batch.inputs) == ["input.1"]
    assert batch.inputs["input.1"].shape == (3, 1, 8, 8)
    assert task.train is not None and task.train.has_targets
    assert list(task.test.open("a test").take(np.arange(1)).inputs) == ["input.1"]


@pytest.mark.parametrize("name", ["digits", "cifar10", "random"])
def test_source_that_takes_no_argument_refuses_one(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} takes nothing after the colon"):
        open_task(f"{name}:there", IMAGE, {})


def test_unknown_data_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInput, match=r"data 'imagenet': is not known; one of: digits, .*npz.*random"):
        open_task("imagenet", IMAGE, {})


def test_every_registered_source_can_be_loaded() -> None:
    assert TASKS.installed() == ["digits", "cifar10", "folder", "npz", "random"]


def test_function_of_the_user_is_called_and_hashed(user_folder: Path) -> None:
    assert (user_folder / "user_tasks.py").exists()
    task = open_task("user_tasks:task", [Value("x", "float32", (1, 2))], {})
    assert task.name == "mine"
    assert len(task.digest) == 64
    assert task.digest == open_task("user_tasks:task", [Value("x", "float32", (1, 2))], {}).digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no_such_module:task", "cannot be imported"),
        ("user_tasks:absent", "cannot be imported"),
        (":task", "cannot be imported"),
        (".relative:task", "cannot be imported"),
        ("user_broken:task", "cannot be imported: invalid syntax"),
        ("user_tasks:wrong", "returned dict, not a Task"),
        ("user_tasks:failing", "raised FileNotFoundError: no such microphone"),
    ],
)
def test_function_that_gives_no_task_is_refused(user_folder: Path, text: str, reason: str) -> None:
    assert user_folder.is_dir()
    with pytest.raises(BadInput) as refusal:
        open_task(text, IMAGE, {})
    assert reason in str(refusal.value)


def _task(arrays: Arrays, augment: Callable | None = None) -> Task:
    split = ArraySplit(arrays, np.arange(4))
    return Task("mine", split, SequenceSplit(split, 2), Sealed(split), (), augment=augment, digest="d")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Task, list[Value]], Task]:
    """Open a given task for given inputs."""

    def through_the_door(task: Task, inputs: list[Value]) -> Task:
        monkeypatch.setattr("taut.tasks.open.task_from_function", lambda _text: task)
        return open_task("any:task", inputs, {})

    return through_the_door


A = np.arange(8, dtype=np.float32).reshape(4, 2)
B = np.arange(4, dtype=np.int64)[:, None]


def test_inputs_of_the_same_names_come_in_the_networks_order(opened: Callable) -> None:
    inputs = [Value("b", "int64", (1, 1)), Value("a", "float32", (1, 2))]
    task = opened(_task({"a": A, "b": B}), inputs)
    batch = task.train.take(np.array([3, 1]))
    assert list(batch.inputs) == ["b", "a"]
    assert batch.inputs["a"].tolist() == A[[3, 1]].tolist()
    assert batch.targets.tolist() == [3, 1]
    assert steps_of(task.select) == 2 and len(task.select) == 4


def test_task_that_fits_already_is_returned_as_it_is(opened: Callable) -> None:
    task = _task({"a": A})
    assert opened(task, [Value("a", "float32", (1, 2))]) is task


def test_renamed_task_augments_under_its_own_names(opened: Callable) -> None:
    task = opened(
        _task({"a": A}, lambda inputs, _rng: {"a": inputs["a"] + 1}), [Value("x", "float32", (1, 2))]
    )
    changed = task.augment({"x": np.zeros(2)}, np.random.default_rng(0))
    assert {name: array.tolist() for name, array in changed.items()} == {"x": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (
            [Value("x", "float32", (1, 2)), Value("y", "float32", (1, 2))],
            "has the inputs a, the network has x, y",
        ),
        ([Value("x", "float32", (1, 3))], r"gives 'a' in the shape \(2,\), input 'x' takes \(3,\)"),
        ([Value("x", "float64", (1, 2))], "gives 'a' as float32, input 'x' takes float64"),
    ],
)
def test_task_that_does_not_fit_is_refused(opened: Callable, inputs: list[Value], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        opened(_task({"a": A}), inputs)
