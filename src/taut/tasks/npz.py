"""A user's own arrays: one array per network input, saved with ``numpy.savez``.

First axis samples, the rest exactly the input's shape without its batch axis; an input of a network with
recurrent state may have an axis of steps after the samples, then all have it. An input without an axis of
samples is given as it is, once. ``targets`` (or ``labels``) are class indices, one per sample (and step);
other kinds of label need a task of one's own.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Arrays, ArraySplit, Batch, Sealed, Split, Task
from taut.tasks.base import Interface
from taut.tasks.classification import ACCURACY, classification_loss
from taut.tasks.sequences import SequenceSplit
from taut.tasks.splits import cut, digest_of

_TARGET_NAMES = ("targets", "labels")
# Everything is held in memory beside the network; a small file can unpack to any size.
_MAX_BYTES = 2 * 10**9


def open_npz(argument: str, interface: Interface) -> Task:
    """Open ``--data npz:FILE``; BadInput names the array that does not fit."""
    file = Path(argument)
    arrays = _read(file)
    targets = _targets(file, arrays, interface)
    inputs = _inputs(file, arrays, interface)
    leading = _leading(file, inputs, interface)
    labels = _labels(file, targets, leading)
    shared = {name: array for name, array in inputs.items() if interface.is_shared(name)}
    sampled = {name: array for name, array in inputs.items() if name not in shared}
    whole = ArraySplit(sampled, labels)
    splits = [_Samples(_part(whole, part), shared) for part in cut(leading[0], str(file))]
    train, select, test = (_sequences(split, *leading[1:]) if leading[1:] else split for split in splits)
    return Task(
        name=file.name,
        train=train,
        select=select,
        test=Sealed(test),
        metrics=() if labels is None else (ACCURACY,),
        loss=None if labels is None else classification_loss,
        chance=None if labels is None else 100.0 * np.bincount(labels.ravel()).max() / labels.size,
        digest=_digest(inputs, labels),
    )


def _read(file: Path) -> dict[str, np.ndarray]:
    """Read every array; one of Python objects would need unpickling and is refused."""
    way_out = "write it with numpy.savez(FILE, NAME=array) from plain arrays"
    if not file.is_file():
        raise BadInput(f"data 'npz:{file}'", "is not a file", way_out)
    if not zipfile.is_zipfile(file):
        raise BadInput(f"data 'npz:{file}'", "is not an npz archive", way_out)
    try:
        with np.load(file, allow_pickle=False) as archive:
            _refuse_too_large(file, archive.zip)
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"data 'npz:{file}'", f"cannot be read: {error}", way_out) from error


def _refuse_too_large(file: Path, archive: zipfile.ZipFile) -> None:
    size_bytes = sum(info.file_size for info in archive.infolist())
    if size_bytes > _MAX_BYTES:
        rule = f"unpacks to {size_bytes / 1e9:.1f} GB, more than {_MAX_BYTES / 1e9:.0f} GB"
        raise BadInput(f"data 'npz:{file}'", rule, "give fewer samples, or a Task that reads them in parts")


def _targets(file: Path, arrays: Mapping[str, np.ndarray], interface: Interface) -> np.ndarray | None:
    names = [name for name in _TARGET_NAMES if name in arrays and name not in interface.names]
    if len(names) > 1:
        raise BadInput(str(file), f"has both {' and '.join(names)}", "keep one of the two")
    return arrays[names[0]] if names else None


def _inputs(file: Path, arrays: Mapping[str, np.ndarray], interface: Interface) -> dict[str, np.ndarray]:
    """Return the arrays of the network's inputs in its order, types checked."""
    missing = [name for name in interface.names if name not in arrays]
    extra = [name for name in arrays if name not in (*interface.names, *_TARGET_NAMES)]
    if missing or extra:
        given = ", ".join(arrays) or "nothing"
        wanted = ", ".join(interface.names)
        raise BadInput(str(file), f"holds {given}; the network's inputs are {wanted}", "name them alike")
    for name in interface.names:
        if arrays[name].dtype != interface.dtype(name):
            wanted = interface.value(name).dtype
            rule = f"is {arrays[name].dtype}, the network's input is {wanted}"
            raise BadInput(f"{file}: array {name!r}", rule, f"save it with .astype({wanted!r})")
    return {name: arrays[name] for name in interface.names}


def _leading(file: Path, inputs: Arrays, interface: Interface) -> tuple[int, ...]:
    """Return (samples,), or (samples, steps) where arrays hold sequences; shapes checked."""
    found: dict[tuple[int, ...], str] = {}
    for name, array in inputs.items():
        shape = interface.sample_shape(name)
        axes = 0 if interface.is_shared(name) else 1
        if axes and interface.is_recurrent and array.ndim == len(shape) + 2:
            axes = 2
        _refuse_shape(file, name, array.shape[axes:], shape)
        if axes:
            found[array.shape[:axes]] = name
    if len(found) != 1:
        rule = f"has arrays of {' and '.join(map(str, found)) or 'no'} samples"
        raise BadInput(str(file), rule, "give every input as many samples (and steps)")
    return next(iter(found))


def _refuse_shape(file: Path, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        rule = f"holds {found} of each sample, the network's input is {wanted}"
        raise BadInput(f"{file}: array {name!r}", rule, "samples come first, then exactly the input's shape")


def _labels(file: Path, targets: np.ndarray | None, leading: tuple[int, ...]) -> np.ndarray | None:
    if targets is None:
        return None
    given = f"{file}: targets"
    if targets.dtype.kind not in "iu" or targets.min(initial=0) < 0:
        way_out = "for other labels return a Task from package.module:function"
        raise BadInput(given, f"are {targets.dtype}, not class indices from 0 up", way_out)
    if targets.shape != leading:
        raise BadInput(given, f"have the shape {targets.shape}, the inputs {leading}", "give one per sample")
    return targets.astype(np.int64)


def _sequences(samples: _Samples, steps: int) -> Split:
    """Lay the steps of (samples, steps, ...) out as samples of their own."""
    inputs = {name: array.reshape(-1, *array.shape[2:]) for name, array in samples.split.arrays.items()}
    labels = samples.split.labels
    flat = ArraySplit(inputs, None if labels is None else labels.reshape(-1))
    return SequenceSplit(_Samples(flat, samples.shared), steps)


@dataclass(frozen=True)
class _Samples:
    """A split that adds inputs which are the same for all samples."""

    split: ArraySplit
    shared: Arrays

    @property
    def has_targets(self) -> bool:
        return self.split.has_targets

    def __len__(self) -> int:
        return len(self.split)

    def take(self, indices: np.ndarray) -> Batch:
        batch = self.split.take(indices)
        return Batch({**batch.inputs, **self.shared}, batch.targets)


def _part(whole: ArraySplit, indices: np.ndarray) -> ArraySplit:
    batch = whole.take(indices)
    return ArraySplit(batch.inputs, batch.targets)


def _digest(inputs: Arrays, labels: np.ndarray | None) -> str:
    named = {**inputs, "targets": labels} if labels is not None else inputs
    return digest_of(part for name in sorted(named) for part in (name, named[name]))
