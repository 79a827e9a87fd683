from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from taut.core.errors import BadInput
from taut.tasks.mnist import mnist_rows


def _write(folder: Path, images: bytes, labels: bytes) -> None:
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + images))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels))


def test_rows_are_pixels_from_zero_to_one(tmp_path: Path) -> None:
    _write(tmp_path, bytes(784) + bytes([255]) * 784, bytes([3, 9]))
    x, y = mnist_rows(tmp_path)
    np.testing.assert_array_equal(x, np.repeat([[0.0], [1.0]], 784, axis=1))
    assert x.dtype == np.float32 and y.tolist() == [3, 9]


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, bytes(784), bytes(2))
    with pytest.raises(BadInput, match="do not belong together"):
        mnist_rows(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(bytes(900))[:20]])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path, bytes(784), bytes(1))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(BadInput, match=r"MNIST|cannot be read"):
        mnist_rows(tmp_path)
