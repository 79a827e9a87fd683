"""``manifest.json``: what an artifact is made of, how it runs, and what was proven of it, where.

    {"schema": 1, "name": "resnet20", "entry": "main",
     "parts": {"main": {"kind": "net", "stages": [{"runtime": "onnxruntime", "precision": "float32",
        "options": {}, "until": [], "inputs": ["image"], "outputs": ["logits"],
        "files": [{"path": "main.onnx", "sha256": "...", "bytes": 1090000}], "placement": {...}}]}},
     "threads": 2, "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 3, 32, 32]}], ...}

It may come from a stranger: every field is checked, files must lie inside the folder and match their hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.move import NameMap
from taut.core.network import Run, Stage
from taut.graph.ir import Dimension, Value
from taut.graph.onnx_types import ELEMENTS
from taut.runtimes.fields import Fields, read_fields

SCHEMA = 1
MANIFEST_NAME = "manifest.json"
_MANIFEST_BOUND_BYTES = 64 * 2**20  # names of a million nodes
_FILE_BOUND_BYTES = 2**37  # 128 GiB: no single file that a stock runtime reads is larger
_THREADS_BOUND = 4096
_RANK_BOUND = 64

Placement = Mapping[str, Mapping[str, int]]
"""Operator -> ``where/precision`` -> number of nodes"""


@dataclass(frozen=True)
class ModelFile:
    """A file of the artifact, relative to its folder."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class SavedStage:
    """A stage as it was saved: what goes in and out, its files, and where its nodes ran."""

    stage: Stage
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    files: tuple[ModelFile, ...]
    placement: Placement


@dataclass(frozen=True)
class Manifest:
    """Everything an artifact says about itself."""

    name: str
    entry: str
    stages: tuple[SavedStage, ...]
    threads: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    device: Device
    feedback: Mapping[str, str] = field(default_factory=dict)
    plan: Sequence[Mapping[str, Any]] = ()
    names: NameMap = field(default_factory=NameMap)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""

    @property
    def file_bytes(self) -> int:
        return sum(file.bytes for saved in self.stages for file in saved.files)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest into the folder; numbers that JSON does not have (NaN, infinity) become null."""
    text = json.dumps(_finite(_to_json(manifest)), indent=1, allow_nan=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest and the hash of every file it names; BadInput for anything wrong."""
    fields = read_fields(folder / MANIFEST_NAME, _MANIFEST_BOUND_BYTES)
    if fields.data.get("schema") != SCHEMA:
        rule = f"has schema {fields.data.get('schema')!r}, this version reads {SCHEMA}"
        raise BadInput(fields.given, rule, "use the version of taut that wrote it")
    manifest = _from_json(fields)
    for saved in manifest.stages:
        for file in saved.files:
            _check_file(folder, file)
    return manifest


