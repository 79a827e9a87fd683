"""CIFAR-10 (Krizhevsky 2009): 32x32 colour images in 10 classes.

Two layouts are read: the original binary one (``data_batch_1.bin`` ... ``test_batch.bin``; the Python one is
pickled and refused) and zips of JPEG files ``train/CLASS/NUMBER.jpg``. The select split is cut off the
training images with a fixed seed; the test images are the test split.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from taut.core.errors import BadInput
from taut.core.task import Batch, Sealed, Task
from taut.tasks.base import Interface, refuse_argument
from taut.tasks.classification import ACCURACY, classification_loss, shift_and_flip
from taut.tasks.data import find_data
from taut.tasks.splits import digest_of

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(1, 3, 1, 1)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32).reshape(1, 3, 1, 1)
SELECT_SAMPLES = 5000
"""The difference of two networks then has a standard error of 0.4 points: a limit of one can be judged"""
_RECORD_BYTES = 1 + 3 * 32 * 32
_MAX_JPEG_BYTES = 64 * 1024
_MAX_FILES = 60_000
_WAY_OUT = "fetch CIFAR-10 again, see 'taut data cifar10'"


@dataclass(frozen=True)
class _Jpegs:
    """JPEG files, each decoded when it is first taken: most of a task is never looked at."""

    contents: tuple[bytes, ...]
    decoded: np.ndarray
    """uint8 images (files, 3, 32, 32)"""
    is_decoded: np.ndarray

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        for index in indices[~self.is_decoded[indices]]:
            self.decoded[index] = _decode(self.contents[index])
        self.is_decoded[indices] = True
        images: np.ndarray = self.decoded[indices]
        return images


@dataclass(frozen=True)
class _Images:
    """Labelled images of one file or several; ``pixels[indices]`` is uint8 (samples, 3, 32, 32)."""

    pixels: np.ndarray | _Jpegs
    labels: np.ndarray
    digest: str


@dataclass(frozen=True)
class _Split:
    """Some of the images, normalised when they are taken."""

    images: _Images
    chosen: np.ndarray
    has_targets = True

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, indices: np.ndarray) -> Batch:
        own = self.chosen[indices]
        return Batch({"image": normalized(self.images.pixels[own])}, self.images.labels[own])


def open_cifar10(argument: str, _interface: Interface) -> Task:
    """Open ``--data cifar10``; BadInput where it is not on this machine."""
    refuse_argument("cifar10", argument)
    return cifar10(find_data("cifar10"))


def cifar10(folder: Path, select_samples: int | None = None) -> Task:
    """Load CIFAR-10 from a folder in either layout; BadInput where it holds neither."""
    train, test = _read_folder(folder)
    if select_samples is None:
        select_samples = min(SELECT_SAMPLES, len(train.labels) // 5)
    order = np.random.default_rng(10).permutation(len(train.labels))
    return Task(
        name="cifar10",
        train=_Split(train, order[select_samples:]),
        select=_Split(train, order[:select_samples]),
        test=Sealed(_Split(test, np.arange(len(test.labels)))),
        metrics=(ACCURACY,),
        loss=classification_loss,
        augment=shift_and_flip,
        chance=10.0,
        digest=digest_of([train.digest, test.digest, str(select_samples)]),
    )


def normalized(images: np.ndarray) -> np.ndarray:
    """uint8 images (batch, 3, 32, 32) -> float32 with zero mean and unit deviation per channel."""
    return (images.astype(np.float32) / 255 - MEAN) / STD


def _read_folder(folder: Path) -> tuple[_Images, _Images]:
    if (folder / "test_batch.bin").exists():
        batches = [folder / f"data_batch_{number}.bin" for number in range(1, 6)]
        return _read_binary(batches), _read_binary([folder / "test_batch.bin"])
    zips = {kind: sorted(folder.glob(f"{kind}_*.zip")) for kind in ("train", "test")}
    if zips["train"] and zips["test"]:
        return _read_zip(zips["train"][0]), _read_zip(zips["test"][0])
    raise BadInput(
        str(folder), "holds neither test_batch.bin nor train_*.zip and test_*.zip", "see 'taut data cifar10'"
    )


def _read_binary(files: Sequence[Path]) -> _Images:
    records = np.concatenate([_records(file) for file in files])
    pixels = records[:, 1:].reshape(-1, 3, 32, 32)
    return _Images(pixels, records[:, 0].astype(np.int64), digest_of([records]))


def _records(file: Path) -> np.ndarray:
    """Read records of a label and three planes of 32x32: uint8 (images, 3073)."""
    if not file.exists():
        raise BadInput(str(file), "is missing", "unpack all six .bin files of CIFAR-10's binary version")
    raw = np.fromfile(file, np.uint8)
    if raw.size == 0 or raw.size % _RECORD_BYTES:
        raise BadInput(str(file), f"is not a whole number of {_RECORD_BYTES}-byte records", _WAY_OUT)
    records = raw.reshape(-1, _RECORD_BYTES)
    if records[:, 0].max() >= len(CLASSES):
        raise BadInput(str(file), f"has a label {records[:, 0].max()} of ten classes", _WAY_OUT)
    return records


def _read_zip(file: Path) -> _Images:
    try:
        with zipfile.ZipFile(file) as archive:
            members = sorted(
                (info for info in archive.infolist() if info.filename.endswith(".jpg")),
                key=lambda info: info.filename,
            )
            _refuse_other_sizes(file, members)
            contents = tuple(archive.read(info) for info in members)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(str(file), f"cannot be read: {error}", _WAY_OUT) from error
    labels = np.array([_label(file, info.filename) for info in members], np.int64)
    count = len(contents)
    jpegs = _Jpegs(contents, np.empty((count, 3, 32, 32), np.uint8), np.zeros(count, bool))
    return _Images(jpegs, labels, hashlib.sha256(b"".join(contents) + labels.tobytes()).hexdigest())


def _refuse_other_sizes(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if not 0 < len(members) <= _MAX_FILES:
        raise BadInput(str(file), f"holds {len(members)} images", _WAY_OUT)
    for info in members:
        if info.file_size > _MAX_JPEG_BYTES:
            raise BadInput(f"{file}: {info.filename}", f"is larger than {_MAX_JPEG_BYTES} bytes", _WAY_OUT)


def _label(file: Path, name: str) -> int:
    folder = PurePosixPath(name).parent.name
    if folder not in CLASSES:
        raise BadInput(f"{file}: {name}", "is not in the folder of one of the ten classes", _WAY_OUT)
    return CLASSES.index(folder)


def _decode(content: bytes) -> np.ndarray:
    """Decode one JPEG file to uint8 (3, 32, 32)."""
    given = "an image of CIFAR-10"
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            size, pixels = image.size, np.asarray(image.convert("RGB"))
    except OSError as error:
        raise BadInput(given, f"cannot be read: {error}", _WAY_OUT) from error
    if size != (32, 32):
        raise BadInput(given, f"is {size[0]}x{size[1]} pixels, not 32x32", _WAY_OUT)
    return pixels.transpose(2, 0, 1)
