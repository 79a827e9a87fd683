"""Images in a folder: ``DIR/CLASS/*.jpg`` with class index = place of CLASS in the alphabet.

Images are cut to the input's aspect, resized, and scaled to 0..1; images directly in DIR have no labels.
What else the network expects stands in ``DIR/preprocess.json``: ``{"mean": [r, g, b], "std": [r, g, b]}``
on that scale. Files are decoded when they are taken, so any number fits into memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from taut.core.errors import BadInput
from taut.core.task import Batch, Sealed, Task
from taut.tasks.base import Interface
from taut.tasks.classification import ACCURACY, classification_loss
from taut.tasks.splits import cut, digest_of

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_MAX_FILES = 200_000
# A photo of 8,000 x 6,000; larger files are more likely bombs than data.
_MAX_PIXELS = 50_000_000


def open_folder(argument: str, interface: Interface) -> Task:
    """Open ``--data folder:DIR``; BadInput where it holds no images or the network takes none."""
    folder = Path(argument)
    form = _image_form(folder, interface)
    classes, files, labels = _listed(folder)
    train, select, test = (
        _Images(form, tuple(files[i] for i in part), labels[part] if classes else None)
        for part in cut(len(files), str(folder))
    )
    return Task(
        name=folder.name,
        train=train,
        select=select,
        test=Sealed(test),
        metrics=(ACCURACY,) if classes else (),
        loss=classification_loss if classes else None,
        chance=100.0 * np.bincount(labels).max() / len(labels) if classes else None,
        digest=digest_of([*(_file_digest(file) for file in files), labels, form.mean, form.std]),
    )


@dataclass(frozen=True)
class _ImageForm:
    """How the network takes an image."""

    name: str
    height: int
    width: int
    mode: str
    """Pillow's: ``RGB`` or ``L``"""
    is_channels_last: bool
    mean: np.ndarray
    std: np.ndarray

    def read(self, file: Path) -> np.ndarray:
        """Return one image as float32 (channels, height, width), or (height, width, channels)."""
        with _opened(file) as image:
            fitted = ImageOps.fit(image.convert(self.mode), (self.width, self.height))
            pixels = np.asarray(fitted, np.float32).reshape(self.height, self.width, -1) / 255
        ready = ((pixels - self.mean) / self.std).astype(np.float32)
        return ready if self.is_channels_last else ready.transpose(2, 0, 1)


@dataclass(frozen=True)
class _Images:
    """A split of image files."""

    form: _ImageForm
    files: tuple[Path, ...]
    labels: np.ndarray | None

    @property
    def has_targets(self) -> bool:
        return self.labels is not None

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: np.ndarray) -> Batch:
        images = np.stack([self.form.read(self.files[index]) for index in indices])
        return Batch({self.form.name: images}, None if self.labels is None else self.labels[indices])


def _image_form(folder: Path, interface: Interface) -> _ImageForm:
    """Read the form off the network's one input, (channels, height, width) or (height, width, channels)."""
    names = interface.names
    shape = interface.sample_shape(names[0]) if len(names) == 1 else ()
    if len(shape) != 3 or not {shape[0], shape[2]} & {1, 3} or interface.dtype(names[0]) != np.float32:
        rule = "holds images, but the network does not take one float32 image of 1 or 3 channels"
        raise BadInput(f"data 'folder:{folder}'", rule, "give npz:FILE or package.module:function")
    is_channels_last = shape[0] not in (1, 3)
    height, width, channels = shape if is_channels_last else (shape[1], shape[2], shape[0])
    mean, std = _normalisation(folder / "preprocess.json", channels)
    mode = "RGB" if channels == 3 else "L"
    return _ImageForm(names[0], height, width, mode, is_channels_last, mean, std)


def _normalisation(file: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    if not file.exists():
        return np.zeros(channels, np.float32), np.ones(channels, np.float32)
    way_out = 'write {"mean": [...], "std": [...]}'
    try:
        given = json.loads(file.read_text())
        mean, std = (np.array(given[key], np.float32) for key in ("mean", "std"))
        fits = set(given) == {"mean", "std"} and mean.shape == std.shape == (channels,) and (std > 0).all()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(
            str(file), f"cannot be read: {error}", 'write {"mean": [...], "std": [...]}'
        ) from error
    if not fits:
        rule = f"is not a mean and a positive std for {channels} channels"
        raise BadInput(str(file), rule, way_out)
    return mean, std


def _listed(folder: Path) -> tuple[list[str], list[Path], np.ndarray]:
    """Return class names, image files in a fixed order, and a class index per file."""
    if not folder.is_dir():
        raise BadInput(f"data 'folder:{folder}'", "is not a folder", "name a folder of class folders")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    folders = [folder / name for name in classes] or [folder]
    found = [_images_in(place) for place in folders]
    files = [file for group in found for file in group]
    if not files or len(files) > _MAX_FILES:
        rule = f"holds {len(files)} images in class folders"
        raise BadInput(f"data 'folder:{folder}'", rule, f"give between 1 and {_MAX_FILES}")
    return classes, files, np.repeat(np.arange(len(found)), [len(group) for group in found])


def _images_in(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image within bounds; a file that is none, or breaks off, is bad input."""
    way_out = "remove it or save it again"
    try:
        with Image.open(file) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise BadInput(str(file), f"has more than {_MAX_PIXELS} pixels", way_out)
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(str(file), f"cannot be read: {error}", way_out) from error


def _file_digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
