"""Networks compiled on this machine: kept in the user's cache, found again by what they were made of.

    <digest>/
      program.json     the segments in order; written last, so that it is there only with all the rest
      0.so, 0.weights  a segment of ours
      1.onnx           a segment that onnxruntime computes

The digest covers the file's content, the precision, the compiler, the processor and our own templates. What
is found is checked for form and sizes before it is loaded, and made anew where it is damaged.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput
from taut.kernels.build import cache_folder, digest_of
from taut.runtimes.fields import Fields, read_fields

PROGRAM = "program.json"
_PROGRAM_BOUND_BYTES = 64 * 2**20  # names of a million nodes
_SIZE_BOUND = 2**40
Sizes = Mapping[str, Sequence[int]]
"""Of inputs, by name"""


@dataclass(frozen=True)
class Typed:
    """A value; its memory is of a fixed size, or where there is no shape, its maker's."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class CompiledStep:
    """A kernel, and the nodes that it computes."""

    kernel: str
    precision: str
    """Of its products"""
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class CompiledSegment:
    """One side of a boundary: a library of ours, or a file for onnxruntime, where there are no weights."""

    file: Path
    inputs: tuple[str, ...]
    outputs: tuple[Typed, ...]
    steps: tuple[CompiledStep, ...]
    weights: Path | None = None
    arena_bytes: int = 0

    @property
    def is_ours(self) -> bool:
        return self.weights is not None


@dataclass(frozen=True)
class Compiled:
    """A network compiled on this machine."""

    inputs: tuple[Typed, ...]
    outputs: tuple[str, ...]
    segments: tuple[CompiledSegment, ...]
    nodes: tuple[tuple[str, str], ...]
    """Name and operator of every node of the file"""

    @staticmethod
    def of(file: Path, precision: str, sizes: Sizes, *, is_timed: bool = False) -> Compiled:
        """Compile a file, or find what was compiled of it before; sizes are those of its dynamic inputs."""
        folder = _folder(file, precision, sizes, is_timed=is_timed)
        if (found := _found(folder)) is not None:
            return found
        from taut.runtimes.aot.making import make  # brings all that a graph is read and lowered with

        shutil.rmtree(folder, ignore_errors=True)
        make(file, precision, sizes, folder, is_timed=is_timed)
        found = _found(folder)
        assert found is not None, "it was just made"
        return found


def mapped(path: Path) -> np.ndarray:
    """Weights as they lie in the file system's cache, read when they are first used."""
    with path.open("rb") as stream:
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _folder(file: Path, precision: str, sizes: Sizes, *, is_timed: bool) -> Path:
    with file.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    form = json.dumps([precision, sorted(sizes.items()), is_timed])
    return cache_folder() / digest_of(content, form, _templates_digest())


def _found(folder: Path) -> Compiled | None:
    """Read what was made; None where there is nothing, or something that was not made like this."""
    try:
        fields = read_fields(folder / PROGRAM, _PROGRAM_BOUND_BYTES)
        return Compiled(
            inputs=tuple(_typed(value) for value in fields.objects("inputs")),
            outputs=fields.texts("outputs"),
            segments=tuple(
                _segment(segment, folder, place) for place, segment in enumerate(fields.objects("segments"))
            ),
            nodes=tuple(fields.text_map("nodes").items()),
        )
    except (BadInput, OSError):
        return None


def _segment(fields: Fields, folder: Path, place: int) -> CompiledSegment:
    is_ours = fields.text("runtime") == "aot"
    file = folder / (f"{place}.so" if is_ours else f"{place}.onnx")
    weights = folder / f"{place}.weights" if is_ours else None
    for path, key in ((file, "file_bytes"), (weights, "weights_bytes")):
        if path is not None and path.stat().st_size != fields.whole(key, 1, _SIZE_BOUND):
            raise fields.refuse(f"{path.name} has another size")
    return CompiledSegment(
        file,
        fields.texts("inputs"),
        tuple(_typed(value) for value in fields.objects("outputs")),
        _steps(fields),
        weights,
        fields.whole("arena_bytes", 0, _SIZE_BOUND),
    )


def _steps(fields: Fields) -> tuple[CompiledStep, ...]:
    """Steps lie in columns: a network has hundreds, and to check an object for each would take longest."""
    kernels, precisions, nodes = fields.texts("kernels"), fields.texts("precisions"), fields.array("nodes")
    if not len(kernels) == len(precisions) == len(nodes):
        raise fields.refuse("has columns of different lengths")
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in nodes):
        raise fields.refuse("has a step whose nodes are not a list of names")
    return tuple(map(CompiledStep, kernels, precisions, map(tuple, nodes)))


def _typed(fields: Fields) -> Typed:
    shape = fields.data.get("shape")
    if shape is not None:
        shape = tuple(fields.array("shape"))
        if not all(isinstance(size, int) and 0 <= size < _SIZE_BOUND for size in shape):
            raise fields.refuse("has a shape that is not one of sizes")
    return Typed(fields.text("name"), fields.text("dtype"), shape)


@cache
def _templates_digest() -> str:
    """Hash of our own code that decides what is emitted."""
    folders = (Path(__file__).parent, Path(__file__).parent.parent.parent / "kernels")
    sha = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".h")):
            sha.update(path.read_bytes())
    return sha.hexdigest()