def model_file(folder: Path, name: str) -> ModelFile:
    """Describe a file of the folder."""
    path = folder / name
    return ModelFile(name, _sha256(path), path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_file(folder: Path, file: ModelFile) -> None:
    path, way_out = folder / file.path, "make the artifact again, or get an undamaged copy"
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BadInput(str(path), "is a link that leaves the artifact's folder", way_out)
        if not path.is_file():
            raise BadInput(str(path), "is missing or not a file", way_out)
        if path.stat().st_size != file.bytes or _sha256(path) != file.sha256:
            rule = "is not the file that the manifest describes (size or hash differ)"
            raise BadInput(str(path), rule, way_out)
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, a loop of links
        raise BadInput(f"{folder} file {file.path[:80]!r}", f"cannot be read ({error})", way_out) from error


def _to_json(manifest: Manifest) -> dict[str, Any]:
    data = asdict(manifest)
    data["stages"] = [_stage_to_json(saved) for saved in manifest.stages]
    data["parts"] = {manifest.entry: {"kind": "net", "stages": data.pop("stages")}}
    data["names"] = {old: list(new) for old, new in manifest.names.renamed.items()}
    return {"schema": SCHEMA, **data}


def _stage_to_json(saved: SavedStage) -> dict[str, Any]:
    data = asdict(saved)
    return {**data.pop("stage"), **data}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(fields: Fields) -> Manifest:
    entry = fields.text("entry")
    stages = tuple(_stage(item) for item in fields.inner("parts").inner(entry).objects("stages"))
    manifest = Manifest(
        name=fields.text("name"),
        entry=entry,
        stages=stages,
        threads=fields.whole("threads", 1, _THREADS_BOUND),
        inputs=tuple(_value(item) for item in fields.objects("inputs")),
        outputs=tuple(_value(item) for item in fields.objects("outputs")),
        device=_device(fields.inner("device")),
        feedback=fields.text_map("feedback"),
        plan=[item.data for item in fields.objects("plan")],
        names=NameMap({old: fields.inner("names").texts(old) for old in fields.mapping("names")}),
        evidence=fields.mapping("evidence"),
        quality=fields.mapping("quality"),
        versions=fields.text_map("versions"),
        date=fields.text("date"),
    )
    _check_flow(manifest, fields)
    return manifest


def _stage(fields: Fields) -> SavedStage:
    stage = Stage(
        fields.text("runtime"), fields.text("precision"), fields.mapping("options"), fields.texts("until")
    )
    placement = {op: fields.inner("placement").mapping(op) for op in fields.mapping("placement")}
    files = tuple(_file(item) for item in fields.objects("files"))
    if not files:
        raise fields.refuse("has no files")
    return SavedStage(stage, fields.texts("inputs"), fields.texts("outputs"), files, placement)


def _file(fields: Fields) -> ModelFile:
    path = fields.text("path")
    pure = PurePosixPath(path)
    # A backslash or a colon would be a path or a drive on Windows.
    if not path or pure.is_absolute() or ".." in pure.parts or set(path) & set("\\:\0"):
        raise fields.refuse(f"path {path!r} leaves the artifact's folder")
    return ModelFile(path, fields.text("sha256"), fields.whole("bytes", 0, _FILE_BOUND_BYTES))


def _value(fields: Fields) -> Value:
    dtype = fields.text("dtype")
    if dtype not in ELEMENTS:
        raise fields.refuse(f"type {dtype!r} is none that a tensor has")
    shape = None if fields.data.get("shape") is None else tuple(fields.array("shape"))
    if shape is not None and not (len(shape) <= _RANK_BOUND and all(_is_dimension(size) for size in shape)):
        raise fields.refuse(f"shape {shape} is not one of sizes and names")
    return Value(fields.text("name"), dtype, shape)


def _is_dimension(size: Dimension | Any) -> bool:
    if isinstance(size, int) and not isinstance(size, bool):
        return 0 <= size < 2**31  # the largest size that runtimes take
    return size is None or isinstance(size, str)


def _device(fields: Fields) -> Device:
    return Device(
        fields.text("name"),
        fields.text("fingerprint"),
        fields.text("processor"),
        fields.whole("cores", 1, _THREADS_BOUND),
        fields.whole("memory_bytes", 0, 2**60),
        fields.texts("features"),
        fields.text_map("runtimes"),
    )


def _check_flow(manifest: Manifest, fields: Fields) -> None:
    """Every stage must find its inputs among what came before, and the outputs must be made."""
    try:
        Run(tuple(saved.stage for saved in manifest.stages))
    except ValueError as error:
        raise fields.refuse(str(error)) from error
    known = {value.name for value in manifest.inputs}
    if len(known) != len(manifest.inputs):
        raise fields.refuse("two inputs have one name")
    for saved in manifest.stages:
        if not known.issuperset(saved.inputs):
            raise fields.refuse(f"nothing makes {sorted(set(saved.inputs) - known)[0]!r}")
        known.update(saved.outputs)
    wanted = {value.name for value in manifest.outputs} | set(manifest.feedback)
    if not known.issuperset(wanted):
        raise fields.refuse(f"nothing makes {sorted(wanted - known)[0]!r}")
    if not {value.name for value in manifest.inputs}.issuperset(manifest.feedback.values()):
        raise fields.refuse("feedback goes to something that is no input")
