"""Where data sets are looked for, and how a person fills the folder. Nothing is downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from taut.core.errors import BadInput


@dataclass(frozen=True)
class DataSet:
    """A data set that is not in a package: folder names it may have, and how to get it."""

    name: str
    title: str
    folders: tuple[str, ...]
    how: str


CIFAR10 = DataSet(
    "cifar10",
    "CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes (Krizhevsky 2009), 163 MB",
    ("cifar10", "cifar-10-batches-bin", "cifar10_jpeg"),
    """\
The binary version is at https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz; unpack it so that one of
the folders above holds
    data_batch_1.bin ... data_batch_5.bin   and   test_batch.bin
Zips of JPEG files are read too: train_*.zip and test_*.zip with entries SPLIT/CLASS/NUMBER.jpg.
The Python version is pickled and is not read.""",
)
MNIST = DataSet(
    "mnist",
    "MNIST: the 10,000 test images of handwritten digits, 28x28 pixels (LeCun et al. 1998), 1.7 MB",
    ("mnist", "mnist_t10k"),
    """\
Put t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, for example from
https://ossci-datasets.s3.amazonaws.com/mnist/, into one of the folders above.
For the experiments of systems; it is no task that DATA could name.""",
)
DATA_SETS = {CIFAR10.name: CIFAR10, MNIST.name: MNIST}

_IN_PACKAGES = "digits: 1,797 handwritten digits of 8x8 pixels; in the scikit-learn package, nothing to do"


def cache_folder() -> Path:
    """Return the user's folder for data and trained nets (``$XDG_CACHE_HOME/taut`` or ``~/.cache/taut``)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "taut"


def find_data(name: str) -> Path:
    """Return the first existing folder of a known data set; BadInput says how to get it."""
    places = _places(DATA_SETS[name])
    for place in places:
        if place.is_dir():
            return place
    raise BadInput(f"data {name!r}", f"is not in {places[0].parent}", f"see 'taut data {name}'")


def describe_data(name: str | None = None) -> str:
    """Say of one data set, or of all, whether it is here, where it is looked for and how to get it."""
    if name is None:
        return "\n\n".join([_IN_PACKAGES, *(_description(known) for known in DATA_SETS.values())])
    if name == "digits":
        return _IN_PACKAGES
    if name not in DATA_SETS:
        known = ", ".join(("digits", *DATA_SETS))
        raise BadInput(f"data set {name!r}", "is not known", f"one of: {known}")
    return _description(DATA_SETS[name])


def _description(data_set: DataSet) -> str:
    marks = [f"  {'here   ' if place.is_dir() else 'missing'} {place}" for place in _places(data_set)]
    return "\n".join(
        [f"{data_set.name}: {data_set.title}", "Looked for, in this order:", *marks, data_set.how]
    )


def _places(data_set: DataSet) -> list[Path]:
    given = os.environ.get("TAUT_DATA")
    roots = [Path(given)] if given else []
    return [root / folder for root in (*roots, cache_folder()) for folder in data_set.folders]
