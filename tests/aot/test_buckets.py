"""Networks with dynamic sizes: the shapes that are listed are compiled, all others run in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from programs import needs_compiler
from tests.runtimes.runtime_nets import conv_graph, image, network, reference

from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.devices.local import local_device
from taut.graph import Graph, Value
from taut.graph.editor import Editor
from taut.runtimes.aot.buckets import Buckets
from taut.runtimes.aot.compiled import Compiled
from taut.runtimes.aot.runtime import Aot
from taut.runtimes.artifact import ArtifactRecord, load_artifact, save_artifact

STAGE = Stage("aot", options={"shapes": [{"image": [1, 3, 16, 16]}, {"image": [1, 3, 24, 24]}]})


def _dynamic_graph() -> Graph:
    edit = Editor(conv_graph())
    edit.forget_values()
    edit.set_inputs([Value("image", "float32", (1, 3, "height", "width"))])
    return edit.graph()


def _opened(folder: Path) -> Buckets:
    files = Aot().save(_dynamic_graph(), STAGE, folder, "main")
    session = Aot().open(folder, files, STAGE, 1)
    assert isinstance(session, Buckets)
    return session


@needs_compiler
@pytest.mark.parametrize(("size", "is_listed"), [(16, True), (24, True), (20, False)])
def test_outputs_are_right_for_shapes_that_are_listed_and_others(
    size: int, is_listed: bool, tmp_path: Path
) -> None:
    session = _opened(tmp_path)
    assert (session.bucket(image(size)) is not None) == is_listed
    made, wanted = session.run(image(size))["logits"], reference(_dynamic_graph(), image(size))["logits"]
    np.testing.assert_allclose(made, wanted, atol=1e-5 * np.abs(wanted).max())
    session.close()


@needs_compiler
def test_no_run_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = _opened(tmp_path)
    monkeypatch.setattr(Compiled, "of", None)
    for size in (16, 24, 20):
        assert session.run(image(size))["logits"].shape == (1, 10)


@needs_compiler
def test_artifact_keeps_the_shapes(tmp_path: Path) -> None:
    net = network(_dynamic_graph(), STAGE)
    loaded = load_artifact(save_artifact(net, tmp_path / "net", ArtifactRecord(1, local_device())))
    assert {one.where for one in loaded.placement()} == {"aot"}
    for size in (16, 24, 20):
        wanted = reference(_dynamic_graph(), image(size))["logits"]
        np.testing.assert_allclose(loaded(image(size))["logits"], wanted, atol=1e-5 * np.abs(wanted).max())


@needs_compiler
@pytest.mark.parametrize(("size", "is_listed"), [(24, True), (20, False)])
def test_profile_is_of_what_runs_the_items(size: int, is_listed: bool, tmp_path: Path) -> None:
    files = Aot().save(_dynamic_graph(), STAGE, tmp_path, "main")
    times = Aot().profile(tmp_path, files, STAGE, 1, [image(size)] * 2)
    assert "conv1" in {name for time in times for name in time.nodes}
    assert any(time.kernel.startswith("Conv ") for time in times) != is_listed  # onnxruntime's own name
    assert all(time.runs == 2 for time in times)


@needs_compiler
def test_dynamic_sizes_without_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'image' has the dynamic shape \(1, 3, height, width\)"):
        Aot().save(_dynamic_graph(), Stage("aot"), tmp_path, "main")


@needs_compiler
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([], "not a list of shapes"),
        ([{"image": "16x16"}], "not a list of shapes"),
        ([{"picture": [1, 3, 16, 16]}], "names no input"),
        ([{"image": [1, 3, 16]}], "has 3 sizes"),
        ([{"image": [1, 4, 16, 16]}], "gives 4 where the model has 3"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        Aot().save(_dynamic_graph(), Stage("aot", options={"shapes": shapes}), tmp_path, "main")
    assert not list(tmp_path.iterdir())
