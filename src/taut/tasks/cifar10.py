"""CIFAR-10 (Krizhevsky 2009): 32x32 colour images in 10 classes.

Two layouts are read: the original binary one (``data_batch_1.bin`` ... ``test_batch.bin``; the Python one is
pickled and refused) and zips of JPEG files ``train/CLASS/NUMBER.jpg``. The select split is cut off the
training images with a fixed seed; the test images are the test split.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from taut.core.errors import BadInput
from taut.core.task import Arrays, ArraySplit, Sealed, Task
from taut.tasks.base import Interface, refuse_argument
from taut.tasks.classification import ACCURACY, classification_loss, shift_and_flip
from taut.tasks.data import find_data
from taut.tasks.splits import digest_of

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(1, 3, 1, 1)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32).reshape(1, 3, 1, 1)
SELECT_SAMPLES = 2500
_RECORD_BYTES = 1 + 3 * 32 * 32
_MAX_JPEG_BYTES = 64 * 1024
_MAX_FILES = 60_000
_WAY_OUT = "fetch CIFAR-10 again, see 'taut data cifar10'"

Images = tuple[np.ndarray, np.ndarray]
"""uint8 images (samples, 3, 32, 32) and int64 labels (samples,)"""


def open_cifar10(argument: str, _interface: Interface) -> Task:
    """Open ``--data cifar10``; BadInput where it is not on this machine."""
    refuse_argument("cifar10", argument)
    return cifar10(find_data("cifar10"))


def cifar10(folder: Path, select_samples: int = SELECT_SAMPLES) -> Task:
    """Load CIFAR-10 from a folder in either layout; BadInput where it holds neither."""
    train, test = _read_folder(folder)
    order = np.random.default_rng(10).permutation(len(train[0]))
    select, rest = order[:select_samples], order[select_samples:]
    return Task(
        name="cifar10",
        train=_split((train[0][rest], train[1][rest])),
        select=_split((train[0][select], train[1][select])),
        test=Sealed(_split(test)),
        metrics=(ACCURACY,),
        loss=classification_loss,
        augment=shift_and_flip,
        chance=10.0,
        digest=_digest(train, test),
    )


def normalized(inputs: Arrays) -> Arrays:
    """uint8 images (batch, 3, 32, 32) -> float32 with zero mean and unit deviation per channel."""
    return {name: (images.astype(np.float32) / 255 - MEAN) / STD for name, images in inputs.items()}


def _split(images: Images) -> ArraySplit:
    return ArraySplit({"image": images[0]}, images[1], normalized)


def _digest(train: Images, test: Images) -> str:
    return digest_of([*train, *test])


def _read_folder(folder: Path) -> tuple[Images, Images]:
    if (folder / "test_batch.bin").exists():
        train = [_read_binary(folder / f"data_batch_{number}.bin") for number in range(1, 6)]
        images, labels = zip(*train, strict=True)
        return (np.concatenate(images), np.concatenate(labels)), _read_binary(folder / "test_batch.bin")
    zips = {kind: sorted(folder.glob(f"{kind}_*.zip")) for kind in ("train", "test")}
    if zips["train"] and zips["test"]:
        return _read_zip(zips["train"][0]), _read_zip(zips["test"][0])
    raise BadInput(
        str(folder), "holds neither test_batch.bin nor train_*.zip and test_*.zip", "see 'taut data cifar10'"
    )


def _read_binary(file: Path) -> Images:
    if not file.exists():
        raise BadInput(str(file), "is missing", "unpack all six .bin files of CIFAR-10's binary version")
    raw = np.fromfile(file, np.uint8)
    if raw.size == 0 or raw.size % _RECORD_BYTES:
        raise BadInput(str(file), f"is not a whole number of {_RECORD_BYTES}-byte records", _WAY_OUT)
    records = raw.reshape(-1, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise BadInput(str(file), f"has a label {labels.max()} of ten classes", _WAY_OUT)
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), labels


def _read_zip(file: Path) -> Images:
    try:
        with zipfile.ZipFile(file) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            if not 0 < len(names) <= _MAX_FILES:
                raise BadInput(str(file), f"holds {len(names)} images", _WAY_OUT)
            labels = [_label(file, name) for name in names]
            return np.stack([_decode(archive, name) for name in names]), np.array(labels, np.int64)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(str(file), f"cannot be read: {error}", _WAY_OUT) from error


def _label(file: Path, name: str) -> int:
    folder = PurePosixPath(name).parent.name
    if folder not in CLASSES:
        raise BadInput(f"{file}: {name}", "is not in the folder of one of the ten classes", _WAY_OUT)
    return CLASSES.index(folder)


def _decode(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    if archive.getinfo(name).file_size > _MAX_JPEG_BYTES:
        raise BadInput(name, f"is larger than {_MAX_JPEG_BYTES} bytes", _WAY_OUT)
    with Image.open(io.BytesIO(archive.read(name)), formats=("JPEG",)) as image:
        if image.size != (32, 32):
            raise BadInput(name, f"is {image.size[0]}x{image.size[1]} pixels, not 32x32", _WAY_OUT)
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
