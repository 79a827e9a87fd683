"""MNIST (LeCun et al. 1998): the 10,000 test images as rows of pixels, from the original files.

The training images are not read: 10,000 labelled images suffice for models that are no networks.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput

PIXELS = 28 * 28
_IMAGES, _LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
_IMAGES_HEAD, _LABELS_HEAD = 16, 8


def mnist_rows(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (10,000, 784) from 0 to 1 and labels (10,000,); BadInput where a file is not whole."""
    pixels, labels = _content(folder / _IMAGES, _IMAGES_HEAD), _content(folder / _LABELS, _LABELS_HEAD)
    if labels.size == 0 or pixels.size != labels.size * PIXELS:
        raise BadInput(f"MNIST in {folder}", "images and labels do not belong together", "fetch both again")
    return pixels.reshape(-1, PIXELS).astype(np.float32) / 255, labels.astype(np.int64)


def _content(file: Path, head: int) -> np.ndarray:
    """Return the bytes after an IDX file's head."""
    try:
        with gzip.open(file) as opened:
            return np.frombuffer(opened.read(), np.uint8)[head:]
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{file}", f"cannot be read: {error}", "see 'taut data mnist'") from error
