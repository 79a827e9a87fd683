"""CIFAR-10 in both layouts, and files that are not it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taut.core.errors import BadInput
from taut.graph.ir import Value
from taut.tasks.cifar10 import CLASSES, MEAN, STD, cifar10
from taut.tasks.open import open_task

INPUTS = [Value("image", "float32", (1, 3, 32, 32))]


def _records(seed: int, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 10, count, np.uint8), rng.integers(0, 256, (count, 3, 32, 32), np.uint8)


def _write_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for seed, name in enumerate(names):
        labels, images = _records(seed)
        np.concatenate([labels[:, None], images.reshape(len(labels), -1)], axis=1).tofile(folder / name)


def _jpeg(colour: tuple[int, int, int], size: int = 32) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(content, "JPEG", quality=95)
    return content.getvalue()


def _write_zip(file: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _members(kind: str) -> dict[str, bytes]:
    return {
        f"{kind}/{name}/{number}.jpg": _jpeg((20 * index, 0, 255))
        for index, name in enumerate(CLASSES)
        for number in range(3)
    }


def test_binary_records_are_read_normalised_and_kept_apart(tmp_path: Path) -> None:
    _write_binary(tmp_path)
    task = cifar10(tmp_path, select_samples=30)
    assert task.train is not None
    assert (len(task.train), len(task.select), len(task.test)) == (70, 30, 20)
    labels, images = _records(5)
    batch = task.test.open("a test").take(np.arange(20))
    assert batch.targets is not None and batch.targets.tolist() == labels.tolist()
    assert batch.inputs["image"] == pytest.approx((images / 255 - MEAN) / STD, abs=1e-5)
    halves = [
        {image.tobytes() for image in split.take(np.arange(len(split))).inputs["image"]}
        for split in (task.train, task.select)
    ]
    assert not halves[0] & halves[1]


def test_zips_of_jpeg_files_are_read_with_the_class_of_their_folder(tmp_path: Path) -> None:
    _write_zip(tmp_path / "train_30.zip", _members("train"))
    _write_zip(tmp_path / "test_30.zip", _members("test"))
    task = cifar10(tmp_path, select_samples=10)
    batch = task.select.take(np.arange(10))
    red = (batch.inputs["image"] * STD + MEAN)[:, 0, 16, 16] * 255
    assert batch.targets is not None
    assert red == pytest.approx(20.0 * batch.targets, abs=4)
    again = task.select.take(np.array([3, 3, 0]))
    assert np.array_equal(again.inputs["image"], batch.inputs["image"][[3, 3, 0]])


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "holds 0 images"),
        ({"train/whale/0.jpg": _jpeg((0, 0, 0))}, "not in the folder of one of the ten classes"),
        ({"train/cat/0.jpg": _jpeg((0, 0, 0), 16)}, "16x16 pixels, not 32x32"),
        ({"train/cat/0.jpg": b"not a picture"}, "cannot be read"),
        ({"train/cat/0.jpg": b"0" * 70_000}, "is larger than 65536 bytes"),
    ],
)
def test_zip_that_is_not_cifar10_is_refused(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    _write_zip(tmp_path / "train_1.zip", members)
    _write_zip(tmp_path / "test_1.zip", _members("test"))
    with pytest.raises(BadInput, match=f"{reason}.*taut data cifar10"):
        cifar10(tmp_path, select_samples=1).select.take(np.arange(1))


def test_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    for name in ("train_1.zip", "test_1.zip"):
        (tmp_path / name).write_bytes(b"PK but no archive")
    with pytest.raises(BadInput, match="cannot be read"):
        cifar10(tmp_path)


def test_binary_that_is_incomplete_is_refused(tmp_path: Path) -> None:
    _write_binary(tmp_path)
    batch = tmp_path / "data_batch_3.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1])
    with pytest.raises(BadInput, match="not a whole number of 3073-byte records"):
        cifar10(tmp_path)
    batch.write_bytes(bytes([10]) + whole[1:])
    with pytest.raises(BadInput, match="has a label 10 of ten classes"):
        cifar10(tmp_path)
    batch.unlink()
    with pytest.raises(BadInput, match=r"data_batch_3\.bin: is missing"):
        cifar10(tmp_path)


def test_pickled_layout_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"a pickle")
    with pytest.raises(BadInput, match="holds neither test_batch"):
        cifar10(tmp_path)


def test_data_is_found_under_the_folder_of_the_environment_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BadInput, match="data 'cifar10': is not in"):
        open_task("cifar10", INPUTS, {})
    _write_binary(tmp_path / "cache" / "taut" / "cifar-10-batches-bin")
    monkeypatch.setattr("taut.tasks.cifar10.SELECT_SAMPLES", 10)
    assert len(open_task("cifar10", INPUTS, {}).test) == 20


def test_real_images_have_zero_mean_and_unit_deviation() -> None:
    folder = Path(os.environ.get("TAUT_DATA", "")) / "cifar10_jpeg"
    if not (os.environ.get("TAUT_DATA") and folder.is_dir()):
        pytest.skip("TAUT_DATA does not hold cifar10_jpeg")
    task = cifar10(folder)
    assert task.train is not None
    assert (len(task.train), len(task.select), len(task.test)) == (20_000, 5_000, 10_000)
    batch = task.select.take(np.arange(5_000))
    assert batch.inputs["image"].mean() == pytest.approx(0, abs=0.05)
    assert batch.inputs["image"].std() == pytest.approx(1, abs=0.05)
    assert batch.targets is not None
    assert np.bincount(batch.targets).min() > 200
