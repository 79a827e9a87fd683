"""Images in class folders: order of classes, size, scale, and files that are no images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taut.core.errors import BadInput
from taut.core.task import Task
from taut.graph.ir import Value
from taut.tasks import folder as folder_module
from taut.tasks.open import open_task

COLOURS = {"apple": (255, 0, 0), "banana": (255, 255, 0), "cherry": (128, 0, 64)}
NETWORK = Value("pixels", "float32", (1, 3, 6, 4))


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    """Five plain images of each class, in sizes of their own."""
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (12 + number, 18), colour).save(tmp_path / name / f"{number}.png")
    (tmp_path / "apple" / "notes.txt").write_text("not an image")
    return tmp_path


def _open(folder: Path, value: Value = NETWORK) -> Task:
    return open_task(f"folder:{folder}", [value], {})


def test_images_come_in_the_networks_size_with_the_class_of_their_folder(fruit: Path) -> None:
    task = _open(fruit)
    assert task.train is not None
    assert (len(task.train), len(task.select), len(task.test)) == (9, 3, 3)
    batch = task.train.take(np.arange(9))
    assert batch.inputs["pixels"].shape == (9, 3, 6, 4)
    assert batch.inputs["pixels"].dtype == np.float32
    colours = list(COLOURS.values())
    assert batch.targets is not None
    for image, label in zip(batch.inputs["pixels"], batch.targets, strict=True):
        assert image[:, 3, 2] * 255 == pytest.approx(colours[label])
    assert task.chance == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("shape", "pixel"),
    [((1, 1, 5, 5), (3, 3)), ((1, 5, 5, 3), (3, 3, 0)), ((1, 5, 5, 1), (3, 3, 0))],
)
def test_layout_and_channels_are_read_off_the_network(fruit: Path, shape: tuple, pixel: tuple) -> None:
    batch = _open(fruit, Value("x", "float32", shape)).select.take(np.arange(3))
    assert batch.inputs["x"].shape == (3, *shape[1:])
    assert 0 < batch.inputs["x"][0][pixel if shape[1] == 5 else (0, *pixel)] <= 1


def test_preprocess_file_normalises(fruit: Path) -> None:
    plain = _open(fruit)
    (fruit / "preprocess.json").write_text('{"mean": [0.5, 0.25, 0], "std": [0.5, 2, 1]}')
    normalised = _open(fruit)
    before = plain.select.take(np.arange(3)).inputs["pixels"]
    after = normalised.select.take(np.arange(3)).inputs["pixels"]
    mean, std = (np.array(v).reshape(1, 3, 1, 1) for v in ([0.5, 0.25, 0], [0.5, 2, 1]))
    assert after == pytest.approx((before - mean) / std)
    assert plain.digest != normalised.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"mean": [0, 0, 0]}',
        '{"mean": [0], "std": [1]}',
        '{"mean": [0, 0, 0], "std": [1, 1, 0]}',
        '{"mean": [0, 0, 0], "std": [1, 1, 1], "scale": 2}',
        '{"mean": "no", "std": "no"}',
    ],
)
def test_preprocess_file_that_is_malformed_is_refused(fruit: Path, text: str) -> None:
    (fruit / "preprocess.json").write_text(text)
    with pytest.raises(BadInput, match=r'preprocess.json.*; write \{"mean"'):
        _open(fruit)


def test_images_without_class_folders_have_no_labels(fruit: Path) -> None:
    task = _open(fruit / "apple", Value("x", "float32", (1, 3, 4, 4)))
    assert not task.select.has_targets
    assert task.metrics == () and task.chance is None


def test_digest_is_of_the_images(fruit: Path) -> None:
    before = _open(fruit).digest
    Image.new("RGB", (12, 18), (1, 2, 3)).save(fruit / "cherry" / "0.png")
    assert _open(fruit).digest != before


def test_broken_image_is_refused_by_name_when_it_is_read(fruit: Path) -> None:
    for file in (fruit / "apple").glob("*.png"):
        file.write_bytes(file.read_bytes()[:50])
    task = _open(fruit)
    assert task.train is not None
    with pytest.raises(BadInput, match=r"apple/\d\.png: cannot be read"):
        task.train.take(np.arange(len(task.train)))


def test_image_that_is_too_large_is_refused(fruit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_MAX_PIXELS", 100)
    with pytest.raises(BadInput, match="has more than 100 pixels"):
        _open(fruit).select.take(np.arange(1))


def test_folder_without_images_or_with_too_many_is_refused(
    fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = fruit / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="holds 0 images"):
        _open(empty)
    with pytest.raises(BadInput, match="is not a folder"):
        _open(fruit / "absent")
    monkeypatch.setattr(folder_module, "_MAX_FILES", 14)
    with pytest.raises(BadInput, match="holds 15 images"):
        _open(fruit)


@pytest.mark.parametrize(
    "inputs",
    [
        [Value("x", "float32", (1, 10))],
        [Value("x", "float32", (1, 4, 8, 8))],
        [Value("x", "uint8", (1, 3, 8, 8))],
        [NETWORK, Value("y", "float32", (1, 3))],
    ],
)
def test_network_that_takes_no_image_is_refused(fruit: Path, inputs: list[Value]) -> None:
    with pytest.raises(BadInput, match="does not take one float32 image"):
        open_task(f"folder:{fruit}", inputs, {})
