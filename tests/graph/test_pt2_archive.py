from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_nets import random_array, run
from torch import Tensor, nn

from taut.core.errors import BadInput
from taut.graph.from_torch import load_pt2
from taut.graph.pt2_archive import refuse_unsafe_archive

Files = dict[str, bytes]
Change = Callable[[Files], None]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            shift = torch.arange(3.0) - 1
        return torch.relu(self.layers(x) + shift)


class Innocent:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def save(module: nn.Module, path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (torch.ones(2, 4),), **options)
        torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save(Net(), tmp_path_factory.mktemp("archives") / "net.pt2")


def rewritten(archive: Path, target: Path, change: Change) -> Path:
    with zipfile.ZipFile(archive) as source:
        files = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as changed:
        for name, content in files.items():
            changed.writestr(f"net/{name}", content)
    return target


def unchanged(_files: Files) -> None:
    pass


def in_json(name: str, edit: Callable[[Any], None]) -> Change:
    def change(files: Files) -> None:
        data = json.loads(files[name])
        edit(data)
        files[name] = json.dumps(data).encode()

    return change


def in_program(edit: Callable[[Any], None]) -> Change:
    return in_json("models/model.json", edit)


def first_node(program: Any) -> Any:
    return program["graph_module"]["graph"]["nodes"][0]


def test_archive_computes_what_the_module_does(archive: Path) -> None:
    torch.manual_seed(0)
    graph, x = load_pt2(archive), random_array(2, 4)
    wanted = Net().eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(run(graph, x=x)["output"], wanted, rtol=1e-5, atol=1e-5)
    assert graph.by_name["layers.1"].op == "BatchNormalization"


def test_archive_that_was_only_repacked_is_accepted(archive: Path, tmp_path: Path) -> None:
    refuse_unsafe_archive(rewritten(archive, tmp_path / "same.pt2", unchanged))


def test_pickled_example_inputs_are_refused_before_they_run(archive: Path, tmp_path: Path) -> None:
    trace, buffer = tmp_path / "ran", io.BytesIO()
    torch.save(((Innocent(trace),), {}), buffer)
    pickled = {"data/sample_inputs/model.pt": buffer.getvalue()}
    path = rewritten(archive, tmp_path / "bad.pt2", lambda files: files.update(pickled))
    with pytest.raises(BadInput, match="a pickle of more than tensors"):
        load_pt2(path)
    assert not trace.exists()
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert trace.exists()  # else the refusal guards against nothing


def pickled_weight(files: Files) -> None:
    files["data/weights/weight_0"] = pickle.dumps("anything")
    in_json("data/weights/model_weights_config.json", mark_as_pickled)(files)


def mark_as_pickled(data: Any) -> None:
    next(iter(data["config"].values()))["use_pickle"] = True


def custom_object(data: Any) -> None:
    data["config"]["helper"] = {"path_name": "custom_obj_0", "use_pickle": False}


def call_of(target: str) -> Change:
    return in_program(lambda program: first_node(program).update(target=target))


def symbolic_argument(program: Any) -> None:
    first_node(program)["inputs"][0]["arg"] = {"as_sym_int": {"as_expr": {"expr_str": "exit()"}}}


DANGERS: dict[str, tuple[Change, str]] = {
    "pickled weight": (pickled_weight, "as a pickled object"),
    "custom object": (in_json("data/constants/model_constants_config.json", custom_object), "pickled object"),
    "call below torch": (call_of("torch.serialization.os.system"), "calls torch.serialization.os.system"),
    "library": (call_of("torch.ops.load_library"), "calls torch.ops.load_library"),
    "special method": (call_of("torch.ops.aten.__class__.default"), "calls torch.ops.aten.__class__"),
    "expression": (in_program(symbolic_argument), "dynamic sizes"),
    "guard": (in_program(lambda program: program.update(guards_code=["exit()"])), "guards_code"),
    "name": (in_program(lambda program: first_node(program).update(name="x;exit()")), "as a name"),
    "compiled code": (lambda files: files.update({"data/aotinductor/model/x.so": b""}), "x.so"),
    "old weights": (
        lambda files: files.update({"data/weights/model.pt": b""}),
        "holds data/weights/model.pt",
    ),
}


@pytest.mark.parametrize("danger", DANGERS)
def test_archive_that_may_run_code_is_refused(archive: Path, tmp_path: Path, danger: str) -> None:
    change, message = DANGERS[danger]
    path = rewritten(archive, tmp_path / "bad.pt2", change)
    with pytest.raises(BadInput, match=message) as refusal:
        load_pt2(path)
    assert "can run code" in str(refusal.value)
    assert "ONNX" in str(refusal.value)


def test_archive_with_two_files_of_one_name_is_refused(archive: Path, tmp_path: Path) -> None:
    path = rewritten(archive, tmp_path / "bad.pt2", unchanged)
    with zipfile.ZipFile(path, "a") as changed:
        changed.writestr("net/data/sample_inputs/MODEL.pt", b"")
    with pytest.raises(BadInput, match="two files of one name"):
        load_pt2(path)


def test_dynamic_sizes_are_refused(tmp_path: Path) -> None:
    sizes = {"x": {0: torch.export.Dim("batch", max=9)}}
    path = save(Net(), tmp_path / "dynamic.pt2", dynamic_shapes=sizes)
    with pytest.raises(BadInput, match="static shapes"):
        load_pt2(path)


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({"a": 1})])
def test_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"not a torch\.export archive"):
        load_pt2(path)


def test_checkpoint_with_another_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.save(Net().state_dict(), path)
    with pytest.raises(BadInput, match=r"not a torch\.export archive"):
        load_pt2(path)


def test_archive_cut_off_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"not a torch\.export archive"):
        load_pt2(path)


def test_archive_with_a_part_missing_is_refused(archive: Path, tmp_path: Path) -> None:
    path = rewritten(archive, tmp_path / "net.pt2", lambda files: files.pop("data/weights/weight_0"))
    with pytest.raises(BadInput, match=r"cannot be read as a torch\.export archive"):
        load_pt2(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load_pt2(tmp_path / "none.pt2")
