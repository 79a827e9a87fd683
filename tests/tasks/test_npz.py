"""A user's own arrays: what is read, how it is cut, and each way in which it may not fit."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.errors import BadInput
from taut.core.task import Task
from taut.graph.ir import Value
from taut.tasks import npz
from taut.tasks.open import open_task
from taut.tasks.sequences import steps_of
from taut.tasks.splits import cut

INPUTS = [Value("a", "float32", (1, 2, 3)), Value("b", "int64", (1, 4))]
COUNT = 20


def _arrays(count: int = COUNT) -> dict[str, np.ndarray]:
    return {
        "a": np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3),
        "b": np.arange(count * 4, dtype=np.int64).reshape(count, 4),
    }


def _open(folder: Path, arrays: dict[str, np.ndarray], inputs: list[Value] = INPUTS, state: str = "") -> Task:
    file = folder / "data.npz"
    np.savez(file, **arrays)
    return open_task(f"npz:{file}", inputs, {f"{state}_out": state} if state else {})


def _samples(task: Task, name: str) -> list[np.ndarray]:
    assert task.train is not None
    splits = (task.train, task.select, task.test.open("a test"))
    return [split.take(np.arange(len(split))).inputs[name] for split in splits]


def test_arrays_are_cut_into_three_splits_that_share_no_sample(tmp_path: Path) -> None:
    task = _open(tmp_path, _arrays())
    parts = _samples(task, "a")
    assert [len(part) for part in parts] == [12, 4, 4]
    together = np.sort(np.concatenate(parts)[:, 0, 0])
    assert together.tolist() == _arrays()["a"][:, 0, 0].tolist()
    assert task.metrics == () and task.loss is None
    assert not task.select.has_targets


def test_samples_keep_their_inputs_and_labels_together(tmp_path: Path) -> None:
    task = _open(tmp_path, {**_arrays(), "labels": np.arange(COUNT, dtype=np.uint8) % 4})
    batch = task.select.take(np.arange(len(task.select)))
    sample = batch.inputs["a"][:, 0, 0] / 6
    assert (batch.inputs["b"][:, 0] / 4).tolist() == sample.tolist()
    assert batch.targets is not None
    assert batch.targets.tolist() == (sample % 4).tolist()
    assert task.main_metric is not None and task.main_metric.name == "accuracy"
    assert task.chance == 25.0


def test_splits_are_the_same_every_time_and_the_digest_is_of_the_content(tmp_path: Path) -> None:
    first, second = _open(tmp_path, _arrays()), _open(tmp_path, dict(reversed(_arrays().items())))
    assert first.digest == second.digest
    assert np.array_equal(_samples(first, "b")[0], _samples(second, "b")[0])
    changed = _arrays()
    changed["a"][0, 0, 0] += 1
    assert _open(tmp_path, changed).digest != first.digest
    labelled = {**_arrays(), "targets": np.zeros(COUNT, np.int64)}
    assert _open(tmp_path, labelled).digest != first.digest


@given(st.integers(5, 3000))
def test_cut_gives_every_sample_to_one_split_and_leaves_none_empty(count: int) -> None:
    parts = cut(count, "x")
    assert sorted(np.concatenate(parts)) == list(range(count))
    assert min(len(part) for part in parts) > 0
    assert len(parts[0]) >= len(parts[1])


def test_sequences_become_steps_in_order_for_a_network_with_state(tmp_path: Path) -> None:
    inputs = [Value("x", "float32", (1, 2)), Value("h", "float32", (1, 5))]
    steps = np.arange(10 * 3 * 2, dtype=np.float32).reshape(10, 3, 2)
    labels = np.arange(30).reshape(10, 3) % 2
    task = _open(tmp_path, {"x": steps, "targets": labels}, inputs, state="h")
    assert [steps_of(split) for split in (task.train, task.select)] == [3, 3]
    assert len(task.select) == 6
    batch = task.select.take(np.arange(3))
    first = int(batch.inputs["x"][0, 0]) // 6
    assert batch.inputs["x"].tolist() == steps[first].tolist()
    assert batch.targets is not None and batch.targets.tolist() == labels[first].tolist()


def test_samples_without_steps_are_fine_for_a_network_with_state(tmp_path: Path) -> None:
    inputs = [Value("x", "float32", (1, 2)), Value("h", "float32", (1, 5))]
    task = _open(tmp_path, {"x": np.zeros((10, 2), np.float32)}, inputs, state="h")
    assert steps_of(task.select) == 1


def test_input_without_samples_is_given_once_and_goes_with_every_batch(tmp_path: Path) -> None:
    inputs = [Value("rate", "int64", ()), Value("x", "float32", (1, 2))]
    task = _open(tmp_path, {"x": np.zeros((10, 2), np.float32), "rate": np.array(16000)}, inputs)
    batch = task.select.take(np.arange(2))
    assert list(batch.inputs) == ["rate", "x"]
    assert batch.inputs["rate"].shape == () and int(batch.inputs["rate"]) == 16000


def _without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in _arrays().items() if key != name}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (_without("b"), r"holds a; the network's inputs are a, b; name them alike"),
        ({**_arrays(), "c": np.zeros(3)}, r"holds a, b, c; the network's inputs are a, b"),
        ({}, r"holds nothing; the network's inputs are a, b"),
        (
            {**_arrays(), "a": np.zeros((COUNT, 2, 3))},
            r"array 'a': is float64, the network's input is float32",
        ),
        ({**_arrays(), "b": np.zeros((COUNT, 4), np.int32)}, r"array 'b': is int32, .* \.astype\('int64'\)"),
        ({**_arrays(), "a": np.zeros((COUNT, 3, 2), np.float32)}, r"holds \(3, 2\) .* input is \(2, 3\)"),
        ({**_arrays(), "a": np.zeros((COUNT, 1, 2, 3), np.float32)}, r"holds \(1, 2, 3\) of each sample"),
        ({**_arrays(), "a": np.float32(1)}, r"array 'a': holds \(\) of each sample"),
        ({**_arrays(), "b": _arrays(19)["b"]}, r"has arrays of \(20,\) and \(19,\) samples"),
        (_arrays(3), r"has 3 samples; give at least 5"),
        ({**_arrays(), "targets": np.zeros(COUNT)}, r"targets: are float64, not class indices"),
        ({**_arrays(), "targets": np.full(COUNT, -1)}, r"targets: are int64, not class indices"),
        (
            {**_arrays(), "targets": np.zeros((COUNT, 2), int)},
            r"have the shape \(20, 2\), the inputs \(20,\)",
        ),
        (
            {**_arrays(), "targets": np.zeros(COUNT, int), "labels": np.zeros(COUNT, int)},
            r"has both targets and labels",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason) as refusal:
        _open(tmp_path, arrays)
    assert "\n" not in str(refusal.value)


def test_steps_are_refused_where_the_network_keeps_no_state(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds \(3, 2\) of each sample"):
        _open(tmp_path, {"x": np.zeros((10, 3, 2), np.float32)}, [Value("x", "float32", (1, 2))])


def test_array_of_python_objects_is_refused_and_nothing_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "exploded",)

    arrays = {**_arrays(), "a": np.array([Bomb()] * COUNT, dtype=object)}
    with pytest.raises(BadInput, match="cannot be read: Object arrays cannot be loaded"):
        _open(tmp_path, arrays)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x93NUMPY\x01\x00"])
def test_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data.npz"
    file.write_bytes(content)
    with pytest.raises(BadInput, match="is not an npz archive"):
        open_task(f"npz:{file}", INPUTS, {})


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a file"):
        open_task(f"npz:{tmp_path / 'absent.npz'}", INPUTS, {})


def test_truncated_member_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00\x46")
    with pytest.raises(BadInput, match="cannot be read"):
        open_task(f"npz:{file}", INPUTS, {})


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_MAX_BYTES", 100)
    with pytest.raises(BadInput, match="unpacks to"):
        _open(tmp_path, _arrays())
