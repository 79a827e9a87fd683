"""What every source of data promises, whichever it is."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taut.core.task import Split, Task
from taut.graph.ir import Value
from taut.tasks.cifar10 import CLASSES
from taut.tasks.open import open_task

DIGIT = Value("input", "float32", (1, 1, 8, 8))
PHOTO = Value("input", "float32", (1, 3, 32, 32))


@dataclass(frozen=True)
class Source:
    """One way to write ``--data``, with what must be there for it."""

    prepare: Callable[[Path], str]
    value: Value
    is_labelled: bool


def _npz(folder: Path) -> str:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 1, 8, 8)).astype(np.float32)
    np.savez(folder / "data.npz", input=images, targets=rng.integers(0, 3, 40))
    return f"npz:{folder / 'data.npz'}"


def _folder(folder: Path) -> str:
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(10):
            Image.new("RGB", (40, 40), (number, 9, 200)).save(folder / name / f"{number}.png")
    return f"folder:{folder}"


def _unlabelled_folder(folder: Path) -> str:
    return f"{_folder(folder)}/cat"


def _cifar10(folder: Path) -> str:
    data = folder / "taut" / "cifar10"
    data.mkdir(parents=True)
    for kind, count in (("train", 260), ("test", 2)):
        with zipfile.ZipFile(data / f"{kind}_1.zip", "w") as archive:
            for name in CLASSES:
                for number in range(count):
                    image = Image.new("RGB", (32, 32), (number % 256, 10, CLASSES.index(name)))
                    with archive.open(f"{kind}/{name}/{number}.jpg", "w") as member:
                        image.save(member, "JPEG")
    return "cifar10"


def _function(folder: Path) -> str:
    (folder / "contract_task.py").write_text("from taut.tasks.digits import digits as task\n")
    return "contract_task:task"


SOURCES = {
    "digits": Source(lambda _folder: "digits", DIGIT, True),
    "cifar10": Source(_cifar10, PHOTO, True),
    "folder": Source(_folder, PHOTO, True),
    "folder without classes": Source(_unlabelled_folder, PHOTO, False),
    "npz": Source(_npz, DIGIT, True),
    "function": Source(_function, DIGIT, True),
    "random": Source(lambda _folder: "random", PHOTO, False),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


@pytest.fixture
def text(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the user writes, with everything prepared in a folder of its own."""
    monkeypatch.delenv("TAUT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return source.prepare(tmp_path)


@pytest.fixture
def task(source: Source, text: str) -> Task:
    return open_task(text, [source.value], {})


def _splits(task: Task) -> list[Split]:
    return [split for split in (task.train, task.select, task.test.split) if split is not None]


def test_test_split_is_still_sealed_when_the_task_is_open(task: Task) -> None:
    assert task.test.reader is None
    task.test.open("the final proof")
    with pytest.raises(RuntimeError):
        task.test.open("a search")


def test_samples_are_what_the_network_takes(source: Source, task: Task) -> None:
    for split in _splits(task):
        batch = split.take(np.array([len(split) - 1, 0]))
        assert list(batch.inputs) == [source.value.name]
        array = batch.inputs[source.value.name]
        assert str(array.dtype) == source.value.dtype
        assert array.shape == (2, *source.value.static_shape[1:])
        assert np.isfinite(array).all()


def test_labels_loss_metric_and_chance_come_together(source: Source, task: Task) -> None:
    for split in _splits(task):
        targets = split.take(np.arange(2)).targets
        assert split.has_targets == source.is_labelled == (targets is not None)
    for part in (task.main_metric, task.loss, task.chance):
        assert (part is not None) == source.is_labelled


def test_taking_twice_gives_the_same_and_changes_nothing(task: Task) -> None:
    indices = np.array([1, 0])
    first = task.select.take(indices).inputs["input"].copy()
    task.select.take(indices).inputs["input"].fill(7)
    assert np.array_equal(task.select.take(indices).inputs["input"], first)


def test_opening_again_gives_the_same_samples_under_the_same_digest(
    source: Source, text: str, task: Task
) -> None:
    again = open_task(text, [source.value], {})
    assert again.digest == task.digest and len(task.digest) == 64
    for one, other in zip(_splits(task), _splits(again), strict=True):
        assert len(one) == len(other) > 0
        assert np.array_equal(
            one.take(np.arange(2)).inputs["input"], other.take(np.arange(2)).inputs["input"]
        )
