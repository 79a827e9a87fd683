"""Our own runtime as a runtime: saved, opened, found again, profiled; and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from programs import needs_compiler
from tests.runtimes.runtime_nets import conv_graph, image, network, reference

from taut.core.errors import BadInput, EnvironmentFailed, NotTheProvenPath
from taut.core.network import Stage
from taut.devices import compiler as compiler_module
from taut.devices.local import local_device
from taut.graph import Graph, Node, Value
from taut.runtimes.aot import making
from taut.runtimes.aot.compiled import Compiled
from taut.runtimes.aot.runtime import Aot
from taut.runtimes.artifact import ArtifactRecord, load_artifact, save_artifact

STAGE = Stage("aot")
_TINY = np.float32(1e-40)


def _save(folder: Path) -> list[str]:
    return Aot().save(conv_graph(), STAGE, folder, "main")


@needs_compiler
def test_outputs_equal_onnxruntimes(tmp_path: Path) -> None:
    session = Aot().open(tmp_path, _save(tmp_path), STAGE, 1)
    wanted = reference(conv_graph(), image())
    for name, array in session.run(image()).items():
        np.testing.assert_allclose(array, wanted[name], atol=1e-5 * np.abs(wanted[name]).max())


@needs_compiler
def test_each_run_gives_arrays_of_its_own(tmp_path: Path) -> None:
    session = Aot().open(tmp_path, _save(tmp_path), STAGE, 1)
    first = session.run(image(seed=1))["logits"]
    kept = first.copy()
    session.run(image(seed=2))
    np.testing.assert_array_equal(first, kept)


@needs_compiler
def test_two_sessions_do_not_disturb_each_other(tmp_path: Path) -> None:
    files = _save(tmp_path)
    one, other = (Aot().open(tmp_path, files, STAGE, 1) for _ in range(2))
    wanted = one.run(image(seed=1))["logits"]
    other.run(image(seed=2))
    np.testing.assert_array_equal(one.run(image(seed=1))["logits"], wanted)


@needs_compiler
def test_threads_change_nothing_however_often_they_are_called(tmp_path: Path) -> None:
    files = _save(tmp_path)
    alone, helped = (Aot().open(tmp_path, files, STAGE, threads) for threads in (1, 3))
    for seed in range(200):
        wanted = alone.run(image(seed=seed))["logits"]
        np.testing.assert_array_equal(helped.run(image(seed=seed))["logits"], wanted)
    helped.close()


@needs_compiler
def test_what_was_compiled_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _save(tmp_path)
    wanted = Aot().open(tmp_path, files, STAGE, 1).run(image())["logits"]
    monkeypatch.setattr(making, "make", None)
    np.testing.assert_array_equal(Aot().open(tmp_path, files, STAGE, 1).run(image())["logits"], wanted)


@needs_compiler
def test_what_is_found_runs_without_a_framework(tmp_path: Path) -> None:
    files = _save(tmp_path)
    Aot().open(tmp_path, files, STAGE, 1)
    code = (
        "import sys, numpy as np; from pathlib import Path; from taut.core.network import Stage;"
        "from taut.runtimes.aot.runtime import Aot;"
        f"session = Aot().open(Path({str(tmp_path)!r}), {files}, Stage('aot'), 1);"
        "print(session.run({'image': np.ones((1, 3, 16, 16), np.float32)})['logits'].shape);"
        "print({'onnx', 'onnxruntime', 'torch', 'taut.runtimes.aot.lowering'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["(1, 10)", "set()"]


@needs_compiler
def test_loading_leaves_tiny_numbers_alone(tmp_path: Path) -> None:
    """A library that was linked with -ffast-math would flush them to zero from then on."""
    assert _TINY * np.float32(1) != 0
    Aot().open(tmp_path, _save(tmp_path), STAGE, 1).run(image())
    assert _TINY * np.float32(1) != 0


@needs_compiler
def test_profile_gives_every_computing_node_a_time(tmp_path: Path) -> None:
    times = Aot().profile(tmp_path, _save(tmp_path), STAGE, 1, [image()] * 5)
    assert all(time.latency_ms >= 0 and time.runs == 5 for time in times)
    timed = {node for time in times for node in time.nodes}
    assert {node.name for node in conv_graph() if node.op == "Conv"} <= timed
    assert timed <= {node.name for node in conv_graph()}


@needs_compiler
def test_every_node_is_placed(tmp_path: Path) -> None:
    placed = Aot().open(tmp_path, _save(tmp_path), STAGE, 1).placement()
    assert [(one.node, one.op) for one in placed] == [(node.name, node.op) for node in conv_graph()]


def test_artifact_holds_the_network_alone(tmp_path: Path) -> None:
    _save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["main.onnx"]


def test_network_that_cannot_be_compiled_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    value = Value("x", "float32", (2, 3))
    graph = Graph(
        "net", (value,), (Value("y", "int64", (2, 6)),), (Node("nz", "NonZero", ("x",), ("y",)),), {}
    )
    with pytest.raises(BadInput, match="NonZero 'nz'"):
        Aot().save(graph, STAGE, tmp_path, "main")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "stage",
    [Stage("aot", "float16"), Stage("aot", options={"lanes": 2}), Stage("aot", options={"threads": 0})],
)
def test_settings_that_are_not_known_are_refused(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        Aot().save(conv_graph(), stage, tmp_path, "main")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return save_artifact(network(conv_graph(), STAGE), tmp_path / "net", ArtifactRecord(1, local_device()))


def _without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    compiler_module.compiler.cache_clear()


@pytest.fixture(autouse=True)
def _compiler_found_anew() -> Iterator[None]:
    yield
    compiler_module.compiler.cache_clear()


@needs_compiler
def test_without_a_compiler_onnxruntime_runs_the_file_and_says_so(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_artifact(artifact).is_proven_here
    _without_compiler(monkeypatch)
    loaded = load_artifact(artifact)
    assert not loaded.is_proven_here
    with pytest.warns(NotTheProvenPath, match="main.onnx runs in onnxruntime.* no C compiler") as caught:
        outputs = loaded(image())
    assert len(caught) == 1
    np.testing.assert_allclose(outputs["logits"], reference(conv_graph(), image())["logits"], rtol=1e-4)
    assert {one.where for one in loaded.placement()} == {"CPUExecutionProvider"}


def test_without_a_compiler_nothing_is_offered_or_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_compiler(monkeypatch)
    assert Aot().variants(local_device(), 2) == []
    with pytest.raises(BadInput, match=r"needs a C compiler .* another runtime"):
        _save(tmp_path)


@needs_compiler
def test_node_that_went_elsewhere_is_an_error_where_the_network_was_proven(artifact: Path) -> None:
    manifest = artifact / "manifest.json"
    manifest.write_text(manifest.read_text().replace("aot/float32", "onnxruntime/float32"))
    with pytest.raises(EnvironmentFailed, match=r"operator Add ran as 1 onnxruntime/float32 .* aot/float32"):
        load_artifact(artifact)


@needs_compiler
@pytest.mark.parametrize("name", ["program.json", "0.so", "0.weights"])
@pytest.mark.parametrize("content", [b"", b"[]", None], ids=["empty", "other", "missing"])
def test_what_is_damaged_in_the_cache_is_made_anew(
    name: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = _save(tmp_path)
    damaged = Compiled.of(tmp_path / files[0], "float32", {}).segments[0].file.with_name(name)
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    outputs = Aot().open(tmp_path, files, STAGE, 1).run(image())
    np.testing.assert_allclose(outputs["logits"], reference(conv_graph(), image())["logits"], rtol=1e-4)
