"""The network of the demonstration is trained on first use, and the command that rebuilds what ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from taut.nets import build  # noqa: E402
from taut.nets.digits_cnn import DIGITS_CNN, DigitsCnn  # noqa: E402
from taut.nets.load import identity, load_net, store_folder, task_of  # noqa: E402
from taut.nets.shipped import load_weights, read_weights  # noqa: E402


@pytest.fixture(autouse=True)
def pauses(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A store of these tests' own, and no waiting for whoever times on this machine: pauses are counted."""
    counted: list[int] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "nets-cache"))
    monkeypatch.setattr("taut.nets.load.wait_while_timing", lambda: counted.append(1))
    return counted


def test_digits_net_is_trained_on_first_use_with_progress_and_then_found(pauses: list[int]) -> None:
    shares: list[float] = []
    module, spec = load_net("digits-cnn", lambda _what, share: shares.append(share))
    assert spec is DIGITS_CNN
    assert build.accuracy(module, task_of(spec).select) >= 97.0
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert len(pauses) == len(shares), "whoever times gets the machine after every step"
    assert len(list(store_folder().glob("*.safetensors"))) == 1
    again: list[float] = []
    found, _ = load_net("digits-cnn", lambda _what, share: again.append(share))
    assert again == []
    for name, value in module.state_dict().items():
        assert torch.equal(value, found.state_dict()[name])


def test_build_writes_weights_and_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["build", "digits-cnn", str(tmp_path / "out")])
    assert build.main() == 0
    provenance = json.loads((tmp_path / "out" / "digits-cnn.json").read_text())
    assert json.loads(capsys.readouterr().out) == provenance
    assert provenance["select_accuracy"] >= 97.0
    module = load_weights(DIGITS_CNN.build(), read_weights(tmp_path / "out" / provenance["file"]))
    task = task_of(DIGITS_CNN)
    assert provenance["data"] == {"name": "digits", "digest": task.digest, "train": 1006, "select": 539}
    assert build.accuracy(module, task.select) == pytest.approx(provenance["select_accuracy"], abs=0.01)


def test_build_says_in_one_line_that_the_data_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TAUT_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["build", "resnet20-cifar10", str(tmp_path)])
    assert build.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_changed_spec_is_another_network_to_the_store() -> None:
    wider = replace(DIGITS_CNN, build=lambda: DigitsCnn(channels=8))
    assert identity(DIGITS_CNN) == identity(DIGITS_CNN)
    assert identity(wider) != identity(DIGITS_CNN)
