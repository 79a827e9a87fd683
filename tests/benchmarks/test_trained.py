"""Lines with training: pruned to half the operations, the recipe Taut's, exported and deployed."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from toy_cases import plain_task

import peers.trained
from peers.base import Case, prepared
from peers.ort_fp32 import OrtFp32
from peers.trained import Trained, unpruned
from taut.core.task import ArraySplit, Task
from taut.fit.models import network_from_module
from taut.graph.onnx_export import save_onnx
from taut.measure import outputs
from taut.nets.digits_cnn import DIGITS_CNN, DigitsCnn
from taut.tasks.classification import classification_loss
from taut.train.recipe import Recipe

_RECIPE = Recipe(epochs=2, batch_size=8, lr=0.01, distill_share=0.5)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A network with weights of its first hour, on noise."""
    torch.manual_seed(0)
    module = DigitsCnn(8).eval()
    monkeypatch.setattr(peers.trained, "load_net", lambda _name: (_copy(module), DIGITS_CNN))
    network = network_from_module(module, DIGITS_CNN.example_inputs(), output_names=["logits"])
    save_onnx(network.graph, tmp_path / "digits.onnx")
    return Case(tmp_path / "digits.onnx", network, _task(), 1, tmp_path / "prepared", net="digits-cnn")


def _copy(module: DigitsCnn) -> DigitsCnn:
    copy = DigitsCnn(8)
    copy.load_state_dict(module.state_dict())
    return copy.eval()


def _task() -> Task:
    random = np.random.default_rng(0)
    images = random.standard_normal((32, 1, 8, 8)).astype(np.float32)
    train = ArraySplit({"image": images}, random.integers(0, 10, 32))
    return replace(plain_task({"image": images}), train=train, loss=classification_loss)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trained_net_is_exported_once_and_differs_from_the_original(case: Case) -> None:
    lines = [Trained("trained on", unpruned, _RECIPE, OrtFp32(name)) for name in ("one", "other")]
    specs = [prepared(line, case) for line in lines]
    assert specs[0].arguments["file"] == specs[1].arguments["file"]
    items = case.select_items(2)
    original = outputs(case.spec("OnnxRuntimeRunner", case.file), items)
    trained = outputs(specs[0], items)
    assert [value.name for value in onnx.load(str(specs[0].arguments["file"])).graph.input] == ["image"]
    assert trained[0]["logits"].shape == (1, 10)
    assert not np.allclose(trained[0]["logits"], original[0]["logits"])


def test_another_recipe_is_another_line() -> None:
    longer = replace(_RECIPE, epochs=3)
    lines = [Trained("trained on", unpruned, recipe, OrtFp32()) for recipe in (_RECIPE, longer)]
    assert repr(lines[0]) != repr(lines[1])
    assert "0x" not in repr(lines[0])


if find_spec("torch_pruning"):

    def test_pruned_net_has_half_the_operations_in_widths_that_kernels_like() -> None:
        import torch_pruning

        from peers.pruned import MACS_SHARE, ROUND_TO, pruned

        module, example = DigitsCnn(64), torch.zeros(1, 1, 8, 8)
        before, _ = torch_pruning.utils.count_ops_and_params(module, example)
        after, _ = torch_pruning.utils.count_ops_and_params(pruned(module, example), example)
        assert 0.6 * MACS_SHARE < after / before <= MACS_SHARE
        widths = [layer.out_channels for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
        assert all(width % ROUND_TO == 0 for width in widths)
        assert module.classifier.out_features == 10
