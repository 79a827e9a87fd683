"""Manifests from strangers: whatever is in them, the answer is BadInput in one line, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtimes.runtime_nets import conv_graph, network

from taut.core.errors import BadInput
from taut.devices.local import local_device
from taut.runtimes.artifact import ArtifactRecord, load_artifact, save_artifact
from taut.runtimes.manifest import read_manifest

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "art"
    return save_artifact(network(conv_graph()), folder, ArtifactRecord(1, local_device()))


@pytest.fixture
def folder(artifact: Path, tmp_path: Path) -> Path:
    """A copy of the artifact that a test may damage."""
    for file in artifact.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def stage_of(data: dict[str, Any]) -> dict[str, Any]:
    stage: dict[str, Any] = data["parts"]["main"]["stages"][0]
    return stage


def file_of(data: dict[str, Any]) -> dict[str, Any]:
    file: dict[str, Any] = stage_of(data)["files"][0]
    return file


HOSTILE: dict[str, Change] = {
    "path up": lambda data: file_of(data).update(path="../../etc/passwd"),
    "path hidden up": lambda data: file_of(data).update(path="a/../../secret"),
    "path absolute": lambda data: file_of(data).update(path="/etc/passwd"),
    "path of windows": lambda data: file_of(data).update(path="..\\secret"),
    "path with drive": lambda data: file_of(data).update(path="C:secret"),
    "path with zero byte": lambda data: file_of(data).update(path="main.onnx\0"),
    "path empty": lambda data: file_of(data).update(path=""),
    "path a folder": lambda data: file_of(data).update(path="."),
    "path absent": lambda data: file_of(data).update(path="other.onnx"),
    "path endless": lambda data: file_of(data).update(path="a" * 5000),
    "hash wrong": lambda data: file_of(data).update(sha256="0" * 64),
    "size wrong": lambda data: file_of(data).update(bytes=1),
    "size negative": lambda data: file_of(data).update(bytes=-1),
    "size enormous": lambda data: file_of(data).update(bytes=2**70),
    "size a truth": lambda data: file_of(data).update(bytes=True),
    "no files": lambda data: stage_of(data).update(files=[]),
    "no stages": lambda data: data["parts"]["main"].update(stages=[]),
    "no parts": lambda data: data.update(parts={}),
    "entry elsewhere": lambda data: data.update(entry="head"),
    "last stage cut": lambda data: stage_of(data).update(until=["conv1_out"]),
    "input that nobody makes": lambda data: stage_of(data).update(inputs=["ghost"]),
    "output that nobody makes": lambda data: stage_of(data).update(outputs=[]),
    "feedback from nowhere": lambda data: data.update(feedback={"ghost": "image"}),
    "feedback to nowhere": lambda data: data.update(feedback={"logits": "ghost"}),
    "threads zero": lambda data: data.update(threads=0),
    "threads a million": lambda data: data.update(threads=1_000_000),
    "threads a text": lambda data: data.update(threads="2"),
    "shape negative": lambda data: data["inputs"][0].update(shape=[-1, 3]),
    "shape enormous": lambda data: data["inputs"][0].update(shape=[2**40]),
    "shape of truths": lambda data: data["inputs"][0].update(shape=[True]),
    "rank enormous": lambda data: data["inputs"][0].update(shape=[1] * 1000),
    "dtype unknown": lambda data: data["inputs"][0].update(dtype="float31"),
    "input twice": lambda data: data["inputs"].append(data["inputs"][0]),
    "schema newer": lambda data: data.update(schema=2),
    "schema a text": lambda data: data.update(schema="1"),
    "schema absent": lambda data: data.pop("schema"),
    "options a list": lambda data: stage_of(data).update(options=[]),
    "placement of texts": lambda data: stage_of(data).update(placement={"Conv": "here"}),
    "names of numbers": lambda data: data.update(names={"conv1": [1]}),
    "device a text": lambda data: data.update(device="mine"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_manifest_is_refused_in_one_line(change: Change, folder: Path) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput) as caught:
        read_manifest(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"schema": 1}', b"[" * 100_000, b'{"schema": 1e999}'],
    ids=["empty", "cut", "list", "null", "binary", "bare", "deep", "infinite"],
)
def test_file_that_is_no_manifest_is_refused(content: bytes, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BadInput):
        read_manifest(folder)


def test_manifest_that_is_too_large_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taut.runtimes.manifest._MANIFEST_BOUND_BYTES", 100)
    with pytest.raises(BadInput, match="larger than 100 bytes"):
        read_manifest(folder)


def test_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_manifest(tmp_path)


def test_link_that_leaves_the_folder_is_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "main.onnx"
    (folder / "main.onnx").rename(outside)
    (folder / "main.onnx").symlink_to(outside)
    with pytest.raises(BadInput, match="leaves the artifact's folder"):
        read_manifest(folder)


def test_changed_model_file_is_refused(folder: Path) -> None:
    content = bytearray((folder / "main.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "main.onnx").write_bytes(content)
    with pytest.raises(BadInput, match="size or hash differ"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "fields", [{"runtime": "pickle"}, {"precision": "int1"}, {"options": {"profile": "x"}}]
)
def test_stage_that_no_runtime_knows_is_refused_when_loaded(fields: dict[str, Any], folder: Path) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    stage_of(data).update(fields)
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput):
        load_artifact(folder)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every field of a JSON value."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path] * bool(path) + [place for key, item in inner for place in places(item, (*path, key))]


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_field_is_read_or_refused_and_never_crashes(
    artifact: Path, folder: Path, data: st.DataObject
) -> None:
    changed = json.loads((artifact / "manifest.json").read_text())
    place = data.draw(st.sampled_from(places(changed)))
    owner = changed
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = data.draw(ANYTHING)
    (folder / "manifest.json").write_text(json.dumps(changed))
    assert "\n" not in str(refusal(folder))


def refusal(folder: Path) -> BadInput | None:
    try:
        read_manifest(folder)
    except BadInput as error:
        return error
    return None
