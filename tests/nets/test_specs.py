"""The networks that come with Taut: known sizes, stable names, shipped weights that are what they say."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from taut.core.errors import BadInput  # noqa: E402
from taut.core.task import Task  # noqa: E402
from taut.nets import NETS  # noqa: E402
from taut.nets.base import NetSpec  # noqa: E402
from taut.nets.build import accuracy  # noqa: E402
from taut.nets.load import load_net  # noqa: E402
from taut.nets.mobilenet_v2 import MobileNetV2, scaled_channels  # noqa: E402
from taut.nets.resnet_cifar import ResNetCifar  # noqa: E402
from taut.nets.shipped import MAX_BYTES, read_weights, shipped_file  # noqa: E402
from taut.tasks.cifar10 import cifar10  # noqa: E402

SPECS: list[NetSpec] = [NETS.load(name) for name in NETS]
SHIPPED = [spec for spec in SPECS if spec.weights is not None]


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _macs(module: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions and linear layers, counted at their outputs."""
    found: list[int] = []

    def count(layer: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        found.append(output.numel() * layer.weight[0].numel())

    for layer in module.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module.eval()(torch.zeros(shape))
    return sum(found)


def test_resnets_have_the_parameters_of_the_paper() -> None:
    # Table 6 of arXiv 1512.03385: 0.27, 0.46, 0.66, 0.85 M; projection shortcuts add 2,800.
    found = [_parameters(ResNetCifar(blocks)) / 1e6 for blocks in (3, 5, 7, 9)]
    assert found == pytest.approx([0.27, 0.46, 0.66, 0.85], abs=0.01)
    assert _macs(ResNetCifar(3), (1, 3, 32, 32)) / 1e6 == pytest.approx(41, abs=0.5)


def test_full_mobilenet_v2_has_the_size_of_the_paper() -> None:
    # Table 4 of arXiv 1801.04381: 3.4 M parameters, 300 M multiply-adds at 224x224.
    module = MobileNetV2(classes=1000, is_small=False)
    assert _parameters(module) / 1e6 == pytest.approx(3.50, abs=0.01)
    assert _macs(module, (1, 3, 224, 224)) / 1e6 == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(32, 1.0, 32), (32, 0.5, 16), (24, 0.5, 16), (16, 0.5, 8), (3, 1, 8)]
)
def test_scaled_channels_are_multiples_of_eight_and_not_much_less(
    channels: int, width: float, expected: int
) -> None:
    assert scaled_channels(channels, width) == expected


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("digits-cnn", 306_122, 8_426_752),
        ("resnet20-cifar10", 272_474, 40_813_184),
        ("mobilenetv2-half-cifar10", 535_370, 25_501_824),
        ("convfirst-cifar10", 736_138, 9_071_104),
        ("convnext-cifar10", 900_170, 10_814_976),
    ],
)
def test_nets_keep_their_size(name: str, parameters: int, macs: int) -> None:
    spec: NetSpec = NETS.load(name)
    assert (_parameters(spec.build()), _macs(spec.build(), spec.input_shape)) == (parameters, macs)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_spec_is_registered_under_its_name_and_builds_what_it_says(spec: NetSpec) -> None:
    assert NETS.load(spec.name) is spec
    module = spec.build().eval()
    with torch.no_grad():
        logits = module(*(torch.from_numpy(array) for array in spec.example_inputs().values()))
    assert logits.shape == (1, 10)


def test_unknown_net_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(BadInput, match="net 'resnet50': is not known; one of: digits-cnn, resnet20-cifar10"):
        load_net("resnet50")


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
def test_shipped_weights_are_small_and_those_of_their_provenance(spec: NetSpec) -> None:
    assert spec.weights is not None
    file = shipped_file(spec.weights)
    provenance = json.loads(file.with_name(f"{spec.name}.json").read_text())
    assert file.stat().st_size <= MAX_BYTES
    assert provenance["file"] == file.name
    assert provenance["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert provenance["recipe"] == asdict(spec.recipe)
    assert provenance["seed"] == spec.seed


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
def test_shipped_net_loads_with_exactly_its_weights(spec: NetSpec) -> None:
    assert spec.weights is not None
    state = read_weights(shipped_file(spec.weights))
    module, loaded_spec = load_net(spec.name)
    assert loaded_spec is spec and not module.training
    own = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
    assert set(own) == set(state)
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert all(value.dtype == torch.float32 for value in own.values())


@pytest.fixture(scope="module")
def real_cifar10() -> Task:
    folder = Path(os.environ.get("TAUT_DATA", "")) / "cifar10_jpeg"
    if not (os.environ.get("TAUT_DATA") and folder.is_dir()):
        pytest.skip("TAUT_DATA does not hold cifar10_jpeg")
    return cifar10(folder)


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
def test_shipped_net_reaches_its_stated_accuracy_on_the_select_split(
    spec: NetSpec, real_cifar10: Task
) -> None:
    assert spec.weights is not None
    stated = json.loads(shipped_file(spec.weights).with_name(f"{spec.name}.json").read_text())
    assert stated["data"]["digest"] == real_cifar10.digest
    # Another processor may round a handful of the 5,000 images to the other side.
    found = accuracy(load_net(spec.name)[0], real_cifar10.select)
    assert found == pytest.approx(stated["select_accuracy"], abs=0.2)
    assert np.isfinite(found)
